"""Relations between results of related calls (REL-1..10): they need no oracle for the value, only for the bound.

A band holds all numbers that a result may be, the correctly rounded one among them: what is exactly true is no further
from a result than its band is wide, and half a unit in the last place.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from ..bands import Band
from ..call import Array, Call, Transform, dtype_name
from ..case import Returns, Within
from ..classes.targets import class_axis, not_ignored
from ..classes.values import upstream
from ..exact import FORMATS, exact_sum
from ..log_softmax.relations import SHIFTS, Widths, apart
from ..reductions import Arithmetic
from ..relations import Comparison, Evaluate, Relation
from ..stream import Stream
from .oracle import expect
from .selection import is_soft, positions_of

_UPWARDS = 1 + 2.0**-40  # for sums of widths in float64


def widths_of(call: Call, arithmetic: Arithmetic) -> Widths:
    """How far the results of a call may be from what is exactly true; infinite where nothing is said."""
    answer = expect(call)
    if not isinstance(answer, Returns) or not isinstance(answer.value, Within):
        shape = answer.shape if isinstance(answer, Returns) else ()
        return Widths(np.full(shape, np.inf), np.full(shape, np.inf))
    due = answer.value
    fmt, size = FORMATS[dtype_name(due.rounded.dtype)], np.abs(due.rounded.astype(np.float64))
    half = np.where(np.isfinite(size), fmt.u * size + float(fmt.smallest_subnormal), 0.0)
    strict = due.flushing if arithmetic.flush else due.required
    return Widths(_width(strict) + half, _width(due.own) + half)


def _width(band: Band) -> Array:
    """Rounded upwards, so that no sum of widths is too small."""
    with np.errstate(all="ignore"):
        width = np.nextafter(band.high.astype(np.float64) - band.low.astype(np.float64), np.inf)
    return np.where(band.free, np.inf, np.where(band.high == band.low, 0.0, width))


def _rounding(size: Array, share: float) -> Array:
    """What computing with these numbers here takes away at most; of NaN and infinities nothing, or they would pass."""
    return np.where(np.isfinite(size), np.abs(size), 0.0) * share


def _added(widths: Widths) -> Widths:
    return Widths(widths.required.sum() * _UPWARDS, widths.own.sum() * _UPWARDS)


def _both(one: Call, other: Call, arithmetic: Arithmetic) -> Widths:
    return widths_of(one, arithmetic) + widths_of(other, arithmetic)


# --- the relations -----------------------------------------------------------------------------------------


def permuted(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-1."""
    order = _order(call, call["input"].shape[0])
    other = call.replace(input=call["input"][order], target=call["target"][order])
    a, b = run(call), run(other)
    if call["reduction"] == "none":
        b, widths = b[np.argsort(order)], widths_of(call, arithmetic)
        yield apart("each element moves with its position", a, b, widths + widths)
    else:
        yield apart("the order of positions does not matter", a, b, _both(call, other, arithmetic))


def relabelled(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-2."""
    axis = class_axis(call["input"])
    order = _order(call, call["input"].shape[axis])
    changes = {"input": np.take(call["input"], order, axis)}
    if call["weight"] is not None:
        changes["weight"] = call["weight"][order]
    if is_soft(call):
        other = call.replace(**changes, target=np.take(call["target"], order, axis))
    else:
        target, sentinel = _renumbered(call, np.argsort(order))
        other = call.replace(**changes, target=target, ignore_index=sentinel)
    yield apart("the names of classes do not matter", run(call), run(other), _both(call, other, arithmetic))


def _renumbered(call: Call, where: Array) -> tuple[Array, int]:
    """Indices and sentinel, where old classes have these new numbers."""
    kept, sentinel = not_ignored(call["target"], call["ignore_index"]), call["ignore_index"]
    target = call["target"].copy()
    target[kept] = where[call["target"][kept].astype(np.int64)]
    if 0 <= sentinel < where.size:
        sentinel = int(where[sentinel])
        target[~kept] = sentinel
    return target, sentinel


def split(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-3."""
    cut = max(1, call["input"].shape[0] // 3)
    halves = (slice(cut), slice(cut, None))
    parts = [call.replace(input=call["input"][half], target=call["target"][half]) for half in halves]
    whole, *results = (run(one) for one in (call, *parts))
    widths = [widths_of(part, arithmetic) for part in parts]
    if call["reduction"] == "none":
        both = Widths(*(np.concatenate([getattr(one, name) for one in widths]) for name in ("required", "own")))
        both = both + widths_of(call, arithmetic)
        yield apart("none of the parts is none of the whole", whole, np.concatenate(results), both)
        return
    together = np.array(sum(result.astype(np.float64) for result in results))
    rounding = _rounding(together, 2.0**-50)
    own = widths_of(call, arithmetic) + widths[0] + widths[1] + Widths(rounding, rounding)
    yield apart("the whole is the sum of its parts", whole, together, own)


def shifted(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-4; says nothing of numbers that take up no shift exactly."""
    x = call["input"]
    for shift in map(x.dtype.type, SHIFTS):
        with np.errstate(over="ignore", invalid="ignore"):
            other = x + shift
            exact = np.isfinite(other).all() and (other - shift == x).all() and (other - x == shift).all()
        if exact:
            moved = call.replace(input=other)
            widths = _both(call, moved, arithmetic)
            yield apart("what all logits have in common does not matter", run(call), run(moved), widths)
            return


def consistent(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-5."""
    each = call.replace(reduction="none")
    elements, total = run(each), run(call)
    if not np.isfinite(elements).all():
        yield Comparison("none is finite", None, Fraction(0), Fraction(0))
        return
    exact = float(exact_sum(elements.reshape(-1)).total)
    rounding = _rounding(np.array(exact), 2.0**-50)
    widths = widths_of(call, arithmetic) + _added(widths_of(each, arithmetic)) + Widths(rounding, rounding)
    yield apart("sum is that of none's elements", total, np.array(exact), widths)


def repeated(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-6."""
    twice = call.replace(input=np.concatenate([call["input"]] * 2), target=np.concatenate([call["target"]] * 2))
    a, b = run(call), run(twice)
    once, both = widths_of(call, arithmetic), widths_of(twice, arithmetic)
    if call["reduction"] == "none":
        double = Widths(np.concatenate([once.required] * 2), np.concatenate([once.own] * 2))
        yield apart("none of the batch twice is none twice", np.concatenate([a, a]), b, double + both)
    elif call["reduction"] == "sum":
        doubled = a.astype(np.float64) * 2
        yield apart("the batch twice is twice the sum", doubled, b, once + once + both)
    else:
        yield apart("the batch twice has the same mean", a, b, once + both)


def padded(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-7: ignored positions are put before, between and after the others."""
    length = call["target"].shape[0]
    where = np.sort(Stream("padding", call.digest()).integers(0, length + 1, 3))
    other = call.replace(
        input=np.insert(call["input"], where, call["input"][np.zeros(3, int)], axis=0),
        target=np.insert(call["target"], where, call["target"].dtype.type(call["ignore_index"]), axis=0),
    )
    a, b, widths = run(call), run(other), widths_of(call, arithmetic)
    if call["reduction"] == "none":
        added = where + np.arange(3)
        yield apart("what is kept stays as it was", a, np.delete(b, added, axis=0), widths + widths)
        nothing = np.zeros_like(b[added])
        yield apart("what is added is 0", nothing, b[added], Widths(nothing.astype(float), nothing.astype(float)))
    else:
        yield apart("ignored positions do not matter", a, b, widths + widths_of(other, arithmetic))


def one_hot(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-9, of calls that ignore nothing."""
    axis = class_axis(call["input"])
    classes = np.arange(call["input"].shape[axis])
    hot = np.expand_dims(call["target"].astype(np.int64), -1) == classes
    p = np.ascontiguousarray(np.moveaxis(hot, -1, axis)).astype(call["input"].dtype)
    soft = call.replace(target=p, ignore_index=-100)
    yield apart("probabilities of one class are its index", run(call), run(soft), _both(call, soft, arithmetic))


def balanced(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-10, with upstream gradients of both signs."""
    shape = positions_of(call) if call["reduction"] == "none" else ()
    axis = class_axis(call["input"])
    for kind in ("random", "negative"):
        g = upstream(kind, Stream("upstream", call.digest()), shape, call.dtype)
        asked = call.replace(transform=Transform("gradient", g))
        gradient, widths = run(asked).astype(np.float64), widths_of(asked, arithmetic)
        sums = gradient.sum(axis)
        rounding = _rounding(np.abs(gradient).sum(axis), 2.0**-40)
        required, own = (one.sum(axis) * _UPWARDS + rounding for one in (widths.required, widths.own))
        yield apart("the gradient of a position adds up to 0", sums, np.zeros_like(sums), Widths(required, own))


def agreeing(run: Evaluate, other: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-8: the same call on another subject of the framework."""
    yield apart("both ways of executing agree", run(call), other(call), _both(call, call, arithmetic))


RELATIONS: dict[str, Relation] = {
    "REL-1": permuted,
    "REL-2": relabelled,
    "REL-3": split,
    "REL-4": shifted,
    "REL-5": consistent,
    "REL-6": repeated,
    "REL-7": padded,
    "REL-9": one_hot,
    "REL-10": balanced,
}


def _order(call: Call, length: int) -> Array:
    """A permutation that belongs to the call."""
    return np.argsort(Stream("order", call.digest()).uniform(length), kind="stable")
