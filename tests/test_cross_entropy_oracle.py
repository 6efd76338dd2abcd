"""The oracle of cross_entropy against a second one, over all families, dtypes and kinds of calls."""

from __future__ import annotations

from collections.abc import Iterator

import mpmath
import numpy as np
import pytest
from lossparity.specs.batches import calls_of_batch
from lossparity.specs.call import FLOAT_DTYPES, Array, Call
from lossparity.specs.case import (
    Case,
    Expectation,
    Limit,
    Raises,
    Returns,
    Sparse,
    Stack,
    Unjudgeable,
    Unspecified,
    Within,
)  # fmt: skip
from lossparity.specs.cross_entropy.loss import LOSS
from lossparity.specs.cross_entropy.oracle import expect
from lossparity.specs.cross_entropy.signature import CROSS_ENTROPY
from lossparity.specs.loss import Draw
from second_cross_entropy import Opinion, opinion
from second_log_softmax import NAN, Number, rounded

FAMILIES = [name for name in LOSS.families if name not in ("layout", "purity")]  # those are the same values once more
LARGEST = 70  # elements of calls that are compared: digits by the hundred take their time
EVERY = 9  # calls; each family has hundreds


def disagreement(call: Call, ours: Expectation) -> str:
    """What the two oracles say differently about a call; empty when they agree."""
    if call.transform is not None and call.transform.batched:
        return _of_batch(call, ours)
    theirs = opinion(call)
    match ours:
        case Raises(categories):
            return "" if categories == theirs.faults else f"{set(categories)}, not {theirs.faults}"
        case Unspecified():
            return "" if theirs.recorded else "nothing, where something is specified"
        case Returns() if theirs.faults or theirs.recorded:
            return f"something, where {theirs.faults or 'nothing'} is specified"
        case Returns(_, _, Unjudgeable()):
            return ""
        case Returns(_, _, Limit(allowed)):
            return "" if allowed == {_word(theirs.elements[()])} else f"{set(allowed)}, not {theirs.elements}"
        case Returns(_, _, Sparse()):
            return "" if not any(theirs.elements.values()) else "zeros, where numbers are due"
        case Returns(shape, dtype, value):
            assert isinstance(value, Within)
            assert value.rounded.shape == shape
            return _elements(value, theirs, dtype)


def _word(number: Number) -> str:
    return "nan" if mpmath.isnan(number) else str(int(number))


def _of_batch(call: Call, ours: Expectation) -> str:
    calls = calls_of_batch(call)
    if isinstance(ours, Raises):
        return "" if any(opinion(one).faults == ours.categories for one in calls) else "an error in no call"
    if isinstance(ours, Unspecified):
        return "" if any(opinion(one).recorded for one in calls) else "nothing, where something is specified"
    assert isinstance(ours.value, Stack)
    pairs = zip(calls, ours.value.parts, strict=True)
    found = (disagreement(one, Returns(ours.shape[1:], ours.dtype, part)) for one, part in pairs)
    return next(filter(None, found), "")


def _elements(value: Within, theirs: Opinion, dtype: str) -> str:
    assert len(theirs.elements) == value.rounded.size
    bands = (value.required, value.own, value.flushing)
    for place, exact in theirs.elements.items():
        if place in theirs.open:
            if not value.required.free[place]:
                return f"something at {place}, where anything may stand"
            continue
        due, found = rounded(NAN if mpmath.isnan(exact) else exact, dtype), float(value.rounded[place])
        if due != found and not (np.isnan(due) and np.isnan(found)):
            return f"{found!r} at {place}, not {due!r}"
        inside = [bool(band.holds(np.array(due, value.rounded.dtype))[place]) for band in bands]
        if not np.isnan(due) and not all(inside):
            return f"{due!r} at {place} is outside of a band: {inside}"
        unsure = bool(np.broadcast_to(value.nan, value.rounded.shape)[place])
        if unsure != (place in theirs.or_nan):
            return f"NaN is {'' if unsure else 'not '}right at {place}"
    return ""


def cases(family: str, dtype: str) -> Iterator[Case]:
    """Small calls of a family, each once."""
    seen: set[str] = set()
    for number, case in enumerate(LOSS.families[family].cases(Draw(dtype, "quick", 0, 3))):
        if number % EVERY == FLOAT_DTYPES.index(dtype) % EVERY and case.call["input"].size <= LARGEST:
            digest = case.call.digest()
            if digest not in seen:
                seen.add(digest)
                yield case


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_both_oracles_agree(family: str, dtype: str) -> None:
    compared = list(cases(family, dtype))
    for case in compared:
        found = disagreement(case.call, case.expectation)
        assert not found, f"{found}: {case.call.describe()}"
    assert len(compared) >= 4


def _replaced(value: Within, number: float) -> Within:
    """An answer that is off by the last place, or by more."""
    rounded: Array = value.rounded.copy()
    rounded.reshape(-1)[0] = number
    return Within(rounded, value.required, value.own, value.flushing, value.informative, value.zeros, value.nan)


def test_the_comparison_notices() -> None:
    """A number next to the right one, a NaN too many, another category, a recorded call."""
    call = CROSS_ENTROPY.call(np.array([[0.5, 1.0, 2.25]], np.float32), np.array([1]), reduction="none")
    right = expect(call)
    assert not disagreement(call, right)
    assert isinstance(right, Returns)
    assert isinstance(right.value, Within)
    value = right.value
    next_one = float(np.nextafter(value.rounded[0], np.float32(9)))
    for wrong in (next_one, np.nan):
        assert disagreement(call, Returns(right.shape, right.dtype, _replaced(value, wrong)))
    assert disagreement(call, Raises(frozenset({"index"})))
    assert disagreement(call, Unspecified("GRAD-9"))
