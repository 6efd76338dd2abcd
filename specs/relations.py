"""What a relation between results of related calls comes to, of any loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .call import Array, Call
from .reductions import Arithmetic

Evaluate = Callable[[Call], Array]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two numbers that should agree: how far apart they are, how far they may be, and may be in own precision.

    `difference` is None where one of them is not finite; a tolerance is None where no bound says anything.
    """

    what: str
    difference: Fraction | None
    required: Fraction | None
    own: Fraction | None

    @property
    def is_open(self) -> bool:
        """Whether nothing can be said."""
        return self.required is None

    @property
    def fails(self) -> bool:
        """Whether the numbers are further apart than the required bounds allow."""
        return self.required is not None and (self.difference is None or self.difference > self.required)

    @property
    def fails_in_own_precision(self) -> bool:
        """Whether they are further apart than even the format's own precision explains."""
        return self.own is not None and (self.difference is None or self.difference > self.own)


# Runs a call and others made of it, and compares what they return.
Relation = Callable[[Evaluate, Call, Arithmetic], Iterator[Comparison]]


def number(value: Array) -> Fraction | None:
    """A 0-d result as an exact number, None when it is not finite."""
    return Fraction(float(value)) if value.shape == () and np.isfinite(value) else None


def same(what: str, a: Array, b: Array) -> Comparison:
    """Equality of every element, signs of zero left aside; NaN equals nothing."""
    same = a.shape == b.shape and bool((a == b).all())
    return Comparison(what, Fraction(0) if same else None, Fraction(0), Fraction(0))
