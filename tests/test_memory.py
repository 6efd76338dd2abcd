"""The memory of a call: measured of functions of which it is known, in each framework, and shown."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from lossparity.adapters import registry
from lossparity.conformance.bench import meters, worker
from lossparity.conformance.bench.contest import MEMORY, Job
from lossparity.conformance.bench.run import Options, Watch, run
from lossparity.reports import memory, speed_page
from lossparity.reports.bench import Memory
from lossparity.specs.errors import EngineError
from sample_bench import CORE, a_bench, everything

from . import hungry_losses, timed_loss

PLACE = f"{timed_loss.__file__}:HUNGRY"


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "tensorflow"])
def test_copies_are_counted_in_every_framework(name: str, tmp_path: Path) -> None:
    """Whatever memory pool the framework has: the first call of each loop is not measured, and has filled it."""
    if not registry.is_installed(registry.backend(name)):
        pytest.skip(f"{name} is not installed")
    asked = [f"{name}@{hungry_losses.__file__}:{function}" for function in ("five", "two")]
    points = (next(timed_loss.points()),)
    options = Options(loss=PLACE, names=tuple(asked), points=points, threads=("1",), cold=False, baseline="")
    found = run(options, tmp_path, Watch())
    table = memory.table(found)
    assert table is not None
    assert not table.failed
    found_of = {contestant: cells[0].multiple for contestant, cells in table.rows.items() if cells[0] is not None}
    assert {contestant.partition(".")[2].partition(":")[0] for contestant in found_of} == {"five", "two"}
    for contestant, copies in found_of.items():
        assert copies == pytest.approx(5 if ".five" in contestant else 2, abs=0.1), contestant


def test_the_page_shows_multiples_and_what_failed(tmp_path: Path) -> None:
    large = msgspec.structs.replace(CORE, name="another", sizes={"N": 1000, "C": 250})
    record = Memory(
        backend="numpy",
        points=(CORE, large),
        peaks={CORE.name: {"base": CORE.nbytes * 3}, "another": {"base": 0, "other": 1_500_000}},
        failed={"other": "MemoryError: no more"},
    )
    text = speed_page.write_bench(a_bench([*everything(), record]), tmp_path)[0].read_text(encoding="utf-8")
    for words in ("Memory of a call", "3.00", "1.50", "1.5 MB", "MemoryError: no more", 'href="#memory"'):
        assert words in text
    assert memory.table(a_bench(everything())) is None
    assert "Memory of a call" not in speed_page.write_bench(a_bench(everything()), tmp_path)[0].read_text("utf-8")


def test_memory_is_kept_in_the_file_and_not_measured_again(tmp_path: Path) -> None:
    """Nor is it measured of a loss that names no points for it."""
    options = Options(loss=PLACE, names=(f"numpy@{hungry_losses.__file__}:two",), points=(next(timed_loss.points()),),
                      threads=("1",), cold=False, baseline="")  # fmt: skip
    found = run(options, tmp_path, Watch())
    assert [one.backend for one in found.memory] == ["numpy", *options.names]
    again = run(dataclasses.replace(options, resume=True), tmp_path, Watch())
    assert again.memory == found.memory
    assert again.records == found.records
    unnamed = run(dataclasses.replace(options, loss=f"{timed_loss.__file__}:LOSS"), tmp_path / "other", Watch())
    assert unnamed.memory == []


def test_what_cannot_be_asked_is_no_failure() -> None:
    """A function of NumPy's has no gradient."""
    name = f"numpy@{hungry_losses.__file__}:two"
    job = Job(f"{timed_loss.__file__}:TRAINED", (name,), (), "cpu", MEMORY, 0, 1, 0.0, 0, "")
    pipe: Any = SimpleNamespace(send=lambda message: None)
    found = worker._memory(pipe, job)
    assert not found.failed
    assert {point.work for point in found.points if found.peaks[point.name]} == {"forward"}
    late = worker._memory(pipe, dataclasses.replace(job, until=0.0))
    assert not any(late.peaks.values())
    assert "no time left" in next(iter(late.failed.values()))


def test_a_system_that_does_not_tell_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError("not for you")

    monkeypatch.setattr(Path, "write_text", refused)
    with pytest.raises(EngineError, match="not for you"):
        meters.peak(lambda times: None)
