"""A stream of pseudo-random numbers that is the same on every machine and in every version of NumPy.

Only PCG64's raw 64-bit words are used, never NumPy's distributions, and only operations that IEEE 754 rounds
correctly: no logarithms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from .call import Array

T = TypeVar("T")

_HALF = np.uint64(32)
_SMALL = np.uint64(2**22)  # ranges whose bias stays below 2^-10


class Stream:
    """Draws from the raw words of a generator seeded by a text."""

    def __init__(self, *seed: object) -> None:
        digest = hashlib.sha256("/".join(map(str, seed)).encode()).digest()
        self._bits = np.random.PCG64(int.from_bytes(digest[:16], "little"))

    def integers(self, low: int, high: int, size: int) -> Array:
        """`size` integers in [low, high), int64, no value more likely than another by more than 1/1000.

        For small ranges the upper half of each word is multiplied by the range and the upper half of the product
        kept, which is several times faster than the remainder of a division.
        """
        words, span = self._bits.random_raw(size), np.uint64(high - low)
        if span > _SMALL:
            return low + (words % span).astype(np.int64)
        return low + (((words >> _HALF) * span) >> _HALF).astype(np.int64)

    def integer(self, low: int, high: int) -> int:
        """One integer in [low, high)."""
        return low + int(self._bits.random_raw()) % (high - low)

    def uniform(self, size: int) -> Array:
        """`size` float64 numbers in [0, 1), 53 random bits each."""
        return (self._bits.random_raw(size) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def choose(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.integer(0, len(options))]

    def signs(self, size: int) -> Array:
        """`size` numbers that are 1 or -1."""
        return self.integers(0, 2, size) * 2.0 - 1.0
