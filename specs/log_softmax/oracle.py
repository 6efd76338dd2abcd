"""The exact answer: what the specification demands of any call of log_softmax, shape by shape and row by row.

Finite numbers, -inf and NaN go through the formulas as they are. What is left open in a row (`A-3`, `A-5` of spec.md's
register) is opened here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..bands import Band
from ..batches import calls_of_batch, stacked
from ..call import GRADIENTS, VALUES, Array, Call
from ..case import Exactly, Expectation, Raises, Returns, Unspecified, Within
from ..rules import Aspect
from ..stopwatch import booked
from ..tracked.answers import within
from ..tracked.number import Tracked
from . import formula
from .faults import structural_faults
from .rows import as_rows, axis_of, from_rows

RECORDED = "GRAD-9"  # derivatives that anything may come of
BLOCK = 2048  # elements of rows that are answered at once, unless one has more


@booked("oracle")
def expect(call: Call) -> Expectation:
    """What the specification demands of `call`, whatever it asks for."""
    if call.transform is not None and call.transform.batched:
        return stacked([expect(one) for one in calls_of_batch(call)], RECORDED)
    if faults := structural_faults(call):
        return Raises(faults)
    if not call["input"].ndim:
        return Unspecified("SHAPE-5")
    if not call["input"].size:
        return _nothing(call)
    with np.errstate(all="ignore"):  # signalling NaNs and infinities are data too
        return _value(call) if call.kind in VALUES else _derivative(call)


def _nothing(call: Call) -> Returns:
    """An array without elements, of the value or of a derivative (SHAPE-4)."""
    never = np.zeros(call["input"].shape, bool)
    return Returns(call["input"].shape, call.dtype, Exactly(call["input"], never, never, never))


def _value(call: Call) -> Returns:
    rows = as_rows(call["input"], axis_of(call))
    infinite = rows.max(1) == np.inf  # not where a row holds NaN: so is its maximum
    if not infinite.any():
        return _returned(call, _of_formula(call.dtype, formula.log_softmax, rows))
    # In the limit a class at +inf is as 0 among -inf. NaN is right as well.
    limits = np.where(rows == np.inf, 0.0, -np.inf).astype(rows.dtype)
    answer = _of_formula(call.dtype, formula.log_softmax, np.where(infinite[:, None], limits, rows))
    rounded = np.where(infinite[:, None], np.nan, answer.rounded).astype(rows.dtype)
    return _returned(call, dataclasses.replace(answer, rounded=rounded))


def _derivative(call: Call) -> Expectation:
    """Of a gradient, of its derivatives, or of the value along a direction."""
    transform = call.transform
    assert transform is not None
    axis = axis_of(call)
    rows = as_rows(call["input"], axis)
    asked = {name: as_rows(array, axis) for name, array in transform.arrays()}
    if call.kind in GRADIENTS:
        answer = gradient_of_rows(call.dtype, rows, asked["upstream"])
        answer = dataclasses.replace(answer, zeros={Aspect.ELSEWHERE: _zeros(rows, asked["upstream"])})
    elif call.kind == "second":
        answer = _of_formula(call.dtype, formula.second, rows, asked["upstream"], asked["direction"])
    else:
        answer = _of_formula(call.dtype, formula.along, rows, asked["direction"])
    anything = np.isinf(rows.max(1))
    for array in asked.values():
        anything |= np.isinf(array).any(1) & ~np.isnan(array).any(1)
    if anything.all():
        return Unspecified(RECORDED)
    return _returned(call, _opened(answer, anything) if anything.any() else answer)


def gradient_of_rows(dtype: str, rows: Array, upstream: Array) -> Within:
    """The gradient of rows by classes."""
    return _of_formula(dtype, formula.gradient, rows, upstream)


def _of_formula(dtype: str, function: Callable[..., Tracked], *arrays: Array) -> Within:
    """The answer of a formula in arrays of rows by classes, block by block: what is hard in one costs no other time."""

    def of_block(rows: slice) -> Within:
        block = [array[rows] for array in arrays]
        return within(lambda at: function(*map(at.number, block)), dtype, block[0].shape)

    count, classes = arrays[0].shape
    step = max(BLOCK // classes, 1)
    answers = [of_block(slice(start, start + step)) for start in range(0, count, step)]
    return answers[0] if len(answers) == 1 else _joined(answers)


def _joined(answers: Sequence[Within]) -> Within:
    """Answers of some rows each as one of all of them."""

    def joined(parts: Iterable[Array]) -> Array:
        return np.concatenate([*parts])

    def band(bands: Sequence[Band]) -> Band:
        ends = (joined(one.low for one in bands), joined(one.high for one in bands))
        return Band(*ends, joined(one.free for one in bands))

    return Within(
        joined(one.rounded for one in answers),
        band([one.required for one in answers]),
        band([one.own for one in answers]),
        band([one.flushing for one in answers]),
        joined(one.informative for one in answers),
    )


def _zeros(rows: Array, upstream: Array) -> Array:
    """Where a gradient is exactly 0: rows of one class, and rows whose upstream gradient is 0 (GRAD-2)."""
    ordinary = np.isfinite(rows.max(1, keepdims=True)) & np.isfinite(upstream).all(1, keepdims=True)
    nothing = (upstream == 0).all(1, keepdims=True) | (rows.shape[1] == 1)
    return np.broadcast_to(ordinary & nothing, rows.shape)


def _opened(answer: Within, anything: Array) -> Within:
    """Anything may stand in these rows."""
    free = np.broadcast_to(anything[:, None], answer.rounded.shape)

    def opened(band: Band) -> Band:
        return Band(band.low, band.high, band.free | free)

    return dataclasses.replace(
        answer,
        required=opened(answer.required),
        own=opened(answer.own),
        flushing=opened(answer.flushing),
        informative=answer.informative & ~free,
    )


def _returned(call: Call, answer: Within) -> Returns:
    """The answer in rows as one of input's shape."""
    shape, axis = call["input"].shape, axis_of(call)
    return Returns(shape, call.dtype, placed(answer, lambda rows: from_rows(rows, shape, axis)))


def placed(answer: Within, place: Callable[[Array], Array]) -> Within:
    """The answer with its elements in other places."""

    def band(of: Band) -> Band:
        return Band(place(of.low), place(of.high), place(of.free))

    zeros = {aspect: place(mask) for aspect, mask in answer.zeros.items()}
    bands = (band(answer.required), band(answer.own), band(answer.flushing))
    return Within(place(answer.rounded), *bands, place(answer.informative), zeros)
