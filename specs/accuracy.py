"""How far from the exact answer a sum or a mean may be, derived and never picked.

Notation (the derivations' own): p is the storage format, q the accumulator's, u = 2^-t their unit roundoff,
mu the smallest subnormal, lambda the smallest normal, Omega the largest number. n terms a_i, S their exact sum,
M the sum of |a_i|, W the exact normaliser, W_a the sum of the absolute weights, R = S/W.

Each paragraph is a function below, named after it at the head of its docstring.

*Sum of height h.* Rounding to nearest makes every addition exact up to a factor (1+d), |d| <= u, and additions
do not underflow. A term passes through at most h additions, so |computed - S| <= ((1+u)^h - 1) M =: g_h M
(Higham, Accuracy and Stability, ch. 4). Independently (n-1) u M holds for every order and every n, by
induction over the tree's root: its rounding error is at most the smaller of its two operands and u times their
sum, and whichever of the three is smallest is covered by n2 u M1 + n1 u M2 (after Rump, BIT 2012, and Lange and
Rump 2017). E_sum = min(g_h, (n-1) u). The input [1, u, u, ...] reaches it, so it cannot be tightened.

*Products.* Exact when q holds 2 t_p bits, else one relative error u_q each, plus mu_q/2 where a product can
fall below lambda_q without being a multiple of mu_q.

*Terms that are computed.* Those that are off by B_i themselves go through the same additions: S is off by
(1 + E_sum) times the sum of B_i more.

*Mean.* (S+eS)/(W+eW) - S/W = (eS - R eW)/(W+eW) exactly, so |error| <= (E_S + |R| e_W)/(|W| - e_W) while
e_W < |W|, then two roundings (a reciprocal and a multiplication; a true division makes one of them). Where
e_W >= |W| nothing can be said: the bound is infinite.

*Final rounding* into a narrower p adds u_p (|R| + E) + mu_p/2.

*Gradient of a mean.* g w / W is made of two or three operations, in any order, one of them perhaps a reciprocal: a
relative error of (1+u_q)^3 / (1 - e_W/|W|) - 1. An intermediate (g w, g/W, w/W, 1/W) that is subnormal is off by up
to mu_q/2, times what it is multiplied or divided by afterwards.

*Flush to zero.* Every operand, product, partial sum or result below lambda may become 0, which costs at most
itself each time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from .exact import ExactSum, Format, floor_log2, in_multiples, power_of_two
from .reductions import HALVES, IEEE, Arithmetic, Reduction, Tier

# The bounds are evaluated in float64 with a few dozen roundings; this covers them many times over.
_SAFETY = 1 + 2.0**-40
_ROUNDINGS_OF_A_QUOTIENT = 2
_LARGEST_EXPONENT = 700.0  # of expm1: beyond it float64 ends, and (n-1) u is the smaller one long before


@dataclass(frozen=True, slots=True)
class Bound:
    """size * 2^scale, the most that |observed - exact| may be; an infinite one allows everything.

    The scale keeps float64 from over- and underflowing on extreme data.
    """

    size: float
    scale: int

    @property
    def is_vacuous(self) -> bool:
        """Whether nothing can be said."""
        return math.isinf(self.size)

    @property
    def exact(self) -> Fraction:
        """The bound as a fraction; raises OverflowError where it is vacuous."""
        return Fraction(self.size) * power_of_two(self.scale)

    def holds(self, error: Fraction) -> bool:
        """Whether an error is inside."""
        return self.is_vacuous or not _is_above(error, self.size, self.scale)

    def judges(self, exact: Fraction, error: Fraction) -> bool | None:
        """Whether an error is inside; None where the bound is so wide that being inside says nothing."""
        if not self.holds(error):
            return False
        vacuous = self.is_vacuous or (self.size > 0 and not _is_above(abs(exact), self.size, self.scale + 1))
        return None if vacuous else True

    def share(self, error: Fraction) -> float:
        """An error over the bound, as far as float64 reaches."""
        if error == 0 or self.is_vacuous:
            return 0.0
        return min(in_multiples(error, self.scale) / self.size, sys.float_info.max) if self.size else sys.float_info.max

    def __float__(self) -> float:
        try:
            return math.ldexp(self.size, self.scale)
        except OverflowError:
            return math.inf


def error_bound(reduction: Reduction, tier: Tier, arithmetic: Arithmetic = IEEE) -> Bound:
    """The bound on |observed - exact|: of the sum, of the division where there is one, of the final rounding.

    S and M are used as multiples of 2^k, 2^k being about M.
    """
    k = _scale_of(reduction.numerator.magnitude, reduction.fmt)
    size, error = in_multiples(abs(reduction.numerator.total), k), _error_of_sum(reduction, tier, k, arithmetic)
    if reduction.normaliser is None:
        return _rounded(reduction.fmt, tier.accumulator, size, error, k, arithmetic)
    quotient = _divided(reduction, tier, size, error, k, arithmetic)
    if quotient is None:
        return Bound(math.inf, 0)
    return _rounded(reduction.fmt, tier.accumulator, *quotient, arithmetic)


def sum_factor(height: int, n: int, u: float) -> float:
    """E_sum, the largest relative error (to M) of summing n terms in a tree of that height."""
    if n < 2:
        return 0.0
    exponent = min(height, n - 1) * math.log1p(u)
    return min(math.expm1(min(exponent, _LARGEST_EXPONENT)), (n - 1) * u)


def _error_of_sum(reduction: Reduction, tier: Tier, k: int, arithmetic: Arithmetic) -> float:
    """Sum of height h, its products included: the error of S in multiples of 2^k."""
    q, n = tier.accumulator, reduction.n
    factor = sum_factor(tier.height, n, q.u)
    product, lost = _error_of_products(reduction, q, k, arithmetic)
    error = in_multiples(reduction.numerator.magnitude, k) * (product + factor + product * factor)
    error += n * (1 + factor) * lost
    error += (1 + factor) * _error_of_terms(reduction, q, k)
    if arithmetic.flush:
        error += (1 + factor) * _flushed(reduction.flushed, n, q, k)
    return error


def _error_of_products(reduction: Reduction, q: Format, k: int, arithmetic: Arithmetic) -> tuple[float, float]:
    """Products: the relative error of each, and what it loses to underflow, in multiples of 2^k."""
    relative = 0.0 if not reduction.weighted or q.t >= 2 * reduction.fmt.t else q.u
    if arithmetic.per_term and reduction.normaliser is not None:
        relative += q.u
    underflows = reduction.weighted and reduction.numerator.quantum < _exponent_of_mu(q)
    return relative, _power(_exponent_of_mu(q) - 1 - k) if underflows else 0.0


def _error_of_terms(reduction: Reduction, q: Format, k: int) -> float:
    """Terms that are computed: the sum of what they are off by themselves, in multiples of 2^k."""
    return in_multiples(reduction.inherited_in(q), k) if reduction.inherited else 0.0


def _flushed(lost: float, n: int, q: Format, k: int) -> float:
    """Flush to zero: what operands and products lose, and each partial sum of n terms, in multiples of 2^k."""
    return in_multiples(Fraction(lost), k) + (n - 1) * _power(q.emin - k)


def _error_of_weights(reduction: Reduction, normaliser: ExactSum, tier: Tier, j: int, arithmetic: Arithmetic) -> float:
    """Sum of height h, of weights or of ones: e_W in multiples of 2^j."""
    q, n = tier.accumulator, reduction.n
    magnitude = in_multiples(normaliser.magnitude, j)
    if reduction.weighted or q in HALVES:  # a count kept in half precision is a sum of ones
        error = magnitude * sum_factor(tier.height, n, q.u)
    else:
        error = 0.0 if n <= 2**q.t else magnitude * q.u
    if arithmetic.flush and reduction.weighted:
        error += _flushed(reduction.flushed_weights, n, q, j)
    return error


def _divided(
    reduction: Reduction, tier: Tier, size: float, error: float, k: int, arithmetic: Arithmetic
) -> tuple[float, float, int] | None:
    """Mean: |R|, its error, and the power of two that both are multiples of; None where W may be rounded to 0.

    `size` and `error` are |S| and its error in multiples of 2^k; W is used as multiples of 2^j.
    """
    q, normaliser = tier.accumulator, reduction.normaliser
    assert normaliser is not None
    j = _scale_of(normaliser.magnitude, reduction.fmt)
    w = in_multiples(abs(normaliser.total), j)
    error_w = _error_of_weights(reduction, normaliser, tier, j, arithmetic)
    if error_w >= w or (arithmetic.flush and w - error_w <= _power(q.emin - j)):
        return None
    reciprocal = size * _power(_exponent_of_mu(q) - 1 + j)  # 1/W may be subnormal
    size /= w
    error = (error + size * error_w) / (w - error_w) + reciprocal
    error += math.expm1(_ROUNDINGS_OF_A_QUOTIENT * math.log1p(q.u)) * (size + error)
    tiny = q.emin if arithmetic.flush else _exponent_of_mu(q)
    return size, error + (1 + reduction.n * arithmetic.per_term) * _power(tiny - (k - j)), k - j


def _rounded(p: Format, q: Format, size: float, error: float, scale: int, arithmetic: Arithmetic) -> Bound:
    """Final rounding of a number of this size (in multiples of 2^scale) into p, where q is wider; and flushing."""
    if scale < _exponent_of_mu(p):  # far below anything that p can hold
        shift = math.ldexp(1.0, max(scale - _exponent_of_mu(p), -1074))
        size, error, scale = size * shift, error * shift, _exponent_of_mu(p)
    if q.t > p.t:
        error += p.u * (size + error) + _power(_exponent_of_mu(p) - 1 - scale)
    if arithmetic.flush:
        error += _power(p.emin - scale)
    return Bound(error * _SAFETY, scale)


def quotient_bounds(
    reduction: Reduction, g: Fraction, weights: Iterable[Fraction], accumulator: Format, arithmetic: Arithmetic = IEEE
) -> list[Fraction | None]:
    """Gradient of a mean: the bounds on the errors of g w / W for several w; None where there is none.

    That is where W, the normaliser of the mean, may be rounded to 0 or where some order of the operations overflows.
    """
    q, p, normaliser = accumulator, reduction.fmt, reduction.normaliser
    assert normaliser is not None
    j = _scale_of(normaliser.magnitude, p)
    total, g, sizes = abs(normaliser.total), abs(g), [abs(w) for w in weights]
    error_w = Fraction(_error_of_weights(reduction, normaliser, Tier(q, reduction.n), j, arithmetic)) * power_of_two(j)
    lost = q.smallest_normal if arithmetic.flush else q.smallest_subnormal / 2
    if error_w >= total or (arithmetic.flush and total - error_w <= q.smallest_normal):
        return [None] * len(sizes)
    reciprocal = 1 / (total - error_w)  # the largest that 1/W may be computed as
    relative = (1 + Fraction(q.u)) ** 3 * reciprocal - 1 / total
    final = p.u if q.t > p.t else 0.0

    def bound(w: Fraction) -> Fraction | None:
        product = g * w
        largest = max(product, g, w, 1)  # each also divided by W: all that some order computes
        if 2 * max(product, largest * reciprocal, normaliser.magnitude) > q.largest:
            return None
        error = product * relative
        error += 2 * lost * (1 + w + g + product + reciprocal)  # of g w; g/W and w/W; 1/W; the result itself
        if final:
            error += Fraction(final) * (product / total + error) + p.smallest_subnormal / 2
        return error + p.smallest_normal * arithmetic.flush

    return [bound(w) for w in sizes]


def is_certified(reduction: Reduction, accumulator: Format, arithmetic: Arithmetic = IEEE) -> bool:
    """Whether every partial sum, in any order, is exact in that accumulator (or a wider one).

    So it is when all terms are multiples of 2^e, e.g. e = quantum, and M <= 2^t 2^e: then all partial sums are
    integers of at most t bits times 2^e. 2^e must be representable, and stay normal on a subject that flushes.
    """
    sums = [reduction.numerator]
    if reduction.inherited_in(accumulator):
        return False
    if reduction.normaliser is not None and reduction.weighted:
        sums.append(reduction.normaliser)
    elif reduction.normaliser is not None and reduction.n > 2**accumulator.t:
        return False
    if arithmetic.flush and (reduction.flushed or reduction.flushed_weights):
        return False
    smallest = max(accumulator.emin, reduction.fmt.emin) if arithmetic.flush else _exponent_of_mu(accumulator)
    return all(
        s.magnitude <= power_of_two(s.quantum + accumulator.t)
        and (s.quantum >= smallest or not s.magnitude)
        and s.magnitude <= accumulator.largest
        for s in sums
    )


def may_overflow(reduction: Reduction, accumulator: Format) -> bool:
    """Whether some order of summation in that accumulator can overflow: M (1+g), or W_a (1+g), beyond Omega."""
    sums = [reduction.numerator] + ([reduction.normaliser] if reduction.normaliser is not None else [])
    largest = max(s.magnitude for s in sums) + reduction.inherited_in(accumulator)
    grown = sum_factor(reduction.n, reduction.n, accumulator.u) + accumulator.u
    if grown < 0.5 and largest <= power_of_two(accumulator.emax):  # the ordinary case: below Omega/1.5
        return False
    growth = Fraction(1 + grown) if reduction.n > 1 else 1  # one product rounds to at most Omega
    return largest * growth > accumulator.largest


def _scale_of(magnitude: Fraction, fmt: Format) -> int:
    """k such that 2^k is about the magnitude, but not below the smallest number of the format."""
    return max(floor_log2(magnitude), _exponent_of_mu(fmt)) if magnitude else 0


def _exponent_of_mu(fmt: Format) -> int:
    return fmt.emin - fmt.t + 1


def _power(exponent: int) -> float:
    """2^exponent, infinite when beyond float64: such a bound is vacuous anyway."""
    return math.ldexp(1.0, exponent) if exponent < 1024 else math.inf


def _is_above(value: Fraction, size: float, scale: int) -> bool:
    """Whether value > size * 2^scale, exactly: rounding keeps order, so only a tie needs more than float64."""
    rounded = in_multiples(value, scale)
    return rounded > size if rounded != size else value > Fraction(size) * power_of_two(scale)
