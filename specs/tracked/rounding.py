"""Sums of two float64, rounded once to a format: to nearest, or inwards at the ends of a band."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..call import Array, dtype_of
from ..exact import FLOAT16, FLOAT32, FLOAT64, Format
from .twofold import two_sum

_CAST_ONCE = (FLOAT16, FLOAT32)  # NumPy rounds float64 to these once; to bfloat16 by way of float32


def nearest(high: Array, low: Array, fmt: Format) -> Array:
    """high + low, correctly rounded to nearest, ties to even, in the format's dtype."""
    if fmt == FLOAT64:
        return high + low
    s, t = _normal(high, low)
    rounded = s.astype(dtype_of(fmt.name))
    if fmt in _CAST_ONCE:
        mirrored = s + (s - rounded)
        if not ((t != 0) & (mirrored != s) & (mirrored.astype(rounded.dtype) == mirrored)).any():
            return rounded  # s is nowhere the middle of two numbers, so that t decides nothing
    place = np.maximum(np.frexp(s)[1] - fmt.t, fmt.emin - fmt.t + 1)
    scaled = np.ldexp(s, -place)
    below = np.floor(scaled)
    whole = np.where((scaled - below == 0.5) & (t != 0), below + (t > 0), np.rint(scaled))
    exact = np.where(np.isfinite(s), np.ldexp(whole, place), s)
    beyond = np.abs(exact) > float(fmt.largest)
    return np.where(beyond, np.copysign(np.inf, exact), exact).astype(rounded.dtype)


def inwards(high: Array, low: Array, fmt: Format, side: int) -> Array:
    """The format's nearest number that is not below high + low (side 1), or not above (side -1)."""
    s, t = _normal(high, low)
    rounded = s.astype(dtype_of(fmt.name))
    beside = side * t > 0
    if fmt != FLOAT64:
        back = rounded.astype(np.float64)
        beside = (side * back < side * s) | (back == s) & beside
        beside &= np.abs(s) < float(fmt.overflow_threshold)  # infinities stand for all that is rounded to them
    toward: Any = rounded.dtype.type(side * np.inf)
    return np.nextafter(rounded, toward, out=rounded, where=beside)


def _normal(high: Array, low: Array) -> tuple[Array, Array]:
    s, t = two_sum(high, low)
    return s, t if np.isfinite(s).all() else np.where(np.isfinite(s), t, 0.0)
