"""The judge: what each kind of outcome makes of each kind of expectation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.items import heartbeat
from lossparity.conformance.items.experiments import Setup
from lossparity.conformance.judging import explain
from lossparity.conformance.judging.judge import Traits, judge
from lossparity.conformance.judging.look import SYMPTOMS
from lossparity.specs.call import Call, Crashed, Outcome, Raised, Returned, TimedOut, Unsupported, dtype_of
from lossparity.specs.case import Case, Exactly, Raises, Returns, Stack, Status
from lossparity.specs.nll_loss.corpus import corpus
from lossparity.specs.nll_loss.generate import judged_calls
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.reductions import Arithmetic

PASS, FAIL, OPEN = Status.PASS, Status.FAIL, Status.UNINFORMATIVE


def case_of(call: Call) -> Case:
    (case,) = judged_calls(call, (call["reduction"],), "value", 1, "test")
    return case


def simple(reduction: str, dtype: str = "float32", **changes: Any) -> Case:
    x = np.array([[-1.0, -2.0], [-3.0, -4.0], [-5.0, -6.0]]).astype(dtype_of(dtype))
    return case_of(NLL_LOSS.call(**({"input": x, "target": np.array([0, 1, 0]), "reduction": reduction} | changes)))


def returned(value: Any, dtype: str = "float32") -> Returned:
    return Returned(np.array(value, dtype=np.float64).astype(dtype_of(dtype)))


@pytest.mark.parametrize(
    ("reduction", "outcome", "status", "symptom"),
    [
        ("sum", returned(10.0), PASS, ""),
        ("sum", returned(np.nextafter(np.float32(10), np.float32(11))), FAIL, "value"),
        ("sum", returned(np.nan), FAIL, "nan"),
        ("sum", returned(np.inf), FAIL, "inf"),
        ("sum", returned([10.0]), FAIL, "shape"),
        ("sum", returned(10.0, "float64"), FAIL, "dtype"),
        ("sum", Raised("RuntimeError", "no"), FAIL, "raised"),
        ("sum", Crashed("SIGSEGV"), Status.CRASH, "crash"),
        ("sum", TimedOut(5.0), Status.TIMEOUT, "timeout"),
        ("sum", Unsupported("no"), Status.UNSUPPORTED, ""),
        ("mean", returned(np.float32(10 / 3)), PASS, ""),
        ("mean", returned(np.nextafter(np.float32(10 / 3), np.float32(0))), FAIL, "not_rounded"),
        ("mean", returned(3.3), FAIL, "value"),
        ("none", returned([1.0, 4.0, 5.0]), PASS, ""),
        ("none", returned([1.0, 4.0, np.nextafter(np.float32(5), np.float32(6))]), FAIL, "inaccurate"),
        ("none", returned([1.0, 4.0, 6.0]), FAIL, "value"),
        ("none", returned([1.0, np.nan, 5.0]), FAIL, "nan"),
    ],
)
def test_a_simple_call(reduction: str, outcome: Outcome, status: Status, symptom: str) -> None:
    judgement = judge(simple(reduction), outcome, Traits())
    assert (judgement.status, judgement.symptom) == (status, symptom)
    assert not symptom or symptom in SYMPTOMS


def verdicts(case: Case, outcome: Outcome, traits: Traits = Traits()) -> dict[str, Status]:  # noqa: B008 - frozen
    return {verdict.clause: verdict.status for verdict in judge(case, outcome, traits).verdicts}


def test_each_clause_is_decided_by_its_own_aspects() -> None:
    """A float16 running sum is inaccurate (ACC-3) and yet right within its own precision (VALUE-2)."""
    x = np.full((15, 1), -1.0, np.float16)
    x[1] = -2048
    case = case_of(NLL_LOSS.call(x, np.zeros(15, np.int64), reduction="sum"))
    found = verdicts(case, returned(2048.0, "float16"))
    assert (found["ACC-3"], found["ACC-5"], found["VALUE-2"], found["SHAPE-4"]) == (FAIL, FAIL, PASS, PASS)
    assert set(verdicts(case, returned(1024.0, "float16")).values()) == {PASS, FAIL}
    assert verdicts(case, returned(1024.0, "float16"))["VALUE-2"] is FAIL
    assert set(verdicts(case, returned(2048.0, "float32")).values()) == {FAIL}


def test_a_neighbour_of_a_certified_mean_misses_a_should_clause_only() -> None:
    found = verdicts(simple("mean"), returned(np.nextafter(np.float32(10 / 3), np.float32(0))))
    assert {clause for clause, status in found.items() if status is FAIL} == {"ACC-5S"}


def test_an_avoidable_overflow_is_told_from_a_wrong_value() -> None:
    case = case_of(NLL_LOSS.call(np.full((2, 1), -40000.0, np.float16), np.zeros(2, np.int64)))
    found = verdicts(case, returned(np.inf, "float16"))
    assert (found["SPECIAL-2"], found["ACC-3"], found["VALUE-3"]) == (FAIL, FAIL, OPEN)


def test_a_result_that_must_overflow() -> None:
    case = case_of(NLL_LOSS.call(np.full((2, 1), -60000.0, np.float16), np.zeros(2, np.int64), reduction="sum"))
    assert judge(case, returned(np.inf, "float16"), Traits()).status is PASS
    assert judge(case, returned(65504.0, "float16"), Traits()).symptom == "number"


def test_cancellation_says_nothing_but_nonsense_still_fails() -> None:
    x = np.array([[1.0], [2.0**-30], [-1.0]], np.float32)
    case = case_of(NLL_LOSS.call(x, np.zeros(3, np.int64), reduction="sum"))
    assert judge(case, returned(0.0), Traits()).status is OPEN
    assert judge(case, returned(-(2.0**-30)), Traits()).status is PASS
    assert judge(case, returned(1.0), Traits()).status is FAIL


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_bad_targets_raise_or_poison(reduction: str) -> None:
    case = simple(reduction, target=np.array([0, 2, 1]))
    eager, traced = Traits(), Traits(traced=True)
    poisoned = returned([1.0, np.nan, 6.0] if reduction == "none" else np.nan)
    plausible = returned([1.0, 4.0, 6.0] if reduction == "none" else 11.0)
    assert judge(case, Raised("IndexError", ""), eager).status is PASS
    assert judge(case, Raised("IndexError", ""), traced).status is PASS
    assert judge(case, poisoned, eager).symptom == "not_raised"
    assert judge(case, poisoned, traced).status is PASS
    assert judge(case, plausible, traced).symptom == "not_raised"
    if reduction == "none":  # the other positions still have to be right
        assert judge(case, returned([1.0, np.nan, 7.0]), traced).status is FAIL


def test_shape_errors_are_never_poisoned() -> None:
    case = simple("mean", target=np.array([0, 1]))
    assert judge(case, returned(np.nan), Traits(traced=True)).symptom == "not_raised"


def test_flushing_frees_tiny_numbers_only() -> None:
    tiny = 2.0**-130
    case = case_of(NLL_LOSS.call(np.array([[-tiny], [-1.0]], np.float32), np.zeros(2, np.int64), reduction="none"))
    strict, flushing = Traits(), Traits(Arithmetic(flush=True))
    assert judge(case, returned([0.0, 1.0]), strict).status is FAIL
    found = verdicts(case, returned([0.0, 1.0]), flushing)
    assert (found["VALUE-1"], found["SPECIAL-3"]) == (PASS, FAIL)
    assert judge(case, returned([0.0, 0.0]), flushing).symptom == "value"


def test_flushing_excuses_no_mask_semantics() -> None:
    """0 * -inf is NaN on every subject (A-3)."""
    case = case_of(
        NLL_LOSS.call(np.array([[-np.inf]], np.float32), np.array([0]), np.zeros(1, np.float32), reduction="none")
    )
    assert judge(case, returned([0.0]), Traits(Arithmetic(flush=True))).status is FAIL
    assert judge(case, returned([np.nan]), Traits()).status is PASS


def some_setup() -> Setup:
    """What the heartbeat works with; only experiments run calls."""
    return Setup(lambda call: Raised("", ""), NumpySubject(np.sum), (), Traits())


def test_heartbeats_are_all_felt() -> None:
    case = simple("none")
    outcome = returned([1.0, 4.0, 5.0])
    assert heartbeat.suits(case, outcome, judge(case, outcome, Traits())) == "none"
    assert heartbeat.survivors(case, outcome, some_setup()) == []
    total = simple("sum")
    assert heartbeat.suits(total, returned(10.0), judge(total, returned(10.0), Traits())) == "sum"
    assert heartbeat.survivors(total, returned(10.0), some_setup()) == []
    error = simple("mean", target=np.array([0, 2, 1]))
    assert not heartbeat.survives_an_error_case(error, "float32", Traits(traced=True))


def test_what_is_due_elsewhere_is_not_told_as_a_missing_error() -> None:
    """One call of a batch has a target that does not exist; what is wrong is another position."""
    case = next(
        case
        for case in corpus("error", "float32", "quick", 0)
        if case.origin.endswith("batch") and case.call["reduction"] == "none"
    )
    assert isinstance(case.expectation, Raises)
    assert isinstance(case.expectation.poisoned, Returns)
    stack = case.expectation.poisoned.value
    assert isinstance(stack, Stack)
    parts = [part for part in stack.parts if isinstance(part, Exactly)]
    value = np.stack([part.value for part in parts])
    assert judge(case, Returned(value), Traits()).status is PASS
    where = tuple(np.argwhere(~np.isnan(value))[0].tolist())
    due, value[where] = value[where], 9
    said = explain.exact(case, judge(case, Returned(value), Traits()))
    assert "an error of category index (traced code may return NaN instead" in said
    assert f"here as for call {where[0]} of the batch alone" in said
    assert f"= {due.item()!r} " in said


def test_no_tolerance_is_told_where_there_is_none() -> None:
    case = simple("sum")
    judgement = judge(case, returned(10.0001), Traits())
    assert "these numbers add up exactly in any order" in explain.distance(judgement, case, returned(10.0001))
