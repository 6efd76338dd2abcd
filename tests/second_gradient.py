"""A second oracle for gradients and their like, written from the specification's text (GRADIENT, WEIGHT-2) alone.

It shares no code with `specs`: plain loops over positions, `fractions.Fraction` for everything finite, the formats
of `second_oracle`. `test_derivatives.py` holds the fast one against it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from second_flushing import limit_word
from second_formats import LAYOUTS, decode, infinity_code, smallest_normal, spacing
from second_oracle import (
    ACCUMULATOR,
    NAN,
    Opinion,
    class_count,
    largest,
    multiply,
    negated,
    opinion,
    order_free,
    sum_of,
)

Extended = Fraction | float  # a float is an infinity or NaN


@dataclass
class Slopes:
    """What must stand in a gradient: 0, but for one entry per kept position.

    `flat` holds the entries' places in the input's row-major order, `exact` the slopes, `pairs` the (weight, upstream)
    that each is made of, `kept` a flag per position. `recorded`: the specification only asks to record.
    `order_dependent`: W is 0, and a rounded W need not be. `unsure`: it depends on the order of the operations whether
    a slope is NaN, which infinity, or a number. `surely_fine`: nothing comes near that.
    """

    recorded: bool = False
    order_dependent: bool = False
    kept: list[bool] = field(default_factory=list)
    flat: list[int] = field(default_factory=list)
    exact: list[Extended] = field(default_factory=list)
    pairs: list[tuple[float | None, float]] = field(default_factory=list)
    unsure: list[bool] = field(default_factory=list)
    surely_fine: list[bool] = field(default_factory=list)


Answer = Slopes | Opinion | list[Any]


def answer(call: Any) -> Answer:
    """Judge one legal call that has a transform: slopes, a loss, or a list of those."""
    match call.kind:
        case "gradient" | "gradient_again" | "gradient_between":  # GRAD-10, GRAD-11
            return slopes(call, call.transform.upstream)
        case "value_in_training" | "autocast":  # VALUE-10, VALUE-11
            return opinion(along(call))
        case "second":  # GRAD-6
            return Slopes(kept=[int(label) != call["ignore_index"] for label in call["target"].reshape(-1).tolist()])
        case "jvp" | "second_upstream":  # the loss is linear in its input, the gradient in g
            empty = call["reduction"] == "mean" and all(flat is None for flat, _ in entries(call))
            return Slopes(recorded=True) if empty else opinion(along(call))  # GRAD-9
        case "weight_gradient":  # GRAD-9
            return Slopes(recorded=True)
        case kind:  # GRAD-8
            calls = list(loop(call))
            return [opinion(one) if kind == "vmap" else slopes(one, call.transform.upstream) for one in calls]


def along(call: Any) -> Any:
    """The same call with the direction, if it has one, in the place of its input, and its plain value asked for."""
    moved = call.transform.direction
    return call.replace(input=call["input"] if moved is None else moved, transform=None)


def loop(call: Any) -> Iterator[Any]:
    """The calls that a mapped call stands for, one after another."""
    batched = call.transform.batched
    for number in range(len(call[batched[0]])):
        parts = {name: call[name][number] for name in batched}
        yield call.replace(transform=None, **parts)


def slopes(call: Any, upstream: Any) -> Slopes:
    """GRAD-1, 2 and 3: -g w[t], for `mean` over W."""
    found = Slopes()
    weights = None if call["weight"] is None else call["weight"].astype(np.float64).tolist()
    g = upstream.astype(np.float64).reshape(-1).tolist()
    for number, (flat, label) in enumerate(entries(call)):
        found.kept.append(flat is not None)
        if flat is not None:
            found.flat.append(flat)
            weight = None if weights is None else weights[label]
            found.pairs.append((weight, g[number] if call["reduction"] == "none" else g[0]))
    if call["reduction"] != "mean":
        found.exact = [negated(multiply(*pair)) for pair in found.pairs]
    elif found.pairs:
        fill_mean(found, call["input"].dtype.name)
    else:
        found.recorded = True  # GRAD-9
    return found


def entries(call: Any) -> Iterator[tuple[int | None, int]]:
    """For every position in row-major order: the flat place of the entry that it selects, None where it is ignored."""
    labels = call["target"].reshape(-1).tolist()
    places = itertools.product(*(range(length) for length in call["target"].shape))
    assert class_count(call) > 0 or not labels
    for place, label in zip(places, labels, strict=True):
        if label == call["ignore_index"]:
            yield None, label
            continue
        flat = 0
        for index, length in zip((*place[:1], label, *place[1:]), call["input"].shape, strict=True):
            flat = flat * length + index
        yield flat, label


def fill_mean(found: Slopes, name: str) -> None:
    """-g w/W, by extended arithmetic where it must be."""
    accumulator = ACCUMULATOR[name]
    weights = Counter(1.0 if weight is None else weight for weight, _ in found.pairs)
    total = extended_sum(weights)
    certain = total != 0 or not any(weights) or math.isnan(found.pairs[0][1])
    found.order_dependent = not certain and not sum_is_order_free(weights, accumulator)
    negative_zero = any(weight == 0 and math.copysign(1, weight) < 0 for weight, _ in found.pairs if weight is not None)
    reached = sums_reached(weights, total, accumulator)
    values: dict[Any, tuple[Extended, bool, bool]] = {}  # there are few different pairs, and many positions
    for pair in found.pairs:
        if pair not in values:
            w, g = 1.0 if pair[0] is None else pair[0], pair[1]
            words = {word for W in reached for word in words_reached(w, g, W, accumulator)}
            fine = reached == [total] and not comes_near_an_edge(w, g, weights, total, name)
            fine = fine and not (negative_zero and total == 0)  # WEIGHT-2: the sign of an infinity is not judged
            values[pair] = negated(divide(multiply(w, g), total)), len(words) > 1, fine
        slope, unsure, fine = values[pair]
        found.exact.append(slope)
        found.unsure.append(unsure)
        found.surely_fine.append(fine)


def extended_sum(values: Counter[float]) -> Extended:
    """The exact sum of values that occur so often; NaN, or an infinity, where one of them is not finite."""
    special = {str(value) for value in values if not math.isfinite(value)}
    if not special:
        return sum_of([Fraction(value) * often for value, often in values.items()])
    return math.nan if len(special) > 1 else float(special.pop())


def sum_is_order_free(values: Counter[float], accumulator: str) -> bool:
    """Whether all partial sums, in any order, are numbers of the accumulator."""
    return order_free([Fraction(value) for value in values.elements()], accumulator)


def divide(top: Extended, bottom: Extended) -> Extended:
    """top/bottom by IEEE 754; a zero below is +0."""
    if str(top) == NAN or str(bottom) == NAN:
        return math.nan
    if isinstance(bottom, float):
        return Fraction(0) if isinstance(top, Fraction) else math.nan
    if bottom == 0:
        return math.nan if top == 0 else math.inf if top > 0 else -math.inf
    if isinstance(top, float):
        return top if bottom > 0 else -top
    return top / bottom


def times(a: Extended, b: Extended) -> Extended:
    """a b over extended reals."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a * b
    if str(a) == NAN or str(b) == NAN or a == 0 or b == 0:
        return math.nan
    return math.inf if (a > 0) == (b > 0) else -math.inf


def sums_reached(weights: Counter[float], total: Extended, accumulator: str) -> list[Extended]:
    """W, and what else rounding may make of it: 0, or by overflow an infinity or NaN."""
    beyond = largest(accumulator) * (1 + Fraction(1, 2 ** (LAYOUTS[accumulator][1] + 1)))
    finite = {Fraction(weight): often for weight, often in weights.items() if math.isfinite(weight)}
    above, below = (sum_of([abs(w) * n for w, n in finite.items() if (w > 0) == plus]) for plus in (True, False))
    reached = [total]
    if str(total) != NAN:
        reached += [math.inf] * (above > beyond) + [-math.inf] * (below > beyond)
    if {math.inf, -math.inf} <= set(reached):
        reached.append(math.nan)
    if isinstance(total, Fraction) and total and above and below and not sum_is_order_free(weights, accumulator):
        rounding = (above + below) * (weights.total() - 1) / 2 ** (LAYOUTS[accumulator][1] + 1)  # numerics.md (S2)
        reached += [Fraction(0)] * (rounding >= abs(total))
    return reached


def words_reached(weight: float, g: float, total: Extended, accumulator: str) -> set[str]:
    """Whether some order of the operations makes NaN, which infinity, or a number ("finite") of g w/W."""

    def kept(value: Extended) -> Extended:
        """An intermediate: infinite beyond the accumulator's range, 0 where it rounds to that."""
        if not isinstance(value, Fraction) or value == 0:
            return value
        if abs(value) > largest(accumulator):
            return math.inf if value > 0 else -math.inf
        return value if 2 * abs(value) > spacing(accumulator) else Fraction(0)

    w, up = wrap(weight), wrap(g)
    share, slope, inverse = (kept(divide(value, total)) for value in (w, up, Fraction(1)))
    product = kept(times(w, up))
    ways = [divide(product, total), times(slope, w), times(up, share), times(product, inverse)]
    ways += [times(kept(times(up, inverse)), w), times(up, kept(times(w, inverse)))]
    return {limit_word(kept(way)) for way in ways}


def comes_near_an_edge(weight: float, g: float, weights: Counter[float], total: Extended, name: str) -> bool:
    """Whether anything on the way is within a factor of 2^10 of leaving the range, or W of being rounding errors."""
    accumulator, factor = ACCUMULATOR[name], 1024
    w, up, one = wrap(weight), wrap(g), Fraction(1)
    reached = [times(w, up), *(divide(value, total) for value in (w, up, one, times(w, up)))]
    sizes = [abs(Fraction(value)) for value in weights if math.isfinite(value)]
    numbers = [abs(value) for value in reached if isinstance(value, Fraction)] + sizes
    if any(value * factor * weights.total() > largest(accumulator) for value in numbers):
        return True
    if total == 0 or len(numbers) < len(reached) + len(weights):  # 0 beside a 0 or an infinity makes NaN
        return any(0 < value < factor * smallest_normal(name) for value in (*numbers, abs(w), abs(up)))
    together = sum_of([abs(Fraction(value)) * often for value, often in weights.items()])
    return abs(total) * 2 ** LAYOUTS[accumulator][1] < 4 * weights.total() * together


def wrap(value: float) -> Extended:
    """A finite float as a Fraction."""
    return Fraction(value) if math.isfinite(value) else value


def is_nearest(code: int, value: Fraction, name: str) -> bool:
    """Whether the number with these bits is the nearest to `value` >= 0, of two the even one.

    Only the midpoints on both sides are looked at, which is far quicker than a search for the nearest number.
    """
    here = decode(code, name)
    below = here if code == 0 else (here + decode(code - 1, name)) / 2
    above = math.inf if code == infinity_code(name) else (here + decode(code + 1, name)) / 2
    return below <= value <= above and (code % 2 == 0 or below < value < above)
