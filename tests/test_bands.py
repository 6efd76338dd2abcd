"""Expectations of any shape: bands with zeros by name, terms that bring errors of their own, and what beats on them."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from lossparity.conformance.items import heartbeat
from lossparity.conformance.items.experiments import Setup
from lossparity.conformance.judging.judge import Traits, judge
from lossparity.specs.accuracy import error_bound, is_certified, may_overflow
from lossparity.specs.bands import Band, interval
from lossparity.specs.call import Returned
from lossparity.specs.case import Case, Returns, Status, Within
from lossparity.specs.exact import FLOAT16, FLOAT32, FLOAT64, ExactSum, exact_sum, of_ordinal, ordinal, steps_between
from lossparity.specs.grades import Level, grade
from lossparity.specs.heights import proven_height
from lossparity.specs.nll_loss.loss import LOSS
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.reductions import Arithmetic, Reduction, Tier
from lossparity.specs.rules import Aspect

ROUNDED = np.array([[1.0, -2.0, 0.0], [4.0, 0.0, 0.5]], np.float32)
IGNORED = np.array([[False, False, True], [False, True, False]])


def band(width: float) -> Band:
    """So wide to either side of each number."""
    return Band.of(ROUNDED - np.float32(width), ROUNDED + np.float32(width))


def a_case(zeros: bool = True) -> Case:
    """A gradient of shape (2, 3), within an eighth, a quarter in own precision, exactly 0 at two ignored places."""
    call = NLL_LOSS.call(np.zeros((2, 3), np.float32), np.zeros(2, np.int64))
    named = {Aspect.IGNORED: IGNORED} if zeros else {}
    due = Within(ROUNDED, band(0.125), band(0.25), band(0.5), np.ones((2, 3), bool), named)
    case = LOSS.case_of(call, "gradient", 1, "test", ("GRAD-1", "GRAD-2", "IGN-4"))
    return dataclasses.replace(case, expectation=Returns((2, 3), "float32", due))


def aspects(
    value: np.ndarray, zeros: bool = True, flush: bool = False
) -> tuple[dict[str, Status], str, tuple[int, ...]]:
    found = judge(a_case(zeros), Returned(value), Traits(Arithmetic(flush=flush)))
    return {aspect.value: status for aspect, status in found.aspects.items()}, found.symptom, found.where


def but(place: tuple[int, int], number: float) -> np.ndarray:
    value = ROUNDED.copy()
    value[place] = number
    return value


def test_what_lies_in_its_band_is_right() -> None:
    found, symptom, _ = aspects(ROUNDED + np.float32(0.125) * ~IGNORED)
    assert (found["value"], found["accuracy"], found["ignored"], symptom) == (*[Status.PASS] * 3, "")


@pytest.mark.parametrize(
    ("number", "symptom", "value"),
    [(4.2, "inaccurate", Status.PASS), (4.3, "value", Status.FAIL), (np.nan, "nan", Status.FAIL),
     (np.inf, "inf", Status.FAIL)],
)  # fmt: skip
def test_what_lies_outside_is_told_with_its_place(number: float, symptom: str, value: Status) -> None:
    found, said, where = aspects(but((1, 0), number))
    assert (found["accuracy"], found["value"], said, where) == (Status.FAIL, value, symptom, (1, 0))


def test_a_flushing_subject_has_a_band_of_its_own() -> None:
    assert aspects(but((1, 0), 4.45), flush=True)[0]["accuracy"] is Status.PASS
    assert aspects(but((1, 0), 4.55), flush=True)[0]["accuracy"] is Status.FAIL


def test_where_0_is_due_no_band_excuses_anything() -> None:
    """The same number is right where only the band is asked."""
    for number in (0.1, np.nan, -1e-45):
        found, symptom, where = aspects(but((1, 1), number))
        assert (found["ignored"], symptom, where) == (Status.FAIL, "ignored", (1, 1))
        assert found["accuracy"] is Status.PASS
    assert aspects(but((1, 1), 0.1), zeros=False)[0]["accuracy"] is Status.PASS
    assert aspects(but((1, 1), -0.0))[0]["ignored"] is Status.PASS


def test_a_mask_of_zeros_may_be_spread() -> None:
    case = a_case()
    assert isinstance(case.expectation, Returns)
    assert isinstance(case.expectation.value, Within)
    due = dataclasses.replace(case.expectation.value, zeros={Aspect.ELSEWHERE: np.array([[False], [True]])})
    case = dataclasses.replace(case, expectation=Returns((2, 3), "float32", due))
    found = judge(case, Returned(ROUNDED), Traits())
    assert (found.aspects[Aspect.ELSEWHERE], found.where) == (Status.FAIL, (1, 0))


def test_a_heart_beats_just_outside_the_band(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first number beyond is judged wrong; a judge that is one step too kind does not get by."""
    case, outcome = a_case(), Returned(ROUNDED)
    judgement = judge(case, outcome, Traits())
    assert heartbeat.suits(case, outcome, judgement) == "within"

    def run(call: object) -> Returned:
        return outcome

    setup = Setup(run, None, (), Traits())  # nothing is run
    assert heartbeat.survivors(case, outcome, setup) == []

    def kind(case: Case, outcome: Returned, traits: Traits) -> object:
        assert isinstance(case.expectation, Returns)
        due = case.expectation.value
        assert isinstance(due, Within)
        wider = Band.of(due.required.low, of_ordinal(ordinal(due.required.high) + 1, np.dtype(np.float32)))
        due = dataclasses.replace(due, required=wider)
        return judge(dataclasses.replace(case, expectation=Returns((2, 3), "float32", due)), outcome, traits)

    monkeypatch.setattr(heartbeat, "judge", kind)
    assert heartbeat.survivors(case, outcome, setup) == ["neighbour"]


def test_a_band_ends_at_numbers_of_the_format() -> None:
    third = Fraction(1, 3)
    low, high = interval(third, Fraction(1, 10**9), FLOAT32)  # there is no number so near
    assert high < third < low
    assert steps_between(np.float32(high), np.float32(low)) == 1
    assert interval(third, None, FLOAT32) == (-np.inf, np.inf)
    around = Band.around([third, Fraction(1)], [Fraction(1, 100), None], FLOAT16)
    assert around.free.tolist() == [False, True]
    assert around.low.dtype == np.float16
    assert Fraction(float(around.low[0])) >= third - Fraction(1, 100)
    assert Fraction(float(around.high[0])) <= third + Fraction(1, 100)


# --- terms that are computed -----------------------------------------------------------------------------


def squares(x: np.ndarray) -> Reduction:
    """The sum of squares, each rounded once in the accumulator."""
    exact = [Fraction(float(one)) ** 2 for one in x]
    inherited = {fmt.name: sum((e * Fraction(fmt.u) for e in exact), Fraction(0)) for fmt in (FLOAT32, FLOAT64)}
    total = sum(exact, Fraction(0))
    return Reduction(FLOAT32, x.size, x.size, False, ExactSum(-total, total, 0), None, 0.0, 0.0, inherited)


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1000])
def test_a_bound_holds_what_rounded_terms_add_up_to(n: int) -> None:
    """In several orders; without what is inherited a single square already lies outside."""
    rng = np.random.default_rng(n)
    for _ in range(20):
        x = rng.normal(size=n).astype(np.float32)
        reduction, terms = squares(x), x * x
        bound = error_bound(reduction, Tier(FLOAT32, n))
        for order in (terms, terms[::-1], np.sort(terms)):
            got = np.float32(0)
            for term in order:
                got = np.float32(got + term)
            assert bound.holds(abs(Fraction(float(got)) - reduction.exact))
            assert grade(reduction, float(got)).level <= Level.OWN_ANY
    if n == 1:
        alone = dataclasses.replace(reduction, inherited={})
        assert not error_bound(alone, Tier(FLOAT32, n)).holds(abs(Fraction(float(terms[0])) - reduction.exact))


def test_what_terms_bring_along_is_no_depth_and_no_certificate() -> None:
    x = np.array([1.1, 2.3, 0.7], np.float32)
    reduction = squares(x)
    assert not is_certified(reduction, FLOAT64)
    exact = dataclasses.replace(reduction, inherited=dict.fromkeys(reduction.inherited, Fraction(0)))
    assert is_certified(exact, FLOAT64)
    rough = dataclasses.replace(reduction, numerator=dataclasses.replace(reduction.numerator, quantum=-60))
    off = float(reduction.exact + Fraction(7, 3) * Fraction(FLOAT32.u) * reduction.numerator.magnitude)
    assert proven_height(rough, off) < proven_height(dataclasses.replace(rough, inherited={}), off) == 2
    with pytest.raises(KeyError):
        reduction.inherited_in(FLOAT16)


def test_what_terms_bring_along_may_overflow() -> None:
    half = exact_sum(np.array([float(FLOAT32.largest)]))
    reduction = Reduction(FLOAT32, 1, 1, False, half, None)
    assert not may_overflow(reduction, FLOAT32)
    assert may_overflow(dataclasses.replace(reduction, inherited={"float32": Fraction(2) ** 104}), FLOAT32)
