"""Statistics and limits of the speed report, on samples whose truth is known."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from lossparity.conformance import cli
from lossparity.reports import bench, limits, ratios
from lossparity.reports.ratios import Board
from lossparity.reports.speed import duration, size, speed_sentence, switches
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.nll_loss.speed import point, selected_offsets, traffic
from lossparity.specs.speed import LINE
from sample_bench import CORE, a_bench, everything, measured, stored


def claims(true: dict[str, float], seed: int = 0, **options: Any) -> dict[str, str]:
    (board,) = ratios.boards(a_bench(measured(np.random.default_rng(seed), true, **options)))
    return {row.contestant: row.claim for row in board.rows}


# --- ratios ----------------------------------------------------------------------------------------------


def test_a_process_whose_baseline_turned_out_wrong_is_left_out() -> None:
    one, other = measured(np.random.default_rng(0), {"base": 1e-3, "other": 1e-3})
    spoilt = {name: times for name, times in other.seconds.items() if name != "base"}
    (board,) = ratios.boards(a_bench([one, msgspec.structs.replace(other, seconds=spoilt)]))
    assert board.processes == 1
    assert {row.claim for row in board.rows} == {"baseline", "few"}


def test_all_rounds_are_used_and_all_processes_count_the_same() -> None:
    """One process had time for ten times the rounds of the other, and a contestant is slow in it."""
    rng = np.random.default_rng(0)
    (one, _) = measured(rng, {"base": 1e-3, "other": 1e-3}, rounds=200)
    (_, other) = measured(rng, {"base": 1e-3, "other": 2e-3}, rounds=20)
    (board,) = ratios.boards(a_bench([one, other]))
    row = board.row("other")
    assert row is not None
    assert row.spread.count == 220
    assert row.ratio.estimate > 1.05, "no process outvotes another by its rounds"
    assert row.ratio.low < 1.05
    assert row.ratio.high > 1.9, "either process may have been drawn twice"
    assert row.claim == "tie"


def test_a_tenth_slower_is_slower_and_a_two_hundredth_is_a_tie() -> None:
    found = claims({"base": 1e-3, "slow": 1.1e-3, "same": 1.005e-3, "quick": 0.8e-3})
    assert found == {"base": "baseline", "slow": "slower", "same": "tie", "quick": "faster"}


def test_copies_are_hardly_ever_called_different() -> None:
    """Also where the noise is as large as the least difference that may be claimed."""
    found = [
        claims({"base": 1e-3, **{f"copy {k}": 1e-3 for k in range(8)}}, seed, noise=noise)
        for seed, noise in itertools.product(range(20), (0.003, 0.02, 0.05))
    ]
    wrong = sum(one in ("faster", "slower") for board in found for one in board.values())
    assert wrong <= 0.01 * sum(len(board) - 1 for board in found)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(100):
        (board,) = ratios.boards(
            a_bench(measured(np.random.default_rng(seed), {"base": 1e-3, "x": 1.3e-3}, noise=0.02))
        )
        row = board.row("x")
        assert row is not None
        covered += row.ratio.wide_low <= 1.3 <= row.ratio.wide_high
    assert covered >= 88


def test_what_shakes_the_machine_for_a_round_cancels() -> None:
    """Rounds vary by 10 %, as `measured` makes them; ratios do not."""
    (board,) = ratios.boards(a_bench(measured(np.random.default_rng(1), {"base": 1e-3, "x": 1.1e-3}, noise=1e-4)))
    row = board.row("x")
    assert row is not None
    assert row.ratio.estimate == pytest.approx(1.1, rel=2e-4)
    assert row.spread.p90 / row.spread.p10 > 1.1


def test_a_noisy_machine_claims_nothing_and_says_so() -> None:
    records = measured(np.random.default_rng(3), {"base": 1e-3, "slow": 3e-3}, noise=0.5)
    (board,) = ratios.boards(a_bench(records))
    assert board.spread > ratios.NOISY
    assert {row.claim for row in board.rows} == {"baseline", "noisy"}
    assert "too noisy" in speed_sentence(a_bench(records), [board])


def test_one_process_is_too_few() -> None:
    assert claims({"base": 1e-3, "slow": 2e-3}, processes=1)["slow"] == "few"


def test_intervals_are_as_wide_as_the_twin_strays() -> None:
    """A twin that is 3 % off through no fault of its own widens every interval, and 2.5 % is no claim then."""
    records = measured(np.random.default_rng(0), {"base": 1e-3, "x": 1.025e-3}, noise=1e-4)
    for one in records:
        one.seconds[bench.TWIN] = [1.03 * seconds for seconds in one.seconds["base"]]
    (board,) = ratios.boards(a_bench(records))
    row = board.row("x")
    assert row is not None
    assert row.claim == "tie"
    assert row.ratio.wide_high / row.ratio.estimate == pytest.approx(1.03, rel=2e-3)


def test_many_comparisons_are_corrected_for() -> None:
    """The more there are, the surer each has to be (Holm)."""
    rng = np.random.default_rng(5)
    alone = measured(rng, {"base": 1e-3, "x": 1.035e-3}, noise=0.045)
    (board,) = ratios.boards(a_bench(alone))
    x = board.row("x")
    assert x is not None
    assert x.claim == "slower"  # by itself
    crowd = [
        one
        for n in range(200)
        for one in measured(rng, {"base": 1e-3, "y": 1e-3}, noise=0.045, point=point(n=n + 1, classes=2))
    ]
    found = {(b.point, row.contestant): row.claim for b in ratios.boards(a_bench(alone + crowd)) for row in b.rows}
    assert found[CORE, "x"] == "tie"


def test_fractions_of_the_limit_are_never_clipped() -> None:
    (board,) = ratios.boards(a_bench(measured(np.random.default_rng(0), {"base": 1e-3, "impossible": 0.5e-4})))
    limit = {row.contestant: (row.limit, row.is_invalid) for row in board.rows}
    assert limit["base"] == (pytest.approx(0.1, rel=0.01), False)
    assert limit["impossible"] == (pytest.approx(2.0, rel=0.01), True)
    assert board.bandwidth == pytest.approx((5 << 20) / 1e-4, rel=0.1)


# --- two runs --------------------------------------------------------------------------------------------


def test_a_regression_is_found_although_the_second_machine_is_slower() -> None:
    rng = np.random.default_rng(0)
    before = measured(rng, {"base": 1e-3, "x": 2e-3, "y": 1e-3})
    after = measured(rng, {"base": 1e-3, "x": 2.4e-3, "y": 1.003e-3})
    after = [
        msgspec.structs.replace(one, seconds={name: [2.5 * t for t in times] for name, times in one.seconds.items()})
        for one in after
    ]
    found = {one.contestant: one for one in ratios.changes(a_bench(before), a_bench(after))}
    assert found["x"].claim == "regression"
    assert found["x"].low < 1.2 < found["x"].high
    assert found["base"].claim == found["y"].claim == "tie"
    back = {one.contestant: one.claim for one in ratios.changes(a_bench(after), a_bench(before))}
    assert back["x"] == "improvement"


def test_comparing_a_run_with_a_slower_one_exits_with_1(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, seconds in {"before": 2e-3, "after": 18e-3}.items():
        stored(tmp_path / name / bench.FILE, measured(rng, {"base": 1e-3, "other": seconds}))

    def compare(*folders: str) -> Any:
        return CliRunner().invoke(cli.main, ["compare", *(str(tmp_path / folder) for folder in folders)])

    result = compare("before", "after")
    assert result.exit_code == 1, result.output
    assert "regression" in result.output
    assert compare("before", "before").exit_code == 0
    assert compare("before", "none").exit_code == 4


# --- what has to be moved --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(50, 3), (50, 16), (7, 40), (5, 6, 7, 3), (9,), (0, 4)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_lines_are_counted_one_by_one(shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(1)
    x = np.zeros(shape, dtype)
    positions = shape[:1] * (len(shape) > 1) + shape[2:]
    classes = shape[1] if len(shape) > 1 else shape[0]
    t = np.asarray(rng.integers(classes, size=positions))
    ignored = np.asarray(rng.random(positions) < 0.2)
    t = np.where(ignored, -100, t)
    call = NLL_LOSS.call(x, t)
    start = x.__array_interface__["data"][0]
    addresses = [
        start
        + int(np.ravel_multi_index((*place[:1], label, *place[1:]) if len(shape) > 1 else (label,), shape)) * x.itemsize
        for place, label in np.ndenumerate(t)
        if label != -100
    ]
    assert sorted(selected_offsets(call).tolist()) == sorted(address - start for address in addresses)
    moved = traffic(call, "forward", LINE)
    assert moved.lines == len({address // LINE for address in addresses})
    assert moved.read == moved.lines * LINE + t.nbytes
    assert moved.written == x.itemsize
    assert traffic(call, "backward", LINE).written == x.nbytes
    both = traffic(call, "both", LINE)
    assert (both.read, both.written) == (moved.read + x.itemsize, moved.written + x.nbytes)


# --- fits ------------------------------------------------------------------------------------------------


def test_nonnegative_least_squares_meets_the_conditions_of_an_optimum() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        terms, values = rng.normal(size=(9, 4)), rng.normal(size=9)
        found = limits.nonnegative(terms, values)
        slope = terms.T @ (values - terms @ found)  # Kuhn-Tucker: 0 inside, not positive at the edge
        assert (found >= 0).all()
        assert np.allclose(slope[found > 0], 0, atol=1e-9)
        assert (slope[found == 0] <= 1e-9).all()


def boards_of(seconds: Any) -> list[Board]:
    """Boards whose one contestant takes seconds(N, C)."""
    rng, records = np.random.default_rng(0), []
    for n, classes in [(1, 256), (256, 256), (4096, 256), (65536, 16), (65536, 64), (65536, 256), (65536, 1024)]:
        place = point(n=n, classes=classes)
        records += [
            msgspec.structs.replace(one, lines=n)
            for one in measured(rng, {"base": seconds(n, classes)}, noise=1e-3, point=place)
        ]
    return ratios.boards(a_bench(records))


def test_a_gather_and_a_dense_product_are_told_apart() -> None:
    (gather,) = limits.fits(boards_of(lambda n, c: 5e-6 + 3.6e-9 * n), "1")
    (dense,) = limits.fits(boards_of(lambda n, c: 7e-6 + 4e-9 * n + n * c * 4 / 3e9), "1")
    assert not gather.is_dense
    assert gather.exponent == pytest.approx(0, abs=0.05)
    assert gather.call == pytest.approx(5e-6, rel=0.1)
    assert gather.half == pytest.approx(5e-6 / 3.6e-9, rel=0.15)
    assert dense.is_dense
    assert 1 / dense.entry_byte == pytest.approx(3e9, rel=0.1)
    assert dense.exponent == pytest.approx(1, abs=0.1)
    assert gather.residual < 0.15


def test_too_few_points_are_not_fitted() -> None:
    assert limits.fits(ratios.boards(a_bench(measured(np.random.default_rng(0), {"base": 1e-3}))), "1") == []


# --- words, files and the page ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (2.5e-9, "2.50 ns"), (1.234e-5, "12.3 µs"), (9.99e-4, "999 µs"), (0.5, "500 ms"), (12.34, "12.3 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes() -> None:
    assert [size(n) for n in (12, 1200, 5_000_000, 7e9, 3e13)] == ["12 B", "1.2 kB", "5 MB", "7 GB", "30 TB"]


def test_points_have_names_of_their_own() -> None:
    points = [point(n=2, classes=3), point(n=2, classes=3, spatial=(4, 5), weighted=True, ignored=0.1, order="sorted")]
    assert [one.name for one in points] == [
        "forward N=2 C=3 float32 mean",
        "forward N=2 C=3 float32 mean D=4x5 weights 10% ignored sorted targets",
    ]
    assert list(points[1].sizes.values()) == [2, 3, 4, 5]


def test_switching_is_answered_by_framework() -> None:
    run = a_bench(everything())
    (answer,) = switches(run, ratios.boards(run)[0])
    assert answer.best.contestant == "base"
    (instead,) = answer.instead
    assert (instead.info.name, instead.slow) == ("other", False)
    assert instead.ratio == pytest.approx(2, rel=0.01)
    assert answer.is_best


def test_what_is_too_slow_for_rounds_is_no_answer_left_out() -> None:
    records = [
        msgspec.structs.replace(one, slow={"slow": 0.5}) for one in measured(np.random.default_rng(0), {"base": 1e-3})
    ]
    run = a_bench(records, names=("base", "slow"))
    (answer,) = switches(run, ratios.boards(run)[0])
    (instead,) = answer.instead
    assert (instead.info.name, instead.slow) == ("slow", True)
    assert instead.ratio == 0.5 / answer.best.spread.median
