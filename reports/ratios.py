"""Who is faster than whom: ratios of paired samples, with intervals that an A/A comparison has calibrated.

In each round all contestants ran in random order, so a round's log ratio to the baseline is free of what disturbs the
machine for longer than a round. The estimate is the median over rounds. It and its interval come from a hierarchical
bootstrap (processes, then rounds in them: Kalibera and Jones 2013), and the interval is widened until the baseline's
twin, which differs from it in nothing, would be covered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from ..specs.call import Array
from ..specs.speed import Point
from .bench import EMPTY, EXPONENTIALS, GATHER, REFERENCES, STREAM, TWIN, Bench, Measured

RESAMPLES = 2000
LEAST = 0.02  # smaller differences are ties, whatever the interval
NOISY = 0.05  # an A/A spread above this: nothing is claimed
WARN, UNSTABLE = 0.10, 0.25  # interquartile range over median, the lines of torch.utils.benchmark
INVALID = 1.05  # a fraction of the limit above this cannot be: the data sat in a cache, or the limit is wrong
_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds per call over all rounds and processes."""

    median: float
    least: float
    p10: float
    p90: float
    deviation: float  # median absolute deviation
    quartiles: float  # interquartile range over median
    count: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """Seconds of one over seconds of another: the estimate, the plain interval and the widened one."""

    estimate: float
    low: float
    high: float
    wide_low: float
    wide_high: float

    @property
    def half_width(self) -> float:
        """Of the widened interval, as a log ratio."""
        return math.log(self.wide_high / self.wide_low) / 2


@dataclass(frozen=True, slots=True)
class Timing:
    """One contestant at one point."""

    contestant: str
    spread: Spread
    ratio: Ratio  # to the baseline; below 1 is faster
    claim: str  # faster, slower, tie, noisy (the machine was), few (one process alone), baseline
    limit: float  # fraction of the limit: seconds of the slowest roof over seconds of the contestant, never clipped
    bound: str  # which roof that is: STREAM or EXPONENTIALS
    attainable: float | None  # the same of the gather, if the loss has one
    loops: int
    device: float | None = None  # seconds by an accelerator's own events
    flushed: float | None = None  # seconds with its cache emptied before each call

    @property
    def is_invalid(self) -> bool:
        """Whether it seems faster than the machine can be."""
        return self.limit > INVALID

    @property
    def steadiness(self) -> str:
        """Empty, or how much its samples vary."""
        quartiles = self.spread.quartiles
        return "unstable" if quartiles > UNSTABLE else "varies" if quartiles > WARN else ""


@dataclass(frozen=True, slots=True)
class Board:
    """All contestants at one point, fastest first."""

    threads: str
    point: Point
    baseline: str
    rows: tuple[Timing, ...]
    slow: dict[str, float]
    spread: float  # A/A: 95th percentile of the twin's |ratio - 1|
    twin: Ratio
    empty: float  # seconds of the empty call
    stream: float
    gather: float | None
    exponentials: dict[str, float]  # seconds by backend, of a loss that has any
    moved: int  # bytes
    lines: int
    processes: int
    switches: int
    stolen: float

    @property
    def bandwidth(self) -> float:
        """Bytes a second of the stream: the limit, as measured."""
        return self.moved / self.stream

    @property
    def is_overhead(self) -> bool:
        """Whether what has to be done takes hardly longer than a call into C, some twenty empty ones."""
        return max((self.stream, *self.exponentials.values())) < 50 * self.empty

    @property
    def has_device(self) -> bool:
        """Whether an accelerator's own times are there."""
        return any(row.device is not None or row.flushed is not None for row in self.rows)

    def row(self, contestant: str) -> Timing | None:
        """Its row, if it was timed."""
        return next((row for row in self.rows if row.contestant == contestant), None)


def boards(bench: Bench) -> list[Board]:
    """One board for each point and number of threads, in the order of measuring, claims corrected over a table."""
    backends = _backends(bench)
    found = [board(group, backends) for group in _by_point(bench)]
    tables = dict.fromkeys(one.threads for one in found)
    return [one for table in tables for one in _corrected([each for each in found if each.threads == table])]


def plain(boards: Sequence[Board]) -> list[Board]:
    """The forward points that differ from the first of them in sizes at most; they can be drawn along an axis."""
    forward = [one for one in boards if one.point.work == "forward"]
    return [one for one in forward if _usual(one.point, forward[0].point)]


def _usual(point: Point, core: Point) -> bool:
    return (point.dtype, point.choices, point.sizes.keys()) == (core.dtype, core.choices, core.sizes.keys())


def _by_point(bench: Bench) -> list[list[Measured]]:
    """What each process measured, together for each point and number of threads."""
    groups: dict[tuple[str, Point], list[Measured]] = {}
    for one in bench.measured:
        if one.baseline in one.seconds:
            groups.setdefault((one.threads, one.point), []).append(one)
    return list(groups.values())


def _backends(bench: Bench) -> dict[str, str]:
    return {one.name: one.backend for one in bench.header.contestants}


def board(group: Sequence[Measured], backends: Mapping[str, str]) -> Board:
    """What the processes say about one point; no claim is corrected for there being others yet.

    `backends` are those of the contestants.
    """
    first = group[0]
    group = [one for one in group if one.baseline == first.baseline]
    names = [name for name in first.seconds if all(name in one.seconds for one in group)]
    rounds = np.array([len(one.seconds[first.baseline]) for one in group])
    seconds = {name: np.concatenate([one.seconds[name] for one in group]) for name in names}
    exps = _exponentials(group)
    logs = np.log([seconds[name] for name in names])
    base = logs[names.index(first.baseline)]
    drawn = _resampled(logs - base, rounds)
    twin_drawn = drawn[names.index(TWIN)]
    spread = float(np.percentile(np.abs(twin_drawn), 95))
    ratios = {name: _ratio(medians, spread) for name, medians in zip(names, drawn, strict=True)}

    def middle(name: str) -> float:
        return float(np.median(seconds[name]))

    def row(name: str) -> Timing:
        claim = _claim(name == first.baseline, len(group), ratios[name], spread)
        return _timing(name, group, seconds, exps.get(backends.get(name, "")), ratios[name], claim)

    rows = [row(name) for name in names if name not in REFERENCES]
    return Board(
        first.threads, first.point, first.baseline, tuple(sorted(rows, key=lambda row: row.spread.median)),
        {name: took for one in group for name, took in one.slow.items()}, math.expm1(spread), ratios[TWIN],
        middle(EMPTY), middle(STREAM), middle(GATHER) if GATHER in seconds else None,
        {backend: float(np.median(taken)) for backend, taken in exps.items()}, first.read + first.written, first.lines,
        len(group), sum(one.switches for one in group), float(np.mean([one.stolen for one in group])),
    )  # fmt: skip


def _exponentials(group: Sequence[Measured]) -> dict[str, Array]:
    """Seconds that each backend's exponentials took in all rounds of all processes."""
    first = group[0].exponential_seconds
    common = [name for name in first if all(name in one.exponential_seconds for one in group)]
    return {name: np.concatenate([one.exponential_seconds[name] for one in group]) for name in common}


def _timing(
    name: str, group: Sequence[Measured], seconds: Mapping[str, Array], exps: Array | None, ratio: Ratio, claim: str
) -> Timing:
    """One contestant's row; `seconds` are those of all processes, `exps` those of its backend's exponentials."""

    def share(roof: Array) -> float:
        return float(np.exp(np.median(np.log(roof) - np.log(seconds[name]))))

    roofs = {STREAM: share(seconds[STREAM])} | ({EXPONENTIALS: share(exps)} if exps is not None else {})
    bound = max(roofs, key=lambda roof: roofs[roof])
    return Timing(
        name,
        _spread(seconds[name]),
        ratio,
        claim,
        roofs[bound],
        bound,
        share(seconds[GATHER]) if GATHER in seconds else None,
        group[0].loops[name],
        _median([seconds for one in group for seconds in one.device_seconds.get(name, ())]),
        _median([seconds for one in group for seconds in one.flushed.get(name, ())]),
    )


def _median(seconds: Sequence[float]) -> float | None:
    return float(np.median(seconds)) if seconds else None


def _resampled(logs: Array, rounds: Array) -> Array:
    """Medians of resampled log ratios, contestant x RESAMPLES: processes are drawn first, then rounds in each.

    `logs` is contestant x round, the rounds of one process after those of another; `rounds` says how many each has.
    All processes count the same: of each drawn one as many rounds are drawn as the one with the fewest has.
    """
    rng = np.random.default_rng(0)
    process = rng.integers(rounds.size, size=(RESAMPLES, rounds.size, 1))
    within = (rng.random((RESAMPLES, rounds.size, rounds.min())) * rounds[process]).astype(int)
    drawn = ((np.cumsum(rounds) - rounds)[process] + within).reshape(RESAMPLES, -1)
    return np.array([np.median(one[drawn], axis=1) for one in logs])


def _ratio(drawn: Array, spread: float) -> Ratio:
    """Both intervals of a log ratio; the wide one is at least as wide as the A/A spread."""
    low, estimate, high = (float(edge) for edge in np.percentile(drawn, [2.5, 50, 97.5]))
    half = (high - low) / 2
    below, above = (estimate - low, high - estimate) if half else (1.0, 1.0)
    factor = max(1.0, spread / half) if half else spread
    wide = estimate - factor * below, estimate + factor * above
    return Ratio(*(math.exp(edge) for edge in (estimate, low, high, *wide)))


def _spread(seconds: Array) -> Spread:
    p10, q1, median, q3, p90 = (float(edge) for edge in np.percentile(seconds, [10, 25, 50, 75, 90]))
    deviation = float(np.median(np.abs(seconds - median)))
    return Spread(median, float(seconds.min()), p10, p90, deviation, (q3 - q1) / median, seconds.size)


def _claim(is_baseline: bool, processes: int, ratio: Ratio, spread: float) -> str:
    """What one comparison alone would claim."""
    if is_baseline:
        return "baseline"
    if processes < 2:
        return "few"
    if math.expm1(spread) > NOISY:
        return "noisy"
    if ratio.wide_low <= 1 <= ratio.wide_high or abs(ratio.estimate - 1) <= max(LEAST, math.expm1(spread)):
        return "tie"
    return "faster" if ratio.estimate < 1 else "slower"


def _corrected(table: Sequence[Board]) -> list[Board]:
    """The boards of a table with those claims taken back that Holm's correction over all of it does not keep.

    A claim's p-value is the normal one of its log ratio, the widened interval being taken for 95 %.
    """
    claims = [
        (_p_value(row.ratio), (place, row.contestant))
        for place, one in enumerate(table)
        for row in one.rows
        if row.claim in ("faster", "slower", "tie")
    ]
    kept: set[tuple[int, str]] = set()
    for rank, (p, claim) in enumerate(sorted(claims)):
        if p > _LEVEL / (len(claims) - rank):
            break
        kept.add(claim)
    return [
        replace(
            one,
            rows=tuple(
                replace(row, claim="tie")
                if row.claim in ("faster", "slower") and (place, row.contestant) not in kept
                else row
                for row in one.rows
            ),
        )
        for place, one in enumerate(table)
    ]


def _p_value(ratio: Ratio) -> float:
    """Two-sided, of the hypothesis that both are equally fast."""
    width = ratio.half_width / 1.96
    if width == 0:
        return 1.0 if ratio.estimate == 1 else 0.0
    return math.erfc(abs(math.log(ratio.estimate)) / width / math.sqrt(2))


# --- two runs --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """How one contestant's time at one point, counted in times of one of the machine's roofs, has changed."""

    threads: str
    point: Point
    contestant: str
    ratio: float  # after over before
    low: float
    high: float
    claim: str  # regression, improvement, tie, noisy


def changes(before: Bench, after: Bench) -> list[Change]:
    """Every contestant and point that both runs have, the worst regressions first.

    Seconds of two runs cannot be compared. What can is by how much a contestant was slower than the gather of the same
    rounds, or the stream where the loss gathers nothing; the interval of the change is made of both runs' intervals.
    """
    old = {(one.threads, one.point): one for one in _to_roof(before)}
    found: list[Change] = []
    for new in _to_roof(after):
        then = old.get((new.threads, new.point))
        if then is None:
            continue
        for row in new.rows:
            was = then.row(row.contestant)
            if was is not None:
                found.append(_change(then, was, new, row))
    return sorted(found, key=lambda one: (one.claim != "regression", -one.ratio))


def _to_roof(bench: Bench) -> Iterable[Board]:
    """Boards whose ratios are to the gather, or without one to the stream; the A/A spread is the twin's still."""
    backends = _backends(bench)
    for group in _by_point(bench):
        usual = board(group, backends)
        as_base = [_rebased(one) for one in group if one.baseline == usual.baseline]
        rebased = board(as_base, backends)
        spread = math.log1p(usual.spread)
        rows = tuple(replace(row, ratio=_at_least(row.ratio, spread)) for row in rebased.rows)
        yield replace(rebased, rows=rows, spread=usual.spread)


def _rebased(one: Measured) -> Measured:
    """The same samples, the roof being the baseline and its own twin."""
    roof = GATHER if GATHER in one.seconds else STREAM
    return msgspec.structs.replace(one, baseline=roof, seconds=one.seconds | {TWIN: one.seconds[roof]})


def _at_least(ratio: Ratio, spread: float) -> Ratio:
    """The ratio, its interval at least as wide as the A/A spread."""
    half = max(ratio.half_width, spread)
    return replace(ratio, wide_low=ratio.estimate * math.exp(-half), wide_high=ratio.estimate * math.exp(half))


def _change(then: Board, was: Timing, now: Board, row: Timing) -> Change:
    estimate = math.log(row.ratio.estimate / was.ratio.estimate)
    half = math.hypot(row.ratio.half_width, was.ratio.half_width)
    spread = max(then.spread, now.spread)
    if spread > NOISY:
        claim = "noisy"
    elif abs(estimate) <= half or abs(math.expm1(estimate)) <= max(LEAST, spread):
        claim = "tie"
    else:
        claim = "regression" if estimate > 0 else "improvement"
    ratio, low, high = (math.exp(edge) for edge in (estimate, estimate - half, estimate + half))
    return Change(now.threads, now.point, row.contestant, ratio, low, high, claim)
