"""What a contestant's time is made of: T = t0 + r rows + m lines + d entries, fitted to the medians of one table.

`entries` counts all numbers of the input, rows are N and have C entries each. This is for losses that gather one number
of each row: of these a coefficient d and an exponent in C that tell say that the implementation is dense, that it
multiplies with zeros, or normalises.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..specs.call import Array, dtype_of
from ..specs.speed import LINE
from .ratios import Board, plain

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
    """One fit for each contestant with enough plain forward points, of a loss that gathers one number a row."""
    chosen = [one for one in plain(boards) if one.threads == threads and _gathers_from_rows(one)]
    names = dict.fromkeys(row.contestant for one in chosen for row in one.rows)
    names |= dict.fromkeys(name for one in chosen for name in one.slow)
    return [found for name in names if (found := _fit(name, chosen)) is not None]


def _gathers_from_rows(board: Board) -> bool:
    return board.gather is not None and board.point.sizes.keys() == {"N", "C"}


def _fit(name: str, boards: Sequence[Board]) -> Fit | None:
    seen = [(one, seconds) for one in boards if (seconds := _seconds(one, name)) is not None]
    if len(seen) < _LEAST_POINTS:
        return None
    times = np.array([seconds for _, seconds in seen])
    size = _itemsize(seen[0][0])
    terms = np.array([_terms(one) for one, _ in seen], float)
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


def _terms(board: Board) -> tuple[int, ...]:
    """The call, its rows, bytes of lines, and bytes of input."""
    rows, classes = board.point.sizes["N"], board.point.sizes["C"]
    return 1, rows, board.lines * LINE, rows * classes * _itemsize(board)


def _itemsize(board: Board) -> int:
    return dtype_of(board.point.dtype).itemsize


def _seconds(board: Board, name: str) -> float | None:
    row = board.row(name)
    return row.spread.median if row is not None else board.slow.get(name)


def _exponent(seen: Sequence[tuple[Board, float]], overhead: float) -> float | None:
    """How the time beyond the overhead grows with C, between the two largest C of the largest N that has two."""
    by_rows: dict[int, dict[int, float]] = {}
    for board, seconds in seen:
        rows, classes = board.point.sizes["N"], board.point.sizes["C"]
        if classes * _itemsize(board) >= LINE:  # below a line to a row more classes are more lines to anyone
            by_rows.setdefault(rows, {})[classes] = seconds
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
