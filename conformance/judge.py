"""The one place that decides: an expectation and an outcome make a judgement, and nothing else looks at either.

An outcome is looked at from several aspects (the head of clauses.toml lists them), each PASS, FAIL or
UNINFORMATIVE; a clause fails when an aspect that decides it fails. A *symptom* names what went wrong in one word
and is what a known divergence's signature is compared with.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from ..specs.accuracy import (
    IEEE,
    REQUIRED,
    Arithmetic,
    Grade,
    Level,
    Reduction,
    Tier,
    error_bound,
    grade,
    may_overflow,
)
from ..specs.call import Array, Crashed, Outcome, Raised, Returned, TimedOut, Unsupported, dtype_name
from ..specs.case import (
    Bands,
    Case,
    Elementwise,
    Gradient,
    Limit,
    Prescribed,
    Raises,
    Returns,
    Stack,
    Status,
    Unjudgeable,
    Unspecified,
    Verdict,
)
from ..specs.exact import Format, power_of_two, steps_between
from ..specs.nll_loss.clauses import clauses

PASS, FAIL, OPEN = Status.PASS, Status.FAIL, Status.UNINFORMATIVE

# What can go wrong with a call, in one word each; signatures of known divergences are made of these.
SYMPTOMS = {
    "raised": "a legal call raised",
    "shape": "the result has the wrong shape",
    "dtype": "the result has the wrong dtype",
    "nan": "NaN where a number is due",
    "inf": "an infinity where a number is due, beyond even the format's own precision",
    "overflow": "an infinity or NaN where the required accumulator would not have overflowed",
    "number": "a number where NaN, an infinity or 0 is due",
    "value": "a number outside the bound of the format's own precision in any order",
    "inaccurate": "a number within the format's own precision but outside the required bound",
    "deep": "within the required bound, beyond that of a logarithmic summation tree",
    "not_rounded": "certified mean that is not correctly rounded",
    "pattern": "logarithmic depth is lost because of where ignored positions lie",
    "scaling": "scaling all weights by a power of two changes the mean",
    "subnormals": "subnormal numbers are flushed",
    "elsewhere": "a gradient that is not 0 at an entry that no target selects",
    "ignored": "a gradient that is not 0 at an ignored position",
    "not_raised": "a value where an error is due",
    "arguments": "the arguments were modified",
    "aliases": "the result shares memory with an argument or an earlier result",
    "state": "the result depends on earlier calls, or a global random generator was used",
    "repeatable": "the same call gave other bits",
    "threads": "calls from several threads gave other results than one after another",
    "relation": "results of related calls do not fit together",
    "crash": "the process died",
    "timeout": "the call did not come back",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one call says: per aspect, per clause, and in one word."""

    aspects: Mapping[str, Status]
    verdicts: tuple[Verdict, ...]
    symptom: str = ""
    grade: Grade | None = None
    where: tuple[int, ...] = ()  # the element that a failure of `none` is about
    status: Status = PASS
    said: str = ""  # what an experiment found, for people


@dataclass(frozen=True, slots=True)
class Traits:
    """What the judge has to know about a subject in one dtype."""

    arithmetic: Arithmetic = IEEE
    traced: bool = False


@dataclass(frozen=True, slots=True)
class _Look:
    aspects: Mapping[str, Status] = field(default_factory=dict)
    symptom: str = ""
    grade: Grade | None = None
    where: tuple[int, ...] = ()


def judge(case: Case, outcome: Outcome, traits: Traits) -> Judgement:
    """Decide every clause that the case exercises."""
    if isinstance(outcome, Unsupported):
        return _all(case, Status.UNSUPPORTED, "")
    match outcome:
        case Crashed():
            return _all(case, Status.CRASH, "crash")
        case TimedOut():
            return _all(case, Status.TIMEOUT, "timeout")
        case _:
            look = _look(case, outcome, _sharing(traits) if case.call.kind == "second_upstream" else traits)
    if look.aspects.get("returned") is FAIL:
        return _all(case, FAIL, look.symptom)
    return with_aspects(case, look.aspects, look.symptom, look.grade, look.where)


def _sharing(traits: Traits) -> Traits:
    """The traits for a sum over a gradient's entries, each of which carries its own share of 1/W."""
    return dataclasses.replace(traits, arithmetic=dataclasses.replace(traits.arithmetic, per_term=True))


def with_aspects(
    case: Case,
    aspects: Mapping[str, Status],
    symptom: str,
    grade: Grade | None = None,
    where: tuple[int, ...] = (),
) -> Judgement:
    """A judgement made of decided aspects."""
    verdicts, status = _verdicts(case.clauses, tuple(aspects.items()))
    return Judgement(aspects, verdicts, symptom if status is FAIL else "", grade, where, status)


@functools.lru_cache(maxsize=1 << 14)
def _verdicts(ids: tuple[str, ...], decided: tuple[tuple[str, Status], ...]) -> tuple[tuple[Verdict, ...], Status]:
    """A verdict per clause, and the status of the whole call; thousands of calls share a few hundred answers."""
    aspects = dict(decided)
    verdicts = tuple(Verdict(id, status) for id in ids if (status := _decide(_judges(id), aspects)) is not None)
    # A call whose value says nothing is not a passed call, whatever its shape and dtype say.
    open_value = aspects.get("accuracy") is OPEN
    worst = FAIL if any(verdict.status is FAIL for verdict in verdicts) else OPEN if open_value else PASS
    return verdicts, worst


def _all(case: Case, status: Status, symptom: str) -> Judgement:
    verdicts = tuple(Verdict(id, status) for id in case.clauses if _judges(id))
    return Judgement({}, verdicts, symptom, status=status)


@functools.cache
def _judges(clause: str) -> tuple[str, ...]:
    return clauses()[clause].judges


def _decide(judges: tuple[str, ...], aspects: Mapping[str, Status]) -> Status | None:
    """A clause's status from the aspects that decide it; None when none of them was looked at."""
    seen = {aspects[aspect] for aspect in judges if aspect in aspects}
    return FAIL if FAIL in seen else PASS if PASS in seen else OPEN if seen else None


# --- one expectation at a time ---------------------------------------------------------------------------


def _look(case: Case, outcome: Raised | Returned, traits: Traits) -> _Look:
    match case.expectation, outcome:
        case Unspecified(), _:
            return _Look()
        case Raises(), Raised():
            return _Look({"raises": PASS})
        case Raises(), Returned(value):
            return _look_at_poison(poisoned(case, traits), value, traits)
        case Returns(), Raised():
            return _Look({"returned": FAIL}, "raised")
        case Returns() as expected, Returned(value):
            return _look_at_value(expected, value, traits)


def poisoned(case: Case, traits: Traits) -> Returns | None:
    """What may be returned instead of an error: something where code is traced, as mapped code always is."""
    transform = case.call.transform
    is_traced = traits.traced or transform is not None and bool(transform.batched)
    return case.expectation.poisoned if is_traced and isinstance(case.expectation, Raises) else None


def _look_at_poison(expected: Returns | None, value: Array, traits: Traits) -> _Look:
    """A value where an error is due: only what `expected` says conforms."""
    look = _Look({"returned": FAIL}) if expected is None else _look_at_value(expected, value, traits)
    if "returned" in look.aspects or look.symptom == "number":  # a number where NaN is due
        return _Look({"raises": FAIL}, "not_raised", where=look.where)
    return _Look({"raises": look.aspects["value"]}, look.symptom, where=look.where)


def _look_at_value(expected: Returns, value: Array, traits: Traits) -> _Look:
    if value.shape != expected.shape:
        return _Look({"returned": FAIL}, "shape")
    if dtype_name(value.dtype) != expected.dtype:
        return _Look({"returned": FAIL}, "dtype")
    look = _look_at(expected.value, value, traits.arithmetic)
    return _Look({"shape": PASS, "dtype": PASS, **look.aspects}, look.symptom, look.grade, look.where)


def _look_at(prescribed: Prescribed, value: Array, arithmetic: Arithmetic) -> _Look:
    match prescribed:
        case Elementwise():
            return _elementwise(prescribed, value, arithmetic)
        case Reduction():
            return _reduction(prescribed, float(value), arithmetic)
        case Limit():
            return _limit(prescribed, float(value), arithmetic)
        case Gradient():
            return _gradient(prescribed, value, arithmetic)
        case Stack(parts):
            looks = [_look_at(part, one, arithmetic) for part, one in zip(parts, value, strict=True)]
            return _worst(looks)
        case Unjudgeable():
            return _Look(dict.fromkeys(("value", "accuracy", "certified", "overflow"), OPEN))


def _worst(looks: list[_Look]) -> _Look:
    """Several looks as one: an aspect fails where it fails in any of them, and `where` begins with which."""
    aspects: dict[str, Status] = {}
    for look in looks:
        for aspect, status in look.aspects.items():
            aspects[aspect] = min(aspects.get(aspect, status), status, key=(FAIL, OPEN, PASS).index)
    number = next((number for number, look in enumerate(looks) if look.symptom), 0)
    return _Look(aspects, looks[number].symptom, None, (number, *looks[number].where))


def _gradient(prescribed: Gradient, value: Array, arithmetic: Arithmetic) -> _Look:
    """A gradient: the selected entries as prescribed, exactly 0 (of either sign) everywhere else."""
    flat = value.reshape(-1)
    at_targets = flat[prescribed.flat]
    match prescribed.entries:
        case Elementwise() as entries:
            look = _elementwise(entries, at_targets, arithmetic)
        case Bands() as entries:
            look = _bands(entries, at_targets, arithmetic)
    aspects = {name: look.aspects[name] for name in ("value", "accuracy")} | {"elsewhere": PASS, "ignored": PASS}
    symptom = look.symptom if FAIL in aspects.values() else ""
    where = np.unravel_index(prescribed.flat[look.where[0]], value.shape) if look.where else ()
    extra = _nonzero_beside(flat, prescribed.flat, int(np.count_nonzero(at_targets)))
    if extra.size:
        at_ignored = ~prescribed.kept.reshape(-1)[_positions(extra, value.shape)]
        aspects["ignored"] = FAIL if at_ignored.any() else PASS
        aspects["elsewhere"] = FAIL if not at_ignored.all() else PASS
        if not symptom:
            symptom = "elsewhere" if aspects["elsewhere"] is FAIL else "ignored"
            where = np.unravel_index(extra[0], value.shape)
    return _Look(aspects, symptom, where=tuple(int(index) for index in where))


_BLOCK = 1 << 22


def _nonzero_beside(flat: Array, selected: Array, expected: int) -> Array:
    """Places of numbers that are not 0 (NaN is not) beside the selected ones; the first million of them.

    Counting comes first, `expected` being how many of the selected are not 0, and block by block: a gradient may be
    larger than what memory holds twice.
    """
    bits, blocks = flat.view(f"u{flat.dtype.itemsize}"), range(0, flat.size, _BLOCK)
    if sum(np.count_nonzero(bits[start : start + _BLOCK] << 1) for start in blocks) == expected:  # without the sign
        return np.zeros(0, np.int64)
    found: list[Array] = []
    for start in blocks:
        places = start + np.flatnonzero(bits[start : start + _BLOCK] << 1)
        found.append(places[~np.isin(places, selected)])
        if sum(map(len, found)) > 1_000_000:
            break
    return np.concatenate(found)


def _positions(places: Array, shape: tuple[int, ...]) -> Array:
    """The position, in the target's C order, that each entry of an input of this shape belongs to."""
    if len(shape) == 1:
        return np.zeros(places.size, np.int64)
    inner = math.prod(shape[2:])
    return places // (shape[1] * inner) * inner + places % inner


def _bands(bands: Bands, value: Array, arithmetic: Arithmetic) -> _Look:
    """Numbers within bands of their own."""
    low, high = (bands.flush_low, bands.flush_high) if arithmetic.flush else (bands.low, bands.high)
    free = bands.free | np.isinf(low) & np.isinf(high) & (low != high)
    both_nan = np.isnan(bands.rounded) & np.isnan(value)
    with np.errstate(invalid="ignore"):
        same = (bands.rounded == value) | both_nan
        right = same | (low <= value) & (value <= high) | free
        silent = np.isinf(bands.own_low) & np.isinf(bands.own_high) & (bands.own_low != bands.own_high)
        own = right | ~silent & (bands.own_low <= value) & (value <= bands.own_high)
    if right.all():
        judged = bool((same | bands.informative & ~free).any()) or not value.size
        return _Look(dict.fromkeys(("value", "accuracy"), PASS if judged else OPEN))
    where = int(np.flatnonzero(~right)[0])
    semantic = PASS if own.all() else OPEN if (own | silent).all() else FAIL
    wrong, due = value[where], bands.rounded[where]
    special = "nan" if np.isnan(wrong) else "inf" if np.isinf(wrong) else "value"
    symptom = "inaccurate" if semantic is not FAIL else "number" if np.isfinite(wrong) > np.isfinite(due) else special
    return _Look({"value": semantic, "accuracy": FAIL}, symptom, where=(where,))


def _elementwise(prescribed: Elementwise, value: Array, arithmetic: Arithmetic) -> _Look:
    """`none`: each element is the prescribed one, or next to it where that is free."""
    expected = prescribed.value
    both_nan = np.isnan(expected) & np.isnan(value)
    with np.errstate(invalid="ignore"):
        right = (expected == value) | both_nan
    if not right.all():
        right |= prescribed.loose & (steps_between(expected, value) <= 1)
        if arithmetic.flush:
            right |= prescribed.flushable & (value == 0) | prescribed.flushable_nan & np.isnan(value)
    if right.all():
        kept = value[prescribed.flushable & (expected != 0)] != 0
        return _Look(
            {"value": PASS, "accuracy": PASS, "subnormals": PASS if kept.all() else FAIL},
            "" if kept.all() else "subnormals",
        )
    wrong = np.argwhere(~right)
    where = tuple(wrong[0].tolist())
    nan = bool((np.isnan(value) & ~np.isnan(expected) & ~right).any())
    infinite = bool((np.isinf(value) & ~np.isinf(expected) & ~right).any())
    finite_due = bool((~np.isfinite(expected) & np.isfinite(value) & ~right).any())
    zero_due = bool(((expected == 0) & ~right).any())  # what is ignored is 0, in whatever precision
    near = (steps_between(expected, value)[~right] <= 1).all()
    close = bool(near) and not (nan or infinite or finite_due or zero_due)
    symptom = "nan" if nan else "inf" if infinite else "number" if finite_due else "inaccurate" if close else "value"
    return _Look({"value": PASS if close else FAIL, "accuracy": FAIL}, symptom, where=where)


def _limit(limit: Limit, value: float, arithmetic: Arithmetic) -> _Look:
    """A result that IEEE 754 prescribes outright."""
    allowed = limit.allowed | limit.flushed if arithmetic.flush else limit.allowed
    name = "nan" if math.isnan(value) else repr(value) if math.isinf(value) else "0" if value == 0 else "number"
    if name in allowed:
        return _Look(dict.fromkeys(("value", "accuracy"), PASS))
    if limit.fragile and name != "number":
        return _Look({"value": OPEN, "accuracy": FAIL, "overflow": FAIL}, "overflow")
    symptom = name if name in ("nan", "number") else "inf" if "inf" in name else "number"
    return _Look(dict.fromkeys(("value", "accuracy"), FAIL), symptom)


def _reduction(reduction: Reduction, value: float, arithmetic: Arithmetic) -> _Look:
    """`sum` or `mean` of finite terms: first whether it may overflow, then how far it is from the exact value."""
    required = REQUIRED[reduction.fmt.name]
    if not math.isfinite(value):
        return _not_finite(reduction, value, required, arithmetic)
    if may_overflow(reduction, required):
        return _past_overflow(reduction, value, arithmetic)
    if _must_be_infinite(reduction, required, arithmetic):
        semantic = FAIL if _must_be_infinite(reduction, reduction.fmt, arithmetic) else OPEN
        symptom = "number" if semantic is FAIL else "inaccurate"
        return _Look({"value": semantic, "accuracy": FAIL, "certified": FAIL, "overflow": PASS}, symptom)
    return _from_grade(reduction, grade(reduction, value, arithmetic), value)


def _from_grade(reduction: Reduction, g: Grade, value: float) -> _Look:
    aspects = {
        "value": _status(g.within_own),
        "coarse": PASS if _is_coarsely_right(reduction, value) else FAIL,
        "accuracy": _status(g.within_required),
        "overflow": PASS,
    }
    if g.within_required is not False:
        aspects |= {"depth": _status(g.within_log), "pattern": PASS if g.within_log else OPEN}
    symptom = "value" if g.within_own is False else "inaccurate" if g.within_required is False else ""
    if not symptom and g.within_log is False:
        symptom = "deep"
    if g.certified:
        aspects["certified"] = aspects["accuracy"]
        aspects["rounding"] = PASS if g.level <= Level.CORRECTLY_ROUNDED else FAIL
        symptom = symptom or ("not_rounded" if g.level > Level.CORRECTLY_ROUNDED else "")
    return _Look(aspects, symptom, g)


def _past_overflow(reduction: Reduction, value: float, arithmetic: Arithmetic) -> _Look:
    """Finite although some order overflows: right if it is right; 0 = S/inf and its like say nothing."""
    g = grade(reduction, value, arithmetic)
    if g.within_required is False and value == 0:
        return _Look(dict.fromkeys(("value", "accuracy"), OPEN))
    return _from_grade(reduction, g, value)


def _not_finite(reduction: Reduction, value: float, required: Format, arithmetic: Arithmetic) -> _Look:
    """NaN or an infinity for a finite exact value."""
    right_sign = math.isinf(value) and (value > 0) == (reduction.exact > 0)
    if right_sign and _may_be_infinite(reduction, required, arithmetic):
        return _Look(dict.fromkeys(("value", "accuracy", "overflow"), PASS))
    if _decides_nothing(reduction, required, arithmetic):
        return _Look(dict.fromkeys(("value", "accuracy", "certified"), OPEN))
    own = reduction.fmt
    excused = _decides_nothing(reduction, own, arithmetic)
    excused |= right_sign and _may_be_infinite(reduction, own, arithmetic)
    if own != required and excused:
        return _Look({"value": OPEN, "accuracy": FAIL, "certified": FAIL, "overflow": FAIL}, "overflow")
    symptom = "nan" if math.isnan(value) else "inf"
    return _Look(dict.fromkeys(("value", "accuracy", "certified", "overflow"), FAIL), symptom)


def _decides_nothing(reduction: Reduction, accumulator: Format, arithmetic: Arithmetic) -> bool:
    """Whether an order of summation in that accumulator overflows, or rounds (or flushes) W to 0."""
    bound, _ = error_bound(reduction, Tier(accumulator, reduction.n), arithmetic)
    return may_overflow(reduction, accumulator) or math.isinf(bound)


def _must_be_infinite(reduction: Reduction, accumulator: Format, arithmetic: Arithmetic) -> bool:
    beyond = abs(reduction.exact) - reduction.fmt.overflow_threshold
    return beyond >= 0 and beyond >= _slack(reduction, accumulator, arithmetic)


def _may_be_infinite(reduction: Reduction, accumulator: Format, arithmetic: Arithmetic) -> bool:
    return abs(reduction.exact) + _slack(reduction, accumulator, arithmetic) >= reduction.fmt.overflow_threshold


def _slack(reduction: Reduction, accumulator: Format, arithmetic: Arithmetic) -> Fraction:
    """The error bound before overflow is decided, as a number; a vacuous one allows everything."""
    size, scale = error_bound(reduction, Tier(accumulator, reduction.n), arithmetic)
    if math.isinf(size):
        return power_of_two(2048)
    return Fraction(size) * power_of_two(scale)


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
