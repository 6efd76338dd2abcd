"""What stands in the input of a generated call.

Each function fills from a `Stream` and rounds into a format. Why a family exists stands beside it: numerics of
this loss are convicted in three ways (exact data, few full significands, long sums), and each is blind where
another sees.
"""

from __future__ import annotations

import math

import numpy as np

from ..call import Array, dtype_of
from ..exact import FORMATS, Format
from ..stream import Stream

# --- inputs: (stream, size, format) -> float64 values, rounded into the format afterwards ------------------


def log_probabilities(stream: Stream, size: int, fmt: Format) -> Array:
    """What users pass: negative, most of them small. One sign, so sums are well conditioned."""
    return -16.0 * stream.uniform(size) * stream.uniform(size) - 2.0**-10


def dyadic(stream: Stream, size: int, fmt: Format) -> Array:
    """Multiples of 1/8 of either sign: sums are exact in any order, so the answer must be exact."""
    return stream.integers(-63, 64, size) / 8.0


def positive(stream: Stream, size: int, fmt: Format) -> Array:
    """Unnormalised and positive: an implementation that clamps at 0 or renormalises shows."""
    return 0.5 + 1.5 * stream.uniform(size)


def cancelling(stream: Stream, size: int, fmt: Format) -> Array:
    """Either sign: only the sum of magnitudes may enter a bound."""
    return stream.uniform(size) * stream.signs(size)


def wide(stream: Stream, size: int, fmt: Format) -> Array:
    """Exponents over half of the format's range, one sign: large terms swamp small ones."""
    half = min(fmt.emax // 2, 300)
    return -np.ldexp(1.0 + stream.uniform(size), stream.integers(-half, half, size))


def constant(stream: Stream, size: int, fmt: Format) -> Array:
    """One value everywhere: rounding errors of a running sum all point the same way."""
    return np.full(size, -0.1 - stream.integer(0, 8) / 7)


def very_negative(stream: Stream, size: int, fmt: Format) -> Array:
    """Masked logits: far below any clamp or epsilon."""
    return -float(fmt.largest) * 2.0**-12 * (1.0 + stream.uniform(size))


def subnormal(stream: Stream, size: int, fmt: Format) -> Array:
    """Below the normal range."""
    return -np.ldexp(stream.integers(0, 2 ** (fmt.t - 1), size).astype(np.float64), fmt.emin - fmt.t + 1)


def near_overflow(stream: Stream, size: int, fmt: Format) -> Array:
    """Up to Omega and one sign: a sum overflows, a mean must not unless float32 does."""
    return -float(fmt.largest) * (0.5 + 0.5 * stream.uniform(size))


def swamped(stream: Stream, size: int, fmt: Format) -> Array:
    """One large term first, then halves of its last place: a running sum loses all the others."""
    values = np.full(size, -float(fmt.u))
    values[:1] = -1.0
    return values


INPUTS = {
    family.__name__: family
    for family in (log_probabilities, dyadic, positive, cancelling, wide, constant, very_negative)
} | {family.__name__: family for family in (subnormal, near_overflow, swamped)}


def inputs(family: str, stream: Stream, shape: tuple[int, ...], dtype: str) -> Array:
    """An input array of one family."""
    values = INPUTS[family](stream, math.prod(shape), FORMATS[dtype])
    return values.astype(dtype_of(dtype)).reshape(shape)
