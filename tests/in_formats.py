"""Numbers in the four floating-point formats, for tests of arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from lossparity.specs.call import Array, dtype_of

TWO = Fraction(2)


def cast(values: object, name: str) -> Array:
    """float64 numbers in a format."""
    with np.errstate(all="ignore"):
        return np.asarray(values, dtype=np.float64).astype(dtype_of(name))


def fractions(array: Array) -> list[Fraction]:
    """Every element, exactly."""
    return [Fraction(value) for value in array.astype(np.float64).ravel().tolist()]


def finite_bits(rng: np.random.Generator, size: int, name: str) -> Array:
    """Finite numbers drawn uniformly over bit patterns: every exponent, subnormals included."""
    dtype = dtype_of(name)
    drawn = np.frombuffer(rng.bytes((4 * size + 64) * dtype.itemsize), dtype)
    with np.errstate(all="ignore"):
        return drawn[np.isfinite(drawn.astype(np.float64))][:size].copy()
