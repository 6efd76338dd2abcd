"""Variants of log_softmax and cross_entropy by themselves: what they compute, without the suite's own judgement."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import softmax_calls
from lossparity.adapters import registry, user
from lossparity.adapters.base import Subject
from lossparity.adapters.execution import execute
from lossparity.conformance.mutants import zoo
from lossparity.conformance.mutants.zoo import Variant
from lossparity.specs.call import FLOAT_DTYPES, Call, Raised, Returned, Transform
from lossparity.specs.log_softmax.signature import LOG_SOFTMAX
from softmax_calls import SIGNATURES, calls

VARIANTS = [variant for loss in SIGNATURES for variant in zoo.rows(loss).values()]
# What only gigabytes, or several threads at once, can show.
ELSEWHERE = {"VALUE-9", "PURE-5"}


def named(variant: Variant) -> str:
    return f"{variant.loss}-{variant.name}"


def subject(variant: Variant) -> Subject:
    """A variant as `lossparity check` runs it."""
    pytest.importorskip(variant.framework)
    backend = registry.backend(variant.framework)
    registry.start(backend)
    wrap = user.require_wrap(backend)
    return wrap(SIGNATURES[variant.loss], zoo.function(variant), variant.name, "cpu")[0]


def test_there_are_enough() -> None:
    for loss, wrong, right in (("log_softmax", 30, 6), ("cross_entropy", 100, 15)):
        rows = list(zoo.rows(loss).values())
        assert sum(not one.correct for one in rows) >= wrong
        assert sum(one.correct for one in rows) >= right


@pytest.mark.parametrize("variant", VARIANTS, ids=named)
def test_a_variant_is_a_small_edit(variant: Variant) -> None:
    assert variant.correct or zoo.source(variant) != zoo.source(zoo.base(variant))
    assert sum(new.count("\n") - old.count("\n") for old, new in variant.edits) <= 10


# --- a fault changes something ---------------------------------------------------------------------------


def answers(variant: Variant) -> Iterator[Any]:
    """What comes of each call, bit for bit, and what it leaves of its arguments and of the global generator."""
    one, held = subject(variant), []
    np.random.seed(0)
    for call in calls(variant.loss, variant.framework):
        before = {name: array.copy() for name, array in call.arrays()}
        outcome, _ = execute(one, call)
        yield _bits(outcome), {name: array.tobytes() for name, array in call.arrays()}
        for name, array in call.arrays():
            if array.flags.writeable:
                array[...] = before[name]
        held += [outcome.value] if isinstance(outcome, Returned) and outcome.value.size < 100 else []
    yield [array.tobytes() for array in held], np.random.random(), getattr(one, "random_state", lambda: b"")()


def _bits(outcome: Any) -> Any:
    match outcome:
        case Returned(value):
            return value.dtype.name, value.shape, np.where(np.isnan(value), np.nan, value).tobytes()
        case Raised(kind):
            return kind
        case _:
            return type(outcome).__name__


@functools.cache
def right_answers(loss: str, framework: str) -> list[Any]:
    some = next(one for one in VARIANTS if (one.loss, one.framework) == (loss, framework))
    return list(answers(zoo.base(some)))


@pytest.mark.parametrize("variant", [one for one in VARIANTS if not one.correct], ids=named)
def test_a_fault_changes_an_answer(variant: Variant) -> None:
    if ELSEWHERE & set(variant.clauses):
        pytest.skip("needs gigabytes or threads")
    due = right_answers(variant.loss, variant.framework)
    assert any(answer != right for answer, right in zip(answers(variant), due, strict=True))


# --- a correct variant is right --------------------------------------------------------------------------


def log_softmax(x: Any, axis: int) -> Any:
    """The logarithms in extended precision."""
    wide = x.astype(np.longdouble)
    shifted = wide - wide.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def coefficients(call: Call) -> tuple[Any, Any, Any]:
    """What each -log_softmax counts with, which positions are kept, and what a mean divides by."""
    x, t, e, axis = (
        call["input"],
        call["target"],
        np.longdouble(call["label_smoothing"]),
        min(1, call["input"].ndim - 1),
    )
    classes = x.shape[axis]
    weights = np.ones(classes) if call["weight"] is None else call["weight"]
    along = weights.astype(np.longdouble).reshape(classes, *[1] * (x.ndim - 1 - axis))
    kept = np.ones(x.shape[:axis] + x.shape[axis + 1 :], bool)
    p, normaliser = t.astype(np.longdouble), np.longdouble(kept.size)
    if t.dtype.kind == "i":
        kept = t != call["ignore_index"]
        label = np.where(kept, t, 0)
        p = np.moveaxis(np.eye(classes, dtype=np.longdouble)[label], -1, axis)
        normaliser = along.reshape(-1)[label][kept].sum()
    return np.expand_dims(kept, axis) * along * ((1 - e) * p + e / classes), kept, normaliser


def value_of(call: Call) -> Any:
    """The exact value, as good as."""
    axis = min(1, call["input"].ndim - 1)
    if call.signature.loss == "log_softmax":
        return log_softmax(call["input"], call["dim"])
    counts, _, normaliser = coefficients(call)
    losses = -(counts * log_softmax(call["input"], axis)).sum(axis)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / normaliser}[call["reduction"]]


def gradient_of(call: Call) -> Any:
    """The exact gradient by `call.wrt`, as good as."""
    assert call.transform is not None
    assert call.transform.upstream is not None
    x, g = call["input"], call.transform.upstream.astype(np.longdouble)
    if call.signature.loss == "log_softmax":
        return g - np.exp(log_softmax(x, call["dim"])) * g.sum(call["dim"], keepdims=True)
    axis = min(1, x.ndim - 1)
    counts, kept, normaliser = coefficients(call)
    slope = g / normaliser if call["reduction"] == "mean" else g
    slope = np.expand_dims(np.broadcast_to(slope, kept.shape), axis)
    if call.wrt == "target":
        weights = call["input"].dtype.type(1) if call["weight"] is None else call["weight"]
        along = np.reshape(weights, (-1, *[1] * (x.ndim - 1 - axis))).astype(np.longdouble)
        return -slope * (1 - np.longdouble(call["label_smoothing"])) * along * log_softmax(x, axis)
    return slope * (np.exp(log_softmax(x, axis)) * counts.sum(axis, keepdims=True) - counts)


def plain(loss: str) -> list[Call]:
    """Calls of ordinary numbers."""
    if loss == "cross_entropy":
        return list(softmax_calls.plain_cross_entropies())
    shapes = (((4, 9), 1), ((5,), 0), ((3, 3, 3), 1), ((2, 3, 4, 5), 2), ((3, 1), 1), ((3, 300), 1))
    return [
        LOG_SOFTMAX.call(softmax_calls.reals(shape, dtype), dim=dim) for dtype in FLOAT_DTYPES for shape, dim in shapes
    ]


def differentiated(loss: str) -> list[Call]:
    """A few of them, asked for a gradient by each array that has one."""
    found: list[Call] = []
    for call in plain(loss)[:: 1 if loss == "log_softmax" else 5]:
        x = call["input"]
        shape = value_of(call).shape
        upstream = softmax_calls.reals(shape, x.dtype.name, 7)
        found.append(call.replace(transform=Transform("gradient", np.asarray(upstream, x.dtype))))
        if loss == "cross_entropy" and call["target"].dtype == x.dtype:
            found.append(call.replace(transform=Transform("gradient", np.asarray(upstream, x.dtype), wrt="target")))
    return found


def require_close(call: Call, outcome: Any, exact: Any) -> None:
    """Guard that a result is right but for roundings: of its own dtype, and some tens of the accumulator's."""
    assert isinstance(outcome, Returned), (call.describe(), outcome)
    assert (outcome.value.shape, outcome.value.dtype) == (exact.shape, call["input"].dtype)
    accumulator = np.finfo(np.float64 if call["input"].dtype == np.float64 else np.float32)
    stored = ml_dtypes.finfo(call["input"].dtype)
    scale = np.abs(exact) + 10  # logits of these calls reach some tens
    allowed = 64 * scale * accumulator.eps + np.abs(exact) * stored.eps + stored.smallest_subnormal
    assert (np.abs(outcome.value.astype(np.longdouble) - exact) <= allowed).all(), call.describe()


RIGHT = [one for one in VARIANTS if one.correct]


@pytest.mark.parametrize("variant", RIGHT, ids=named)
def test_a_correct_variant_has_the_right_values(variant: Variant) -> None:
    one = subject(variant)
    for call in plain(variant.loss):
        require_close(call, execute(one, call)[0], value_of(call))


@pytest.mark.parametrize("variant", [one for one in RIGHT if one.framework != "numpy"], ids=named)
def test_a_correct_variant_has_the_right_gradients(variant: Variant) -> None:
    one = subject(variant)
    for call in differentiated(variant.loss):
        require_close(call, execute(one, call)[0], gradient_of(call))


def test_the_comparison_can_fail() -> None:
    (call,) = plain("cross_entropy")[-1:]
    with pytest.raises(AssertionError):
        require_close(call, Returned(np.asarray(value_of(call) * 1.00001, call["input"].dtype)), value_of(call))
