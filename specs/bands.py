"""Where numbers may lie that have a tolerance each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .call import Array, dtype_of
from .exact import Format, round_to


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Where numbers may lie: each in `low`..`high`, anywhere where it is `free`."""

    low: Array
    high: Array
    free: Array

    @classmethod
    def of(cls, low: Array, high: Array, free: Any = False) -> Band:
        """A band that says nothing where it is free, nor where it reaches from infinity to infinity."""
        return cls(low, high, free | np.isinf(low) & np.isinf(high) & (low != high))

    def holds(self, value: Array) -> Array:
        """Which numbers lie inside; NaN does nowhere but where it is free."""
        with np.errstate(invalid="ignore"):
            return self.free | (self.low <= value) & (value <= self.high)

    @classmethod
    def around(cls, exact: Sequence[Fraction], bounds: Sequence[Fraction | None], fmt: Format) -> Band:
        """The numbers of a format that lie within bounds of exact ones, as 1-d arrays; free where there is no bound."""
        ends = [interval(value, bound, fmt) for value, bound in zip(exact, bounds, strict=True)]
        low, high = (np.array([pair[side] for pair in ends]).astype(dtype_of(fmt.name)) for side in (0, 1))
        return cls.of(low, high, np.array([bound is None for bound in bounds], bool))


def interval(exact: Fraction, bound: Fraction | None, fmt: Format) -> tuple[float, float]:
    """The smallest and the largest number of a format within the bound; all numbers where there is none."""
    if bound is None:
        return -math.inf, math.inf
    return -_below(bound - exact, fmt), _below(exact + bound, fmt)


def _below(value: Fraction, fmt: Format) -> float:
    """The largest number of a format that is not above the value; infinity where rounding it overflows."""
    rounded = round_to(value, fmt)
    if math.isinf(rounded) or Fraction(rounded) <= value:
        return rounded
    if rounded == -float(fmt.largest):
        return -math.inf
    mantissa, exponent = math.frexp(rounded)
    exponent -= mantissa == 0.5  # below a positive power of two the gap is half as wide
    return rounded - math.ldexp(1.0, max(exponent - fmt.t, fmt.emin - fmt.t + 1) if rounded else fmt.emin - fmt.t + 1)
