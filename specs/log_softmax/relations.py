"""Relations between results of related calls (REL-1..8): they need no oracle for the value, only for the bound.

Each result lies in a band of its own around what is exactly true, so two that are equal in exact arithmetic are apart
by no more than the bands are wide together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..bands import Band
from ..call import Array, Call, Transform
from ..case import Returns, Within
from ..exact import exact_sum
from ..reductions import Arithmetic
from ..relations import Comparison, Evaluate, Relation
from ..stream import Stream
from . import values
from .oracle import expect
from .rows import as_rows, axis_of

SHIFTS = (2.0**14, 2.0**10, 64.0, 1.0)  # REL-4 adds the first of these that every number takes up exactly
_EVALUATION = 2.0**-48  # of exponentials and their sum in float64, relative to 1


@dataclass(frozen=True, slots=True, eq=False)
class Widths:
    """How wide the bands of a call's elements are, under the required accumulator and in own precision."""

    required: Array
    own: Array

    @classmethod
    def of(cls, call: Call, arithmetic: Arithmetic) -> Widths:
        """Those of a call that returns numbers; infinite where nothing is said."""
        answer = prescribed(call)
        return cls(_width(_strict(answer, arithmetic)), _width(answer.own))

    def __add__(self, other: Widths) -> Widths:
        return Widths(self.required + other.required, self.own + other.own)

    def moved(self, places: Array, axis: int) -> Widths:
        """Those of the elements at these places along an axis."""
        return Widths(np.take(self.required, places, axis), np.take(self.own, places, axis))


def prescribed(call: Call) -> Within:
    """What a legal call must return."""
    answer = expect(call)
    assert isinstance(answer, Returns)
    assert isinstance(answer.value, Within)
    return answer.value


def _strict(answer: Within, arithmetic: Arithmetic) -> Band:
    return answer.flushing if arithmetic.flush else answer.required


def _width(band: Band) -> Array:
    """Rounded upwards, so that no sum of widths is too small."""
    with np.errstate(all="ignore"):
        width = band.high.astype(np.float64) - band.low.astype(np.float64)
    same = band.high == band.low  # infinities too
    return np.where(band.free, np.inf, np.where(same, 0.0, np.nextafter(width, np.inf)))


def apart(what: str, a: Array, b: Array, widths: Widths) -> Comparison:
    """Two arrays that should agree, by the element that is furthest beyond what its width allows."""
    with np.errstate(all="ignore"):
        distance = np.abs(a.astype(np.float64) - b.astype(np.float64))
        equal = (a == b) | np.isnan(a) & np.isnan(b)
    distance = np.where(equal, 0.0, np.where(np.isnan(distance), np.inf, distance))
    if not distance.size:
        return Comparison(what, Fraction(0), Fraction(0), Fraction(0))
    with np.errstate(invalid="ignore"):
        excess = np.where(np.isinf(widths.required), -np.inf, distance - widths.required)
    where = np.unravel_index(np.argmax(excess), excess.shape)
    return Comparison(
        what, _number(distance[where]), _number(widths.required[where]), _number(widths.own[where])
    )  # fmt: skip


def _number(value: float) -> Fraction | None:
    return Fraction(float(value)) if np.isfinite(value) else None


# --- the relations -----------------------------------------------------------------------------------------


def permuted(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-1; one row alone has no order."""
    axis = next((axis for axis in range(call["input"].ndim) if axis != axis_of(call)), None)
    if axis is not None:
        yield _reordered("the order of rows does not matter", run, call, axis, arithmetic)


def relabelled(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-2."""
    yield _reordered("the order of classes does not matter", run, call, axis_of(call), arithmetic)


def _reordered(what: str, run: Evaluate, call: Call, axis: int, arithmetic: Arithmetic) -> Comparison:
    length = call["input"].shape[axis]
    order = np.argsort(Stream("order", call.digest()).uniform(length), kind="stable")
    other = call.replace(input=np.take(call["input"], order, axis))
    a, b = run(call), run(other)
    widths = Widths.of(call, arithmetic).moved(order, axis) + Widths.of(other, arithmetic)
    return apart(what, np.take(a, order, axis), b, widths)


def normalised(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-3: what is true and what is computed lie in one band, and so do their exponentials."""
    result, answer, axis = run(call), prescribed(call), axis_of(call)
    with np.errstate(all="ignore"):
        sums = np.exp(result.astype(np.float64)).sum(axis)
        required, own = (
            np.where(band.free, np.inf, np.exp(band.high.astype(np.float64)) - np.exp(band.low.astype(np.float64)))
            .sum(axis) * (1 + 2.0**-20) + _EVALUATION * result.shape[axis]
            for band in (_strict(answer, arithmetic), answer.own)
        )  # fmt: skip
    yield apart("the exponentials of each row add up to 1", sums, np.ones_like(sums), Widths(required, own))


def shifted(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-4; says nothing of numbers that take up no shift exactly."""
    x = call["input"]
    for shift in (-x.max(axis_of(call), keepdims=True), *map(x.dtype.type, SHIFTS)):
        with np.errstate(over="ignore", invalid="ignore"):
            other = x + shift
            exact = np.isfinite(other).all() and (other - shift == x).all() and (other - x == shift).all()
        if exact and (other != x).any():
            moved = call.replace(input=other)
            widths = Widths.of(call, arithmetic) + Widths.of(moved, arithmetic)
            yield apart("what a row has in common does not matter", run(call), run(moved), widths)
            return


def balanced(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-5."""
    x, axis = call["input"], axis_of(call)
    upstream = values.upstream("random", Stream("upstream", call.digest()), x.shape, axis, call.dtype)
    asked = call.replace(transform=Transform("gradient", upstream))
    rows, widths = as_rows(run(asked), axis), Widths.of(asked, arithmetic)
    allowed = zip(*(as_rows(width, axis).sum(1) for width in (widths.required, widths.own)), strict=True)
    for row, (required, own) in zip(rows, allowed, strict=True):
        total = abs(exact_sum(row).total) if np.isfinite(row).all() else None
        slack = 1 + 2.0**-40  # of the sum of widths
        yield Comparison("the gradient of a row adds up to 0", total, _number(required * slack), _number(own * slack))


def repeated(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-6: of a result that is off by d at most, the logarithm of the sum of exponentials is off 0 by d at most."""
    first = run(call)
    again = call.replace(input=first)
    axis, widths = axis_of(call), Widths.of(call, arithmetic)
    off = Widths(widths.required.max(axis, keepdims=True), widths.own.max(axis, keepdims=True))
    yield apart("a result is its own result", first, run(again), Widths.of(again, arithmetic) + off)


def renamed(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-7."""
    rank, axis, a = call["input"].ndim, axis_of(call), run(call)
    widths = Widths.of(call, arithmetic)
    other = call.replace(dim=axis if call["dim"] < 0 else axis - rank)
    yield apart("the axis may be counted from either end", a, run(other), widths + widths)
    if rank > 1:
        place = 0 if axis else rank - 1
        moved = call.replace(input=np.ascontiguousarray(np.moveaxis(call["input"], axis, place)), dim=place)
        b = np.moveaxis(run(moved), place, axis)
        yield apart("the axis may lie elsewhere", a, b, widths + widths)


def agreeing(run: Evaluate, other: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-8: the same call on another subject of the framework."""
    widths = Widths.of(call, arithmetic)
    yield apart("both ways of executing agree", run(call), other(call), widths + widths)


RELATIONS: dict[str, Relation] = {
    "REL-1": permuted,
    "REL-2": relabelled,
    "REL-3": normalised,
    "REL-4": shifted,
    "REL-5": balanced,
    "REL-6": repeated,
    "REL-7": renamed,
}
