"""The exact answer: what the specification demands of any call of log_softmax, shape by shape and row by row.

Finite numbers, -inf and NaN go through the formulas as they are. What is left open in a row (`A-3`, `A-5` of spec.md's
register) is opened here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from ..bands import Band
from ..batches import calls_of_batch, stacked
from ..call import GRADIENTS, VALUES, Array, Call
from ..case import Expectation, Raises, Returns, Unspecified, Within
from ..rules import Aspect
from ..stopwatch import booked
from ..tracked.answers import within
from ..tracked.number import Evaluation, Tracked
from . import formula
from .faults import structural_faults
from .rows import as_rows, axis_of, from_rows

RECORDED = "GRAD-9"  # derivatives that anything may come of


@booked("oracle")
def expect(call: Call) -> Expectation:
    """What the specification demands of `call`, whatever it asks for."""
    if call.transform is not None and call.transform.batched:
        return stacked([expect(one) for one in calls_of_batch(call)], RECORDED)
    if faults := structural_faults(call):
        return Raises(faults)
    if not call["input"].ndim:
        return Unspecified("SHAPE-5")
    with np.errstate(all="ignore"):  # signalling NaNs and infinities are data too
        return _value(call) if call.kind in VALUES else _derivative(call)


def _value(call: Call) -> Returns:
    rows = as_rows(call["input"], axis_of(call))
    infinite = rows.max(1, initial=-np.inf) == np.inf  # not where a row holds NaN: so is its maximum
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
    tops = rows.max(1, initial=-np.inf)
    anything = np.isinf(tops)
    for array in asked.values():
        anything |= np.isinf(array).any(1) & ~np.isnan(array).any(1)
    if len(rows) and anything.all() and rows.size:
        return Unspecified(RECORDED)
    return _returned(call, _opened(answer, anything) if anything.any() else answer)


def gradient_of_rows(dtype: str, rows: Array, upstream: Array) -> Within:
    """The gradient of rows by classes."""
    return _of_formula(dtype, formula.gradient, rows, upstream)


def _of_formula(dtype: str, function: Callable[..., Tracked], *arrays: Array) -> Within:
    """The answer of a formula in arrays of rows by classes."""

    def evaluated(at: Evaluation) -> Tracked:
        return function(*(at.number(array) for array in arrays))

    return within(evaluated, dtype, arrays[0].shape)


def _zeros(rows: Array, upstream: Array) -> Array:
    """Where a gradient is exactly 0: rows of one class, and rows whose upstream gradient is 0 (GRAD-2)."""
    ordinary = np.isfinite(rows.max(1, initial=-np.inf, keepdims=True)) & np.isfinite(upstream).all(1, keepdims=True)
    nothing = (upstream == 0).all(1, keepdims=True) | (rows.shape[1] == 1)
    return np.broadcast_to(ordinary & nothing, rows.shape)


def _opened(answer: Within, anything: Array) -> Within:
    """Anything may stand in these rows."""
    free = np.broadcast_to(anything[:, None], answer.rounded.shape)
    bands = {name: Band(band.low, band.high, band.free | free) for name, band in bands_of(answer).items()}
    return dataclasses.replace(answer, **bands, informative=answer.informative & ~free)


def _returned(call: Call, answer: Within) -> Returns:
    """The answer in rows as one of input's shape."""
    shape, axis = call["input"].shape, axis_of(call)

    def placed(rows: Array) -> Array:
        return from_rows(rows, shape, axis)

    bands = {name: Band(*map(placed, (band.low, band.high, band.free))) for name, band in bands_of(answer).items()}
    zeros = {aspect: placed(mask) for aspect, mask in answer.zeros.items()}
    value = Within(rounded=placed(answer.rounded), informative=placed(answer.informative), zeros=zeros, **bands)
    return Returns(shape, call.dtype, value)


def bands_of(answer: Within) -> dict[str, Band]:
    """The bands of an answer by their names."""
    return {"required": answer.required, "own": answer.own, "flushing": answer.flushing}
