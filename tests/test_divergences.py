"""Known divergences: each row is needed, true, and reproducible; broken rows are refused."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lossparity.adapters.torch.adapter import BACKEND  # noqa: E402 - after torch
from lossparity.conformance.items.breadcrumb import Trail  # noqa: E402
from lossparity.conformance.items.isolation import Isolation  # noqa: E402
from lossparity.conformance.items.runner import Executor, Work  # noqa: E402
from lossparity.conformance.items.spec import VECTORS, ItemSpec, planned_cases  # noqa: E402
from lossparity.conformance.judging import ledger, rows  # noqa: E402
from lossparity.conformance.judging.judge import Judgement, Traits  # noqa: E402
from lossparity.conformance.judging.ledger import Divergence, Resolved  # noqa: E402
from lossparity.conformance.lint import SUBJECTS  # noqa: E402
from lossparity.specs.call import FLOAT_DTYPES  # noqa: E402
from lossparity.specs.case import Case, Status  # noqa: E402
from lossparity.specs.errors import LedgerError  # noqa: E402
from lossparity.specs.nll_loss.loss import LOSS  # noqa: E402
from lossparity.specs.nll_loss.signature import NLL_LOSS  # noqa: E402
from lossparity.specs.vectors import vectors  # noqa: E402

from . import engine  # noqa: E402
from .own_vectors import GOOD  # noqa: E402

ROWS = rows.brought_along("torch", SUBJECTS["torch"])
OTHERS = tuple(
    row for backend in ("numpy", "jax", "tensorflow") for row in rows.brought_along(backend, SUBJECTS[backend])
)
SUBJECT_OF = {subject.name: subject for subject in BACKEND.subjects(NLL_LOSS, "cpu")}


@functools.cache
def judged(subject: str, dtype: str) -> list[tuple[Case, Judgement]]:
    """What the vectors of one dtype came to on one subject; what rows make of it is cheap to ask again."""
    with tempfile.TemporaryDirectory() as folder:
        spec = ItemSpec(subject, VECTORS, dtype)
        isolation = Isolation("torch", "cpu", 120.0)
        trail = Trail(Path(folder), "test", 600.0)
        traits = Traits(traced=SUBJECT_OF[subject].capabilities.traced)
        siblings = [other for name, other in SUBJECT_OF.items() if name != subject]
        executor = Executor(SUBJECT_OF[subject], traits, isolation, trail, siblings)
        work = Work(spec, engine.REQUEST, executor)
        try:
            tried = [(case, work.try_out(case)) for case in planned_cases(spec, engine.REQUEST, SUBJECT_OF[subject])[0]]
        finally:
            isolation.close()
            trail.pause()  # or the watchdog ends this process when its time is up
    assert all(isinstance(judgement, Judgement) for _, (_, judgement) in tried)
    return [(case, judgement) for case, (_, judgement) in tried if isinstance(judgement, Judgement)]


def surprises(subject: str, dtype: str, known: Iterable[Divergence]) -> dict[str, list[Resolved]]:
    """Unexpected verdicts by vector, given these rows."""
    found = ledger.for_subject(known, subject, torch.__version__, "cpu")
    resolved = {case.origin: found.resolve(case, judgement, strict=False) for case, judgement in judged(subject, dtype)}
    return {origin: bad for origin, all_ in resolved.items() if (bad := [one for one in all_ if not one.expected])}


def dtype_of_vector(row: Divergence) -> str:
    dtype = vectors()[row.vector].call["input"]["dtype"]
    return dtype if dtype in FLOAT_DTYPES else "float32"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_each_row_is_needed(row: Divergence) -> None:
    """With all rows nothing is unexpected; without this one its vector is, under one of its clauses."""
    for subject in row.subjects:
        dtype = dtype_of_vector(row)
        assert surprises(subject, dtype, ROWS) == {}
        found = surprises(subject, dtype, [other for other in ROWS if other.id != row.id])
        failed = {one.verdict.clause for one in found[f"vector {row.vector}"]}
        assert failed if row.clauses == ("*",) else failed & set(row.clauses)


def test_an_item_without_a_row_is_unexpected(tmp_path: Path) -> None:
    """The same through the engine: counted, worded, and found under the vector's name."""
    known = [row for row in ROWS if row.id != "torch-half-overflow"]
    item, findings, message = engine.run(
        SUBJECT_OF["torch"], VECTORS, "float16", tmp_path, known, torch.__version__, backend="torch"
    )
    surprising = {f.origin for f in findings if not f.expected}
    assert surprising >= {"vector torch-half-overflow", "vector compile-half-overflow"}
    assert item.unexpected == len(surprising)
    assert "observed float16 inf" in message
    assert any("SPECIAL-2" in f.clauses for f in findings if not f.expected)


@pytest.mark.parametrize("row", [*ROWS, *OTHERS], ids=lambda row: row.id)
def test_each_reproducer_reproduces(row: Divergence) -> None:
    """A standalone script that imports the framework alone, and has been seen to show what it says."""
    pytest.importorskip(row.subjects[0].partition(":")[0])
    assert "lossparity" not in row.reproducer
    done = subprocess.run(
        [sys.executable, "-c", row.reproducer], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_row_that_no_longer_shows_is_unexpected() -> None:
    """The eager op does raise for a weight of one element: a row that says otherwise is wrong."""
    right = next(row for row in ROWS if row.id == "compile-weight-broadcasts")
    wrong = msgspec.structs.replace(right, id="wrong", subjects=("torch",))
    found = surprises("torch", "float32", [*ROWS, wrong])
    (one,) = found["vector compile-weight-broadcasts"]
    assert (one.divergence, one.verdict.status) == ("wrong", Status.PASS)


def test_a_sometimes_row_must_still_be_shown_by_its_own_vector() -> None:
    """Anywhere else it may pass."""
    right = next(row for row in ROWS if row.id == "torch-half-accumulator")
    assert right.mode == "sometimes"
    assert surprises("torch", "float16", ROWS) == {}
    moved = msgspec.structs.replace(right, id="moved", clauses=("SHAPE-4",))
    found = surprises("torch", "float16", [*ROWS, moved])
    assert [one.divergence for one in found["vector torch-half-accumulator"]] == ["moved"]


def test_the_sample_row_is_good() -> None:
    assert len(rows.load(GOOD, "x.toml", LOSS, ["torch"])) == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('vector = "torch-unbatched-1d-target"', "", "vector"),
        ('signature = ["not_raised"]', "", "signature"),
        ('signature = ["not_raised"]', "signature = []", "signature"),
        ('"torch-unbatched-1d-target"', '"torch-unbatched-1d-targit"', "torch-unbatched-1d-target"),
        ('subjects = ["torch"]', 'subjects = ["torhc"]', "torch"),
        ('"ERR-4"', '"ERR-44"', "ERR-4"),
        ("rank = 1", "rnak = 1", "rank"),
        ("rank = 1", 'rank = { "=>" = 1 }', "operator"),
        ("rank = 1", 'rank = { "==" = "@clases" }', "classes"),
        ('mode = "always"', 'mode = "often"', "mode"),
        ('cause = "bug"', 'cause = "bgu"', "cause"),
        ('title = "t"', 'title = "t"\ncolour = "red"', "colour"),
        ('id = "a"', 'id = "a"\nversions = "two"', "versions"),
        ("[[divergence]]", "[[divergences]]", "divergences"),
        ('id = "a"', "id = ", "TOML"),
    ],
)
def test_broken_rows_are_refused(old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(LedgerError) as caught:
        rows.load(GOOD.replace(old, new), "x.toml", LOSS, ["torch"])
    assert "x.toml" in str(caught.value)
    assert words in str(caught.value)


def test_duplicate_ids_are_refused() -> None:
    with pytest.raises(LedgerError, match="stands twice"):
        rows.load(GOOD + GOOD, "x.toml", LOSS, ["torch"])


def test_versions_limit_a_row() -> None:
    (row,) = rows.load(GOOD.replace('id = "a"', 'id = "a"\nversions = ">=2.0,<2.5"'), "x", LOSS, ["torch"])
    for version, applies in (("2.4.1", True), ("2.13.0+cpu", False), ("1.13", False), ("2.4.0.dev20250101", True)):
        assert bool(ledger.for_subject([row], "torch", version, "cpu").rows) is applies


@pytest.mark.parametrize(
    ("devices", "expected_on"),
    [
        ("[]", {"cpu", "cuda", "cuda:1"}),
        ('["cuda"]', {"cuda", "cuda:1"}),
        ('["cuda:1"]', {"cuda:1"}),
        ('["cpu"]', {"cpu"}),
    ],
)
def test_devices_limit_a_row(devices: str, expected_on: set[str]) -> None:
    (row,) = rows.load(GOOD.replace('id = "a"', f'id = "a"\ndevices = {devices}'), "x", LOSS, ["torch"])
    found = {on for on in ("cpu", "cuda", "cuda:1") if ledger.for_subject([row], "torch", "2.4", on).rows}
    assert found == expected_on


def test_a_device_that_is_none_is_refused() -> None:
    with pytest.raises(LedgerError, match=r"unknown device 'gpu'; .*cpu"):
        rows.load(GOOD.replace('id = "a"', 'id = "a"\ndevices = ["gpu"]'), "x", LOSS, ["torch"])


def test_unsupported_is_what_capabilities_declare() -> None:
    from lossparity.adapters.execution import execute
    from lossparity.specs.call import Unsupported

    call = NLL_LOSS.call(np.zeros((2, 3), np.float32), np.zeros(2, np.int16))
    outcome, _ = execute(SUBJECT_OF["torch"], call)
    assert isinstance(outcome, Unsupported)
    assert "int16" in outcome.reason
