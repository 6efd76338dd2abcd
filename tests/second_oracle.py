"""A second oracle for `nll_loss`, written from the specification's text alone.

It shares no code with `specs`: one Python loop over positions, `fractions.Fraction` for everything finite,
and floating-point formats as integer codes. It is slow and plain on purpose; `test_oracle.py` holds the fast
one against it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from second_formats import LAYOUTS, decode, infinity_code, round_signed, smallest_normal, spacing

INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
ACCUMULATOR = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
NAN = "nan"


@dataclass
class Opinion:
    """What the specification makes of one call; which fields are set depends on it.

    `faults`: categories of error, with `poison` (flat, over positions) where the target's data is the only
    fault. `recorded`: the specification only asks to record. `elements`: `none`, flat, one entry a position:
    the bits, "nan", or None at poisoned ones. `limit`: a set of "nan", "inf", "-inf", "0", with `overflow`
    where finite terms or weights may overflow beside the special ones. `order_dependent`: nothing is certain.
    Otherwise the exact facts of a reduction.
    """

    faults: set[str] = field(default_factory=set)
    poison: list[bool] | None = None
    recorded: bool = False
    elements: list[int | str | None] | None = None
    products: list[Fraction | None] = field(default_factory=list)
    outcomes: list[set[str]] = field(default_factory=list)
    limit: set[str] | None = None
    overflow: bool = False
    order_dependent: bool = False
    n: int = 0
    S: Fraction = Fraction(0)
    M: Fraction = Fraction(0)
    W: Fraction = Fraction(0)
    W_abs: Fraction = Fraction(0)
    S_quantum: int = 0
    selected: list[tuple[float | None, float]] = field(default_factory=list)


def opinion(call: Any) -> Opinion:
    """Judge one `lossparity.specs.call.Call`."""
    faults = find_faults(call)
    if faults:
        bare = call.replace(weight=None, reduction="sum", transform=None)
        if not find_faults(bare) and any(chosen is None and not ignored for ignored, chosen in walk(bare)):
            faults.add("index")  # A-8: applicable although weight or reduction is wrong too
        return Opinion(faults=faults)
    positions = list(walk(call))
    poison = [chosen is None and not ignored for ignored, chosen in positions]
    result = Opinion()
    if any(poison):
        result.faults, result.poison = {"index"}, poison
    elif class_count(call) == 0:
        result.recorded = True
        return result
    result.selected = [chosen for _, chosen in positions if chosen is not None]
    if call["reduction"] == "none":
        fill_elements(result, positions, call["input"].dtype.name)
    elif not any(poison):
        fill_reduction(result, call)
    return result


def class_count(call: Any) -> int:
    """C: axis 1, or axis 0 of an unbatched input."""
    shape = call["input"].shape
    return shape[0] if len(shape) == 1 else shape[1]


def find_faults(call: Any) -> set[str]:
    """ERR-3 to ERR-8 and DTYPE-4, one `if` each."""
    found = set()
    shape, target_shape = list(call["input"].shape), list(call["target"].shape)
    name = call["input"].dtype.name
    if name not in LAYOUTS:  # ERR-8
        found.add("dtype")
    if call["target"].dtype.name not in INTEGERS:  # ERR-7
        found.add("dtype")
    if len(shape) == 0:  # ERR-4
        found.add("shape")
    elif len(shape) == 1:
        if target_shape != []:
            found.add("shape")
    elif target_shape != [shape[0], *shape[2:]]:  # ERR-3, ERR-4
        found.add("shape")
    if call["weight"] is not None and shape:
        if list(call["weight"].shape) != [class_count(call)]:  # ERR-5
            found.add("shape")
        if call["weight"].dtype.name != name:  # DTYPE-4
            found.add("dtype")
    if not (isinstance(call["reduction"], str) and call["reduction"] in {"none", "sum", "mean"}):  # ERR-6
        found.add("value")
    return found


def walk(call: Any) -> Iterator[tuple[bool, tuple[float | None, float] | None]]:
    """For every position in row-major order: is it ignored, and the (weight, input) that it selects.

    The pair is None where the position is ignored or names no class.
    """
    for place in itertools.product(*(range(length) for length in call["target"].shape)):
        label = int(call["target"][place].item())
        if label == call["ignore_index"]:
            yield True, None
        elif label < 0 or label >= class_count(call):
            yield False, None
        else:
            entry = (place[0], label, *place[1:]) if place else (label,)
            weight = None if call["weight"] is None else float(call["weight"][label].item())
            yield False, (weight, float(call["input"][entry].item()))


# --- `none` ----------------------------------------------------------------------------------------------


def fill_elements(result: Opinion, positions: list[Any], name: str) -> None:
    """VALUE-1, IGN-1, ACC-1 and SPECIAL-1 position by position."""
    result.elements = []
    for ignored, chosen in positions:
        if chosen is None:
            result.elements.append(0 if ignored else None)
            result.products.append(None)
            result.outcomes.append({"value"})
            continue
        term = negated(multiply(*chosen))
        result.elements.append(bits_of(term, name))
        result.products.append(term if isinstance(term, Fraction) else None)
        result.outcomes.append(flushed_outcomes(*chosen, name))


def multiply(weight: float | None, x: float) -> Fraction | float:
    """weight * x: a Fraction, or a float that is inf, -inf or NaN. No weight is a weight of one."""
    if weight is None:
        weight = 1.0
    if math.isnan(weight) or math.isnan(x):
        return math.nan
    if math.isinf(weight) or math.isinf(x):
        if weight == 0 or x == 0:
            return math.nan
        return math.inf if (weight > 0) == (x > 0) else -math.inf
    return Fraction(weight) * Fraction(x)


def negated(value: Fraction | float) -> Fraction | float:
    """-value."""
    return -value


def bits_of(value: Fraction | float, name: str) -> int | str:
    """The bits of a correctly rounded extended real, or "nan"."""
    if isinstance(value, Fraction):
        return round_signed(value, name)
    if math.isnan(value):
        return NAN
    return infinity_code(name) | (1 << (LAYOUTS[name][0] - 1) if value < 0 else 0)


def flushed_outcomes(weight: float | None, x: float, name: str) -> set[str]:
    """DENORM for one product: which of value, zero and nan a flushing subject may return."""
    tiny = smallest_normal(name)
    outcomes = set()
    for w in readings(1.0 if weight is None else weight, tiny):
        for y in readings(x, tiny):
            product = multiply(w, y)
            if not isinstance(product, Fraction):
                outcomes.add(NAN if math.isnan(product) else "value")
            elif product == 0:
                outcomes.add("zero")
            else:
                outcomes |= {"value", "zero"} if abs(product) < tiny else {"value"}
    return outcomes


def readings(value: float, tiny: Fraction) -> list[float]:
    """What a flushing subject may read: the number itself, or 0 where it is subnormal."""
    return [value, 0.0] if 0 < abs(value) < tiny else [value]


# --- `sum` and `mean` ------------------------------------------------------------------------------------


def fill_reduction(result: Opinion, call: Any) -> None:
    """VALUE-2, VALUE-3, WEIGHT-2, SPECIAL-1, IGN-6, SHAPE-6."""
    mean, weighted = call["reduction"] == "mean", call["weight"] is not None
    result.n = len(result.selected)
    if result.n == 0:
        result.limit = {NAN} if mean else {"0"}
        return
    terms = [multiply(*pair) for pair in result.selected]
    weights = [1.0 if weight is None else weight for weight, _ in result.selected]
    accumulator = ACCUMULATOR[call["input"].dtype.name]
    if not all(isinstance(term, Fraction) for term in terms):
        tops = limit_of_sum(terms, accumulator)
        result.limit = limit_of_mean(tops, weights, accumulator) if mean else tops
        finite = [abs(term) for term in terms if isinstance(term, Fraction)]
        small_weights = [abs(Fraction(weight)) for weight in weights if math.isfinite(weight)]
        nearly = largest(accumulator) * Fraction(99, 100)
        result.overflow = sum_of(finite) > nearly or (mean and sum_of(small_weights) > nearly)
        return
    exact = [term for term in terms if isinstance(term, Fraction)]
    fractions = [Fraction(weight) for weight in weights]
    result.S, result.M = sum_of(exact), sum_of([abs(term) for term in exact])
    result.W, result.W_abs = sum_of(fractions), sum_of([abs(weight) for weight in fractions])
    result.S_quantum = common_quantum(exact)
    if mean and result.W == 0:
        assert weighted
        zero_normaliser(result, exact, weights, accumulator)


def zero_normaliser(result: Opinion, terms: list[Fraction], weights: list[float], accumulator: str) -> None:
    """WEIGHT-2: S/0 with kept positions."""
    if all(weight == 0 for weight in weights):
        result.limit = {NAN}
    elif not (order_free(terms, accumulator) and order_free([Fraction(w) for w in weights], accumulator)):
        result.order_dependent = True
    elif result.S == 0:
        result.limit = {NAN}
    elif any(weight == 0 and math.copysign(1, weight) < 0 for weight in weights):
        result.limit = {"inf", "-inf"}
    else:
        result.limit = {"-inf"} if result.S > 0 else {"inf"}


def largest(name: str) -> Fraction:
    """The largest finite number."""
    return decode(infinity_code(name) - 1, name)


def limit_of_sum(terms: list[Fraction | float], accumulator: str) -> set[str]:
    """The negated sum of extended reals of which at least one is not finite.

    Finite terms of the other sign may overflow to an infinity of the other sign, and the two make NaN.
    """
    special = {str(term) for term in terms if not isinstance(term, Fraction)}
    if NAN in special or special == {"inf", "-inf"}:
        return {NAN}
    plus = special == {"inf"}
    opposed = [abs(term) for term in terms if isinstance(term, Fraction) and (term < 0) == plus]
    return {"-inf" if plus else "inf"} | ({NAN} if sum_of(opposed) > largest(accumulator) else set())


def limit_of_mean(tops: set[str], weights: list[float], accumulator: str) -> set[str]:
    """-S/W, S being infinite or NaN."""
    if tops == {NAN} or any(math.isnan(weight) or math.isinf(weight) for weight in weights):
        return {NAN}
    fractions = [Fraction(weight) for weight in weights]
    W, W_abs = sum_of(fractions), sum_of([abs(weight) for weight in fractions])
    sign_is_certain = W != 0 and (abs(W) == W_abs or order_free(fractions, accumulator))
    opposite = {"inf": "-inf", "-inf": "inf", NAN: NAN}
    bottoms = {opposite[name] for name in tops} if W < 0 else tops
    both = bottoms if sign_is_certain else bottoms | {opposite[name] for name in bottoms}
    return both | ({NAN} if W_abs > largest(accumulator) else set())  # W may overflow, and inf/inf is NaN


def sum_of(values: list[Fraction]) -> Fraction:
    """Their exact sum."""
    total = Fraction(0)
    for value in values:
        total += value
    return total


def common_quantum(values: list[Fraction]) -> int:
    """The largest e for which every value is an integer times 2^e; 0 when all are zero."""
    exponents = []
    for value in values:
        if value:
            twos = 0
            top = abs(value.numerator)
            while top % 2 == 0:
                top //= 2
                twos += 1
            exponents.append(twos - (value.denominator.bit_length() - 1))
    return min(exponents, default=0)


def order_free(values: list[Fraction], accumulator: str) -> bool:
    """Numerics 3: all partial sums, in any order, are numbers of the accumulator."""
    magnitude = sum_of([abs(value) for value in values])
    if magnitude == 0:
        return True
    quantum = Fraction(2) ** common_quantum(values)
    significant = LAYOUTS[accumulator][1] + 1
    if quantum < spacing(accumulator) or magnitude > largest(accumulator):
        return False
    return magnitude <= 2**significant * quantum
