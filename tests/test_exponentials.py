"""The limit of losses that are made of exponentials: measured by framework, and shown where it binds."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from lossparity.adapters import registry
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.bench import exponentials, measure
from lossparity.conformance.bench.contest import Job, Runner
from lossparity.reports import bench, ratios, speed_charts, speed_page
from lossparity.reports.bench import Contestant, Measured
from lossparity.specs.call import Call
from lossparity.specs.cross_entropy import speed as cross_entropy
from lossparity.specs.log_softmax import speed as log_softmax
from lossparity.specs.speed import LINE, Point, Speed
from sample_bench import a_bench, everything, measured

from . import timed_loss

FRAMEWORKS = ("numpy", "torch", "jax", "tensorflow")


# --- measured --------------------------------------------------------------------------------------------


def test_a_frameworks_own_function_is_what_is_timed() -> None:
    for name in FRAMEWORKS:
        backend = registry.backend(name)
        if registry.is_installed(backend):
            registry.start(backend)
            with exponentials.references([name], 1000, "bfloat16", "cpu") as runs:
                result = np.asarray(runs[name](1))
            assert (result.shape, result.dtype) == ((1000,), np.float32), "halves are computed in float32"
            assert (np.exp(-8) <= result).all()
            assert (result <= 1).all()


@pytest.mark.parametrize("count", [1, 1000, 1 << 16, 100_000, (1 << 20) + 1, 3 << 20])
@pytest.mark.parametrize("fastest", range(4))
def test_as_many_are_computed_as_the_loss_takes(count: int, fastest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever block is the fastest, up to half of one of them."""
    computed: list[int] = []
    blocks: dict[Any, int] = {}

    def counted(subject: object, call: Call, work: str) -> Any:
        def run(times: int) -> None:
            computed.append(times * call["input"].size)

        blocks[run] = call["input"].size
        return contextlib.nullcontext(run)

    def seconds(run: Any) -> float:
        is_fastest = [*blocks].index(run) == min(fastest, len(blocks) - 1)
        return blocks[run] * (1.0 if is_fastest else 2.0)

    monkeypatch.setattr(exponentials, "loop", counted)
    monkeypatch.setattr(exponentials, "_seconds", seconds)
    with exponentials.references(["numpy", "numpy"], count, "float32", "cpu") as runs:
        runs["numpy"](7)
    block = [*blocks.values()][min(fastest, len(blocks) - 1)]
    assert computed[-1] == pytest.approx(7 * count, abs=7 * block / 2)
    assert computed[-1] % (7 * block) == 0


def test_without_exponentials_nothing_is_started() -> None:
    with exponentials.references(["no such backend"], 0, "float32", "cpu") as runs:
        assert runs == {}


@pytest.mark.parametrize("place", ["EXPONENTIAL", "LOSS"])
def test_a_loss_of_exponentials_meets_them_in_every_round(place: str) -> None:
    info = Contestant(name="squares", backend="numpy", version="2", kind="composed", style="eager")
    runner = Runner(info, NumpySubject(timed_loss.squares, "squares", gradient=timed_loss.gradient))
    job = Job(f"{timed_loss.__file__}:{place}", ("numpy",), (), "cpu", "1", 0, 10, 0.0, 0, "squares", warm=0.01)
    (found,) = measure.measure([runner], timed_loss.SPEED.cold, job, lambda *said: None)
    assert isinstance(found, Measured)
    assert set(found.seconds) == set(found.loops) == {"squares", bench.TWIN, bench.EMPTY, bench.STREAM}
    if place == "LOSS":
        assert (found.exponentials, found.exponential_seconds) == (0, {})
        return
    assert found.exponentials == 1024
    assert {name: len(times) for name, times in found.exponential_seconds.items()} == {"numpy": 10}
    (board,) = ratios.boards(a_bench([found], names=("squares",), loss="squares"))
    assert board.exponentials.keys() == {"numpy"}
    assert board.rows[0].bound in (bench.STREAM, bench.EXPONENTIALS)


# --- shown -----------------------------------------------------------------------------------------------


def with_exponentials(seconds: float) -> list[Measured]:
    """A base of 1 ms whose stream takes 0.1 ms, and whose framework's exponentials take so long."""
    records = measured(np.random.default_rng(0), {"base": 1e-3, "other": 2e-3})
    return [
        msgspec.structs.replace(
            one, exponentials=1 << 20,
            exponential_seconds={"numpy": [seconds * 1e3 * base for base in one.seconds["base"]]},
        )
        for one in records
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "bound", "share"),
    [(5e-4, bench.EXPONENTIALS, 0.5), (1e-5, bench.STREAM, 0.1), (2e-3, bench.EXPONENTIALS, 2)],
)
def test_the_limit_is_what_takes_longer(seconds: float, bound: str, share: float) -> None:
    (board,) = ratios.boards(a_bench(with_exponentials(seconds)))
    row = board.row("base")
    assert row is not None
    assert (row.bound, row.limit) == (bound, pytest.approx(share, rel=0.02))
    assert row.is_invalid == (share > 1), "never clipped"
    assert board.exponentials["numpy"] == pytest.approx(seconds, rel=0.1)


def test_a_framework_without_exponentials_is_compared_with_memory_alone() -> None:
    records = with_exponentials(5e-4)
    for one in records:
        one.exponential_seconds["another"] = one.exponential_seconds.pop("numpy")
    (board,) = ratios.boards(a_bench(records))
    assert {row.bound for row in board.rows} == {bench.STREAM}


def test_the_page_says_which_limit_it_is(tmp_path: Path) -> None:
    text = speed_page.write_bench(a_bench(with_exponentials(5e-4)), tmp_path)[0].read_text(encoding="utf-8")
    for words in ("exponentials of numpy", "of exponentials", "0.50<sub>e</sub>", "the limits run once"):
        assert words in text
    usual = speed_page.write_bench(a_bench(everything()), tmp_path)[0].read_text(encoding="utf-8")
    assert "exponential" not in usual.partition('<script type="application/json"')[0]


def test_the_limit_is_drawn() -> None:
    boards = []
    for n in (64, 128):
        place = Point(loss="squares", sizes={"N": n})
        records = [msgspec.structs.replace(one, point=place) for one in with_exponentials(5e-4)]
        boards += ratios.boards(a_bench(records))
    drawn = speed_charts.time_by_size(boards, {"base": (1, 1), "other": (2, 2)})
    assert drawn is not None
    assert "limit (exponentials of numpy)" in drawn


# --- of the losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [log_softmax.SPEED, cross_entropy.SPEED], ids=["log_softmax", "cross_entropy"])
def test_the_sweep_of_a_loss(speed: Speed) -> None:
    points = {one.name: one for one in speed.points()}
    assert all(points[one.name] == one for one in speed.points()), "names tell points apart"
    assert {one.sizes["C"] for one in points.values()} >= {2, 128000}
    assert {one.work for one in points.values()} == {"forward", "backward", "both"}
    assert {one.dtype for one in points.values()} == {"float32", "float64", "float16", "bfloat16"}
    for point in [one for one in points.values() if one.nbytes <= 1 << 20][::5]:
        call = speed.call_of(point, 0)
        assert call["input"].shape == tuple(point.sizes.values())
        assert call.dtype == point.dtype
        assert call["input"].nbytes == point.nbytes


def test_what_a_call_of_log_softmax_takes() -> None:
    point = log_softmax.point(n=3, classes=5)
    moved = log_softmax.SPEED.traffic(log_softmax.call_of(point, 0), "forward", LINE)
    assert (moved.read, moved.written, moved.exponentials) == (60, 60, 3 * 4)
    along = log_softmax.call_of(log_softmax.point(n=3, classes=5, dim=0), 0)
    assert log_softmax.SPEED.traffic(along, "both", LINE).exponentials == 2 * 5
    assert log_softmax.SPEED.traffic(along, "backward", LINE).exponentials == 0, "what was computed may be kept"


def test_what_a_call_of_cross_entropy_takes() -> None:
    call = a_call(n=40, classes=5, ignored=0.5)
    kept = int((call["target"] != -100).sum())
    assert 0 < kept < 40
    moved = cross_entropy.traffic(call, "forward", LINE)
    assert (moved.read, moved.written, moved.exponentials) == (40 * 8 + kept * 5 * 4, 4, kept * 4)
    back = cross_entropy.traffic(call, "backward", LINE)
    assert (back.read, back.written, back.exponentials) == (40 * 8 + kept * 5 * 4 + 4, 40 * 5 * 4, 0)


def test_probabilities_are_read_as_logits_are() -> None:
    call = a_call(n=4, classes=5, spatial=(3,), targets="probabilities", reduction="none", weights=True)
    assert call["target"].shape == call["input"].shape == (4, 5, 3)
    assert (call["target"] >= 0).all()
    moved = cross_entropy.traffic(call, "forward", LINE)
    assert (moved.read, moved.written, moved.exponentials) == (2 * 60 * 4 + 5 * 4, 12 * 4, 48)


def a_call(**fields: Any) -> Call:
    """The call of a point of cross_entropy."""
    return cross_entropy.call_of(cross_entropy.point(**fields), 0)
