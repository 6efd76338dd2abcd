"""Relations between results of related calls (REL-1..8): they need no oracle for the value, only for the bound.

A band holds all numbers of the format that a result may be, the correctly rounded one among them. So two results that
are equal in exact arithmetic are apart by no more than their bands are wide together; and what is exactly true is no
further from a result than its band is wide, and half a unit in the last place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..bands import Band
from ..call import Array, Call, Transform, dtype_name
from ..case import Returns, Within
from ..exact import FORMATS, exact_sum
from ..reductions import Arithmetic
from ..relations import Comparison, Evaluate, Relation
from ..stream import Stream
from . import values
from .oracle import expect
from .rows import as_rows, axis_of

SHIFTS = (2.0**14, 2.0**10, 64.0, 1.0)  # REL-4 adds the first of these that every number takes up exactly
_UPWARDS = 1 + 2.0**-40  # for sums of widths in float64
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

    @classmethod
    def to_exact(cls, call: Call, arithmetic: Arithmetic) -> Widths:
        """How far a call's elements may be from what is exactly true."""
        half = _half_unit(prescribed(call))
        return cls.of(call, arithmetic) + cls(half, half)

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


def _half_unit(answer: Within) -> Array:
    """What rounding takes away at most, 0 of infinities."""
    fmt, rounded = FORMATS[dtype_name(answer.rounded.dtype)], np.abs(answer.rounded.astype(np.float64))
    half = fmt.u * rounded + float(fmt.smallest_subnormal)  # half of that is no float64
    return np.where(np.isfinite(rounded), half, 0.0)


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
    """REL-3, of the call and of its logits with the other sign."""
    axis = axis_of(call)
    for one in (call, call.replace(input=-call["input"])):
        with np.errstate(all="ignore"):
            sums = np.exp(run(one).astype(np.float64)).sum(axis)
        allowed = _of_exponentials(prescribed(one), arithmetic, axis)
        yield apart("the exponentials of each row add up to 1", sums, np.ones_like(sums), allowed)


def _of_exponentials(answer: Within, arithmetic: Arithmetic, axis: int) -> Widths:
    """How far the sum of a row's exponentials may be from that of the exact ones, in float64."""
    half, classes = _half_unit(answer), answer.rounded.shape[axis]

    def off(band: Band) -> Array:
        with np.errstate(all="ignore"):
            high, low = (np.exp(end) for end in (band.high + half, band.low - half))
        return np.where(band.free, np.inf, high - low).sum(axis) * (1 + 2.0**-20) + _EVALUATION * classes

    return Widths(off(_strict(answer, arithmetic)), off(answer.own))


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
    """REL-5, of two upstream gradients."""
    x, axis = call["input"], axis_of(call)
    for kind in ("random", "one_hot"):
        upstream = values.upstream(kind, Stream("upstream", call.digest()), x.shape, axis, call.dtype)
        asked = call.replace(transform=Transform("gradient", upstream))
        rows, off = as_rows(run(asked), axis), Widths.to_exact(asked, arithmetic)
        allowed = zip(*(as_rows(one, axis).sum(1) * _UPWARDS for one in (off.required, off.own)), strict=True)
        for row, (required, own) in zip(rows, allowed, strict=True):
            total = abs(exact_sum(row).total) if np.isfinite(row).all() else None
            yield Comparison("the gradient of a row adds up to 0", total, _number(required), _number(own))


def repeated(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-6: of a result that is off by d at most, the logarithm of the sum of exponentials is off 0 by d at most."""
    first = run(call)
    again = call.replace(input=first)
    axis, widths = axis_of(call), Widths.to_exact(call, arithmetic)
    off = Widths(widths.required.max(axis, keepdims=True), widths.own.max(axis, keepdims=True))
    yield apart("a result is its own result", first, run(again), Widths.to_exact(again, arithmetic) + off)


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
