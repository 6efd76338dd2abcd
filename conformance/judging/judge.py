"""The one place that decides: an expectation and an outcome make a judgement, and nothing else looks at either.

An outcome is looked at from several aspects (the head of specs/common/clauses.toml lists them), each PASS, FAIL or
UNINFORMATIVE; a clause fails when an aspect that decides it fails. A *symptom* names what went wrong in one word
and is what a known divergence's signature is compared with.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...specs.call import Array, Crashed, Outcome, Raised, Returned, TimedOut, Unsupported, dtype_name
from ...specs.case import (
    Case,
    Exactly,
    Limit,
    Prescribed,
    Raises,
    Returns,
    Sparse,
    Stack,
    Status,
    Unjudgeable,
    Unspecified,
    Verdict,
    Within,
)
from ...specs.exact import steps_between
from ...specs.grades import Grade
from ...specs.reductions import IEEE, Arithmetic, Reduction
from ...specs.rules import Aspect, Rules
from .look import FAIL, OPEN, PASS, Look
from .sums import look_at_limit, look_at_sum


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one call says: per aspect, per clause, and in one word."""

    aspects: Mapping[Aspect, Status]
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
    if look.aspects.get(Aspect.RETURNED) is FAIL:
        return _all(case, FAIL, look.symptom)
    return with_aspects(case, look.aspects, look.symptom, look.grade, look.where)


def _sharing(traits: Traits) -> Traits:
    """The traits for a sum over a gradient's entries, each of which carries its own share of 1/W."""
    return dataclasses.replace(traits, arithmetic=dataclasses.replace(traits.arithmetic, per_term=True))


def with_aspects(
    case: Case,
    aspects: Mapping[Aspect, Status],
    symptom: str,
    grade: Grade | None = None,
    where: tuple[int, ...] = (),
) -> Judgement:
    """A judgement made of decided aspects."""
    verdicts, status = _verdicts(case.rules, case.clauses, tuple(aspects.items()))
    return Judgement(aspects, verdicts, symptom if status is FAIL else "", grade, where, status)


@functools.lru_cache(maxsize=1 << 14)
def _verdicts(
    rules: Rules, ids: tuple[str, ...], decided: tuple[tuple[Aspect, Status], ...]
) -> tuple[tuple[Verdict, ...], Status]:
    """A verdict per clause, and the status of the whole call; thousands of calls share a few hundred answers."""
    aspects = dict(decided)
    verdicts = tuple(Verdict(id, status) for id in ids if (status := _decide(_judges(rules, id), aspects)) is not None)
    # A call whose value says nothing is not a passed call, whatever its shape and dtype say.
    open_value = aspects.get(Aspect.ACCURACY) is OPEN
    worst = FAIL if any(verdict.status is FAIL for verdict in verdicts) else OPEN if open_value else PASS
    return verdicts, worst


def _all(case: Case, status: Status, symptom: str) -> Judgement:
    verdicts = tuple(Verdict(id, status) for id in case.clauses if _judges(case.rules, id))
    return Judgement({}, verdicts, symptom, status=status)


@functools.cache
def _judges(rules: Rules, clause: str) -> tuple[Aspect, ...]:
    return tuple(map(Aspect, rules.clauses[clause].judges))


def _decide(judges: tuple[Aspect, ...], aspects: Mapping[Aspect, Status]) -> Status | None:
    """A clause's status from the aspects that decide it; None when none of them was looked at."""
    seen = {aspects[aspect] for aspect in judges if aspect in aspects}
    return FAIL if FAIL in seen else PASS if PASS in seen else OPEN if seen else None


# --- one expectation at a time ---------------------------------------------------------------------------


def _look(case: Case, outcome: Raised | Returned, traits: Traits) -> Look:
    match case.expectation, outcome:
        case Unspecified(), _:
            return Look()
        case Raises(), Raised():
            return Look({Aspect.RAISES: PASS})
        case Raises(), Returned(value):
            return _look_at_poison(poisoned(case, traits), value, traits)
        case Returns(), Raised():
            return Look({Aspect.RETURNED: FAIL}, "raised")
        case Returns() as expected, Returned(value):
            return _look_at_value(expected, value, traits)


def poisoned(case: Case, traits: Traits) -> Returns | None:
    """What may be returned instead of an error: something where code is traced, as mapped code always is."""
    transform = case.call.transform
    is_traced = traits.traced or transform is not None and bool(transform.batched)
    return case.expectation.poisoned if is_traced and isinstance(case.expectation, Raises) else None


def _look_at_poison(expected: Returns | None, value: Array, traits: Traits) -> Look:
    """A value where an error is due: only what `expected` says conforms."""
    look = Look({Aspect.RETURNED: FAIL}) if expected is None else _look_at_value(expected, value, traits)
    if Aspect.RETURNED in look.aspects or look.symptom == "number":  # a number where NaN is due
        return Look({Aspect.RAISES: FAIL}, "not_raised", where=look.where)
    return Look({Aspect.RAISES: look.aspects[Aspect.VALUE]}, look.symptom, where=look.where)


def _look_at_value(expected: Returns, value: Array, traits: Traits) -> Look:
    if value.shape != expected.shape:
        return Look({Aspect.RETURNED: FAIL}, "shape")
    if dtype_name(value.dtype) != expected.dtype:
        return Look({Aspect.RETURNED: FAIL}, "dtype")
    look = _look_at(expected.value, value, traits.arithmetic)
    return Look({Aspect.SHAPE: PASS, Aspect.DTYPE: PASS, **look.aspects}, look.symptom, look.grade, look.where)


def _look_at(prescribed: Prescribed, value: Array, arithmetic: Arithmetic) -> Look:
    match prescribed:
        case Exactly():
            return _elementwise(prescribed, value, arithmetic)
        case Reduction():
            return look_at_sum(prescribed, float(value), arithmetic)
        case Limit():
            return look_at_limit(prescribed, float(value), arithmetic)
        case Within():
            return _within(prescribed, value, arithmetic)
        case Sparse():
            return _sparse(prescribed, value, arithmetic)
        case Stack(parts):
            looks = [_look_at(part, one, arithmetic) for part, one in zip(parts, value, strict=True)]
            return _worst(looks)
        case Unjudgeable():
            return Look(dict.fromkeys((Aspect.VALUE, Aspect.ACCURACY, Aspect.CERTIFIED, Aspect.OVERFLOW), OPEN))


def _worst(looks: list[Look]) -> Look:
    """Several looks as one: an aspect fails where it fails in any of them, and `where` begins with which."""
    aspects: dict[Aspect, Status] = {}
    for look in looks:
        for aspect, status in look.aspects.items():
            aspects[aspect] = min(aspects.get(aspect, status), status, key=(FAIL, OPEN, PASS).index)
    number = next((number for number, look in enumerate(looks) if look.symptom), 0)
    return Look(aspects, looks[number].symptom, None, (number, *looks[number].where))


def _sparse(prescribed: Sparse, value: Array, arithmetic: Arithmetic) -> Look:
    """The selected entries as prescribed, exactly 0 (of either sign) everywhere else."""
    flat = value.reshape(-1)
    at_targets = flat[prescribed.flat]
    match prescribed.entries:
        case Exactly() as entries:
            look = _elementwise(entries, at_targets, arithmetic)
        case Within() as entries:
            look = _within(entries, at_targets, arithmetic)
    aspects = {name: look.aspects[name] for name in (Aspect.VALUE, Aspect.ACCURACY)} | {
        Aspect.ELSEWHERE: PASS,
        Aspect.IGNORED: PASS,
    }
    symptom = look.symptom if FAIL in aspects.values() else ""
    where = np.unravel_index(prescribed.flat[look.where[0]], value.shape) if look.where else ()
    extra = _nonzero_beside(flat, prescribed.flat, int(np.count_nonzero(at_targets)))
    if extra.size:
        at_ignored = np.broadcast_to(prescribed.ignored, value.shape)[np.unravel_index(extra, value.shape)]
        aspects[Aspect.IGNORED] = FAIL if at_ignored.any() else PASS
        aspects[Aspect.ELSEWHERE] = FAIL if not at_ignored.all() else PASS
        if not symptom:
            symptom = "elsewhere" if aspects[Aspect.ELSEWHERE] is FAIL else "ignored"
            where = np.unravel_index(extra[0], value.shape)
    return Look(aspects, symptom, where=tuple(int(index) for index in where))


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


def _within(due: Within, value: Array, arithmetic: Arithmetic) -> Look:
    """Numbers within bands of their own, and exactly 0 where that is due."""
    zeros = {aspect: np.broadcast_to(mask, value.shape) for aspect, mask in due.zeros.items()}
    look = _in_bands(due, value, functools.reduce(np.logical_or, zeros.values(), np.False_), arithmetic)
    aspects, symptom, where = dict(look.aspects), look.symptom, look.where
    for aspect, mask in zeros.items():
        wrong = np.argwhere(mask & (value != 0))
        aspects[aspect] = FAIL if wrong.size else PASS
        if wrong.size and not symptom:
            symptom, where = aspect.value, tuple(wrong[0].tolist())
    return Look(aspects, symptom, where=where)


def _in_bands(due: Within, value: Array, elsewhere: Array | np.bool_, arithmetic: Arithmetic) -> Look:
    """Numbers within bands of their own, but for those `elsewhere`, of which their bands say nothing."""
    band = due.flushing if arithmetic.flush else due.required
    same = (due.rounded == value) | np.isnan(due.rounded) & np.isnan(value)
    nan = due.nan & np.isnan(value)
    right = same | elsewhere | nan | band.holds(value)
    if right.all():
        judged = bool(((same | nan) & ~elsewhere | due.informative & ~band.free).any()) or not value.size
        aspects = dict.fromkeys((Aspect.VALUE, Aspect.ACCURACY), PASS if judged else OPEN)
        return Look(aspects | _with_care(due, value, same, arithmetic))
    where = tuple(np.argwhere(~right)[0].tolist())
    own = right | due.own.holds(value)
    semantic = PASS if (own & (right | ~due.own.free)).all() else OPEN if own.all() else FAIL
    wrong, rounded = value[where], due.rounded[where]
    special = "nan" if np.isnan(wrong) else "inf" if np.isinf(wrong) else "value"
    symptom = (
        "inaccurate" if semantic is not FAIL else "number" if np.isfinite(wrong) > np.isfinite(rounded) else special
    )
    aspects = {Aspect.VALUE: semantic, Aspect.ACCURACY: FAIL}
    return Look(aspects | _with_care(due, value, same, arithmetic), symptom, where=where)


def _with_care(due: Within, value: Array, same: Array, arithmetic: Arithmetic) -> dict[Aspect, Status]:
    """Whether numbers lie where they should; not asked of subjects that flush."""
    if due.careful is None or arithmetic.flush:
        return {}
    return {Aspect.CAREFUL: PASS if (same | due.careful.holds(value)).all() else FAIL}


def _elementwise(prescribed: Exactly, value: Array, arithmetic: Arithmetic) -> Look:
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
        return Look(
            {Aspect.VALUE: PASS, Aspect.ACCURACY: PASS, Aspect.SUBNORMALS: PASS if kept.all() else FAIL},
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
    return Look({Aspect.VALUE: PASS if close else FAIL, Aspect.ACCURACY: FAIL}, symptom, where=where)
