"""Relations between results: they hold for every right implementation, and each catches what it is there for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from lossparity.adapters.numpy.ports.nll_loss import ACCUMULATOR, nll_loss
from lossparity.conformance.items import experiments, heartbeat
from lossparity.conformance.judging.judge import Traits
from lossparity.specs.call import FLOAT_DTYPES, Array, dtype_of
from lossparity.specs.case import Case, Exactly, Limit, Reduction, Returns, Status
from lossparity.specs.exact import round_to
from lossparity.specs.nll_loss.corpus import corpus
from lossparity.specs.nll_loss.generate import judged_calls
from lossparity.specs.nll_loss.oracle import expect_value, select
from lossparity.specs.nll_loss.relations import RELATIONS
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.reductions import Arithmetic

from .laboratory import judgements, setup_of, subject

PASS, FAIL, OPEN = Status.PASS, Status.FAIL, Status.UNINFORMATIVE
IDS = (*RELATIONS, "REL-8")
HALVES = ("float16", "bfloat16")
Loss = Callable[..., Any]


@functools.cache
def relation_cases(dtype: str) -> tuple[Case, ...]:
    return tuple(corpus("relation", dtype, "quick", 0))


def of(id: str, dtype: str) -> Iterator[Case]:
    """The corpus of one relation."""
    return (case for case in relation_cases(dtype) if case.experiment == id)


def loss(change: Callable[..., Any]) -> Loss:
    """A function with the loss's signature, from one on (x, t, w, i, r)."""

    @functools.wraps(change)
    def function(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
        return change(input, target, weight, ignore_index, reduction)

    return function


# --- right implementations -------------------------------------------------------------------------------


@loss
def exact(x: Any, t: Any, w: Any, i: int, r: Any) -> Array:
    """The oracle as an implementation: every result exact, and rounded once."""
    call = NLL_LOSS.call(x, t, w, i, r)
    answer = expect_value(call, select(call))
    assert isinstance(answer, Returns)
    match answer.value:
        case Exactly() as elements:
            return elements.value
        case Reduction() as reduction:
            return np.array(round_to(reduction.exact, reduction.fmt)).astype(x.dtype)
        case Limit(allowed):
            return np.array(float(sorted(allowed)[0])).astype(x.dtype)
        case other:
            raise TypeError(other)


def summing(add_up: Callable[[Array], Any]) -> Loss:
    """The loss with sums of one's own, in the required accumulator."""

    def change(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
        if r == "none":
            return nll_loss(x, t, w, i, r)
        wide = ACCUMULATOR[x.dtype.name]
        labels, rows = t[t != i], np.moveaxis(x, 1, -1)[t != i]
        weights = np.ones(labels.size, wide) if w is None else w[labels].astype(wide)
        with np.errstate(all="ignore"):
            total = add_up(-rows[np.arange(labels.size), labels].astype(wide) * weights)
            return (total / add_up(weights) if r == "mean" else total).astype(x.dtype)

    return loss(change)


def running(terms: Array) -> Any:
    """One after another."""
    return np.add.accumulate(terms)[-1] if terms.size else terms.dtype.type(0)


RIGHT = {
    "exact": exact,
    "port": nll_loss,
    "a running sum": summing(running),
    "a running sum from the end": summing(lambda terms: running(terms[::-1])),
    "the largest first": summing(lambda terms: running(terms[np.argsort(-np.abs(terms), kind="stable")])),
}


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("name", RIGHT)
def test_relations_hold_for_what_is_right(name: str, dtype: str) -> None:
    """No relation fails, and hardly a call says nothing, in any order of summation; the exact loss is its sibling."""
    statuses = {id: list[Status]() for id in IDS}
    for case, judgement in judgements(relation_cases(dtype), setup_of(subject(RIGHT[name]), subject(exact))):
        assert judgement.status is not FAIL, (case.experiment, judgement.said, case.call.describe())
        statuses[case.experiment].append(judgement.status)
    assert all(found.count(PASS) > 0.9 * len(found) for found in statuses.values()), statuses


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
def test_relations_hold_where_everything_is_ignored(id: str, reduction: str, weighted: bool) -> None:
    """The mean is NaN then, which relates to nothing. One seed in twenty draws such calls, 93 among them."""
    weight = np.array([0.5, 2, 3], np.float32) if weighted else None
    call = NLL_LOSS.call(np.full((6, 3), -1.5, np.float32), np.full(6, -100), weight, -100, reduction)
    (case,) = judged_calls(call, (reduction,), "relation", 1, "test")
    for implementation in (nll_loss, exact):
        on = setup_of(subject(implementation), subject(nll_loss))
        assert experiments.run(case.in_experiment(id), on)[1].status is not FAIL


def test_flushing_does_not_break_relations() -> None:
    """The data is far from underflow, so the allowance for it hides nothing either."""
    flushing = Traits(Arithmetic(flush=True))
    for wrong, expected in ((nll_loss, set[str]()), (counts_ignored, {"REL-5", "REL-7"})):
        on = setup_of(subject(wrong), subject(wrong), traits=flushing)
        found = {case.experiment for case, one in judgements(relation_cases("float32"), on) if one.status is FAIL}
        assert found >= expected
        assert found or not expected


# --- wrong implementations -------------------------------------------------------------------------------


@loss
def counts_ignored(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """Its mean divides by the number of all positions."""
    if r != "mean" or w is not None:
        return nll_loss(x, t, w, i, r)
    with np.errstate(all="ignore"):
        return (nll_loss(x, t, w, i, "sum") / x.dtype.type(t.size)).astype(x.dtype)


@loss
def drops_the_last(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """A block's tail is lost."""
    t = t.copy()
    t[-1] = i
    return nll_loss(x, t, w, i, r)


@loss
def knows_its_place(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """The first half of the batch counts twice in sums."""
    result = nll_loss(x, t, w, i, r)
    if r != "sum":
        return result
    half = t.shape[0] // 2
    return np.add(result, nll_loss(x[:half], t[:half], w, i, r)).astype(x.dtype)


@loss
def spares_class_0(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """Class 0 is taken for the background, or padding."""
    return nll_loss(x, np.where(t == 0, i, t), w, i, r)


@loss
def prefers_class_1(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """An off-by-one in the weights: the last class takes the first one's."""
    return nll_loss(x, t, None if w is None else np.concatenate([w[:-1], w[:1]]), i, r)


@loss
def means_of_means(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """As data-parallel training without a common normaliser."""
    if r != "mean":
        return nll_loss(x, t, w, i, r)
    half = t.shape[0] // 2
    parts = [nll_loss(x[s], t[s], w, i, r) for s in (slice(half), slice(half, None))]
    return np.asarray(sum(part.astype(np.float64) for part in parts) / 2).astype(x.dtype)


@loss
def clamps(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """No log-probability below -20: nothing in this data, but for what is scaled."""
    return nll_loss(np.maximum(x, x.dtype.type(-20)), t, w, i, r)


@loss
def adds_an_epsilon(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    return nll_loss(x + x.dtype.type(2.0**-7), t, w, i, r)


@loss
def is_unbiased(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """Its mean divides by n - 1."""
    result, n = nll_loss(x, t, w, i, r), np.count_nonzero(t != i)
    with np.errstate(all="ignore"):
        return np.asarray(result.astype(np.float64) * n / (n - 1)).astype(x.dtype) if r == "mean" else result


@loss
def adds_a_penalty(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """Once per call."""
    result = nll_loss(x, t, w, i, r)
    return (result + x.dtype.type(0.5)).astype(x.dtype) if r == "sum" else result


@loss
def reads_what_is_ignored(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """An ignored position counts as class 0 in sums."""
    return nll_loss(x, np.where(t == i, 0, t), w, -100, r) if r == "sum" else nll_loss(x, t, w, i, r)


@loss
def forgets_weights(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """In its mean, though not in its elements."""
    return nll_loss(x, t, None if r == "mean" else w, i, r)


WRONG = [
    ("REL-1", drops_the_last),
    ("REL-1", knows_its_place),
    ("REL-2", spares_class_0),
    ("REL-2", prefers_class_1),
    ("REL-3", means_of_means),
    ("REL-3", drops_the_last),
    ("REL-4", clamps),
    ("REL-4", adds_an_epsilon),
    ("REL-5", counts_ignored),
    ("REL-5", forgets_weights),
    ("REL-6", is_unbiased),
    ("REL-6", adds_a_penalty),
    ("REL-7", counts_ignored),
    ("REL-7", reads_what_is_ignored),
]


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize(("id", "wrong"), WRONG, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_each_relation_catches_its_own(id: str, wrong: Loss, dtype: str) -> None:
    """Often, and without an oracle for the value; what failed is said in words."""
    found = [judgement for _, judgement in judgements(of(id, dtype), setup_of(subject(wrong)))]
    failed = [judgement for judgement in found if judgement.status is FAIL]
    assert len(failed) >= 3
    assert all(judgement.symptom == "relation" and judgement.said for judgement in failed)
    assert any(judgement.aspects["value"] is FAIL for judgement in failed)


@pytest.mark.parametrize("id", IDS)
def test_nan_satisfies_no_relation(id: str) -> None:
    """Data is finite: NaN everywhere, which is equal to itself in a sense, fails wherever a position is kept."""

    @loss
    def nowhere(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
        return np.full_like(nll_loss(x, t, w, i, r), np.nan)

    for case, judgement in judgements(of(id, "float32"), setup_of(subject(nowhere), subject(nowhere))):
        assert judgement.status is FAIL or not case.facts["n_active"], case.call.describe()


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_siblings_that_disagree_are_caught(dtype: str) -> None:
    """REL-8: the compiled one computes another loss; where several are compared, one is enough."""
    for wrong in (spares_class_0, counts_ignored):
        on = setup_of(subject(wrong), subject(wrong), subject(nll_loss))
        assert FAIL in {judgement.status for _, judgement in judgements(of("REL-8", dtype), on)}


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize(
    "wrong", [spares_class_0, counts_ignored, lambda *a, **k: np.zeros((1, 2, 3), np.float32), lambda *a, **k: 1 / 0]
)
def test_what_a_sibling_does_is_not_booked_on_the_subject(wrong: Any, dtype: str) -> None:
    """REL-8: a sibling that is wrong, or raises, accuses nobody else, and hides no other that is wrong."""
    on = setup_of(subject(nll_loss), subject(wrong))
    assert FAIL not in {judgement.status for _, judgement in judgements(of("REL-8", dtype), on)}
    on = setup_of(subject(spares_class_0), subject(wrong), subject(nll_loss))
    assert FAIL in {judgement.status for _, judgement in judgements(of("REL-8", dtype), on)}


def test_siblings_are_needed() -> None:
    """REL-8 says nothing of a subject that is alone, or whose siblings do not take the call."""
    (first, *_) = of("REL-8", "float32")
    assert experiments.run(first, setup_of(subject(nll_loss)))[1].status is Status.UNSUPPORTED
    lonely = setup_of(subject(nll_loss), subject(nll_loss, without={"float32": "no"}))
    assert experiments.run(first, lonely)[1].status in (Status.UNSUPPORTED, OPEN)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("id", ["REL-1", "REL-3", "REL-5", "REL-6"])
def test_own_precision_is_told_from_nonsense(id: str, dtype: str) -> None:
    """A running sum in half precision breaks relations, and never further than its own precision explains."""

    def half(terms: Array) -> Any:
        return running(terms.astype(dtype_of(dtype)))

    failed = [one for _, one in judgements(of(id, dtype), setup_of(subject(summing(half)))) if one.status is FAIL]
    assert failed
    assert all(judgement.aspects["value"] is not FAIL for judgement in failed)


@pytest.mark.parametrize("id", [id for id in IDS if id != "REL-4"])
def test_a_wrong_shape_or_an_exception_fails_a_relation(id: str) -> None:
    """An experiment that cannot be finished has failed, and says why."""
    (case, *_) = of(id, "float32")
    for misbehaving, symptom in ((lambda *a, **k: np.zeros((1, 2, 3), np.float32), "shape"), (None, "raised")):
        on = setup_of(subject(misbehaving or raises), subject(nll_loss))
        judgement = experiments.run(case, on)[1]
        assert (judgement.status, judgement.symptom) == (FAIL, symptom)


def raises(*args: Any, **options: Any) -> Any:
    raise RuntimeError("no")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_relation_has_a_heartbeat(dtype: str) -> None:
    """When the engine spoils all results but the first, each relation that passed must fail."""
    on = setup_of(subject(nll_loss), subject(exact))
    for id in IDS:
        for case in of(id, dtype):
            outcome, judgement = experiments.run(case, on)
            if judgement.status is PASS:
                assert heartbeat.suits(case, outcome, judgement) == id
                assert heartbeat.survivors(case, outcome, on) == []
