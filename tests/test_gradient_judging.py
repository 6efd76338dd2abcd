"""The judge on gradients and on batches: what one wrong entry, wherever it stands, makes of a call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lossparity.adapters.numpy.ports.nll_loss import nll_loss
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.items import heartbeat
from lossparity.conformance.items.experiments import Setup
from lossparity.conformance.judging import explain
from lossparity.conformance.judging.judge import Traits, judge
from lossparity.conformance.judging.look import SYMPTOMS
from lossparity.specs.call import FLOAT_DTYPES, Array, Outcome, Raised, Returned, Transform, dtype_of
from lossparity.specs.case import Case, Exactly, Limit, Reduction, Returns, Sparse, Stack, Status, Within
from lossparity.specs.exact import neighbour, round_to
from lossparity.specs.nll_loss.corpus import corpus
from lossparity.specs.nll_loss.generate import transformed
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.reductions import Arithmetic

PASS, FAIL, OPEN = Status.PASS, Status.FAIL, Status.UNINFORMATIVE
STRICT, FLUSHING = Traits(), Traits(Arithmetic(flush=True))

TARGET = np.array([[0, 2], [-100, 1], [2, 0]])  # position (1, 0) is ignored
WEIGHT = np.array([0.5, 3, 0.7])


def asking(kind: str = "gradient", reduction: str = "none", dtype: str = "float32", **fields: Any) -> Case:
    """A call on an input of shape (3, 3, 2) with weights; what it holds does not matter to a gradient."""
    number = dtype_of(dtype)
    shape = TARGET.shape if reduction == "none" else ()
    upstream = np.linspace(0.5, 1.7, 6).reshape(3, 2) if shape else np.array(1.3)
    transform = Transform(kind, fields.pop("upstream", upstream).astype(number), fields.pop("direction", None))
    call = NLL_LOSS.call(
        np.zeros((3, 3, 2), number), TARGET, WEIGHT.astype(number), -100, reduction, transform=transform
    )
    return transformed(call.replace(**fields), "gradient", 1, "test")


def right(case: Case) -> Array:
    """The answer, correctly rounded."""
    assert isinstance(case.expectation, Returns)
    return answer(case.expectation.value, case.expectation.shape, dtype_of(case.expectation.dtype))


def answer(value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    match value:
        case Stack(parts):
            return np.stack([answer(part, shape[1:], dtype) for part in parts])
        case Exactly():
            return value.value.copy()
        case Reduction():
            return np.array(round_to(value.exact, value.fmt)).astype(dtype)
        case Limit(allowed):
            return np.array(min(allowed), dtype)
        case Sparse(flat, entries):
            dense = np.zeros(shape, dtype)
            dense.reshape(-1)[flat] = entries.value if isinstance(entries, Exactly) else entries.rounded
            return dense
        case other:
            raise TypeError(other)


def spoilt(case: Case, where: tuple[int, ...], number: float | Callable[[Array], Array]) -> Returned:
    """The right answer with another number at one place."""
    wrong = right(case)
    wrong[where] = number(wrong[where]) if callable(number) else number
    return Returned(wrong)


def verdicts(case: Case, outcome: Outcome, traits: Traits = STRICT) -> dict[str, Status]:
    return {verdict.clause: verdict.status for verdict in judge(case, outcome, traits).verdicts}


def towards_zero(number: Array) -> Array:
    """The representable number next to one that is not 0."""
    bits = np.asarray(number).view(f"u{number.dtype.itemsize}")
    return (bits - bits.dtype.type(1)).view(number.dtype)


# --- gradients -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_the_right_answer_passes_wherever_something_is_due(dtype: str) -> None:
    """Every kind of case of the corpus, correctly rounded: none fails, and hardly any says nothing."""
    statuses = [
        judge(case, Returned(right(case)), STRICT).status
        for case in corpus("gradient", dtype, "quick", 0)
        if isinstance(case.expectation, Returns) and isinstance(case.expectation.value, Sparse | Stack)
    ]
    assert FAIL not in statuses
    assert statuses.count(OPEN) < 0.05 * len(statuses)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize(
    ("where", "number", "symptom", "failing"),
    [
        ((0, 1, 0), 1.0, "elsewhere", {"GRAD-1"}),
        ((0, 1, 0), 2.0**-149, "elsewhere", {"GRAD-1"}),
        ((2, 2, 1), np.nan, "elsewhere", {"GRAD-1"}),
        ((1, 1, 0), 1.0, "ignored", {"GRAD-2"}),
        ((1, 0, 0), np.nan, "ignored", {"GRAD-2"}),
        ((1, 2, 0), -np.inf, "ignored", {"GRAD-2"}),
        ((0, 2, 1), 0.0, "value", {"GRAD-1", "GRAD-3", "GRAD-5"}),
        ((0, 2, 1), np.nan, "nan", {"GRAD-1", "GRAD-3", "GRAD-5"}),
        ((0, 2, 1), np.inf, "inf", {"GRAD-1", "GRAD-3", "GRAD-5"}),
        ((0, 2, 1), np.negative, "value", {"GRAD-1", "GRAD-3", "GRAD-5"}),
    ],
)
def test_one_wrong_entry(reduction: str, where: Any, number: Any, symptom: str, failing: set[str]) -> None:
    """Each is named by its place and symptom, and fails the clauses that are about it, and no other."""
    case = asking(reduction=reduction)
    outcome = spoilt(case, where, number)
    judgement = judge(case, outcome, STRICT)
    assert (judgement.status, judgement.symptom, judgement.where) == (FAIL, symptom, where)
    assert symptom in SYMPTOMS
    assert {clause for clause, status in verdicts(case, outcome).items() if status is FAIL} == failing
    assert explain.because(case, judgement, outcome)
    assert explain.exact(case, judgement).startswith("0:") == (symptom in ("elsewhere", "ignored"))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_products_are_correctly_rounded(reduction: str, dtype: str) -> None:
    """GRAD-5: one representable number off, to either side, is inaccurate; for a mean it may be right."""
    case = asking(reduction=reduction, dtype=dtype)
    for off in (neighbour, towards_zero):
        judgement = judge(case, spoilt(case, (2, 2, 0), off), STRICT)
        assert (judgement.status, judgement.symptom, judgement.where) == (FAIL, "inaccurate", (2, 2, 0))
        assert judgement.aspects["value"] is PASS


def test_a_negative_zero_is_zero() -> None:
    """GRAD-1: exactly 0, of either sign, elsewhere and at ignored positions."""
    case = asking()
    gradient = right(case)
    gradient[gradient == 0] = -0.0
    assert np.signbit(gradient[1, :, 0]).all()
    assert judge(case, Returned(gradient), STRICT).status is PASS


@pytest.mark.parametrize(
    ("outcome", "symptom"),
    [
        (Returned(np.zeros((3, 3, 2), np.float64)), "dtype"),
        (Returned(np.zeros((3, 3, 2), dtype_of("bfloat16"))), "dtype"),
        (Returned(np.zeros((3, 2, 3), np.float32)), "shape"),
        (Returned(np.zeros((9, 2), np.float32)), "shape"),
        (Returned(np.zeros((1, 3, 3, 2), np.float32)), "shape"),
        (Raised("RuntimeError", "no gradient"), "raised"),
    ],
)
def test_no_gradient_of_this_input(outcome: Outcome, symptom: str) -> None:
    """GRAD-4: another shape or dtype fails every clause, and so does an exception."""
    case = asking()
    assert judge(case, outcome, STRICT).symptom == symptom
    assert set(verdicts(case, outcome).values()) == {FAIL}


def test_a_gradient_need_not_be_contiguous() -> None:
    """What a subject returns in another memory order is looked at by index."""
    case = asking()
    assert judge(case, Returned(np.asfortranarray(right(case))), STRICT).status is PASS
    wrong = spoilt(case, (0, 1, 0), 1.0).value
    assert judge(case, Returned(np.asfortranarray(wrong)), STRICT).where == (0, 1, 0)


def test_an_unbatched_input_has_its_classes_first() -> None:
    """(C,) with a 0-d target, kept and ignored."""
    fields = {"input": np.zeros(3, np.float32), "upstream": np.array(1.5)}
    case = asking(target=np.array(1), **fields)
    assert judge(case, Returned(np.array([0, -4.5, 0], np.float32)), STRICT).status is PASS
    assert judge(case, Returned(np.array([0, -4.5, 1], np.float32)), STRICT).symptom == "elsewhere"
    case = asking(target=np.array(-100), **fields)
    assert judge(case, Returned(np.zeros(3, np.float32)), STRICT).status is PASS
    assert judge(case, Returned(np.array([0, 0, 1], np.float32)), STRICT).symptom == "ignored"


def test_values_beside_ignored_positions_stay_out_of_the_gradient() -> None:
    """IGN-5: NaN in an ignored row reaches neither value nor gradient."""
    case = asking()
    x = case.call["input"].copy()
    x[1, :, 0] = np.nan
    case = transformed(case.call.replace(input=x), "gradient", 1, "test")
    found = verdicts(case, spoilt(case, (1, 1, 0), np.nan))
    assert (found["GRAD-2"], found["IGN-5"]) == (FAIL, FAIL)
    assert verdicts(case, Returned(right(case)))["IGN-5"] is PASS


# --- flushing --------------------------------------------------------------------------------------------


def test_flushing_frees_what_is_subnormal_and_nothing_else() -> None:
    """A subnormal product may be 0 on a subject that flushes; a normal one may not, nor may 0 be anything else."""
    tiny = 2.0**-120
    case = asking(weight=np.array([2.0**-8, 1, 1], np.float32), upstream=np.full((3, 2), tiny))
    gradient = right(case)
    gradient[0, 0, 0] = 0
    assert judge(case, Returned(gradient), STRICT).status is FAIL
    assert judge(case, Returned(gradient), FLUSHING).status is PASS
    gradient[0, 2, 1] = 0
    assert judge(case, Returned(gradient), FLUSHING).where == (0, 2, 1)
    assert judge(case, spoilt(case, (0, 1, 0), tiny), FLUSHING).symptom == "elsewhere"


def test_flushing_a_mean() -> None:
    """g w/W below the normal range may be 0 on a subject that flushes."""
    case = asking(reduction="mean", upstream=np.array(2.0**-126))
    flushed = Returned(np.zeros_like(right(case)))
    assert judge(case, flushed, STRICT).status is FAIL
    assert judge(case, flushed, FLUSHING).status is not FAIL
    ordinary = asking(reduction="mean")
    assert judge(ordinary, flushed, FLUSHING).symptom == "value"


# --- second order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [(0, 0, 0), (0, 1, 0), (1, 1, 0)], ids=["at a target", "elsewhere", "ignored"])
def test_a_hessian_that_is_not_zero_fails(where: tuple[int, ...]) -> None:
    """GRAD-6: the loss is linear in its input."""
    case = asking("second", "sum", direction=np.ones((3, 3, 2), np.float32))
    assert judge(case, Returned(right(case)), STRICT).status is PASS
    assert case.clauses == ("GRAD-6",)
    for number in (1.0, 2.0**-149, np.nan):
        assert judge(case, spoilt(case, where, number), STRICT).status is FAIL


@pytest.mark.parametrize("kind", ["jvp", "second_upstream"])
def test_a_derivative_along_a_direction_is_judged_as_a_loss(kind: str) -> None:
    """GRAD-6, GRAD-7: one representable number off is seen under `none`, a wrong sum under `sum`."""
    direction = np.arange(1, 19, dtype=np.float32).reshape(3, 3, 2)
    for reduction, wrong in (("none", neighbour), ("sum", np.negative)):
        case = asking(kind, reduction, direction=direction)
        where = (2, 0) if reduction == "none" else ()
        assert judge(case, Returned(right(case)), STRICT).status is PASS
        assert judge(case, spoilt(case, where, wrong), STRICT).status is FAIL


# --- batches ---------------------------------------------------------------------------------------------


def batch(kind: str, reduction: str, dtype: str = "float32") -> Case:
    """Three targets at once, for one input and one weight."""
    targets = np.stack([TARGET, np.where(TARGET == 0, 1, TARGET), np.flip(TARGET)])
    transform = asking(kind, reduction, dtype).call.transform
    assert transform is not None
    transform = dataclasses.replace(transform, batched=("target",))
    x = np.arange(1, 19).reshape(3, 3, 2).astype(dtype_of(dtype))
    call = NLL_LOSS.call(x, targets, WEIGHT.astype(x.dtype), -100, reduction, transform=transform)
    return transformed(call, "gradient", 1, "test")


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("kind", ["vmap", "vmap_gradient"])
def test_where_a_batch_is_wrong(kind: str, reduction: str, dtype: str) -> None:
    """GRAD-8: wrong in one slice only; `where` begins with its number and goes on within it."""
    case = batch(kind, reduction, dtype)
    assert case.clauses == ("GRAD-8",)
    answers = right(case)
    assert judge(case, Returned(answers), STRICT).status is PASS
    for number in range(3):
        place = np.argwhere(answers[number] != 0)[-1] if answers[number].ndim else ()
        where = (number, *(int(index) for index in place))
        judgement = judge(case, spoilt(case, where, np.negative), STRICT)
        assert (judgement.status, judgement.symptom, judgement.where) == (FAIL, "value", where)


def test_the_first_wrong_slice_is_named() -> None:
    case = batch("vmap_gradient", "none")
    answers = right(case)
    answers[1:] = np.nan
    judgement = judge(case, Returned(answers), STRICT)
    assert judgement.where[0] == 1
    assert len(judgement.where) == answers.ndim


def test_slices_in_another_order_are_wrong() -> None:
    """Each slice is an answer, but to another question."""
    case = batch("vmap", "sum")
    assert judge(case, Returned(np.roll(right(case), 1)), STRICT).status is FAIL


@pytest.mark.parametrize("kind", ["vmap", "vmap_gradient"])
def test_unbatched_inputs_mapped_over(kind: str) -> None:
    """Inputs (C,) and 0-d targets: under `none` each slice is a scalar."""
    x, target = np.arange(1, 7, dtype=np.float32).reshape(2, 3), np.array([2, 0])
    transform = Transform(kind, np.array(1.5, np.float32), batched=("input", "target"))
    case = transformed(NLL_LOSS.call(x, target, None, -100, "none", transform=transform), "gradient", 1, "test")
    answers = right(case)
    assert answers.tolist() == ([-3, -4] if kind == "vmap" else [[0, 0, -1.5], [-1.5, 0, 0]])
    assert judge(case, Returned(answers), STRICT).status is PASS
    assert judge(case, Returned(-answers), STRICT).where[0] == 0


def test_a_slice_that_says_nothing_does_not_hide_another_that_is_wrong() -> None:
    """One weight makes an intermediate overflow, in one slice only."""
    weights = np.array([[2.0**120, 1, 1], [1, 1, 1]], np.float32)
    transform = Transform("vmap_gradient", np.array(2.0**20, np.float32), batched=("weight",))
    call = NLL_LOSS.call(
        np.zeros((2, 3), np.float32), np.zeros(2, np.int64), weights, -100, "mean", transform=transform
    )
    case = transformed(call, "gradient", 1, "test")
    answers = right(case)
    assert judge(case, Returned(answers), STRICT).status is not FAIL
    answers[0, :, 0] = 7
    assert judge(case, Returned(answers), STRICT).status is OPEN
    answers[1, 1, 0] = 7
    assert judge(case, Returned(answers), STRICT).where == (1, 1, 0)


def test_entries_of_a_gradient_are_divided_before_they_are_summed() -> None:
    """The derivative with respect to g of a mean, where thirds cancel: each entry is rounded, and that is legal."""
    v = np.array([[7.0, 0], [-4.9, 0], [-2.0, 0]])
    call = NLL_LOSS.call(np.zeros((3, 2)), np.zeros(3, np.int64), None, -100, "mean")
    upstream = Transform("second_upstream", np.array(1.0), v)
    case = transformed(call.replace(transform=upstream), "gradient", 1, "test")
    summed = np.sum(-v[:, 0] * (np.float64(1) / 3))
    assert summed != right(case)
    assert judge(case, Returned(np.asarray(summed)), STRICT).status is PASS
    forward = Transform("jvp", None, v)  # sums first
    case = transformed(call.replace(transform=forward), "gradient", 1, "test")
    assert judge(case, Returned(np.asarray(summed)), STRICT).status is FAIL
    assert judge(case, Returned(np.asarray(1.001 * summed)), STRICT).status is FAIL


# --- heartbeat -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_heartbeats_of_gradients_are_felt(reduction: str) -> None:
    """The perturbed entry is one that a target selects."""
    case = asking(reduction=reduction)
    outcome = Returned(right(case))
    setup = Setup(lambda call: outcome, NumpySubject(nll_loss), (), STRICT)
    assert heartbeat.suits(case, outcome, judge(case, outcome, STRICT)) == "gradient"
    assert heartbeat.survivors(case, outcome, setup) == []


def test_the_heartbeat_of_a_mean_leaves_neighbours_out() -> None:
    """One representable number off is legal there, so it proves nothing; NaN, a wrong dtype and shape do."""
    case = asking(reduction="mean")
    assert isinstance(case.expectation, Returns)
    assert isinstance(case.expectation.value, Sparse)
    assert isinstance(case.expectation.value.entries, Within)
    outcome = Returned(right(case))
    setup = Setup(lambda call: outcome, NumpySubject(nll_loss), (), STRICT)
    assert heartbeat.suits(case, outcome, judge(case, outcome, STRICT)) == "gradient of mean"
    assert heartbeat.survivors(case, outcome, setup) == []
