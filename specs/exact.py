"""Exact sums and products of floating-point arrays, correct rounding, ulp: arithmetic that knows no loss.

Every finite float16, bfloat16, float32 or float64 is an integer times a power of two, and so is every product
and every sum of them. A sum is therefore collected in integers, one bin per exponent (a superaccumulator), and
only turned into a `Fraction` at the end. Nothing here rounds unless its name says so.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .call import Array, dtype_of

# From this many terms on the vectorised bins are faster than a Python loop over integers.
_VECTORISE_FROM = 128
# Terms per block. Each bin sums at most 2^20 parts of at most 27 bits in float64: under 2^53, hence exact.
_BLOCK = 1 << 20


@functools.cache
def power_of_two(exponent: int) -> Fraction:
    """2^exponent."""
    return Fraction(2) ** exponent


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: `t` significant bits, exponents `emin`..`emax` of its normal numbers."""

    name: str
    t: int
    emin: int
    emax: int

    @functools.cached_property
    def u(self) -> float:
        """Unit roundoff of rounding to nearest, 2^-t."""
        return 2.0**-self.t

    @functools.cached_property
    def smallest_normal(self) -> Fraction:
        """lambda, 2^emin."""
        return power_of_two(self.emin)

    @functools.cached_property
    def smallest_subnormal(self) -> Fraction:
        """mu, the spacing of the subnormal numbers, 2^(emin - t + 1)."""
        return power_of_two(self.emin - self.t + 1)

    @functools.cached_property
    def largest(self) -> Fraction:
        """Omega, the largest finite number."""
        return (2 - power_of_two(1 - self.t)) * power_of_two(self.emax)

    @functools.cached_property
    def overflow_threshold(self) -> Fraction:
        """The smallest magnitude that rounds to infinity: Omega plus half a unit in its last place."""
        return (2 - power_of_two(-self.t)) * power_of_two(self.emax)


FLOAT16 = Format("float16", 11, -14, 15)
BFLOAT16 = Format("bfloat16", 8, -126, 127)
FLOAT32 = Format("float32", 24, -126, 127)
FLOAT64 = Format("float64", 53, -1022, 1023)
FORMATS = {fmt.name: fmt for fmt in (FLOAT16, BFLOAT16, FLOAT32, FLOAT64)}


# --- rounding --------------------------------------------------------------------------------------------


def round_to(value: Fraction, fmt: Format) -> float:
    """The number of `fmt` nearest to `value`, ties to even, as a Python float (which holds all four formats).

    Subnormals and overflow to infinity follow IEEE 754; what rounds to zero keeps its sign.
    """
    sign = -1.0 if value < 0 else 1.0
    numerator, denominator = abs(value.numerator), value.denominator
    if numerator == 0:
        return 0.0
    exponent = max(floor_log2(value), fmt.emin) - fmt.t + 1  # of the last place
    if exponent >= 0:
        denominator <<= exponent
    else:
        numerator <<= -exponent
    quotient, remainder = divmod(numerator, denominator)
    if 2 * remainder > denominator or (2 * remainder == denominator and quotient & 1):
        quotient += 1
    if quotient.bit_length() + exponent > fmt.emax + 1:
        return sign * math.inf
    return sign * math.ldexp(quotient, exponent)


def floor_log2(value: Fraction) -> int:
    """The largest integer e with 2^e <= |value|; `value` is not zero."""
    numerator, denominator = abs(value.numerator), value.denominator
    e = numerator.bit_length() - denominator.bit_length()
    low = numerator << -e if e < 0 else numerator
    high = denominator << e if e > 0 else denominator
    return e if low >= high else e - 1


def in_multiples(value: Fraction, k: int) -> float:
    """value / 2^k, correctly rounded to float64, infinite beyond it; the division is Python's, of integers."""
    try:
        return value.numerator / (value.denominator << k) if k >= 0 else (value.numerator << -k) / value.denominator
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def ulp(value: Fraction, fmt: Format) -> Fraction:
    """The unit in the last place of `fmt` at `value` (Muller's, constant below the normal range)."""
    exponent = fmt.emin if value == 0 else min(max(floor_log2(value), fmt.emin), fmt.emax)
    return power_of_two(exponent - fmt.t + 1)


def ordinal(array: Array) -> Array:
    """Position of each number in its format's order, as int64: neighbours differ by 1, both zeros are 0."""
    signed = np.asarray(array, order="C").view(f"i{array.dtype.itemsize}").astype(np.int64)
    return np.where(signed < 0, np.int64(-(2 ** (8 * array.dtype.itemsize - 1))) - signed, signed)


def of_ordinal(rank: Any, dtype: np.dtype[Any]) -> Array:
    """The numbers of a format that have these ordinals; 0 is +0."""
    rank = np.asarray(rank, np.int64)
    sign = np.where(rank < 0, np.uint64(1 << (8 * dtype.itemsize - 1)), np.uint64(0))
    bits = sign + np.abs(rank).view(np.uint64)
    return bits.astype(f"u{dtype.itemsize}").view(dtype)


def steps_between(a: Array, b: Array) -> Array:
    """How many representable numbers `b` is away from `a`, elementwise, as uint64; both of one dtype."""
    first, second = ordinal(a), ordinal(b)
    high, low = np.maximum(first, second), np.minimum(first, second)
    return np.subtract(high.view(np.uint64), low.view(np.uint64))  # wraps rightly where int64 would overflow


def neighbour(value: Array, steps: int = 1) -> Array:
    """The number `steps` representable numbers further from zero, elementwise; zeros keep their sign's side."""
    bits = np.asarray(value, order="C").view(f"u{value.dtype.itemsize}")
    return np.asarray(bits + bits.dtype.type(steps)).view(value.dtype)


# --- sums ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExactSum:
    """An exact sum of terms.

    `total` is the sum, `magnitude` the sum of absolute values, and `quantum` the exponent e of the largest
    power of two that divides every term (0 for no terms): the terms are integers times 2^e.
    """

    total: Fraction
    magnitude: Fraction
    quantum: int


_NO_TERMS = ExactSum(Fraction(0), Fraction(0), 0)


def exact_sum(terms: Array) -> ExactSum:
    """Sum of finite numbers of any of the four formats, in any order, without rounding."""
    flat = terms.reshape(-1)
    if flat.size < _VECTORISE_FROM:
        return _sum_integers([value.as_integer_ratio() for value in flat.astype(np.float64).tolist()])
    return _sum_blocks([flat])


def exact_dot(weights: Array, values: Array) -> ExactSum:
    """Sum of the exact products of two finite arrays of one shape and format.

    Products of formats up to float32 (24 + 24 bits) are exact in float64 unless they leave its range, which
    they cannot. float64 significands are cut into halves and multiplied as integers.
    """
    weights, values = weights.reshape(-1), values.reshape(-1)
    if weights.size < _VECTORISE_FROM:
        pairs = zip(weights.astype(np.float64).tolist(), values.astype(np.float64).tolist(), strict=True)
        return _sum_integers([_product(*pair) for pair in pairs])
    if weights.dtype != np.float64:
        return exact_sum(weights.astype(np.float64) * values.astype(np.float64))
    return _sum_blocks([weights, values])


def _product(a: float, b: float) -> tuple[int, int]:
    (a_numerator, a_denominator), (b_numerator, b_denominator) = a.as_integer_ratio(), b.as_integer_ratio()
    return a_numerator * b_numerator, a_denominator * b_denominator


def _sum_integers(ratios: list[tuple[int, int]]) -> ExactSum:
    """Sum of numerator/denominator pairs whose denominators are powers of two."""
    if not ratios:
        return _NO_TERMS
    bits = max(denominator.bit_length() for _, denominator in ratios)
    scaled = [numerator << (bits - denominator.bit_length()) for numerator, denominator in ratios]
    any_bits = functools.reduce(int.__or__, map(abs, scaled))
    trailing = (any_bits & -any_bits).bit_length() - 1 if any_bits else bits - 1
    return _finish(sum(scaled), sum(map(abs, scaled)), 1 - bits, trailing + 1 - bits)


def _finish(total: int, magnitude: int, exponent: int, quantum: int) -> ExactSum:
    if exponent >= 0:
        return ExactSum(Fraction(total << exponent), Fraction(magnitude << exponent), quantum)
    denominator = 1 << -exponent
    return ExactSum(Fraction(total, denominator), Fraction(magnitude, denominator), quantum)


def _sum_blocks(factors: list[Array]) -> ExactSum:
    """Sum of the elementwise products of one or two arrays, block by block, in exponent bins."""
    bins: dict[int, list[int]] = {}  # exponent -> [sum of the positive integers, sum of the negative ones]
    quantum = math.inf
    for start in range(0, factors[0].size, _BLOCK):
        block = [factor[start : start + _BLOCK] for factor in factors]
        for integers, exponents in _integer_parts(block):
            _collect(bins, integers, exponents)
            quantum = min(quantum, _quantum(integers, exponents))
    if not bins:
        return _NO_TERMS
    low = min(bins)
    positive = sum(plus << (exponent - low) for exponent, (plus, _) in bins.items())
    negative = sum(minus << (exponent - low) for exponent, (_, minus) in bins.items())
    return _finish(positive - negative, positive + negative, low, int(quantum))


def _integer_parts(factors: list[Array]) -> list[tuple[Array, Array]]:
    """Terms as (integer-valued float64 of at most 27 bits, exponent) arrays that sum to them exactly."""
    if len(factors) == 1:
        mantissa, exponent = np.frexp(factors[0])
        if factors[0].dtype != np.float64:  # at most 24 bits: one part is enough
            return [(mantissa.astype(np.float64) * 2.0**24, exponent - 24)]
        high, low = _halves(mantissa)
        return [(high, exponent - 26), (low, exponent - 53)]
    (a_mantissa, a_exponent), (b_mantissa, b_exponent) = (np.frexp(factor) for factor in factors)
    exponent = a_exponent + b_exponent
    parts = []
    for a_part, a_shift in zip(_halves(a_mantissa), (26, 53), strict=True):
        for b_part, b_shift in zip(_halves(b_mantissa), (26, 53), strict=True):
            product = a_part.astype(np.int64) * b_part.astype(np.int64)  # 54 bits at most: cut again
            lower = np.fmod(product, 1 << 27)  # keeps the sign, so magnitudes add up
            upper = (product - lower) >> 27
            shift = a_shift + b_shift
            parts += [(upper, exponent - shift + 27), (lower, exponent - shift)]
    return parts


def _halves(mantissa: Array) -> tuple[Array, Array]:
    """A float64 mantissa in [1/2, 1) as integers h, l of at most 26 and 27 bits: m = h 2^-26 + l 2^-53."""
    high = np.trunc(mantissa * 2.0**26)
    return high, (mantissa * 2.0**26 - high) * 2.0**27


def _collect(bins: dict[int, list[int]], integers: Array, exponents: Array) -> None:
    """Add integer-valued parts into the bins of their exponents, positive and negative apart."""
    low = int(exponents.min())
    keys = (exponents - low) * 2 + (integers < 0)
    sums = np.bincount(keys, weights=np.abs(integers))
    for key in np.flatnonzero(sums).tolist():
        bins.setdefault(low + key // 2, [0, 0])[key % 2] += int(sums[key])


def _quantum(integers: Array, exponents: Array) -> float:
    """Exponent of the largest power of two that divides every part; infinite when all are zero."""
    bits = integers.astype(np.int64)
    lowest = (bits & -bits).astype(np.float64)
    places = np.frexp(lowest)[1] + (exponents - 1)
    return float(np.min(places, where=bits != 0, initial=2**30)) if bits.any() else math.inf


# --- one exact product per element -----------------------------------------------------------------------


def rounded_product(weights: Array, values: Array) -> Array:
    """The product of two arrays of one format, correctly rounded to that format, elementwise.

    float64 and float32 are the processor's own multiplication. Half formats multiply exactly in float32
    (11 + 11 or 8 + 8 bits) and round once; where the product leaves float32 it is exact in float64, and the
    rounding is done on integers.
    """
    if weights.dtype in (np.float64, np.float32):
        return weights * values
    product = weights.astype(np.float64) * values.astype(np.float64)
    single = product.astype(np.float32)
    rounded = single.astype(weights.dtype)
    inexact = np.flatnonzero(np.isfinite(product) & (single != product))
    fmt = FORMATS[weights.dtype.name]
    for index in inexact.tolist():
        exact = Fraction(float(product.flat[index]))
        rounded.flat[index] = math.copysign(round_to(exact, fmt), product.flat[index])
    return rounded


def as_format(value: float, fmt: Format) -> Array:
    """A Python float that is a number of `fmt`, as a 0-d array of that dtype."""
    return np.array(value, dtype=np.float64).astype(dtype_of(fmt.name))


def keeps_subnormals() -> bool:
    """Whether this thread's arithmetic keeps subnormal numbers: libraries may switch on flush-to-zero."""
    tiny: Any = np.array([5e-324, 2.0**-149], dtype=np.float64)
    single = tiny[1:].astype(np.float32)
    return bool((tiny[0] * np.float64(1.0) != 0) and (single * np.float32(1.0) != 0).all())
