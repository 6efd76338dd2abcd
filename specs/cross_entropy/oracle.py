"""The exact answer of cross_entropy: what the specification demands of any call.

Kept positions go through the formulas as they are, NaN and infinities among them; what is ignored is left out before.
What the ambiguity register of spec.md leaves open is opened here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from ..bands import Band
from ..batches import calls_of_batch, stacked
from ..call import GRADIENTS, VALUES, Array, Call, Transform, dtype_of
from ..case import Exactly, Expectation, Limit, Raises, Returns, Sparse, Unjudgeable, Unspecified, Within
from ..classes.targets import class_axis
from ..exact import FORMATS
from ..log_softmax.rows import from_rows
from ..reductions import HALVES
from ..rules import Aspect
from ..stopwatch import booked
from ..tracked.answers import Evaluations, within_shared
from ..tracked.number import Evaluation, Tracked
from . import formula
from .faults import all_faults, structural_faults
from .formula import Terms
from .selection import Selection, positions_of, select

RECORDED = "GRAD-9"  # derivatives that anything may come of


@booked("oracle")
def expect(call: Call, selection: Selection | None = None, shared: Evaluations | None = None) -> Expectation:
    """What the specification demands of `call`, whatever it asks for.

    `selection` is that of a call without faults, if it is at hand. Evaluations may be `shared` by calls on the same
    arrays with the same smoothing, weights being the same in all that have any.
    """
    with np.errstate(all="ignore"):  # signalling NaNs and infinities are data too
        if call.transform is not None and call.transform.batched:
            return _expect_batch(call)
        if selection is None and structural_faults(call):
            return Raises(all_faults(call))
        if not call["input"].shape[class_axis(call["input"])]:
            return Unspecified("SHAPE-8")
        return _of_selection(select(call) if selection is None else selection, shared or Evaluations(call.dtype))


def _expect_batch(call: Call) -> Expectation:
    """What the calls of a mapped call demand one by one."""
    answers = [expect(one) for one in calls_of_batch(call)]
    wrong = [answer for answer in answers if isinstance(answer, Raises)]
    poisoned = [answer.poisoned if isinstance(answer, Raises) else answer for answer in answers]
    whole = stacked([answer for answer in poisoned if answer is not None], RECORDED)
    return Raises(wrong[0].categories, whole if isinstance(whole, Returns) else None) if wrong else whole


def _of_selection(selection: Selection, shared: Evaluations) -> Expectation:
    call, transform = selection.call, selection.call.transform
    if transform is None or transform.kind in VALUES:
        if (selection.kept & ~selection.valid).any():
            return Raises(frozenset({"index"}), _poisoned(selection, shared))
        return _value(selection, shared)
    if call["reduction"] == "mean" and (not selection.rows or selection.weights_cancel):
        return Unspecified(RECORDED)
    if transform.kind in GRADIENTS or transform.kind == "second":
        return _array(selection, transform, shared)
    return _number(selection, transform, shared)


# --- values ----------------------------------------------------------------------------------------------


def _poisoned(selection: Selection, shared: Evaluations) -> Returns:
    """NaN where an index does not exist; the other positions of `none` are as usual."""
    call = selection.call
    if call["reduction"] != "none":
        return Returns((), call.dtype, Limit(frozenset({"nan"})))
    answer = _value(selection, shared)
    assert isinstance(answer, Returns)
    assert isinstance(answer.value, Within)
    answer.value.rounded[selection.kept & ~selection.valid] = np.nan
    for band in (answer.value.required, answer.value.own, answer.value.flushing):
        band.low[selection.kept & ~selection.valid] = np.nan
    return answer


def _value(selection: Selection, shared: Evaluations) -> Expectation:
    call, reduction = selection.call, selection.call["reduction"]
    if not selection.rows and reduction != "none":
        return Returns((), call.dtype, Limit(frozenset({"nan" if reduction == "mean" else "0"})))
    if _is_recorded(selection):
        return Unspecified("SMOOTH-8")
    if selection.weights_cancel and reduction == "mean" and _has_negative_zero(selection):
        return Returns((), call.dtype, Unjudgeable("the sign of W = 0 depends on how weights of -0 are added"))
    answer = within_rows(selection, lambda at: formula.reduced(Terms(selection, at), reduction), shared)
    answer = _with_nan(answer, selection, reduction)
    return _placed(selection, dataclasses.replace(answer, careful=_careful(selection, answer, shared)))


def _is_recorded(selection: Selection) -> bool:
    """SMOOTH-8."""
    if selection.labels is None or not selection.smoothing:
        return False
    one = selection.smoothing == 1 and bool(np.isneginf(selection.at_target).any())
    return one or (selection.call["reduction"] == "mean" and selection.weights_cancel)


def _has_negative_zero(selection: Selection) -> bool:
    w = selection.target_weights
    return w is not None and bool(np.signbit(w[w == 0]).any())


def _with_nan(answer: Within, selection: Selection, reduction: str) -> Within:
    """NaN is right as well where +inf is among the logits (A-9), or probability 0 meets -inf (A-10)."""
    rows = selection.infinite | selection.impossible.any(1)
    return dataclasses.replace(answer, nan=rows if reduction == "none" else np.array(rows.any()))


def _careful(selection: Selection, answer: Within, shared: Evaluations) -> Band | None:
    """What is asked for beyond what must be: one of PROB-8, ACC-4 and VALUE-14, whichever is at stake."""
    call = selection.call
    if selection.infinite.any():
        return None
    if selection.impossible.any():
        return answer.required
    if FORMATS[call.dtype] in HALVES:
        return within_rows(selection, lambda at: _rounded_once(selection, at), shared).required
    if is_never_negative(selection):
        band = answer.required
        return Band(np.maximum(band.low, band.low.dtype.type(0)), band.high, band.free)
    return None


def is_never_negative(selection: Selection) -> bool:
    """Whether the loss is one of indices without smoothing, under weights that are not negative."""
    w = selection.target_weights
    return selection.labels is not None and not selection.smoothing and (w is None or bool((w >= 0).all()))


def _rounded_once(selection: Selection, at: Evaluation) -> Tracked:
    return formula.reduced(Terms(selection, at, is_stored=False), selection.call["reduction"])


def within_rows(
    selection: Selection, function: Callable[[Evaluation], Tracked], shared: Evaluations, columns: int = 0
) -> Within:
    """The answer of a formula: 0-d, 1-d over rows, or with so many columns 2-d."""
    call = selection.call
    shape = (selection.rows, columns) if columns else (selection.rows,) if call["reduction"] == "none" else ()
    if shape and not selection.rows:
        return _nothing(call.dtype, shape)
    return within_shared(function, shared, shape)


def _nothing(dtype: str, shape: tuple[int, ...]) -> Within:
    """An answer without elements."""
    zeros, never = np.zeros(shape, dtype_of(dtype)), np.zeros(shape, bool)
    band = Band(zeros, zeros, never)
    return Within(zeros, band, band, band, ~never)


def _placed(selection: Selection, answer: Within) -> Returns:
    """The answer in the shape of the loss, 0 where a position does not count."""
    call = selection.call
    if call["reduction"] != "none":
        return Returns((), call.dtype, answer)
    shape = positions_of(call)

    def placed(values: Array) -> Array:
        whole = np.zeros(shape, values.dtype)
        whole.reshape(-1)[selection.chosen] = values
        return whole

    value = mapped(answer, placed)
    informative = value.informative | ~selection.chosen.reshape(shape)
    return Returns(shape, call.dtype, dataclasses.replace(value, informative=informative))


def mapped(answer: Within, function: Callable[[Array], Array]) -> Within:
    """An answer whose arrays, but for `zeros`, went through a function."""

    def of_band(band: Band) -> Band:
        return Band(function(band.low), function(band.high), function(band.free))

    return dataclasses.replace(
        answer,
        rounded=function(answer.rounded),
        required=of_band(answer.required),
        own=of_band(answer.own),
        flushing=of_band(answer.flushing),
        careful=None if answer.careful is None else of_band(answer.careful),
        informative=function(answer.informative),
        nan=function(answer.nan) if answer.nan.shape else answer.nan,
    )


# --- derivatives -----------------------------------------------------------------------------------------


def _number(selection: Selection, transform: Transform, shared: Evaluations) -> Expectation:
    """The derivative of the value along a direction, or of <gradient, direction> by the upstream gradient."""
    call, reduction, direction = selection.call, selection.call["reduction"], transform.direction
    assert direction is not None
    v = _rows(selection, direction)
    if not selection.rows:
        return _value(selection, shared)
    opened = selection.unbounded | ~np.isfinite(v).all(1)

    def function(at: Evaluation) -> Tracked:
        if call.wrt == "input":
            return formula.reduced(Terms(selection, at, direction=v), reduction)
        terms = Terms(selection, at)
        p = at.number(v) * terms.rest if selection.smoothing else at.number(v)
        return formula.of_probabilities(terms, terms.y(), p, reduction)

    if opened.all() or (reduction != "none" and opened.any()):
        return Unspecified(RECORDED)
    return _placed(
        selection, _opened(within_rows(selection, function, shared), opened if reduction == "none" else False)
    )


def _array(selection: Selection, transform: Transform, shared: Evaluations) -> Expectation:
    """A gradient, or its derivative by the input."""
    call = selection.call
    g, opened = _upstream(selection, transform), selection.unbounded
    opened = opened | np.broadcast_to(~np.isfinite(g), opened.shape)
    by_input, classes = call.wrt == "input", selection.logits.shape[1]
    if not by_input:
        opened = opened | np.isneginf(selection.logits).any(1)
    if selection.rows and (opened.all() or (call["reduction"] == "mean" and not _has_finite_weights(selection))):
        return Unspecified(RECORDED)
    if transform.kind == "second" and not by_input:
        return _zero(call)

    def function(at: Evaluation) -> Tracked:
        terms = Terms(selection, at)
        if not by_input:
            return formula.gradient_by_probabilities(terms, g, call["reduction"])
        if transform.kind == "second":
            assert transform.direction is not None
            return formula.second(terms, g, _rows(selection, transform.direction), call["reduction"])
        return formula.gradient(terms, g, call["reduction"])

    answer = _opened(within_rows(selection, function, shared, classes), opened[:, None])
    nothing = ~opened & np.broadcast_to(g == 0, opened.shape)
    return _spread(selection, answer, nothing)


def _has_finite_weights(selection: Selection) -> bool:
    w = selection.used_weights
    return w is None or bool(np.isfinite(w).all())


def _rows(selection: Selection, array: Array) -> Array:
    """An array of input's shape as the rows that count."""
    axis = class_axis(array)
    return np.moveaxis(array, axis, -1)[selection.kept & selection.valid]


def _upstream(selection: Selection, transform: Transform) -> Array:
    """One upstream gradient per row that counts, or one for all."""
    if transform.upstream is None:
        raise ValueError(f"no upstream gradient: {selection.call.describe()}")
    flat = transform.upstream.reshape(-1)
    return flat[selection.chosen] if selection.call["reduction"] == "none" else flat


def _opened(answer: Within, anything: Array | bool) -> Within:
    """Anything may stand at these places."""
    opened = np.broadcast_to(anything, answer.rounded.shape)

    def of_band(band: Band) -> Band:
        return Band(band.low, band.high, band.free | opened)

    return dataclasses.replace(
        answer,
        required=of_band(answer.required),
        own=of_band(answer.own),
        flushing=of_band(answer.flushing),
        informative=answer.informative & ~opened,
    )


def _spread(selection: Selection, answer: Within, nothing: Array) -> Returns:
    """An answer in rows by classes as one of input's shape: exactly 0 where ignored, and in rows of `nothing`."""
    call, axis = selection.call, class_axis(selection.call["input"])
    shape, chosen = call["input"].shape, selection.chosen

    def placed(values: Array) -> Array:
        whole = np.zeros((len(chosen), shape[axis]), values.dtype)
        whole[chosen] = values
        return from_rows(whole, shape, axis) if whole.size else np.zeros(shape, values.dtype)

    value = mapped(answer, placed)
    ignored = np.expand_dims(~selection.chosen.reshape(positions_of(call)), axis)
    zeros = {Aspect.IGNORED: ignored, Aspect.ELSEWHERE: placed(np.broadcast_to(nothing[:, None], answer.rounded.shape))}
    informative = value.informative | np.broadcast_to(ignored, shape)
    return Returns(shape, call.dtype, dataclasses.replace(value, zeros=zeros, informative=informative))


def _zero(call: Call) -> Returns:
    """0 everywhere."""
    never = np.zeros(0, bool)
    entries = Exactly(np.zeros(0, call["input"].dtype), never, never, never)
    everywhere = np.ones((1,) * call["input"].ndim, bool)
    return Returns(call["input"].shape, call.dtype, Sparse(np.zeros(0, np.int64), entries, everywhere))
