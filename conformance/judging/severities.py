"""How severe a known divergence is, found from its row: its symptoms, its fallback, and what its vector asks for."""

from __future__ import annotations

from ...reports.severity import Severity
from ...specs.call import GRADIENTS
from ...specs.case import Case
from .ledger import Divergence

_DERIVATIVES = (*GRADIENTS, "second", "second_upstream", "jvp", "vmap_gradient")  # kinds of call that give one
_WRONG, _DIGITS = "a wrong number or gradient", "last digits"  # which of the two a wrong one is, the call says
_REFUSAL, _MISSING = "a refusal", "a missing error"

# What each symptom may mean, what it means by default first; all of `look.SYMPTOMS`.
_MEANS: dict[str, tuple[str, ...]] = {
    "raised": (_REFUSAL,),
    "crash": (_REFUSAL,),
    "timeout": (_REFUSAL,),
    "not_raised": (_MISSING,),
    "inaccurate": (_DIGITS, _WRONG),
    "relation": (_DIGITS, _WRONG),
    "deep": (_DIGITS, _WRONG),
    "pattern": (_DIGITS, _WRONG),
    "scaling": (_DIGITS, _WRONG),
    "not_rounded": (_DIGITS,),
    "subnormals": (_DIGITS,),
    "repeatable": (_WRONG, _DIGITS),
    "threads": (_WRONG, _DIGITS),
} | dict.fromkeys(
    (
        *("shape", "dtype", "nan", "inf", "overflow", "number", "value"),
        *("elsewhere", "ignored", "arguments", "aliases", "state"),
    ),
    (_WRONG,),
)
_UNBOUND = ("inaccurate", "relation")  # how far off these are, the fallback says


def severity(row: Divergence) -> Severity:
    """What a row says of itself, or else what its symptoms mean by default: the worst of them."""
    return Severity(row.severity) if row.severity else _worst(row, default=True)


def problem(row: Divergence) -> str | None:
    """Why the severity that a row states cannot be, or None.

    It must be what one of its symptoms may mean, and no milder than the mildest thing that the worst of them may mean.
    """
    if not row.severity:
        return None
    stated = Severity(row.severity)
    possible = {_named(row, word) for symptom in row.signature for word in _meanings(row, symptom)}
    mildest = _worst(row, default=False)
    if stated in possible and stated.rank <= mildest.rank:
        return None
    allowed = sorted((one for one in possible if one.rank <= mildest.rank), key=lambda one: one.rank)
    return (
        f"severity {row.severity!r} does not fit the symptoms {', '.join(row.signature)} of its vector's call; "
        f"say {' or '.join(map(repr, map(str, allowed)))}, or leave it out for {str(_worst(row, default=True))!r}"
    )


def _worst(row: Divergence, *, default: bool) -> Severity:
    """The worst of what the symptoms mean by default, or of the mildest that each may mean."""
    found = []
    for symptom in row.signature:
        named = [_named(row, word) for word in _meanings(row, symptom)]
        found.append(named[0] if default else max(named, key=lambda one: one.rank))
    return min(found, key=lambda one: one.rank)


def _meanings(row: Divergence, symptom: str) -> tuple[str, ...]:
    """What a symptom of a row may mean: what nothing holds to the format's own precision is a wrong number."""
    return (_WRONG,) if symptom in _UNBOUND and not row.is_rounding else _MEANS[symptom]


def _named(row: Divergence, word: str) -> Severity:
    if word == _WRONG:
        return Severity.WRONG_GRADIENT if _gives_a_derivative(row.case) else Severity.WRONG_NUMBER
    return {
        _DIGITS: Severity.LAST_DIGITS,
        _REFUSAL: Severity.REFUSAL,
        _MISSING: Severity.MISSING_ERROR,
    }[word]


def _gives_a_derivative(case: Case) -> bool:
    transform = case.call.transform
    return transform is not None and transform.kind in _DERIVATIVES
