"""Looks at sums and means: whether they may overflow, and how far they are from the exact value."""

from __future__ import annotations

import math
from fractions import Fraction

from ...specs.accuracy import error_bound, may_overflow
from ...specs.case import Limit, Status
from ...specs.exact import Format, power_of_two
from ...specs.grades import Grade, Level, grade
from ...specs.reductions import REQUIRED, Arithmetic, Reduction, Tier
from ...specs.rules import Aspect
from .look import FAIL, OPEN, PASS, Look


def look_at_limit(limit: Limit, value: float, arithmetic: Arithmetic) -> Look:
    """A result that IEEE 754 prescribes outright."""
    allowed = limit.allowed | limit.flushed if arithmetic.flush else limit.allowed
    name = "nan" if math.isnan(value) else repr(value) if math.isinf(value) else "0" if value == 0 else "number"
    if name in allowed:
        return Look(dict.fromkeys((Aspect.VALUE, Aspect.ACCURACY), PASS))
    if limit.fragile and name != "number":
        return Look({Aspect.VALUE: OPEN, Aspect.ACCURACY: FAIL, Aspect.OVERFLOW: FAIL}, "overflow")
    symptom = name if name in ("nan", "number") else "inf" if "inf" in name else "number"
    return Look(dict.fromkeys((Aspect.VALUE, Aspect.ACCURACY), FAIL), symptom)


def look_at_sum(reduction: Reduction, value: float, arithmetic: Arithmetic) -> Look:
    """`sum` or `mean` of finite terms: first whether it may overflow, then how far it is from the exact value."""
    required = REQUIRED[reduction.fmt.name]
    if not math.isfinite(value):
        return _not_finite(reduction, value, required, arithmetic)
    if may_overflow(reduction, required):
        return _past_overflow(reduction, value, arithmetic)
    if _must_be_infinite(reduction, required, arithmetic):
        semantic = FAIL if _must_be_infinite(reduction, reduction.fmt, arithmetic) else OPEN
        symptom = "number" if semantic is FAIL else "inaccurate"
        return Look(
            {Aspect.VALUE: semantic, Aspect.ACCURACY: FAIL, Aspect.CERTIFIED: FAIL, Aspect.OVERFLOW: PASS}, symptom
        )
    return _from_grade(reduction, grade(reduction, value, arithmetic), value)


def _from_grade(reduction: Reduction, g: Grade, value: float) -> Look:
    aspects = {
        Aspect.VALUE: _status(g.within_own),
        Aspect.COARSE: PASS if _is_coarsely_right(reduction, value) else FAIL,
        Aspect.ACCURACY: _status(g.within_required),
        Aspect.OVERFLOW: PASS,
    }
    if g.within_required is not False:
        aspects |= {Aspect.DEPTH: _status(g.within_log), Aspect.PATTERN: PASS if g.within_log else OPEN}
    symptom = "value" if g.within_own is False else "inaccurate" if g.within_required is False else ""
    if not symptom and g.within_log is False:
        symptom = "deep"
    if g.certified:
        aspects[Aspect.CERTIFIED] = aspects[Aspect.ACCURACY]
        aspects[Aspect.ROUNDING] = PASS if g.level <= Level.CORRECTLY_ROUNDED else FAIL
        symptom = symptom or ("not_rounded" if g.level > Level.CORRECTLY_ROUNDED else "")
    return Look(aspects, symptom, g)


def _past_overflow(reduction: Reduction, value: float, arithmetic: Arithmetic) -> Look:
    """Finite although some order overflows: right if it is right; 0 = S/inf and its like say nothing."""
    g = grade(reduction, value, arithmetic)
    if g.within_required is False and value == 0:
        return Look(dict.fromkeys((Aspect.VALUE, Aspect.ACCURACY), OPEN))
    return _from_grade(reduction, g, value)


def _not_finite(reduction: Reduction, value: float, required: Format, arithmetic: Arithmetic) -> Look:
    """NaN or an infinity for a finite exact value."""
    right_sign = math.isinf(value) and (value > 0) == (reduction.exact > 0)
    if right_sign and _may_be_infinite(reduction, required, arithmetic):
        return Look(dict.fromkeys((Aspect.VALUE, Aspect.ACCURACY, Aspect.OVERFLOW), PASS))
    if _decides_nothing(reduction, required, arithmetic):
        return Look(dict.fromkeys((Aspect.VALUE, Aspect.ACCURACY, Aspect.CERTIFIED), OPEN))
    own = reduction.fmt
    excused = _decides_nothing(reduction, own, arithmetic)
    excused |= right_sign and _may_be_infinite(reduction, own, arithmetic)
    if own != required and excused:
        return Look(
            {Aspect.VALUE: OPEN, Aspect.ACCURACY: FAIL, Aspect.CERTIFIED: FAIL, Aspect.OVERFLOW: FAIL}, "overflow"
        )
    symptom = "nan" if math.isnan(value) else "inf"
    return Look(dict.fromkeys((Aspect.VALUE, Aspect.ACCURACY, Aspect.CERTIFIED, Aspect.OVERFLOW), FAIL), symptom)


def _decides_nothing(reduction: Reduction, accumulator: Format, arithmetic: Arithmetic) -> bool:
    """Whether an order of summation in that accumulator overflows, or rounds (or flushes) W to 0."""
    bound = error_bound(reduction, Tier(accumulator, reduction.n), arithmetic)
    return may_overflow(reduction, accumulator) or bound.is_vacuous


def _must_be_infinite(reduction: Reduction, accumulator: Format, arithmetic: Arithmetic) -> bool:
    beyond = abs(reduction.exact) - reduction.fmt.overflow_threshold
    return beyond >= 0 and beyond >= _slack(reduction, accumulator, arithmetic)


def _may_be_infinite(reduction: Reduction, accumulator: Format, arithmetic: Arithmetic) -> bool:
    return abs(reduction.exact) + _slack(reduction, accumulator, arithmetic) >= reduction.fmt.overflow_threshold


def _slack(reduction: Reduction, accumulator: Format, arithmetic: Arithmetic) -> Fraction:
    """The error bound before overflow is decided, as a number; a vacuous one allows everything."""
    bound = error_bound(reduction, Tier(accumulator, reduction.n), arithmetic)
    return power_of_two(2048) if bound.is_vacuous else bound.exact


def _is_coarsely_right(reduction: Reduction, value: float) -> bool:
    """Right in sign and within a factor of 2 upwards, where all terms have one sign; within 2M otherwise.

    No bound, and no clause is decided by it: it is what a known divergence may still be held to where the bound of
    the format's own precision says nothing.
    """
    exact, observed = reduction.exact, Fraction(value)
    if abs(reduction.numerator.total) == reduction.numerator.magnitude:
        return observed * exact > 0 and abs(observed) <= 2 * abs(exact)
    scale = abs(reduction.normaliser.total) if reduction.normaliser is not None else 1
    return abs(observed) * scale <= 2 * reduction.numerator.magnitude


def _status(within: bool | None) -> Status:
    return OPEN if within is None else PASS if within else FAIL
