"""Sums of two float64, rounded once to a format: to nearest, or inwards at the ends of a band."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..call import Array, dtype_of
from ..exact import FLOAT64, Format
from .twofold import two_sum


def nearest(high: Array, low: Array, fmt: Format) -> Array:
    """high + low, |low| <= |high| or high = 0, correctly rounded to nearest, ties to even, in the format's dtype."""
    high, low = _normal(high, low)
    if fmt == FLOAT64:
        return high
    place = np.maximum(np.frexp(high)[1] - fmt.t, fmt.emin - fmt.t + 1)
    scaled = np.ldexp(high, -place)
    below = np.floor(scaled)
    is_tie = (scaled - below == 0.5) & (low != 0)
    whole = np.where(is_tie, below + (low > 0), np.rint(scaled))
    rounded = np.where(np.isfinite(high), np.ldexp(whole, place), high)
    beyond = np.abs(rounded) > float(fmt.largest)
    return np.where(beyond, np.copysign(np.inf, rounded), rounded).astype(dtype_of(fmt.name))


def inwards(high: Array, low: Array, fmt: Format, side: int) -> Array:
    """The format's nearest number that is not below high + low (side 1), or not above (side -1)."""
    high, low = _normal(high, low)
    rounded = high.astype(dtype_of(fmt.name))
    back = rounded.astype(np.float64)
    outside = (back < high) | (back == high) & (low > 0) if side > 0 else (back > high) | (back == high) & (low < 0)
    toward: Any = rounded.dtype.type(side * np.inf)
    return np.where(outside, np.nextafter(rounded, toward), rounded)


def _normal(high: Array, low: Array) -> tuple[Array, Array]:
    s, t = two_sum(high, low)
    finite = np.isfinite(s)
    return np.where(finite | ~np.isfinite(high), s, s), np.where(finite, t, 0.0)
