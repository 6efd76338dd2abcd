"""Where an observed sum or mean stands: its class on the verdict ladder, and by how much it misses a bound."""

from __future__ import annotations

import enum
import math
import sys
from dataclasses import dataclass
from fractions import Fraction

from .accuracy import Bound, error_bound, is_certified
from .exact import Format, floor_log2, in_multiples, round_to, ulp
from .reductions import IEEE, REQUIRED, WIDE, Arithmetic, Reduction, Tier, logarithmic_height


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
    |error|/ulp(exact), `relative` |error|/|exact|, `utilisation` |error|/bound of the required accumulator.
    """

    level: Level
    within_required: bool | None
    within_own: bool | None
    within_log: bool | None
    certified: bool
    ulps: float
    relative: (
        float  # infinite where 0 is due and something else came; subnormal numbers count as the smallest normal one
    )
    utilisation: float
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
        _relative(error, exact, fmt),
        bound.share(error),
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
        return min(in_multiples(part / whole, 0), sys.float_info.max)

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


def _in_ulps(error: Fraction, exact: Fraction, fmt: Format) -> float:
    """|error| in units in the last place of the exact value, capped: an infinity has no place in a record."""
    return min(in_multiples(error, floor_log2(ulp(exact, fmt))), sys.float_info.max) if error else 0.0


def _relative(error: Fraction, exact: Fraction, fmt: Format) -> float:
    """|error| over |exact|, infinite where that is 0 or beyond float64.

    Below the normal range it is a share of the smallest normal number: there a format's numbers lie no closer, and one
    that is correctly rounded, to 0 perhaps, has no large error.
    """
    if not error:
        return 0.0
    exact = exact and max(abs(exact), fmt.smallest_normal)
    try:
        return (error.numerator * exact.denominator) / (error.denominator * exact.numerator)
    except (OverflowError, ZeroDivisionError):
        return math.inf
