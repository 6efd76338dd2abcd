"""Sums and means: what is exactly true of one, in which arithmetic it may be computed, and in how deep a tree."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from .exact import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, ExactSum, Format

# The accumulator that a wide implementation uses, and the one that the specification requires.
WIDE = {"float16": FLOAT32, "bfloat16": FLOAT32, "float32": FLOAT64, "float64": FLOAT64}
REQUIRED = {"float16": FLOAT32, "bfloat16": FLOAT32, "float32": FLOAT32, "float64": FLOAT64}
HALVES = (FLOAT16, BFLOAT16)


@dataclass(frozen=True)
class Reduction:
    """Exact facts about one reduction whose terms are all finite.

    `numerator` sums a_i = w_i x_i over the `n` kept positions of `positions`; `normaliser` sums the weights, and
    is None for a plain sum. `flushed` and `flushed_weights` bound what flushing operands and products to zero
    can remove from either. Terms that are computed themselves bring errors of their own: `inherited` is the sum of
    their bounds in each accumulator's arithmetic, by its name, and empty for terms that are there. The exact result is
    -numerator/normaliser.
    """

    fmt: Format
    n: int
    positions: int
    weighted: bool
    numerator: ExactSum
    normaliser: ExactSum | None
    flushed: float = 0.0
    flushed_weights: float = 0.0
    inherited: Mapping[str, Fraction] = field(default_factory=dict)

    def inherited_in(self, accumulator: Format) -> Fraction:
        """What the terms' own errors add up to in this arithmetic; raises KeyError where nothing says it."""
        return self.inherited[accumulator.name] if self.inherited else Fraction(0)

    @functools.cached_property
    def exact(self) -> Fraction:
        """The exact result; raises ZeroDivisionError for a mean whose normaliser is 0."""
        if self.normaliser is None:
            return -self.numerator.total
        return -self.numerator.total / self.normaliser.total


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What a subject's arithmetic is allowed to do in one dtype.

    `flush`: subnormal numbers may be read and written as zero. `per_term`: a mean is summed from terms that were
    divided by W one by one.
    """

    flush: bool = False
    per_term: bool = False


IEEE = Arithmetic()


@dataclass(frozen=True, slots=True)
class Tier:
    """A way of adding up: accumulator format and the height of the summation tree."""

    accumulator: Format
    height: int


def logarithmic_height(positions: int) -> int:
    """The height allowed to a careful summation of so many positions, 64 + 2 ceil(log2 N)."""
    return 64 + 2 * max(positions - 1, 0).bit_length()
