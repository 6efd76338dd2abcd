"""The exact answers to what a call may ask for besides the loss: gradients, directional derivatives, batches.

The loss is linear in its input. So its gradient at a kept position's target entry is

    none: -g_n w[t_n]        sum: -g w[t_n]        mean: -g w[t_n] / W        and 0 at every other entry,

g being the upstream gradient; its derivative along a direction v is the loss of v; the derivative of
<gradient, v> with respect to g is that same number, and with respect to the input it is zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ..accuracy import is_certified, quotient_bounds
from ..bands import Band, interval
from ..batches import stacked
from ..call import GRADIENTS, VALUES, Array, Call, dtype_of
from ..case import Exactly, Expectation, Raises, Returns, Sparse, Unjudgeable, Unspecified, Within
from ..classes.targets import class_axis
from ..exact import round_to
from ..reductions import REQUIRED, Arithmetic, Reduction
from ..stopwatch import booked
from .oracle import Selection, expect, expect_value, prescribed, select

LEAST_INFORMATIVE = 2  # a band that reaches half of the exact value says nothing
FLUSHING = Arithmetic(flush=True)


@booked("oracle")
def expect_transformed(call: Call, selection: Selection) -> Expectation:
    """What the specification demands of a legal call that asks for more than the value."""
    transform = call.transform
    assert transform is not None
    match call.kind:
        case kind if kind in GRADIENTS:
            return _expect_gradient(call, selection)
        case kind if kind in VALUES:
            return expect(call, selection)
        case "second":
            nothing = np.zeros(0, call["input"].dtype)
            never = np.zeros(0, bool)
            entries = Exactly(nothing, never, never, never)
            everywhere = np.ones((1,) * call["input"].ndim, bool)
            zero = Sparse(np.zeros(0, np.int64), entries, everywhere)
            return Returns(call["input"].shape, call.dtype, zero)
        case "jvp" | "second_upstream" if call["reduction"] != "mean" or selection.inputs.size:
            along = call.replace(input=transform.direction, transform=None, layouts=())
            return expect_value(along, select(along))
        case _:
            return Unspecified("GRAD-9")


@booked("oracle")
def expect_batch(selections: Sequence[Selection]) -> Expectation:
    """What is demanded of a mapped call: what its calls, of which these are the selections, demand one by one."""
    answers = [
        expect(one.call, one) if one.call.transform is None else _expect_gradient(one.call, one) for one in selections
    ]
    wrong = [answer for answer in answers if isinstance(answer, Raises)]
    # GRAD-9 where the gradient of an all-ignored mean is among them.
    whole = stacked(
        [(answer.poisoned or answer) if isinstance(answer, Raises) else answer for answer in answers], "GRAD-9"
    )
    return Raises(wrong[0].categories, whole) if wrong and isinstance(whole, Returns) else whole


def _expect_gradient(call: Call, selection: Selection) -> Expectation:
    if call["reduction"] == "mean" and selection.inputs.size == 0:
        return Unspecified("GRAD-9")
    answer = _at_targets(call, selection)
    if isinstance(answer, Unjudgeable):
        return Returns(call["input"].shape, call.dtype, answer)
    ignored = np.expand_dims(~selection.kept, class_axis(call["input"]))
    return Returns(call["input"].shape, call.dtype, Sparse(flat_entries(call, selection), answer, ignored))


def flat_entries(call: Call, selection: Selection) -> Array:
    """Positions in the input's C order of the entries that kept positions select."""
    if call["target"].ndim == 0:
        return call["target"].reshape(1).astype(np.int64)[selection.kept.reshape(1)]
    inner = math.prod(call["target"].shape[1:])
    position = np.flatnonzero(selection.kept)
    labels = call["target"].reshape(-1)[position].astype(np.int64)
    return (position // inner * call["input"].shape[class_axis(call["input"])] + labels) * inner + position % inner


def _at_targets(call: Call, selection: Selection) -> Exactly | Within | Unjudgeable:
    """What must stand at the selected entries."""
    upstream, count = upstream_of(call), selection.inputs.size
    if call["reduction"] == "none":
        return prescribed(selection.format, selection.weights, upstream[selection.kept])
    if call["reduction"] == "sum":
        return prescribed(selection.format, selection.weights, np.broadcast_to(upstream, count))
    return _mean(selection, upstream)


def upstream_of(call: Call) -> Array:
    """The upstream gradient of a call that has one."""
    if call.transform is None or call.transform.upstream is None:
        raise ValueError(f"no upstream gradient: {call.describe()}")
    return call.transform.upstream


def own_precision_decides(call: Call, selection: Selection) -> bool:
    """Whether the format's own precision bounds every selected entry of a gradient."""
    if call["reduction"] == "mean" and not selection.inputs.size:
        return False
    answer = _at_targets(call, selection)
    if isinstance(answer, Within):
        return not answer.own.free.any()
    return isinstance(answer, Exactly)


def _mean(selection: Selection, upstream: Array) -> Within | Unjudgeable:
    """-g w[t]/W at each selected entry: one band per class that occurs."""
    weights = selection.weights
    if weights is None:
        weights = np.ones(selection.inputs.size, selection.inputs.dtype)
    occurring, which = np.unique(weights, return_inverse=True) if weights.size > 1 else (weights, np.zeros(1, int))
    if not np.isfinite(occurring).all():
        return _extended(selection, weights, upstream)
    facts = Reduction(
        selection.format, weights.size, selection.call["target"].size, selection.weights is not None,
        selection.normaliser, selection.normaliser, 0.0, selection.flushed_weights * 2,
    )  # fmt: skip
    if selection.normaliser.total == 0 or not np.isfinite(upstream):
        one_sign = abs(selection.normaliser.total) == selection.normaliser.magnitude
        decided = one_sign or np.isnan(upstream) or is_certified(facts, REQUIRED[selection.format.name])
        if not decided:
            return Unjudgeable("weights cancel, and whether a rounded W is 0, and its sign, depend on order")
        return _extended(selection, weights, upstream)
    columns = zip(*_slopes(facts, Fraction(float(upstream)), occurring.astype(float).tolist()), strict=True)
    rounded, low, high, own_low, own_high, flush_low, flush_high, free, informative = (
        np.array(column)[which] for column in columns
    )
    dtype = dtype_of(selection.format.name)
    ends = ((low, high, free), (own_low, own_high, False), (flush_low, flush_high, False))
    required, own, flushing = (Band.of(low.astype(dtype), high.astype(dtype), free) for low, high, free in ends)
    return Within(rounded.astype(dtype), required, own, flushing, informative)


def _slopes(facts: Reduction, g: Fraction, weights: list[float]) -> list[tuple[float | bool, ...]]:
    """What -g w/W may come out as for each w, as `_slope` says it."""
    fmt, required, exact = facts.fmt, REQUIRED[facts.fmt.name], [Fraction(weight) for weight in weights]
    strict = quotient_bounds(facts, g, exact, required)
    own = strict if fmt == required else quotient_bounds(facts, g, exact, fmt)
    flushing = quotient_bounds(facts, g, exact, required, FLUSHING)
    return [_slope(facts, g, *one) for one in zip(exact, strict, own, flushing, strict=True)]


def _slope(
    facts: Reduction, g: Fraction, w: Fraction, strict: Fraction | None, own: Fraction | None, flushing: Fraction | None
) -> tuple[float | bool, ...]:
    """What -g w/W may come out as within these bounds.

    That is the rounded value, the ends of three bands, whether the strict one says nothing, and whether it says much.
    """
    fmt, normaliser = facts.fmt, facts.normaliser
    assert normaliser is not None
    exact = -g * w / normaliser.total
    required = interval(exact, strict, fmt)
    flush_low, flush_high = interval(exact, flushing, fmt)
    if min(abs(g), abs(w)) < fmt.smallest_normal:  # read as 0
        flush_low, flush_high = min(flush_low, 0.0), max(flush_high, 0.0)
    informative = strict is not None and (exact == 0 or LEAST_INFORMATIVE * strict < abs(exact))
    ranges = (*required, *(required if own is strict else interval(exact, own, fmt)), flush_low, flush_high)
    return (round_to(exact, fmt), *ranges, strict is None, informative)


def _extended(selection: Selection, weights: Array, upstream: Array) -> Within:
    """-g w/W where one of them is not finite, or W is 0: IEEE 754 decides, in the required accumulator.

    Nothing is said where the order of the operations decides, where a weight may be flushed, as an infinity then
    becomes NaN, nor of the sign of an infinity where a selected weight is -0.
    """
    accumulator = dtype_of(REQUIRED[selection.format.name].name)
    w, g = weights.astype(accumulator), upstream.astype(accumulator)
    with np.errstate(all="ignore"):
        total = accumulator.type(_rounded_total(selection)) if np.isfinite(w).all() else np.sum(w)
        orders = [-g * w / total, -(g / total) * w, -g * (w / total)]
        value = orders[0].astype(dtype_of(selection.format.name))
    free = (w != 0) & (np.abs(w) < float(selection.format.smallest_normal))
    for other in orders[1:]:
        free |= ~((orders[0] == other) | np.isnan(orders[0]) & np.isnan(other))
    if total == 0 and np.signbit(w[w == 0]).any():
        free |= np.isinf(value)
    band = Band(value, value, free)
    return Within(value, band, Band(value, value, np.zeros_like(free)), band, ~free)


def _rounded_total(selection: Selection) -> float:
    """W in the required accumulator, infinite where that overflows."""
    return round_to(selection.normaliser.total, REQUIRED[selection.format.name])
