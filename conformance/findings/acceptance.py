"""What a script that knows no oracle may accept, as numbers: the judge's answer, written out element by element."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...specs.bands import Band
from ...specs.call import Array, Returned, dtype_of
from ...specs.case import Case, Exactly, Expectation, Limit, Raises, Returns, Sparse, Stack, Status, Unjudgeable, Within
from ...specs.exact import of_ordinal, ordinal, round_to
from ...specs.reductions import Reduction
from ...specs.rules import Aspect
from ..judging.judge import Traits, judge


class Unspeakable(Exception):
    """Why what is expected cannot be written down as numbers, or a call cannot be as a script."""


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """Each element lies between `low` and `high`, is NaN where those are, or anything where `free`."""

    low: Array
    high: Array
    free: Array

    @property
    def is_exact(self) -> bool:
        """Whether there is one answer to each element."""
        return not self.free.any() and self.low.tobytes() == self.high.tobytes()


def failing(case: Case, outcome: Returned, traits: Traits) -> tuple[str, ...]:
    """The clauses that this one result decides, and fails."""
    return tuple(one.clause for one in judge(case, outcome, traits).verdicts if one.status is Status.FAIL)


def accepted(case: Case, ids: Collection[str], traits: Traits) -> Accepted:
    """What these clauses of a case accept; raises Unspeakable where that is no range of numbers."""
    match case.expectation:
        case Returns(shape, dtype, value):
            return _accepted(value, shape, dtype, _Question(case, ids, traits))
        case Raises(_, Returns(shape, dtype, value)):  # NaN instead of an error, in traced code
            return _accepted(value, shape, dtype, _Question(case, ids, traits))
        case other:
            raise Unspeakable(f"the specification accepts no particular result: {type(other).__name__}")


@dataclass(frozen=True)
class _Question:
    """Whether a 0-d value would do, asked of the judge."""

    case: Case
    ids: Collection[str]
    traits: Traits

    def about(self, expectation: Expectation) -> Callable[[Any], bool]:
        """The question for one answer of a stack of them: no clause of `ids` may fail, and no MUST at all.

        Further out than a MUST allows, a SHOULD is not even looked at.
        """
        case = dataclasses.replace(self.case, expectation=expectation)
        musts = {id for id in case.clauses if case.rules.clauses[id].level == "MUST"}
        return lambda value: not (musts | set(self.ids)) & set(failing(case, Returned(value), self.traits))


def _accepted(value: Any, shape: tuple[int, ...], dtype: str, question: _Question) -> Accepted:
    match value:
        case Exactly():
            return _of_elements(value, question.traits)
        case Within():
            return _of_bands(value, question)
        case Sparse():
            return _of_gradient(value, shape, dtype, question)
        case Stack(parts):
            found = [_accepted(part, shape[1:], dtype, question) for part in parts]
            return Accepted(*(np.stack([getattr(one, name) for one in found]) for name in ("low", "high", "free")))
        case Limit():
            return _of_limit(value, dtype, question.traits)
        case Unjudgeable(why):
            raise Unspeakable(f"no result is right or wrong: {why}")
        case Reduction():
            rounded = np.array(round_to(value.exact, value.fmt)).astype(dtype_of(dtype))
            return _around(rounded, question.about(Returns((), dtype, value)))
        case other:
            raise TypeError(f"no numbers for {other}")


def _of_elements(prescribed: Exactly, traits: Traits) -> Accepted:
    value = prescribed.value
    loose = prescribed.loose & np.isfinite(value)
    low, high = (np.where(loose, of_ordinal(ordinal(value) + step, value.dtype), value) for step in (-1, 1))
    free = np.zeros(value.shape, bool)
    if traits.arithmetic.flush:
        low = np.where(prescribed.flushable, np.minimum(low, 0), low)
        high = np.where(prescribed.flushable, np.maximum(high, 0), high)
        free = prescribed.flushable_nan
    return Accepted(low.astype(value.dtype), high.astype(value.dtype), free)


def _of_gradient(gradient: Sparse, shape: tuple[int, ...], dtype: str, question: _Question) -> Accepted:
    low, high = np.zeros(shape, dtype_of(dtype)), np.zeros(shape, dtype_of(dtype))
    free = np.zeros(shape, bool)
    match gradient.entries:
        case Exactly() as entries:
            at = _of_elements(entries, question.traits)
        case Within() as entries:
            at = _of_bands(entries, question)
    for whole, part in zip((low, high, free), (at.low, at.high, at.free), strict=True):
        whole.reshape(-1)[gradient.flat] = part
    return Accepted(low, high, free)


def _of_bands(due: Within, question: _Question) -> Accepted:
    """The required band, or what own precision does where no clause asks for more."""
    band = due.flushing if question.traits.arithmetic.flush else due.required
    if not any(Aspect.ACCURACY in question.case.rules.clauses[id].judges for id in question.ids):
        band = Band.of(np.minimum(band.low, due.own.low), np.maximum(band.high, due.own.high), band.free)
    low, high = (np.where(np.isfinite(due.rounded), end, due.rounded) for end in (band.low, band.high))
    for mask in due.zeros.values():
        low, high = (np.where(mask, end.dtype.type(0), end) for end in (low, high))
    return Accepted(low, high, band.free & ~functools.reduce(np.logical_or, due.zeros.values(), np.False_))


def _of_limit(limit: Limit, dtype: str, traits: Traits) -> Accepted:
    allowed = limit.allowed | limit.flushed if traits.arithmetic.flush else limit.allowed
    if len(allowed) != 1:
        raise Unspeakable(f"there is more than one right result: {' or '.join(sorted(allowed))}")
    value = np.array(float(next(iter(allowed))), dtype_of(dtype))
    return Accepted(value, value, np.zeros((), bool))


def _around(rounded: Array, is_right: Callable[[Any], bool]) -> Accepted:
    """The numbers around the rounded value that the judge lets pass, found by bisection."""
    if not is_right(rounded):
        raise Unspeakable("the judge takes not even the correctly rounded value")
    low, high = (_furthest(rounded, sign, is_right) for sign in (-1, 1))
    return Accepted(low, high, np.zeros((), bool))


def _furthest(start: Array, sign: int, is_right: Callable[[Any], bool]) -> Array:
    """The last number in one direction that is right, those from the start to it being so too."""
    end = np.array(sign * math.inf, start.dtype)
    if is_right(end):
        return end
    inside, outside = int(ordinal(start)), int(ordinal(end))
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        inside, outside = (middle, outside) if is_right(of_ordinal(middle, start.dtype)) else (inside, middle)
    return of_ordinal(inside, start.dtype)
