"""Exact values held as unevaluated sums of two float64, made by IEEE's + - * / alone: nobody's exp is trusted.

The rules' page derives what each operation errs by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from ..call import Array
from .carrier import Axes, Parts

_STEPS = 4096  # entries of the table of powers of two
_BITS = 260  # in which the tables are made


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b rounded, and what that lost (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _fast_two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b rounded, and what that lost, where |a| is not below |b| (Dekker)."""
    s = a + b
    return s, b - (s - a)


def _split(a: Array) -> tuple[Array, Array]:
    c = 134217729.0 * a
    high = c - (c - a)
    return high, a - high


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a b rounded, and what that lost (Dekker, Veltkamp)."""
    product, (a_high, a_low), (b_high, b_low) = a * b, _split(a), _split(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _tables() -> tuple[Array, Array, tuple[float, float, float]]:
    """2^(j/4096) as heads and tails, and ln(2)/4096 in three parts, of which the first two have 30 bits."""
    one = 1 << _BITS
    root = one << 1
    for _ in range(_STEPS.bit_length() - 1):
        root = math.isqrt(root << _BITS)
    powers = [one]
    while len(powers) < _STEPS:
        powers.append(powers[-1] * root >> _BITS)
    heads = [power / one for power in powers]
    tails = [(power - (int(head * 2.0**60) << _BITS - 60)) / one for power, head in zip(powers, heads, strict=True)]
    rest = sum((one // k) >> k for k in range(1, _BITS)) // _STEPS  # ln 2 = sum of 1 / (k 2^k)
    parts = []
    for _ in range(2):
        place = rest.bit_length() - 30
        parts.append((rest >> place << place) / one)
        rest -= rest >> place << place
    return np.array(heads), np.array(tails), (parts[0], parts[1], rest / one)


_HEADS, _TAILS, (_LN2_HIGH, _LN2_MIDDLE, _LN2_LOW) = _tables()


class Twofold:
    """high + low, |low| <= ulp(high)/2."""

    roundoff: ClassVar[float] = 2.0**-100
    exp_error: ClassVar[float] = 2.0**-90
    expm1_error: ClassVar[float] = 2.0**-70
    log_error: ClassVar[float] = 2.0**-76
    log_at_most: ClassVar[float] = 2.0**-90
    product_loss: ClassVar[float] = 2.0**-1060
    vanishing: ClassVar[float] = 2.0**-1060
    holds_radius: ClassVar[bool] = False
    __slots__ = ("high", "low")
    __array_ufunc__ = None

    def __init__(self, high: Any, low: Any) -> None:
        self.high, self.low = high, low

    @classmethod
    def load(cls, array: Array) -> Self:
        high = array.astype(np.float64)
        return cls(high, np.zeros_like(high))

    @staticmethod
    def sum_factor(terms: int) -> float:
        return 2.0**-98 + terms**4 * 2.0**-150

    @staticmethod
    def normal(s: Array, t: Array) -> Twofold:
        """s + t, |t| being small beside |s|, with infinities and NaN in the high part alone."""
        high = s + t
        if np.isfinite(high).all():
            return Twofold(high, t - (high - s))
        finite = np.isfinite(high)
        return Twofold(np.where(finite, high, s), np.where(finite, t - (high - s), 0.0))

    def __neg__(self) -> Twofold:
        return Twofold(-self.high, -self.low)

    def __add__(self, other: Twofold) -> Twofold:
        s, e = two_sum(self.high, other.high)
        t, f = two_sum(self.low, other.low)
        e = e + t
        high = s + e
        if not np.isfinite(high).all():
            return self.normal(s, e)
        return self.normal(high, (e - (high - s)) + f)

    def __sub__(self, other: Twofold) -> Twofold:
        return self + -other

    def __mul__(self, other: Twofold) -> Twofold:
        one, two = (np.abs(x.high).max(initial=0.0) for x in (self, other))
        if max(one, two) < 2.0**990 and one * two < 2.0**1000:
            return self._product(other)
        a, b = np.frexp(self.high)[1], np.frexp(other.high)[1]  # splitting overflows near the largest number
        return self._scaled(-a)._product(other._scaled(-b))._scaled(a + b)

    def _product(self, other: Twofold) -> Twofold:
        product, e = _two_product(self.high, other.high)
        return self.normal(product, e + (self.high * other.low + self.low * other.high))

    def __truediv__(self, other: Twofold) -> Twofold:
        if _is_moderate(self.high) and _is_moderate(other.high):
            return self._quotient(other)
        a, b = np.frexp(self.high)[1], np.frexp(other.high)[1]  # so that no rest underflows
        return self._scaled(-a)._quotient(other._scaled(-b))._scaled(a - b)

    def _quotient(self, other: Twofold) -> Twofold:
        quotient = self.high / other.high
        rest = self - other * Twofold(quotient, np.zeros_like(quotient))
        return self.normal(quotient, rest.high / other.high)

    def _scaled(self, exponents: Any) -> Twofold:
        """Times powers of two; an infinity has nothing beside it."""
        high = np.ldexp(self.high, exponents)
        return Twofold(high, np.where(np.isfinite(high), np.ldexp(self.low, exponents), 0.0))

    def exp(self) -> Twofold:
        """2^(n/4096) (1 + p), p = e^r - 1, |r| < 2^-13.5."""
        n, p = self._reduced()
        j = n & (_STEPS - 1)
        head, tail = _HEADS[j], _TAILS[j]
        product, e = _two_product(head, p.high)
        s, f = _fast_two_sum(head, product)
        z = self.normal(s, f + (e + (tail + (head * p.low + tail * p.high))))
        n = n >> 12
        z = z._scaled(n)
        if np.abs(self.high).max(initial=0.0) < 708:
            return z
        kept = np.abs(self.high) <= 745
        beyond = np.where(np.isnan(self.high), np.nan, np.where(self.high > 0, np.inf, 0.0))
        finite = kept & np.isfinite(z.high)
        return Twofold(np.where(kept, z.high, beyond), np.where(finite, z.low, 0.0))

    def _reduced(self) -> tuple[Array, Twofold]:
        """n and e^r - 1, r being what is left of x after n ln(2)/4096."""
        k = np.rint(np.fmin(np.fmax(self.high, -760.0), 760.0) * (_STEPS / math.log(2)))
        high = self.high - k * _LN2_HIGH
        high, low = two_sum(high, k * -_LN2_MIDDLE)
        high, low = _fast_two_sum(high, low + (self.low - k * _LN2_LOW))
        return k.astype(np.int64), _small_expm1(high, low)

    def log(self) -> Twofold:
        """One step of Newton's method from float64's guess, whatever that is worth; a series near 1."""
        if not _is_moderate(self.high):
            return self._log_scaled()
        guess = np.log(self.high)
        y = np.where(np.isfinite(guess), guess, 0.0)
        z = (self * Twofold(-y, np.zeros_like(y)).exp()) - _ONE
        rho = z.high
        s, e = two_sum(y, rho)
        step = self.normal(s, e + (z.low - rho * rho * (0.5 - rho * (1 / 3))))
        near = np.abs(self.high - 1) < 2.0**-12
        if near.any():
            small = _log1p_of_small((self - _ONE).each(lambda x: np.where(near, x, 0.0)))
            step = step.each(lambda a, b: np.where(near, b, a), small)
        right = np.abs(rho) < 2.0**-30
        if right.all():
            return step
        special = np.where(np.isfinite(guess), np.nan, guess)  # NaN where the guess was bad: another carrier's turn
        return Twofold(np.where(right, step.high, special), np.where(right, step.low, 0.0))

    def _log_scaled(self) -> Twofold:
        """log(m) + k log(2), of a mantissa and its power of two."""
        k = np.where(np.isfinite(self.high), np.frexp(self.high)[1], 0)
        mantissa = self._scaled(-k).log()
        steps = k.astype(np.float64) * _STEPS
        return (
            mantissa
            + self.normal(*two_sum(steps * _LN2_HIGH, steps * _LN2_MIDDLE))
            + Twofold(steps * _LN2_LOW, np.zeros_like(steps))
        )

    def expm1(self) -> Twofold:
        z = self.exp() - _ONE
        small = np.abs(self.high) < math.log(2) / (3 * _STEPS)
        if not small.any():
            return z
        near = _small_expm1(np.where(small, self.high, 0.0), np.where(small, self.low, 0.0))
        return z.each(lambda a, b: np.where(small, b, a), near)

    def log1p(self) -> Twofold:
        z = (self + _ONE).log()
        small = np.abs(self.high) < 2.0**-12
        if not small.any():
            return z
        near = _log1p_of_small(self.each(lambda x: np.where(small, x, 0.0)))
        return z.each(lambda a, b: np.where(small, b, a), near)

    def sqrt(self) -> Twofold:
        s = np.sqrt(self.high)
        rest = (self - Twofold(s, np.zeros_like(s)) * Twofold(s, np.zeros_like(s))).high
        return self.normal(s, np.where(s > 0, rest / (2 * np.where(s > 0, s, 1.0)), 0.0))

    def sum(self, axes: Axes) -> Twofold:
        """Cut twice so that the upper parts add without rounding."""
        terms = math.prod(self.high.shape[axis] for axis in axes)
        top = np.abs(self.high).max(axes, keepdims=True, initial=0.0)
        if not np.isfinite(top).all():
            return self._sum_with_specials(axes, np.isfinite(top))
        bits, exponent = terms.bit_length() + 1, np.frexp(top)[1]
        if (exponent + bits > 1000).any():
            return self._sum_scaled(axes, np.where(exponent + bits > 1000, 100 + bits, 0))
        cut = np.ldexp(1.5, exponent + bits)
        upper = (self.high + cut) - cut
        rest, lost = two_sum(self.high - upper, self.low)
        cut = np.ldexp(cut, bits - 52)
        middle = (rest + cut) - cut
        lower = ((rest - middle) + lost).sum(axes, keepdims=True)
        s, e = two_sum(upper.sum(axes, keepdims=True), middle.sum(axes, keepdims=True))
        return self.normal(s, e + lower)

    def _sum_scaled(self, axes: Axes, shift: Array) -> Twofold:
        return self._scaled(-shift).sum(axes)._scaled(shift)

    def _sum_with_specials(self, axes: Axes, finite: Array) -> Twofold:
        z = self.each(lambda x: np.where(finite, x, 0.0)).sum(axes)
        return Twofold(np.where(finite, z.high, self.high.sum(axes, keepdims=True)), np.where(finite, z.low, 0.0))

    def max(self, axes: Axes) -> Twofold:
        high = self.high.max(axes, keepdims=True)
        low = np.where(self.high == high, self.low, -np.inf).max(axes, keepdims=True)
        return Twofold(high, np.where(np.isfinite(high), low, 0.0))

    def each(self, select: Callable[..., Array], *others: Twofold) -> Twofold:
        return Twofold(
            select(self.high, *(other.high for other in others)), select(self.low, *(other.low for other in others))
        )

    def size(self) -> Array:
        return np.abs(self.high)

    def real(self) -> Array:
        return self.high

    def parts(self) -> Parts:
        return Parts(self.high, self.low, np.zeros_like(self.high))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.high.shape


_ONE = Twofold(np.float64(1.0), np.float64(0.0))


def _is_moderate(high: Array) -> bool:
    """Whether products of these, of their reciprocals and of their rests stay normal."""
    sizes = np.abs(high)
    return not ((sizes < 2.0**-400) & (sizes > 0) | (sizes > 2.0**400) & np.isfinite(sizes)).any()


def _small_expm1(high: Array, low: Array) -> Twofold:
    """e^r - 1 for |r| < 2^-13: r + r^2/2 in twofold, the rest of the series in float64."""
    square, lost = _two_product(high, high)
    cube = square * high
    half = 0.5 * square
    tail = 0.5 * lost + high * low + cube * (1 / 6 + high * (1 / 24 + high * (1 / 120 + high * (1 / 720))))
    s, e = _fast_two_sum(high, half)
    return Twofold.normal(s, e + (low + tail))


def _log1p_of_small(t: Twofold) -> Twofold:
    """log(1 + t) = 2 artanh(t/(2 + t)) for |t| < 2^-12."""
    s = t / (t + _TWO)
    w = s.high * s.high
    double = Twofold(2 * s.high, 2 * s.low)
    series = w * (1 / 3 + w * (1 / 5 + w * (1 / 7 + w * (1 / 9))))
    return double + Twofold(double.high * series, np.zeros_like(w))


_TWO = Twofold(np.float64(2.0), np.float64(0.0))
