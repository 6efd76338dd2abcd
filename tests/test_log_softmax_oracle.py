"""The oracle of log_softmax against a second one, over all families, dtypes and kinds of calls."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from lossparity.specs.batches import calls_of_batch
from lossparity.specs.call import FLOAT_DTYPES, Call, dtype_of
from lossparity.specs.case import Case, Exactly, Expectation, Raises, Returns, Stack, Unspecified, Within
from lossparity.specs.log_softmax.loss import LOSS
from lossparity.specs.log_softmax.oracle import expect
from lossparity.specs.log_softmax.signature import LOG_SOFTMAX
from lossparity.specs.loss import Draw
from lossparity.specs.rules import Aspect
from mpmath import mpf
from second_log_softmax import ANYTHING, Opinion, opinion, rounded

LARGEST = {"accuracy": 4200}  # elements of calls that are compared: digits by the hundred take their time
# Layouts are values once more.
FAMILIES = ("shape", "value", "special", "dtype", "accuracy", "gradient", "error", "relation", "purity")


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
        case Returns(shape, dtype, value):
            if (shape, dtype) != (call["input"].shape, call.dtype):
                return f"{dtype}{shape}"
            return _elements(value, theirs, call.dtype)


def _of_batch(call: Call, ours: Expectation) -> str:
    calls = calls_of_batch(call)
    assert isinstance(ours, Returns)
    assert isinstance(ours.value, Stack)
    assert ours.shape == (len(calls), *calls[0]["input"].shape)
    pairs = zip(calls, ours.value.parts, strict=True)
    found = (disagreement(one, Returns(ours.shape[1:], ours.dtype, part)) for one, part in pairs)
    return next(filter(None, found), "")


def _elements(value: object, theirs: Opinion, dtype: str) -> str:
    if isinstance(value, Exactly):
        return "" if value.value.size == 0 == len(theirs.elements) else "elements, not none"
    assert isinstance(value, Within)
    for place, exact in theirs.elements.items():
        if exact == ANYTHING:
            if not (value.required.free[place] and value.own.free[place] and value.flushing.free[place]):
                return f"something at {place}, where anything may stand"
            continue
        due, found = rounded(exact, dtype), float(value.rounded[place])
        if due != found and not (np.isnan(due) and np.isnan(found)):
            return f"{found!r} at {place}, not {due!r}"
        if (limit := theirs.or_limit.get(place)) is not None:
            due = rounded(limit, dtype)
        bands = (value.required, value.own, value.flushing)
        inside = [bool(band.holds(np.array(due, value.rounded.dtype))[place]) for band in bands]
        if not np.isnan(due) and not all(inside):
            return f"{due!r} at {place} is outside of a band: {inside}"
    zeros = value.zeros.get(Aspect.ELSEWHERE, np.zeros(value.rounded.shape, bool))
    wanted = np.zeros(value.rounded.shape, bool)
    for place in theirs.zeros:
        wanted[place] = True
    return "" if (zeros == wanted).all() else "zeros are due elsewhere"


def cases(family: str, dtype: str) -> Iterator[Case]:
    found = LOSS.families[family].cases(Draw(dtype, "quick", 0, 3))
    return (case for case in found if case.call["input"].size <= LARGEST.get(family, 400))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_both_oracles_agree(family: str, dtype: str) -> None:
    seen: set[str] = set()
    for case in cases(family, dtype):
        if case.call.digest() not in seen:
            seen.add(case.call.digest())
            found = disagreement(case.call, case.expectation)
            assert not found, f"{found}: {case.call.describe()}"
    assert len(seen) >= 4


def test_the_comparison_notices() -> None:
    """A number next to the right one, a band that leaves it out, a NaN too many, another category."""
    call = LOG_SOFTMAX.call(np.array([[0.5, 1.0, 2.25]], np.float32))
    right = expect(call)
    assert not disagreement(call, right)
    other = expect(call.replace(input=np.nextafter(call["input"], np.float32(0))))
    assert "not" in disagreement(call, other)
    assert disagreement(call.replace(input=np.array([[0.5, np.nan, 2.25]], np.float32)), right)
    assert disagreement(call.replace(dim=2), right)
    assert disagreement(call, Raises(frozenset({"index"})))
    assert disagreement(call, Unspecified("SHAPE-5"))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_the_second_oracle_rounds_as_casts_do(dtype: str) -> None:
    """From float32, which float64 holds: bfloat16 is cast from there without a detour."""
    numbers = np.random.default_rng(0).standard_normal(300).astype(np.float32) * np.float32(2) ** np.arange(-150, 150)
    with np.errstate(over="ignore", under="ignore"):
        numbers = numbers.astype(np.float32)
        due = numbers.astype(dtype_of(dtype)).astype(float).tolist()
    assert [rounded(mpf(float(number)), dtype) for number in numbers] == due
