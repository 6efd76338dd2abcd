"""What the bench asks of a loss, on one that is no nll_loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.bench import measure, sweep
from lossparity.conformance.bench.contest import Job, Runner
from lossparity.conformance.bench.run import Options, Watch, run
from lossparity.reports import bench, limits, ratios
from lossparity.reports.bench import Contestant, Excluded, Measured
from lossparity.specs import losses
from lossparity.specs.errors import SpecError, UsageError
from lossparity.specs.speed import LINE, Point, Traffic
from sample_bench import a_bench

from . import timed_loss

PLACE = f"{timed_loss.__file__}:LOSS"
UNTIMED = f"{timed_loss.__file__}:UNTIMED"


def runner(name: str, function: Callable[..., Any], lacks: frozenset[str] | None = None) -> Runner:
    info = Contestant(name=name, backend="numpy", version="2", kind="composed", style="eager")
    return Runner(info, NumpySubject(function, name, gradient=timed_loss.gradient), lacks)


def measured(point: Point, *runners: Runner) -> list[Measured | Excluded]:
    """What a process finds at a point."""
    job = Job(PLACE, ("numpy",), (), "cpu", "1", 0, 10, 0.0, 0, "squares", warm=0.01)
    return list(measure.measure(runners, point, job, lambda *said: None))


@pytest.mark.parametrize("work", ["forward", "backward", "both"])
def test_a_loss_of_ones_own_is_timed(work: str) -> None:
    (point,) = (one for one in timed_loss.points() if one.work == work and one.sizes["N"] == 1024)
    runners = runner("squares", timed_loss.squares), runner("other", lambda *a, **k: timed_loss.squares(*a, **k))
    (found,) = measured(point, *runners)
    assert isinstance(found, Measured)
    assert set(found.seconds) == {"squares", "other", bench.TWIN, bench.EMPTY, bench.STREAM}, "nothing to gather"
    assert found.point == point
    assert found.read >= 2 * 4 * 1024
    assert found.written == {"forward": 4, "backward": 4096, "both": 4100}[work]
    (board,) = ratios.boards(a_bench([found], names=("squares", "other"), loss="squares"))
    assert board.gather is None
    assert {row.attainable for row in board.rows} == {None}
    assert limits.fits([board] * 9, "1") == [], "a loss that needs all of its input is not called dense"


def test_what_computes_another_loss_is_not_timed() -> None:
    point = timed_loss.SPEED.cold
    runners = runner("squares", timed_loss.squares), runner("halves", lambda *a, **k: timed_loss.squares(*a, **k) / 2)
    excluded, found = measured(point, *runners)
    assert isinstance(excluded, Excluded)
    assert (excluded.contestant, excluded.kind) == ("halves", "wrong")
    assert isinstance(found, Measured)
    assert "halves" not in found.seconds


def test_the_loss_says_what_a_baseline_cannot_do() -> None:
    loss = losses.find("nll_loss")
    asked = {one.name: set(sweep.speed_of(loss).asks(one)) for one in sweep.points(loss, 1 << 60)}
    assert asked["forward N=65536 C=256 float32 mean"] == set()
    assert asked["forward N=16 C=64 float32 mean D=7x7 weights 10% ignored"] == {
        "weight", "ignored positions", "spatial axes",
    }  # fmt: skip
    backward = next(one for one in timed_loss.points() if one.work == "backward")
    (excluded,) = measured(backward, runner("squares", timed_loss.squares, frozenset({"gradient"})))
    assert isinstance(excluded, Excluded)
    assert excluded.reason == "cannot do gradient"


def test_a_loss_that_does_not_say_how_it_is_timed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"untimed does not say how it is timed.*speed"):
        run(Options(loss=UNTIMED, names=("numpy",)), tmp_path, Watch())


def test_two_points_of_one_name_are_refused() -> None:
    core = timed_loss.SPEED.cold
    twice = dataclasses.replace(
        timed_loss.SPEED, points=lambda: [core, core, msgspec.structs.replace(core, sizes={"N": 5})]
    )
    with pytest.raises(SpecError, match=r"squares: two points.*'forward N=1024 float32 mean'"):
        sweep.points(dataclasses.replace(timed_loss.LOSS, speed=twice), 1 << 30)


def test_a_point_has_a_name_unless_it_brings_one() -> None:
    point = Point(
        loss="squares",
        sizes={"N": 2, "C": 3},
        work="both",
        choices={"reduction": "sum", "weights": True, "sorted": False, "share": 0.1},
    )
    assert point.name == "both N=2 C=3 float32 sum weights share 0.1"
    assert Point(loss="squares", sizes={}, name="mine").name == "mine"
    again = msgspec.json.decode(msgspec.json.encode(point), type=Point)
    assert again == point
    assert len({again, point, msgspec.structs.replace(point, loss="other")}) == 2


def test_points_that_take_too_many_copies_are_left_out() -> None:
    largest = max(one.sizes["N"] for one in timed_loss.points())
    cap = 4 * largest * timed_loss.SPEED.copies
    assert len(sweep.points(timed_loss.LOSS, cap)) == 9
    assert len(sweep.points(timed_loss.LOSS, cap - 1)) == 6


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_dense_traffic_is_all_of_the_arrays(reduction: str) -> None:
    x = np.zeros((3, 7), np.float64)
    call = timed_loss.SQUARES.call(x, x.copy(), reduction)
    result = 8 * (21 if reduction == "none" else 1)
    assert timed_loss.SPEED.traffic(call, "forward", LINE) == Traffic(2 * 168, result, 3)
    assert timed_loss.SPEED.traffic(call, "backward", LINE) == Traffic(2 * 168 + result, 168, 3)
    assert timed_loss.SPEED.traffic(call, "both", LINE) == Traffic(2 * 168 + result, 168 + result, 3)
