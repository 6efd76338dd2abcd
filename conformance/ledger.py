"""Known divergences: rows of data that say which calls of which subject fail which clauses, and how.

A row's selector is a conjunction of comparisons on facts of the call (`lossparity.specs.nll_loss.facts`), never
code. Calls inside it still run; what they may do is bounded by the signature (which symptoms) and the fallback
(what must hold all the same). A row whose pinned vector no longer fails is as unexpected as a new failure.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from ..specs.case import Case, Facts, Status, Verdict
from ..specs.errors import LedgerError, nearest
from ..specs.nll_loss.clauses import clauses
from ..specs.nll_loss.facts import MEANINGS
from ..specs.tables import load_table
from .judge import SYMPTOMS, Judgement

CAUSES = ("bug", "by_design", "not_implemented", "adapter_gap")
FALLBACKS = {
    "nothing": "anything within the signature",
    "own_precision": "within what the format's own precision can do in any order; where that says nothing, right in "
    "sign and not more than twice too large",
    "undecided": "the format's own precision does not decide the value, and the selector says why",
    "raises": "the call raises a Python exception",
}
MODES = ("always", "sometimes")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "in": lambda value, options: value in options,
    "not in": lambda value, options: value not in options,
}


class Divergence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One known departure of an implementation from the specification."""

    id: str
    title: str
    subjects: tuple[str, ...]
    clauses: tuple[str, ...]  # "*": every clause of the call
    selector: dict[str, Any]  # fact -> value, list of values, or {operator: value or "@fact"}
    signature: tuple[str, ...]
    fallback: str
    mode: str
    cause: str
    explanation: str
    reproducer: str
    vector: str
    references: tuple[str, ...] = ()
    versions: str = ""  # of the backend, e.g. ">=2.0,<3"

    def selects(self, facts: Facts) -> bool:
        """Whether the call with these facts is one that this row speaks of."""
        return all(_holds(facts, name, wanted) for name, wanted in self.selector.items())

    def concerns(self, clause: str) -> bool:
        """Whether this row expects that clause to fail."""
        return "*" in self.clauses or clause in self.clauses


def _holds(facts: Facts, name: str, wanted: Any) -> bool:
    try:
        value = facts[name]
        if isinstance(wanted, list):
            return value in wanted
        if not isinstance(wanted, dict):
            return bool(value == wanted)
        return all(_COMPARE[sign](value, _operand(facts, operand)) for sign, operand in wanted.items())
    except KeyError:  # the call has no such fact, e.g. M of a call with a wrong shape
        return False


def _operand(facts: Facts, operand: Any) -> Any:
    return facts[operand[1:]] if isinstance(operand, str) and operand.startswith("@") else operand


class Resolved(NamedTuple):
    """A verdict, and whether it is the expected one; `divergence` is the row that expects it."""

    verdict: Verdict
    expected: bool
    divergence: str | None


@dataclass(frozen=True)
class Ledger:
    """The rows that concern one subject in its installed version."""

    rows: tuple[Divergence, ...]

    @functools.cached_property
    def deadly(self) -> tuple[Divergence, ...]:
        """The rows that expect a process to die or not to come back."""
        return tuple(row for row in self.rows if {"crash", "timeout"} & set(row.signature))

    def matching(self, facts: Facts) -> tuple[Divergence, ...]:
        """The rows whose selector this call fulfils."""
        return tuple(row for row in self.rows if row.selects(facts))

    def resolve(self, case: Case, judgement: Judgement, strict: bool) -> tuple[Resolved, ...]:
        """Compare each verdict of a call with what the rows expect of it.

        A row that may pass sometimes must still fail, under one of its clauses, on the vector pinned to it.
        """
        rows = self.matching(case.facts)
        if not rows:
            return _resolve_without_rows(judgement.verdicts, strict)
        resolved = [_resolve(verdict, judgement, rows, strict) for verdict in judgement.verdicts]
        pinned = (row for row in rows if case.origin == f"vector {row.vector}")
        for row in pinned:
            if not any(one.divergence == row.id for one in resolved):
                resolved = [_missed(one, row) for one in resolved]
        return tuple(resolved)


def _missed(resolved: Resolved, row: Divergence) -> Resolved:
    """A verdict on a pinned vector that does not show its row any more."""
    if row.concerns(resolved.verdict.clause) and resolved.verdict.status is Status.PASS:
        return Resolved(resolved.verdict, False, row.id)
    return resolved


@functools.lru_cache(maxsize=1 << 12)
def _resolve_alone(verdict: Verdict, strict: bool) -> Resolved:
    """What is expected of a verdict that no row speaks of."""
    missed = verdict.status is Status.FAIL and clauses()[verdict.clause].level == "SHOULD" and not strict
    as_specified = verdict.status in (Status.PASS, Status.UNINFORMATIVE, Status.UNSUPPORTED)
    return Resolved(verdict, missed or as_specified, None)


@functools.lru_cache(maxsize=1 << 12)
def _resolve_without_rows(verdicts: tuple[Verdict, ...], strict: bool) -> tuple[Resolved, ...]:
    """What is expected of a call that no row speaks of; thousands of calls share a few hundred answers."""
    return tuple(_resolve_alone(verdict, strict) for verdict in verdicts)


def _resolve(verdict: Verdict, judgement: Judgement, rows: tuple[Divergence, ...], strict: bool) -> Resolved:
    concerned = [row for row in rows if row.concerns(verdict.clause)]
    if not concerned:
        return _resolve_alone(verdict, strict)
    if verdict.status in (Status.FAIL, Status.CRASH, Status.TIMEOUT):
        for row in concerned:
            if judgement.symptom in row.signature and _falls_back(row, judgement):
                return Resolved(verdict, True, row.id)
        return Resolved(verdict, False, None)
    if verdict.status is Status.PASS:
        for row in concerned:
            if row.mode == "always":
                return Resolved(verdict, False, row.id)
    return _resolve_alone(verdict, strict)


def _falls_back(row: Divergence, judgement: Judgement) -> bool:
    if row.fallback == "own_precision":
        value = judgement.aspects.get("value", Status.FAIL)
        coarse = judgement.aspects.get("coarse", Status.FAIL)
        return value is Status.PASS or value is Status.UNINFORMATIVE and coarse is Status.PASS
    if row.fallback == "undecided":
        return judgement.aspects.get("value", Status.FAIL) is not Status.FAIL
    return row.fallback == "nothing" or judgement.symptom == "raised"


# --- loading ---------------------------------------------------------------------------------------------


def shipped(backend: str) -> str | None:
    """The text of a built-in adapter's divergences, None when it has none."""
    file = resources.files("lossparity.adapters").joinpath(backend, "divergences.toml")
    return file.read_text(encoding="utf-8") if file.is_file() else None


def load(text: str, where: str, subjects: Iterable[str], vectors: Iterable[str]) -> tuple[Divergence, ...]:
    """Rows of one divergences file; raises LedgerError naming file, row and reason."""
    rows = load_table(text, "divergence", Divergence, where, LedgerError)
    subjects, vectors = tuple(subjects), frozenset(vectors)
    for row in rows:
        if problem := _problem(row, subjects, vectors):
            raise LedgerError(f"{where}: row {row.id}: {problem}")
    return tuple(rows)


def load_file(path: Path, subjects: Iterable[str], vectors: Iterable[str]) -> tuple[Divergence, ...]:
    """Rows of a divergences file on disk; raises LedgerError when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}; name a TOML file of [[divergence]] rows") from error
    return load(text, str(path), subjects, vectors)


def for_subject(rows: Iterable[Divergence], subject: str, version: str) -> Ledger:
    """The rows that concern a subject in this version of its backend."""
    return Ledger(tuple(row for row in rows if subject in row.subjects and _in_range(row.versions, version)))


def _in_range(versions: str, version: str) -> bool:
    return Version(version.split("+")[0]) in SpecifierSet(versions, prereleases=True)


def _problem(row: Divergence, subjects: tuple[str, ...], vectors: frozenset[str]) -> str | None:
    """What is wrong with a row, or None."""
    words: list[tuple[str, Iterable[str], Iterable[str]]] = [
        ("subject", row.subjects, subjects),
        ("clause", row.clauses, (*clauses(), "*")),
        ("symptom", row.signature, SYMPTOMS),
        ("fact", row.selector, MEANINGS),
        ("cause", (row.cause,), CAUSES),
        ("fallback", (row.fallback,), FALLBACKS),
        ("mode", (row.mode,), MODES),
        ("vector", (row.vector,), vectors),
    ]
    for kind, used, known in words:
        known = tuple(known)
        for word in used:
            if word not in known:
                return f"unknown {kind} {word!r}; {nearest(word, known)}"
    if not row.subjects or not row.clauses or not row.signature:
        return "subjects, clauses and signature must each name at least one"
    if row.cause == "bug" and not (row.references or row.reproducer):
        return "a bug needs a public reference or a reproducer"
    return _operator_problem(row.selector) or _version_problem(row.versions)


def _operator_problem(selector: Mapping[str, Any]) -> str | None:
    for fact, wanted in selector.items():
        for sign, operand in wanted.items() if isinstance(wanted, dict) else ():
            if sign not in _COMPARE:
                return f"unknown operator {sign!r} on {fact}; {nearest(sign, _COMPARE)}"
            if isinstance(operand, str) and operand.startswith("@") and operand[1:] not in MEANINGS:
                return f"unknown fact {operand!r}; {nearest(operand[1:], MEANINGS)}"
    return None


def _version_problem(versions: str) -> str | None:
    try:
        SpecifierSet(versions)
    except InvalidSpecifier:
        return f"versions {versions!r} is not a version specifier such as '>=2.0,<3'"
    return None
