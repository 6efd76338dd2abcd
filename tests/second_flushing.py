"""Which limits of a reduction flush to zero can reach, by brute force, for the second oracle."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

from second_formats import smallest_normal
from second_oracle import NAN, multiply, negated, readings, walk


def flushed_limits(call: Any) -> set[str]:
    """DENORM for a reduction over at most three kept positions: each limit some order and flushing reaches.

    Each small operand, product and partial sum is kept or replaced by zero, in every order. A zero W may have
    either sign, unless it is exact: then it is +0. Rounding is not modelled, so use few-bit data without -0.
    A finite result is reported as "finite".
    """
    name = call["input"].dtype.name
    pairs = [chosen for _, chosen in walk(call) if chosen is not None]
    assert 0 < len(pairs) <= 3
    tiny = smallest_normal(name)
    terms = [products_reached(weight, x, tiny) for weight, x in pairs]
    tops = {value for choice in itertools.product(*terms) for value in sums_reached(choice, tiny)}
    if call["reduction"] == "sum":
        return {limit_word(negated(top)) for top in tops}
    readable = [readings(1.0 if weight is None else weight, tiny) for weight, _ in pairs]
    bottoms = {value for choice in itertools.product(*readable) for value in sums_reached(map(wrap, choice), tiny)}
    unflushed = [wrap(1.0 if weight is None else weight) for weight, _ in pairs]
    certain = sums_reached(unflushed, Fraction(0)) == {0}
    return {word for top in tops for bottom in bottoms for word in quotients(negated(top), bottom, certain)}


def wrap(value: float) -> Fraction | float:
    """A finite float as a Fraction, others as they are (one NaN object, so that sets work)."""
    return Fraction(value) if math.isfinite(value) else (math.nan if math.isnan(value) else value)


def products_reached(weight: float | None, x: float, tiny: Fraction) -> set[Fraction | float]:
    """Every value one product can take on a flushing subject."""
    reached: set[Fraction | float] = set()
    for w in readings(1.0 if weight is None else weight, tiny):
        for y in readings(x, tiny):
            product = multiply(w, y)
            reached |= with_zero(product, tiny)
    return reached


def with_zero(value: Fraction | float, tiny: Fraction) -> set[Fraction | float]:
    """What a flushing subject may make of a result: itself, or 0 where it is small."""
    return {value, Fraction(0)} if isinstance(value, Fraction) and abs(value) < tiny else {value}


def sums_reached(values: Any, tiny: Fraction) -> set[Fraction | float]:
    """Every value a sum of at most three terms can take on a flushing subject, in every order."""
    values = list(values)
    if len(values) == 1:
        return {values[0]}
    reached: set[Fraction | float] = set()
    for index, last in enumerate(values):
        for rest in sums_reached(values[:index] + values[index + 1 :], tiny):
            reached |= with_zero(add(rest, last), tiny)
    return reached


def add(a: Fraction | float, b: Fraction | float) -> Fraction | float:
    """a + b over extended reals."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a + b
    if isinstance(a, Fraction):
        return b
    return a if isinstance(b, Fraction) else wrap(a + b)


def quotients(top: Fraction | float, bottom: Fraction | float, plus_zero: bool) -> set[str]:
    """top/bottom over extended reals; a zero below has either sign, or is +0."""
    if limit_word(top) == NAN or limit_word(bottom) == NAN:
        return {NAN}
    if not isinstance(bottom, Fraction):
        return {"finite"} if isinstance(top, Fraction) else {NAN}
    if bottom == 0:
        signs = {"inf"} if top > 0 else {"-inf"}
        return {NAN} if top == 0 else signs if plus_zero else {"inf", "-inf"}
    if isinstance(top, Fraction):
        return {"finite"}
    return {"inf"} if (top > 0) == (bottom > 0) else {"-inf"}


def limit_word(value: Fraction | float) -> str:
    """The name of an extended real."""
    return "finite" if isinstance(value, Fraction) else str(value)
