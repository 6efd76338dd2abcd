"""How far from the exact answer a sum or a mean may be, derived and never picked.

Notation (the derivations' own): p is the storage format, q the accumulator's, u = 2^-t their unit roundoff,
mu the smallest subnormal, lambda the smallest normal, Omega the largest number. n terms a_i, S their exact sum,
M the sum of |a_i|, W the exact normaliser, W_a the sum of the absolute weights, R = S/W.

*Sum of height h.* Rounding to nearest makes every addition exact up to a factor (1+d), |d| <= u, and additions
do not underflow. A term passes through at most h additions, so |computed - S| <= ((1+u)^h - 1) M =: g_h M
(Higham, Accuracy and Stability, ch. 4). Independently (n-1) u M holds for every order and every n, by
induction over the tree's root: its rounding error is at most the smaller of its two operands and u times their
sum, and whichever of the three is smallest is covered by n2 u M1 + n1 u M2 (after Rump, BIT 2012, and Lange and
Rump 2017). E_sum = min(g_h, (n-1) u). The input [1, u, u, ...] reaches it, so it cannot be tightened.

*Products.* Exact when q holds 2 t_p bits, else one relative error u_q each, plus mu_q/2 where a product can
fall below lambda_q without being a multiple of mu_q.

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

import enum
import functools
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from .exact import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, ExactSum, Format, floor_log2, power_of_two, round_to, ulp

# The accumulator that a wide implementation uses, and the one that the specification requires.
WIDE = {"float16": FLOAT32, "bfloat16": FLOAT32, "float32": FLOAT64, "float64": FLOAT64}
REQUIRED = {"float16": FLOAT32, "bfloat16": FLOAT32, "float32": FLOAT32, "float64": FLOAT64}
HALVES = (FLOAT16, BFLOAT16)

# The bounds are evaluated in float64 with a few dozen roundings; this covers them many times over.
_SAFETY = 1 + 2.0**-40
_ROUNDINGS_OF_A_QUOTIENT = 2
_LARGEST_EXPONENT = 700.0  # of expm1: beyond it float64 ends, and (n-1) u is the smaller one long before


class Level(enum.IntEnum):
    """The verdict ladder: the smallest class that an observed value fits."""

    EXACT = 0
    CORRECTLY_ROUNDED = 1
    NEIGHBOUR = 2  # at most one representable number from the correctly rounded one
    WIDE_LOG = 3  # within the bound of a wide accumulator and logarithmic depth
    WIDE_ANY = 4  # of a wide accumulator, any order
    OWN_LOG = 5  # of its own precision, logarithmic depth
    OWN_ANY = 6  # of its own precision, any order
    OUT = 7

    def __str__(self) -> str:
        return "X" if self is Level.OUT else f"E{self.value}"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What a subject's arithmetic is allowed to do in one dtype.

    `flush`: subnormal numbers may be read and written as zero. `per_term`: a mean is summed from terms that were
    divided by W one by one.
    """

    flush: bool = False
    per_term: bool = False


IEEE = Arithmetic()


@dataclass(frozen=True)
class Reduction:
    """Exact facts about one reduction whose terms are all finite.

    `numerator` sums a_i = w_i x_i over the `n` kept positions of `positions`; `normaliser` sums the weights, and
    is None for a plain sum. `flushed` and `flushed_weights` bound what flushing operands and products to zero
    can remove from either. The exact result is -numerator/normaliser.
    """

    fmt: Format
    n: int
    positions: int
    weighted: bool
    numerator: ExactSum
    normaliser: ExactSum | None
    flushed: float = 0.0
    flushed_weights: float = 0.0

    @functools.cached_property
    def exact(self) -> Fraction:
        """The exact result; raises ZeroDivisionError for a mean whose normaliser is 0."""
        if self.normaliser is None:
            return -self.numerator.total
        return -self.numerator.total / self.normaliser.total


@dataclass(frozen=True, slots=True)
class Tier:
    """A way of adding up: accumulator format and the height of the summation tree."""

    accumulator: Format
    height: int


def logarithmic_height(positions: int) -> int:
    """The height allowed to a careful summation of so many positions, 64 + 2 ceil(log2 N)."""
    return 64 + 2 * max(positions - 1, 0).bit_length()


def sum_factor(height: int, n: int, u: float) -> float:
    """E_sum, the largest relative error (to M) of summing n terms in a tree of that height."""
    if n < 2:
        return 0.0
    exponent = min(height, n - 1) * math.log1p(u)
    return min(math.expm1(min(exponent, _LARGEST_EXPONENT)), (n - 1) * u)


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
        return min(_scaled(error, self.scale) / self.size, sys.float_info.max) if self.size else sys.float_info.max

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
    size, error = _scaled(abs(reduction.numerator.total), k), _error_of_sum(reduction, tier, k, arithmetic)
    if reduction.normaliser is None:
        return _rounded(reduction.fmt, tier.accumulator, size, error, k, arithmetic)
    quotient = _divided(reduction, tier, size, error, k, arithmetic)
    if quotient is None:
        return Bound(math.inf, 0)
    return _rounded(reduction.fmt, tier.accumulator, *quotient, arithmetic)


def _error_of_sum(reduction: Reduction, tier: Tier, k: int, arithmetic: Arithmetic) -> float:
    """Sum of height h, and products: the error of S in multiples of 2^k."""
    p, q, n, numerator = reduction.fmt, tier.accumulator, reduction.n, reduction.numerator
    factor = sum_factor(tier.height, n, q.u)
    product = 0.0 if not reduction.weighted or q.t >= 2 * p.t else q.u
    if arithmetic.per_term and reduction.normaliser is not None:
        product += q.u
    error = _scaled(numerator.magnitude, k) * (product + factor + product * factor)
    if reduction.weighted and numerator.quantum < _exponent_of_mu(q):
        error += n * (1 + factor) * _power(_exponent_of_mu(q) - 1 - k)
    if arithmetic.flush:
        error += (1 + factor) * (_scaled(Fraction(reduction.flushed), k) + (n - 1) * _power(q.emin - k))
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
    w, error_w = _scaled(abs(normaliser.total), j), _error_of_weights(reduction, normaliser, tier, j, arithmetic)
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
    """The bounds on the errors of g w / W for several w, W being the normaliser of a mean; None where there is none.

    That is where W may be rounded to 0 or where some order of the operations overflows.
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


def _scale_of(magnitude: Fraction, fmt: Format) -> int:
    """k such that 2^k is about the magnitude, but not below the smallest number of the format."""
    return max(floor_log2(magnitude), _exponent_of_mu(fmt)) if magnitude else 0


def _error_of_weights(reduction: Reduction, normaliser: ExactSum, tier: Tier, j: int, arithmetic: Arithmetic) -> float:
    """e_W in multiples of 2^j."""
    q, n = tier.accumulator, reduction.n
    magnitude = _scaled(normaliser.magnitude, j)
    if reduction.weighted or q in HALVES:  # a count kept in half precision is a sum of ones
        error = magnitude * sum_factor(tier.height, n, q.u)
    else:
        error = 0.0 if n <= 2**q.t else magnitude * q.u
    if arithmetic.flush and reduction.weighted:
        error += _scaled(Fraction(reduction.flushed_weights), j) + (n - 1) * _power(q.emin - j)
    return error


def is_certified(reduction: Reduction, accumulator: Format, arithmetic: Arithmetic = IEEE) -> bool:
    """Whether every partial sum, in any order, is exact in that accumulator (or a wider one).

    So it is when all terms are multiples of 2^e, e.g. e = quantum, and M <= 2^t 2^e: then all partial sums are
    integers of at most t bits times 2^e. 2^e must be representable, and stay normal on a subject that flushes.
    """
    sums = [reduction.numerator]
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
    largest = max(s.magnitude for s in sums)
    grown = sum_factor(reduction.n, reduction.n, accumulator.u) + accumulator.u
    if grown < 0.5 and largest <= power_of_two(accumulator.emax):  # the ordinary case: below Omega/1.5
        return False
    growth = Fraction(1 + grown) if reduction.n > 1 else 1  # one product rounds to at most Omega
    return largest * growth > accumulator.largest


@dataclass(frozen=True, slots=True)
class Excess:
    """How far beyond the logarithmic-depth bound a result of `terms` terms is.

    `error` and `bound` are shares of M, or of M/|W|: of |exact| itself where all terms have one sign.
    """

    error: float
    bound: float
    terms: int


@dataclass(frozen=True, slots=True)
class Grade:
    """Where one observed reduction stands.

    `level` is the ladder class, `within_required` and `within_own` whether it meets the bound of the required
    accumulator and of the format's own precision (None: the bound reaches half of the exact value, so meeting it
    says nothing), `within_log` the logarithmic-depth bound, and `excess` by how much it is missed. `ulps` is
    |error|/ulp(exact), `utilisation` |error|/bound of the required accumulator, `depth` a proven lower bound on the
    height of the summation tree.
    """

    level: Level
    within_required: bool | None
    within_own: bool | None
    within_log: bool | None
    certified: bool
    ulps: float
    utilisation: float
    depth: int
    bound: float
    excess: Excess | None


def grade(reduction: Reduction, observed: float, arithmetic: Arithmetic = IEEE) -> Grade:
    """Grade a finite observed value against the exact one."""
    exact, fmt = reduction.exact, reduction.fmt
    error = abs(Fraction(observed) - exact)
    rounded = round_to(exact, fmt)
    required, own = Tier(REQUIRED[fmt.name], reduction.n), Tier(fmt, reduction.n)
    bound = error_bound(reduction, required, arithmetic)
    level = _level(reduction, observed, error, rounded, arithmetic)
    certified = is_certified(reduction, required.accumulator, arithmetic)
    judged = bound.judges(exact, error)
    if certified and not (arithmetic.per_term and reduction.normaliser is not None):
        judged = _as_certified(reduction, level, error, required.accumulator, arithmetic)
    elif level <= Level.CORRECTLY_ROUNDED:
        judged = True
    semantic = judged
    if own != required and not judged and not is_certified(reduction, fmt, arithmetic):
        semantic = error_bound(reduction, own, arithmetic).judges(exact, error)
    log = Tier(fmt, logarithmic_height(reduction.positions))
    log_bound = bound if log.height >= reduction.n else error_bound(reduction, log, arithmetic)
    within_log = True if level <= Level.NEIGHBOUR else log_bound.judges(exact, error)
    return Grade(
        level,
        judged,
        semantic,
        within_log,
        certified,
        _in_ulps(error, exact, fmt),
        bound.share(error),
        _effective_depth(reduction, error),
        float(bound),
        _excess(reduction, error, log_bound) if within_log is False else None,
    )


def _excess(reduction: Reduction, error: Fraction, bound: Bound) -> Excess | None:
    """The error and its bound as shares of M/|W|; None where that is 0."""
    whole = reduction.numerator.magnitude
    if reduction.normaliser is not None:
        whole /= abs(reduction.normaliser.total)
    if not whole:
        return None

    def share(part: Fraction) -> float:
        return min(_scaled(part / whole, 0), sys.float_info.max)

    return Excess(share(error), share(bound.exact), reduction.n)


def _as_certified(
    reduction: Reduction, level: Level, error: Fraction, accumulator: Format, arithmetic: Arithmetic
) -> bool:
    """Whether a result is right where S and W are exact in any order: only quotient and final rounding are free."""
    if reduction.normaliser is None:
        return level <= Level.CORRECTLY_ROUNDED
    if accumulator == reduction.fmt:
        return level <= Level.NEIGHBOUR
    rounding = error_bound(reduction, Tier(accumulator, 0), arithmetic)
    return level <= Level.NEIGHBOUR and rounding.holds(error)


def _level(reduction: Reduction, observed: float, error: Fraction, rounded: float, arithmetic: Arithmetic) -> Level:
    fmt = reduction.fmt
    if error == 0:
        return Level.EXACT
    if observed == rounded:
        return Level.CORRECTLY_ROUNDED
    if math.isfinite(rounded) and _adjacent(observed, rounded, fmt):
        return Level.NEIGHBOUR
    wide, deep = WIDE[fmt.name], logarithmic_height(reduction.positions)
    tiers = {
        Level.WIDE_LOG: Tier(wide, deep),
        Level.WIDE_ANY: Tier(wide, reduction.n),
        Level.OWN_LOG: Tier(fmt, deep),
        Level.OWN_ANY: Tier(fmt, reduction.n),
    }
    for level, tier in tiers.items():
        if level <= Level.WIDE_ANY and wide == fmt:  # float64 has nothing wider than itself
            continue
        if error_bound(reduction, tier, arithmetic).holds(error):
            return level
    return Level.OUT


def _adjacent(a: float, b: float, fmt: Format) -> bool:
    """Whether two numbers of a format are neighbours in it; float64 subtracts those without rounding."""
    low = min(abs(a), abs(b))
    exponent = max(math.frexp(low)[1] - 1, fmt.emin) if low else fmt.emin
    return abs(a - b) == math.ldexp(1.0, exponent - fmt.t + 1)


def _is_above(value: Fraction, size: float, scale: int) -> bool:
    """Whether value > size * 2^scale, exactly: rounding keeps order, so only a tie needs more than float64."""
    rounded = _scaled(value, scale)
    return rounded > size if rounded != size else value > Fraction(size) * power_of_two(scale)


def _in_ulps(error: Fraction, exact: Fraction, fmt: Format) -> float:
    """|error| in units in the last place of the exact value, capped: an infinity has no place in a record."""
    return min(_scaled(error, floor_log2(ulp(exact, fmt))), sys.float_info.max) if error else 0.0


def _effective_depth(reduction: Reduction, error: Fraction) -> int:
    """ceil(|error| / (u M)): no summation tree lower than this can make such an error (sums only)."""
    magnitude = reduction.numerator.magnitude
    if reduction.normaliser is not None or not magnitude:
        return 0
    numerator = (error.numerator * magnitude.denominator) << reduction.fmt.t
    return -(-numerator // (error.denominator * magnitude.numerator))


def _exponent_of_mu(fmt: Format) -> int:
    return fmt.emin - fmt.t + 1


def _power(exponent: int) -> float:
    """2^exponent, infinite when beyond float64: such a bound is vacuous anyway."""
    return math.ldexp(1.0, exponent) if exponent < 1024 else math.inf


def _scaled(value: Fraction, k: int) -> float:
    """value / 2^k, correctly rounded to float64, infinite beyond it; the division is Python's, of integers."""
    try:
        return value.numerator / (value.denominator << k) if k >= 0 else (value.numerator << -k) / value.denominator
    except OverflowError:
        return math.inf if value > 0 else -math.inf
