"""Sums, maxima and choices of tracked numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..call import Array
from .carrier import Axes
from .evaluation import ANYTHING, NEGATIVE, POSITIVE, SAFETY, Comparison, Operands, Tracked, either_bits

Test = Comparison | Array
_NOTHING = np.zeros(())


def _axes(x: Tracked, axis: int | Sequence[int] | None) -> Axes:
    rank = x.evaluation.rank
    named = range(rank) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tuple(sorted(one % rank for one in named))


def _spread_out(x: Tracked, bounds: Array | None) -> Array | None:
    """Bounds or bits with the number's shape, for a reduction along its axes."""
    return bounds if bounds is None or bounds.shape[1:] == x.shape else np.broadcast_to(bounds, (len(bounds), *x.shape))


def total(x: Tracked, axis: int | Sequence[int] | None = None) -> Tracked:
    """The sum along an axis, several, or all of them, in any order; the axes are kept with length 1."""
    evaluation, axes = x.evaluation, _axes(x, axis)
    columns = tuple(one + 1 for one in axes)
    terms = math.prod(x.shape[one] for one in axes)
    errors = _spread_out(x, _rescaled(x, terms) if x.is_exp else x.errors)
    sizes = np.broadcast_to(x.size, x.shape)
    reach = sizes[None] if errors is None else sizes + errors
    spread = reach.sum(columns, keepdims=True)
    factors = [evaluation.carrier.sum_factor(terms)] + [one.sum_factor(terms) for one in evaluation.machines]
    summed = np.reshape(factors, (-1, *(1,) * evaluation.rank)) * spread
    if errors is None or (errors[0] == 0).all(axes).any():
        summed = np.where(_certified(x, errors, spread, axes), 0.0, summed)
    if errors is not None:
        summed = summed + errors.sum(columns, keepdims=True)
    bits = _spread_out(x, x.specials)
    bits = None if bits is None else either_bits(np.bitwise_or.reduce(bits, axis=columns, keepdims=True), None)
    z = evaluation.result(
        x.value.sum(axes), summed, _NOTHING, bits, lambda: x.is_finite.min(axes, keepdims=True), spread=spread
    )
    return z.made_of((x, lambda g: g))


def _rescaled(x: Tracked, terms: int) -> Array | None:
    """Errors of exps that are summed while their maximum is sought: each new maximum rescales what was summed.

    What is exactly 1 or 0 belongs to the last maximum, or to none.
    """
    times, at = x.evaluation.premises.rescalings(terms), x.evaluation.constants
    if not times or x.errors is None:
        return x.errors
    lost = times * (at.rescaling > 0) * (at.vanishing + at.product_loss)
    return x.errors + np.where(x.errors > 0, np.expm1(times * at.rescaling) * (x.size + x.errors) + lost, 0.0)


def _certified(x: Tracked, errors: Array | None, spread: Array, axes: Axes) -> Array:
    """Where no order of summation rounds: exact terms, multiples of 2^k, whose sizes add up to 2^(k + t) at most."""
    at, columns = x.evaluation.constants, tuple(one + 1 for one in axes)
    k = np.frexp(spread * SAFETY)[1] - at.bits
    high, low, rest = x.value.parts()
    whole = np.ldexp(high, -k)
    exact = np.isfinite(whole) & (np.rint(whole) == whole) & (k >= at.lowest) & (low == 0) & (rest == 0)
    return (exact if errors is None else exact & (errors == 0)).all(columns, keepdims=True)


def largest(x: Tracked, axis: int | Sequence[int] | None = None) -> Tracked:
    """The maximum, as a shift that the result does not depend on: it has no derivative."""
    axes = _axes(x, axis)
    columns = tuple(one + 1 for one in axes)
    errors, bits = _spread_out(x, x.errors), _spread_out(x, x.specials)
    errors = None if errors is None else errors.max(columns, keepdims=True)
    if bits is not None:  # where the largest becomes -inf, another one is taken
        bits = np.bitwise_or.reduce(bits, axis=columns, keepdims=True)
        bits = np.where(bits & NEGATIVE > 0, ANYTHING, bits)
    size = np.broadcast_to(x.size, x.shape).max(axes, keepdims=True)
    return Tracked(x.evaluation, x.value.max(axes), errors, size, bits)


def where(test: Test, a: Any, b: Any) -> Tracked:
    """a where the test holds, else b; where a machine may decide otherwise, its error is to either of them."""
    truth, doubt = (test.truth, test.doubt) if isinstance(test, Comparison) else (test, None)
    evaluation = (a if isinstance(a, Tracked) else b).evaluation
    a, b = (x if isinstance(x, Tracked) else evaluation.constant(x) for x in (a, b))
    errors, bits = _pick(truth, a.errors, b.errors), _pick(truth, a.specials, b.specials)
    size = np.where(truth, a.size, b.size)
    if doubt is not None and doubt.any():
        gap = np.abs((a.value - b.value).real()) * SAFETY + (0.0 if a.errors is None else a.errors)
        gap = gap + (0.0 if b.errors is None else b.errors)
        errors = np.where(doubt, gap, 0.0 if errors is None else errors)
        size = np.where(doubt[0], np.maximum(a.size, b.size), size)
        bits = either_bits(bits, None if a.specials is None else doubt * a.specials)
        bits = either_bits(bits, None if b.specials is None else doubt * b.specials)
    value = a.value.each(lambda p, q: np.where(truth, p, q), b.value)
    ways: tuple[Operands, ...] = (((a, lambda g: where(test, g, 0)), (b, lambda g: where(test, 0, g))),)
    return Tracked(evaluation, value, errors, size, bits, ways)


def _pick(truth: Array, a: Array | None, b: Array | None) -> Array | None:
    return None if a is None and b is None else np.where(truth, 0 if a is None else a, 0 if b is None else b)


def take(x: Tracked, labels: Array, axis: int) -> Tracked:
    """The entry that each position's label names along an axis, which is kept with length 1.

    `labels` are integers from 0 to the axis' length, of x's shape without that axis or with length 1 there; other
    axes broadcast.
    """
    axis = axis % x.evaluation.rank
    labels = np.asarray(labels, np.int64)
    labels = np.expand_dims(labels, axis) if labels.ndim < x.evaluation.rank else labels
    shape = list(np.broadcast_shapes(x.shape[:axis] + (1,) + x.shape[axis + 1 :], labels.shape))
    places = np.broadcast_to(labels, shape)
    shape[axis] = x.shape[axis]

    def at(array: Array) -> Array:
        return np.take_along_axis(np.broadcast_to(array, shape), places, axis)

    def along(bounds: Array | None) -> Array | None:
        return None if bounds is None else np.stack([at(one) for one in bounds])

    hot = np.expand_dims(np.arange(shape[axis]), tuple(i for i in range(len(shape)) if i != axis)) == labels
    ways: tuple[Operands, ...] = (((x, lambda g: where(hot, g, 0)),),)
    return Tracked(x.evaluation, x.value.each(at), along(x.errors), at(x.size), along(x.specials), ways)


def either(*forms: Tracked) -> Tracked:
    """Formulas that are equal in real arithmetic, all of them legal: the largest of their bounds.

    Where one of them breaks down and another does not, that was avoidable: it is no excuse.
    """
    nothing = np.zeros_like(forms[0].evaluation.constants.roundoff)
    errors = np.stack(np.broadcast_arrays(*(nothing if form.errors is None else form.errors for form in forms)))
    most = np.where(np.isinf(errors), -1.0, errors).max(0)
    specials = [form.specials for form in forms if form.specials is not None]
    bits = np.bitwise_and.reduce(np.broadcast_arrays(*specials)) if len(specials) == len(forms) else None
    first = forms[0]
    ways: tuple[Operands, ...] = tuple(((form, lambda g: g),) for form in forms)
    return Tracked(first.evaluation, first.value, np.where(most < 0, np.inf, most), first.size, bits, ways)


def stored(x: Tracked) -> Tracked:
    """An unfused implementation may round here to the storage format; being fused makes less error, never more."""
    evaluation = x.evaluation
    if not evaluation.half_stored:
        return x
    storage, at = evaluation.storage, evaluation.constants
    errors = np.zeros_like(at.roundoff) if x.errors is None else x.errors
    reach, bits, rounds = x.size + errors, x.specials, at.narrows & x.is_finite
    if not reach.max(initial=0.0) < storage.overflow_threshold:
        real, end = x.value.real(), float(storage.overflow_threshold)
        beyond = (real + errors >= end) * POSITIVE | (real - errors <= -end) * NEGATIVE
        bits = either_bits(bits, np.where(rounds, beyond, 0))
    errors = np.where(rounds, errors + (storage.u * reach + float(storage.smallest_subnormal) / 2), errors)
    return Tracked(evaluation, x.value, errors, x.size, bits, (((x, lambda g: g),),))


def masked(t: Tracked, y: Tracked) -> Array:
    """Where t = 0 and y = -inf: what is impossible and not asked for adds nothing, 0 log 0 = 0.

    A y that is -inf only because it overflowed is not impossible.
    """
    impossible: Array = (t.size == 0) & (y.value.real() == -np.inf)
    return impossible if y.specials is None else impossible & (y.specials == 0).all(0)
