"""Known divergences: rows of data that say which calls of which subject fail which clauses, and how.

A row's selector is a conjunction of comparisons on facts of the call (`Loss.facts`), never
code. Calls inside it still run; what they may do is bounded by the signature (which symptoms) and the fallback
(what must hold all the same). A row whose pinned vector no longer fails is as unexpected as a new failure.
`lossparity.conformance.judging.rows` reads them from files.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ...specs.case import FAILED, Case, Facts, NoFact, Status, Verdict
from ...specs.rules import Aspect, Rules
from ...specs.vectors import Vector, case_of, item_dtype
from .judge import Judgement

REFERENCE = "@"  # in front of another fact's name, in a selector
NONE = REFERENCE + "None"  # what a selector calls Python's None, which TOML has no word for
BESIDE = "#"  # between a file beside the row's own and the id of a vector in it
COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "in": lambda value, options: value in options,
    "not in": lambda value, options: value not in options,
}


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One known departure of an implementation from the specification, as a file holds it."""

    id: str
    title: str
    subjects: tuple[str, ...]
    clauses: tuple[str, ...]  # "*": every clause of the call
    selector: dict[str, Any]  # fact -> value, list of values, or {operator: value}; a value may be "@fact" or "@None"
    signature: tuple[str, ...]
    fallback: str
    mode: str
    cause: str
    explanation: str
    reproducer: str
    vector: str  # its id, or file.json#id beside the row's file
    references: tuple[str, ...] = ()
    versions: str = ""  # of the backend, e.g. ">=2.0,<3"
    devices: tuple[str, ...] = ()  # on which it shows, as --device names them, e.g. "cuda"; empty: on all
    severity: str = ""  # in the words of reports/severity.py; empty: as its symptoms and its fallback say
    machinery: bool = False  # the fault lies in how the framework differentiates or maps, whatever the function


class Divergence(Row, frozen=True, kw_only=True):
    """A row with the loss that it is about, and the vector that is pinned to it.

    `borrowed`: it is a framework's, and expected of a user's function on it, which may well avoid it.
    """

    loss: str
    pinned: Vector
    borrowed: bool = False

    @property
    def origin(self) -> str:
        """The origin of the case that its vector makes."""
        return f"vector {self.vector}"

    @property
    def case(self) -> Case:
        """The case that its vector makes."""
        return case_of(self.pinned, self.vector)

    def selects(self, case: Case) -> bool:
        """Whether the call of a case is one that this row speaks of."""
        return case.call.signature.loss == self.loss and self.misses(case.facts) is None

    def misses(self, facts: Facts) -> str | None:
        """The first fact that keeps a call out of the selector; None if it is inside."""
        return next((name for name, wanted in self.selector.items() if not _holds(facts, name, wanted)), None)

    @property
    def is_rounding(self) -> bool:
        """Whether what it shows are rounding errors: the format's own precision holds them."""
        return self.fallback == "own_precision"

    def concerns(self, clause: str) -> bool:
        """Whether this row expects that clause to fail."""
        return "*" in self.clauses or clause in self.clauses

    def lend(self, framework: str, subjects: tuple[str, ...]) -> Divergence:
        """The row as it is expected of a user's function, which may pass wherever the framework's own does not."""
        return msgspec.structs.replace(
            self,
            subjects=subjects,
            mode="sometimes",
            title=f"of {framework} itself: {self.title}",
            explanation=f"The fault is {framework}'s, and met by functions that it differentiates. {self.explanation}",
            borrowed=True,
        )


def _holds(facts: Facts, name: str, wanted: Any) -> bool:
    try:
        value = facts[name]
        if isinstance(wanted, list):
            return value in _operand(facts, wanted)
        if not isinstance(wanted, dict):
            return bool(value == _operand(facts, wanted))
        return all(_compares(sign, value, _operand(facts, operand)) for sign, operand in wanted.items())
    except NoFact:  # the call has no such fact, e.g. M of a call with a wrong shape
        return False


def _compares(sign: str, value: Any, operand: Any) -> bool:
    try:
        return bool(COMPARE[sign](value, operand))
    except TypeError:  # a reduction that is None is neither more nor less than a number
        return False


def _operand(facts: Facts, operand: Any) -> Any:
    """What an operand stands for; raises NoFact for a fact that the call does not have."""
    if isinstance(operand, list):
        return [_operand(facts, one) for one in operand]
    if isinstance(operand, str) and operand.startswith(REFERENCE):
        return None if operand == NONE else facts[operand.removeprefix(REFERENCE)]
    return operand


def condition(wanted: Any) -> str:
    """What a selector wants of a fact, in words."""
    if isinstance(wanted, dict):
        return " and ".join(f"{sign} {operand}" for sign, operand in wanted.items())
    return f"in {wanted}" if isinstance(wanted, list) else f"= {wanted}"


class Resolved(NamedTuple):
    """A verdict, and whether it is the expected one; `divergence` is the row that expects it, or that it belies.

    `always` is whether that row expects it of every call in its selector, and not of its own vector alone; `rounding`
    whether that row is about rounding errors.
    """

    verdict: Verdict
    expected: bool
    divergence: str | None
    always: bool = False
    rounding: bool = False


@dataclass(frozen=True)
class Ledger:
    """The rows that concern one subject in its installed version."""

    rows: tuple[Divergence, ...]

    @functools.cached_property
    def deadly(self) -> tuple[Divergence, ...]:
        """The rows that expect a process to die or not to come back."""
        return tuple(row for row in self.rows if {"crash", "timeout"} & set(row.signature))

    def matching(self, case: Case) -> tuple[Divergence, ...]:
        """The rows whose selector the call of a case fulfils."""
        return tuple(row for row in self.rows if row.selects(case))

    def resolve(self, case: Case, judgement: Judgement, strict: bool) -> tuple[Resolved, ...]:
        """Compare each verdict of a call with what the rows expect of it.

        A row that may pass sometimes must still show, under one of its clauses, on the vector pinned to it.
        """
        rows = self.matching(case)
        if not rows:
            return _resolve_without_rows(case.rules, judgement.verdicts, strict)
        resolved = [_resolve(case.rules, verdict, judgement, rows, strict) for verdict in judgement.verdicts]
        for row in (row for row in rows if case.origin == row.origin and not row.borrowed):
            if not any(one.divergence == row.id for one in resolved):
                resolved = [_missed(one, row) for one in resolved]
        return tuple(resolved)

    def vector_cases(self, loss: str, dtype: str) -> Iterator[Case]:
        """The rows' own vectors, which do not come with the suite, of one loss and dtype."""
        own = {row.vector: row for row in self.rows if BESIDE in row.vector and row.loss == loss}
        return (row.case for row in own.values() if item_dtype(row.pinned) == dtype)


NOTHING_KNOWN = Ledger(())


def _missed(resolved: Resolved, row: Divergence) -> Resolved:
    """A verdict on a pinned vector that does not show its row any more: it passes, or fails in another way."""
    if not row.concerns(resolved.verdict.clause):
        return resolved
    if resolved.verdict.status is Status.PASS:
        return Resolved(resolved.verdict, False, row.id, row.mode == "always")
    return Resolved(resolved.verdict, False, None) if resolved.verdict.status is Status.FAIL else resolved


@functools.lru_cache(maxsize=1 << 12)
def _resolve_alone(rules: Rules, verdict: Verdict, strict: bool) -> Resolved:
    """What is expected of a verdict that no row speaks of."""
    missed = verdict.status is Status.FAIL and rules.clauses[verdict.clause].level == "SHOULD" and not strict
    as_specified = verdict.status in (Status.PASS, Status.UNINFORMATIVE, Status.UNSUPPORTED)
    return Resolved(verdict, missed or as_specified, None)


@functools.lru_cache(maxsize=1 << 12)
def _resolve_without_rows(rules: Rules, verdicts: tuple[Verdict, ...], strict: bool) -> tuple[Resolved, ...]:
    """What is expected of a call that no row speaks of; thousands of calls share a few hundred answers."""
    return tuple(_resolve_alone(rules, verdict, strict) for verdict in verdicts)


def _resolve(
    rules: Rules, verdict: Verdict, judgement: Judgement, rows: tuple[Divergence, ...], strict: bool
) -> Resolved:
    concerned = [row for row in rows if row.concerns(verdict.clause)]
    if not concerned:
        return _resolve_alone(rules, verdict, strict)
    if verdict.status in FAILED:
        for row in concerned:
            if judgement.symptom in row.signature and _falls_back(row, judgement):
                return Resolved(verdict, True, row.id, rounding=row.is_rounding)
    if verdict.status is Status.PASS:
        for row in concerned:
            if row.mode == "always":
                return Resolved(verdict, False, row.id, always=True)
    return _resolve_alone(rules, verdict, strict)


def _falls_back(row: Divergence, judgement: Judgement) -> bool:
    if row.fallback == "own_precision":
        value = judgement.aspects.get(Aspect.VALUE, Status.FAIL)
        coarse = judgement.aspects.get(Aspect.COARSE, Status.FAIL)
        return value is Status.PASS or value is Status.UNINFORMATIVE and coarse is Status.PASS
    if row.fallback == "undecided":
        return judgement.aspects.get(Aspect.VALUE, Status.FAIL) is not Status.FAIL
    return row.fallback == "nothing" or judgement.symptom == "raised"


def for_subject(rows: Iterable[Divergence], subject: str, version: str, device: str) -> Ledger:
    """The rows that concern a subject in this version of its backend, on this device."""
    concerned = (row for row in rows if subject in row.subjects and _in_range(row.versions, version))
    kinds = {device, device.partition(":")[0]}
    return Ledger(tuple(row for row in concerned if not row.devices or kinds & set(row.devices)))


def _in_range(versions: str, version: str) -> bool:
    return Version(version.split("+")[0]) in SpecifierSet(versions, prereleases=True)
