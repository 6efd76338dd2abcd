"""What a contestant's time is made of: T = t0 + r rows + m lines + d entries, fitted to the medians of one table.

`entries` counts all numbers of the input. The loss needs one per row, so a coefficient d and an exponent in C that
tell say that the implementation is dense: it multiplies with zeros, or normalises.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..specs.call import Array, dtype_of
from ..specs.nll_loss.traffic import LINE
from .ratios import Board

DENSE = 0.5  # exponent in C above which a forward pass is called dense
_LEAST_POINTS = 5
_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Fit:
    """Seconds: per call, per row, per byte of lines, per byte of input; with 95 % intervals over points."""

    contestant: str
    points: int
    call: float
    row: float
    line_byte: float
    entry_byte: float
    intervals: tuple[tuple[float, float], ...]  # of these four
    residual: float  # median |T/fit - 1|
    exponent: float | None  # local one, d log(T - t0) / d log C, between the two largest C; None without them
    half: float  # rows at which half of the time is overhead, at the smallest C

    @property
    def is_dense(self) -> bool:
        """Whether its time grows with all entries of the input, of which the loss needs one per row."""
        return self.entry_byte > 0 and self.exponent is not None and self.exponent > DENSE


def fits(boards: Sequence[Board], threads: str) -> list[Fit]:
    """One fit for each contestant with enough plain forward points in float32."""
    plain = [one for one in boards if one.threads == threads and _is_plain(one)]
    names = dict.fromkeys(row.contestant for one in plain for row in one.rows)
    names |= dict.fromkeys(name for one in plain for name in one.slow)
    return [found for name in names if (found := _fit(name, plain)) is not None]


def _is_plain(board: Board) -> bool:
    point = board.point
    usual = (point.work, point.dtype, point.reduction, point.order, point.layout) == (
        "forward", "float32", "mean", "random", "c",
    )  # fmt: skip
    return usual and not (point.weighted or point.ignored or point.spatial)


def _fit(name: str, boards: Sequence[Board]) -> Fit | None:
    seen = [(one, seconds) for one in boards if (seconds := _seconds(one, name)) is not None]
    if len(seen) < _LEAST_POINTS:
        return None
    times = np.array([seconds for _, seconds in seen])
    size = dtype_of("float32").itemsize
    terms = np.array([[1, b.point.n, b.lines * LINE, b.point.n * b.point.classes * size] for b, _ in seen], float)
    found = nonnegative(terms / times[:, None], np.ones(times.size))
    rng = np.random.default_rng(0)
    drawn = [
        nonnegative(terms[chosen] / times[chosen, None], np.ones(times.size))
        for chosen in rng.integers(times.size, size=(_RESAMPLES, times.size))
    ]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    residual = float(np.median(np.abs(times / (terms @ found) - 1)))
    per_row = float(found[1] + found[2] * LINE + found[3] * 2 * size)
    call, row, line_byte, entry_byte = (float(one) for one in found)
    intervals = tuple(zip(low.tolist(), high.tolist(), strict=True))
    half = call / per_row if per_row else float("inf")
    return Fit(name, times.size, call, row, line_byte, entry_byte, intervals, residual, _exponent(seen, call), half)


def _seconds(board: Board, name: str) -> float | None:
    row = board.row(name)
    return row.spread.median if row is not None else board.slow.get(name)


def _exponent(seen: Sequence[tuple[Board, float]], overhead: float) -> float | None:
    """How the time beyond the overhead grows with C, between the two largest C of the largest N that has two."""
    by_rows: dict[int, dict[int, float]] = {}
    for board, seconds in seen:
        if board.point.classes * 4 >= LINE:  # below a line to a row more classes are more lines to anyone
            by_rows.setdefault(board.point.n, {})[board.point.classes] = seconds
    several = [(n, times) for n, times in by_rows.items() if len(times) > 1]
    if not several:
        return None
    _, times = max(several, key=lambda pair: pair[0])
    small, large = sorted(times)[-2:]
    floor = 1e-3 * min(times.values())  # an overhead as large as the time itself leaves nothing to take logs of
    rest = [max(times[classes] - overhead, floor) for classes in (small, large)]
    return float(np.log(rest[1] / rest[0]) / np.log(large / small))


def nonnegative(terms: Array, values: Array) -> Array:
    """Least squares with coefficients of at least 0: the best of all subsets of terms whose own are positive.

    There are four terms, so all 16 subsets are tried; the best feasible one is the solution (Kuhn-Tucker).
    """
    count = terms.shape[1]
    best, least = np.zeros(count), float(values @ values)
    for size in range(1, count + 1):
        for chosen in itertools.combinations(range(count), size):
            part, *_ = np.linalg.lstsq(terms[:, chosen], values, rcond=None)
            if (part < 0).any():
                continue
            rest = float(((terms[:, chosen] @ part - values) ** 2).sum())
            if rest < least:
                best, least = np.zeros(count), rest
                best[list(chosen)] = part
    return best
