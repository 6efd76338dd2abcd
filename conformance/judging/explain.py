"""Puts judged calls into words: observed, exact, how far apart, and all of a finding. The only place that does."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, assert_never

import msgspec
import numpy as np

from ...reports.findings import BEFORE, arrays_of, replay_line, shares_unexpected, size, telling_first
from ...reports.records import Before, ClauseInfo, Finding, Record, Tally
from ...specs.call import Array, Crashed, Earlier, Outcome, Raised, Returned, TimedOut, Unsupported
from ...specs.case import (
    Case,
    Exactly,
    Limit,
    Prescribed,
    Raises,
    Returns,
    Sparse,
    Stack,
    Unjudgeable,
    Unspecified,
    Within,
)
from ...specs.encoding import encode_call
from ...specs.exact import round_to
from ...specs.grades import Grade
from ...specs.reductions import Reduction
from ...specs.rules import Clause
from .apart import apart, asked_for
from .judge import Judgement
from .ledger import Resolved
from .look import SYMPTOMS

_ELEMENTS = 8  # of an array that are spelt out
_LONGEST = 300  # characters of an exception's message
_SENTENCE = 120  # of those that a sentence repeats
_SMALL = 1 << 14  # bytes of a call that is kept because of another one
_PLAIN = ("nan", "inf", "number", "overflow")  # symptoms that both numbers show
_COUNTABLE = 1e15  # ulps; more say nothing


def finding(finding: Finding, clauses: Mapping[str, ClauseInfo] | Mapping[str, Clause], file: str = "") -> str:
    """A finding in full: what went wrong, which clause says so, the call with its arrays, observed and exact.

    With the records `file` that holds it, also how to run it again.
    """
    lines = [finding.because]
    lines.append(_labelled("subject", f"{finding.subject}/{finding.loss}, {finding.dtype}"))
    if finding.hint:
        lines.append(_labelled("hint", finding.hint))
    for id in finding.clauses[:1]:
        also = f" Also {', '.join(finding.clauses[1:])}." if finding.clauses[1:] else ""
        lines.append(_labelled(id, f"{clauses[id].level}: {clauses[id].statement}{also}"))
    lines.append(_labelled("call", finding.summary))
    lines += [_labelled(array.name, array.values) for array in arrays_of(finding.call, finding.loss)]
    distance = f"; distance {finding.distance}" if finding.distance else ""
    lines += [_labelled("observed", finding.observed), _labelled("exact", f"{finding.exact}{distance}")]
    if finding.before:
        calls = [
            f"{one.digest} {one.subject}: {f'{one.experiment} of ' * bool(one.experiment)}{one.summary}"
            for one in finding.before
        ]
        lines.append(_labelled("before", "\n".join((BEFORE, *calls))))
    if file:
        lines.append(_labelled("again", f"{replay_line(file, finding)}  ({finding.origin})"))
    else:
        lines.append(_labelled("origin", f"{finding.origin}, digest {finding.digest}"))
    return "\n".join(lines)


def suspects(calls: Iterable[Earlier]) -> tuple[Before, ...]:
    """Calls that ran before another one, as records hold them."""
    return tuple(
        Before(
            loss=one.call.signature.loss,
            subject=one.subject,
            experiment=one.experiment,
            summary=one.call.describe(),
            digest=one.call.digest(),
            call=encode_call(one.call) if sum(array.nbytes for _, array in one.call.arrays()) <= _SMALL else None,
        )
        for one in calls
    )


def kinds(records: Sequence[Record]) -> list[Finding]:
    """Of each kind of unexpected findings the smallest, small and plain ones first, its most telling clauses in front.

    Where that one was made smaller, it is the smaller one.
    """
    unexpected = (record for record in records if isinstance(record, Finding) and not record.expected)
    found = most_telling_first(records, unexpected)
    made = {(one.loss, one.subject, one.made_from): one for one in found if one.made_from}
    smallest: dict[tuple[str, ...], Finding] = {}
    for one in sorted(found, key=lambda one: (size(one), "transform" in one.call)):
        if not one.made_from:
            smallest.setdefault((one.loss, one.subject, one.symptom or one.because, *one.clauses[:1]), one)
    chosen = [made.get((one.loss, one.subject, one.digest), one) for one in smallest.values()]
    return list({(one.loss, one.subject, one.digest, one.symptom): one for one in reversed(chosen)}.values())[::-1]


def most_telling_first(records: Iterable[Record], findings: Iterable[Finding]) -> list[Finding]:
    """Findings of these records, the clauses of each in order."""
    shares = shares_unexpected(record for record in records if isinstance(record, Tally))
    return [msgspec.structs.replace(one, clauses=telling_first(one, shares)) for one in findings]


def _labelled(label: str, text: str) -> str:
    """A line, or several, with the label in front and the text aligned."""
    first, *more = text.splitlines() or [""]
    return "\n".join([f"  {label:<10}{first}", *(f"{'':<12}{line}".rstrip() for line in more)])


def because(case: Case, judgement: Judgement, outcome: Outcome) -> str:
    """One sentence that says what went wrong, in numbers where one number shows it."""
    if isinstance(outcome, Returned) and outcome.value.dtype.kind == "U" and judgement.symptom in ("shape", "dtype"):
        return "The call did not simply return an array."
    sentence = SYMPTOMS.get(judgement.symptom, "as specified")
    if found := apart(case, judgement, outcome):
        more = "" if judgement.symptom in _PLAIN else f" ({sentence})"
        sentence = f"the {asked_for(case.call) or 'loss'} is {found.words}{more}"
    elif due := _instead(case, judgement, outcome):
        sentence = f"{sentence}: {due}"
    more = f": {judgement.said}" if judgement.said else ""
    return sentence[0].upper() + sentence[1:] + more + "."


def _instead(case: Case, judgement: Judgement, outcome: Outcome) -> str:
    """What came instead of what is due, where that is no number."""
    match judgement.symptom, case.expectation, outcome:
        case "dtype", Returns(_, dtype), Returned(value):
            return f"{value.dtype.name}, {dtype} is due"
        case "shape", Returns(shape), Returned(value):
            return f"{list(value.shape)}, {list(shape)} is due"
        case "raised", _, Raised(kind, message):
            return f"{kind}: {message.strip().partition(chr(10))[0][:_SENTENCE]}"
        case "not_raised", Raises(categories), _:
            return f"one of category {' or '.join(sorted(categories))}"
        case _:
            return ""


def fixed(resolved: Resolved) -> str:
    """One sentence about a call that passes unexpectedly."""
    says = "says that it always fails" if resolved.always else "is shown by this very vector"
    return f"Passes, although the known divergence {resolved.divergence} {says}: is it fixed?"


def observed(outcome: Outcome, judgement: Judgement) -> str:
    """What the implementation did."""
    match outcome:
        case Returned(value):
            return _value(value, judgement.where)
        case Raised(kind, message):
            return f"{kind}: {message[:_LONGEST]}"
        case Crashed(how):
            return f"the process died: {how}"
        case TimedOut(seconds):
            return f"no answer within {seconds:g} s"
        case Unsupported(reason):
            return f"not called: {reason}"
        case _:
            assert_never(outcome)


def exact(case: Case, judgement: Judgement) -> str:
    """What the specification demands."""
    match case.expectation:
        case Raises(categories, None):
            return _error(categories)
        case Raises(categories, Returns(shape, _, value)):  # where traced code returned something, and not NaN alone
            is_other = judgement.where and judgement.symptom not in ("", "not_raised")
            due = f"; here {_due(value, shape, judgement.where)}" if is_other else ""
            return f"{_error(categories)} (traced code may return NaN instead, where a target does not exist{due})"
        case Unspecified():
            return "left open"
        case Returns(shape, _, value):
            return _due(value, shape, judgement.where)
        case other:
            raise TypeError(f"no words for {other}")


def _error(categories: frozenset[str]) -> str:
    return f"an error of category {' or '.join(sorted(categories))}"


def _due(prescribed: Prescribed, shape: tuple[int, ...], where: tuple[int, ...]) -> str:
    """The value that is due, at one element if that is known."""
    match prescribed:
        case Exactly(value):
            return f"{_value(value, where)} of shape {list(shape)}"
        case Reduction():
            return _exact_reduction(prescribed)
        case Limit(allowed):
            return " or ".join(sorted(allowed))
        case Unjudgeable(why):
            return f"anything: {why}"
        case Within(rounded):
            if len(where) != len(shape) or not rounded.size:
                return f"{_value(rounded, where)}, each within its tolerance"
            return _in_band(prescribed, where)
        case Sparse():
            return _exact_gradient(prescribed, shape, where)
        case Stack(parts) if where:
            return f"as for call {where[0]} of the batch alone, {_due(parts[where[0]], shape[1:], where[1:])}"
        case Stack(parts):
            return f"{len(parts)} answers, each as for a call of its own"
        case _:
            assert_never(prescribed)


def distance(judgement: Judgement, case: Case, outcome: Outcome) -> str:
    """How far apart they are, in units in the last place and in bounds; empty where that makes no sense."""
    if judgement.grade is not None:
        return _distance(judgement.grade)
    found = apart(case, judgement, outcome)
    if found is None or found.ulps is None:
        return ""
    return f"{found.ulps:.3g} ulp" if found.ulps < _COUNTABLE else ""


def _distance(grade: Grade) -> str:
    ulps = f"{grade.ulps:.3g} ulp" if grade.ulps < _COUNTABLE else "uncountable ulps"  # of an exact 0, say
    if grade.certified:
        return f"{ulps}; these numbers add up exactly in any order: only the result may be rounded"
    ratio = f"{grade.utilisation:.3g} of the required bound {grade.bound:.3g}"
    return f"{ulps}, {ratio}, class {grade.level}"


def _exact_reduction(reduction: Reduction) -> str:
    value = reduction.exact
    rounded = round_to(value, reduction.fmt)
    return f"{_decimal(value)}, rounds to {rounded!r} ({_hex(rounded)}) in {reduction.fmt.name}"


def _exact_gradient(gradient: Sparse, shape: tuple[int, ...], where: tuple[int, ...]) -> str:
    """What is due at one entry, or how many entries are not 0."""
    entries = gradient.entries
    due = entries.value if isinstance(entries, Exactly) else entries.rounded
    if len(where) != len(shape) or not where:
        return f"{gradient.flat.size} entries at targets, 0 at the others"
    place = np.flatnonzero(gradient.flat == np.ravel_multi_index(where, shape))
    if not place.size:
        return "0: no kept target selects this entry"
    if isinstance(entries, Exactly):
        return f"{_scalar(due[place[0]])}, correctly rounded"
    return _in_band(entries, (int(place[0]),))


def _in_band(due: Within, where: tuple[int, ...]) -> str:
    """What is due at one element of many."""
    if any(np.broadcast_to(mask, due.rounded.shape)[where] for mask in due.zeros.values()):
        return "0"
    low, high = due.required.low[where], due.required.high[where]
    return f"{_scalar(due.rounded[where])}, or what lies in [{low.item()!r}, {high.item()!r}]"


def _decimal(value: Fraction) -> str:
    """Twenty significant digits."""
    if value == 0:
        return "0"
    digits = 20
    exponent = math.floor(_log10(abs(value)))
    text = str(round(abs(value) * Fraction(10) ** (digits - 1 - exponent)))
    zeros = len(text) - len(text.rstrip("0"))
    shown = tuple(map(int, text[: len(text) - zeros]))
    number = decimal.Decimal((int(value < 0), shown, exponent + 1 - digits + zeros))
    return f"{number:f}" if -5 <= exponent < digits else str(number)


def _log10(value: Fraction) -> float:
    """log10 of a positive Fraction of any size."""
    shift = value.numerator.bit_length() - value.denominator.bit_length()
    return math.log10(float(value / Fraction(2) ** shift)) + shift * math.log10(2)


def _value(value: Array, where: tuple[int, ...]) -> str:
    """A value with its dtype: scalars also in hexadecimal, arrays at the element in question or from the start."""
    if value.dtype.kind == "U":  # what a user's function did instead of returning an array
        return str(value)
    if value.ndim == 0:
        return f"{value.dtype.name} {_scalar(value)}"
    head = f"{value.dtype.name}{list(value.shape)}"
    if where and len(where) == value.ndim and all(i < n for i, n in zip(where, value.shape, strict=True)):
        return f"{head}, element {list(where)} = {_scalar(value[where])}"
    flat = value.reshape(-1)[:_ELEMENTS]
    more = ", ..." if value.size > _ELEMENTS else ""
    return f"{head} [{', '.join(str(element) for element in flat.tolist())}{more}]"


def _scalar(value: Any) -> str:
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, float) and math.isfinite(number):
        return f"{number!r} ({_hex(number)})"
    return str(number)


def _hex(number: float) -> str:
    """A float in hexadecimal, without zeros at the end."""
    mantissa, _, exponent = number.hex().partition("p")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}p{exponent}"
