"""The matrix of clauses and subjects: one cell model for the page, the summary and the terminal.

`State` is decided here and nowhere else, from the statuses that were recorded; no outcome is judged again.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .merge import Merged, merge
from .records import INSTEAD, ClauseInfo, Matter, Observation, Run, SubjectInfo, Tally
from .severity import Severity, severity_of


class State(enum.Enum):
    """What a cell shows, ordered so that the worst comes first: a cell shows the worst of its counts.

    A known divergence has a state for each severity, and DIVERGENT for early files, which do not say it.
    PASS stands before the states of calls that were not judged: a cell passes where some calls passed and the
    rest were not judged, and `Cell.partial` says so.
    """

    UNEXPECTED = "unexpected"
    BROKEN = "broken"
    DIVERGENT = "divergent"
    WRONG_NUMBER = "wrong_number"
    WRONG_GRADIENT = "wrong_gradient"
    MISSING_ERROR = "missing_error"
    REFUSAL = "refusal"
    LAST_DIGITS = "last_digits"
    SHOULD_MISS = "should_miss"
    PASS = "pass"
    RECORDED = "recorded"
    NOT_JUDGED = "not_judged"
    UNSUPPORTED = "unsupported"
    NOT_RUN = "not_run"
    NO_CASE = "no_case"
    UNKNOWN = "unknown"

    @property
    def symbol(self) -> str:
        """One character, distinct in every state, so that colour is never needed to tell them apart."""
        return _SHOWN[self][0]

    @property
    def label(self) -> str:
        """A few plain words."""
        return _SHOWN[self][1]

    @property
    def meaning(self) -> str:
        """One sentence for the legend."""
        return _SHOWN[self][2]

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return _RANK[self]

    @classmethod
    def of_severity(cls, severity: Severity | None) -> State:
        """What a known divergence of this severity shows."""
        return cls.DIVERGENT if severity is None else cls[severity.name]


def _known(symbol: str, severity: Severity) -> tuple[str, str, str]:
    return symbol, str(severity), f"A known divergence, as expected. {severity.meaning}"


_SHOWN = {
    State.UNEXPECTED: (
        "✗",
        "unexpected",
        "An outcome that nobody recorded as expected; decides the exit code.",
    ),
    State.BROKEN: (
        "!",
        "error, crash or timeout",
        "No value came back, and no known divergence explains it.",
    ),
    State.DIVERGENT: ("≢", "known divergence", "Fails as a recorded divergence says: an expected failure."),
    State.WRONG_NUMBER: _known("≠", Severity.WRONG_NUMBER),
    State.WRONG_GRADIENT: _known("∇", Severity.WRONG_GRADIENT),
    State.MISSING_ERROR: _known("¬", Severity.MISSING_ERROR),
    State.REFUSAL: _known("⊘", Severity.REFUSAL),
    State.LAST_DIGITS: _known("≈", Severity.LAST_DIGITS),
    State.SHOULD_MISS: (
        "▽",
        "SHOULD not met",
        "A quality grade is missed; it fails the run only under --strict.",
    ),
    State.PASS: ("✓", "pass", "Every judged call passed."),
    State.RECORDED: ("◦", "recorded", "Observed and shown side by side, never judged."),
    State.NOT_JUDGED: (
        "?",
        "not judged",
        "The error bound was too wide to judge any call: uninformative, not a pass.",
    ),
    State.UNSUPPORTED: ("–", "unsupported", "The subject declares that it does not do this."),
    State.NOT_RUN: ("○", "not run", "Planned, and not run."),
    State.NO_CASE: ("·", "no case", "No call exercised this clause."),
    State.UNKNOWN: (" ", "clause not in this run", "The run's specification did not have this clause."),
}
_Where = tuple[str, str]  # a clause and a subject
_RANK = {state: rank for rank, state in enumerate(State)}
_SHORT = {"float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}  # dtypes in a cell
_HALVES = ("float16", "bfloat16")
_NOT_SEEN = ("unsupported", "not_run")
_UNJUDGED = ("uninformative", *_NOT_SEEN)
_OF_STATUS = {
    "pass": State.PASS,
    "uninformative": State.NOT_JUDGED,
    "unsupported": State.UNSUPPORTED,
    "not_run": State.NOT_RUN,
}


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """One way in which a clause came out: the key under which calls are counted."""

    status: str
    expected: bool
    divergence: str | None
    severity: Severity | None = None  # of the divergence

    def state(self, level: str) -> State:
        """The state that calls of this kind alone would give a cell."""
        if not self.expected:
            return State.UNEXPECTED
        if self.status in ("pass", "fail") and level == "RECORD":
            return State.RECORDED
        if self.status in _OF_STATUS:
            return _OF_STATUS[self.status]
        if self.divergence is not None:
            return State.of_severity(self.severity)
        return State.SHOULD_MISS if self.status == "fail" else State.BROKEN

    def __str__(self) -> str:
        why = f" as {self.divergence} says" if self.divergence and self.expected else ""
        return self.status.replace("_", " ") + why + ("" if self.expected else ", unexpected")


@dataclass(frozen=True, slots=True)
class Cell:
    """One clause on one subject: how many calls came out which way."""

    clause: ClauseInfo
    subject: str
    counts: Counter[Kind] = field(default_factory=Counter)
    dtypes: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)  # in which each kind came out
    observations: int = 0
    known: bool = True
    nans: int = 0  # calls that must fail, and returned NaN instead, as traced code may

    @property
    def state(self) -> State:
        """The worst state among the counts."""
        if self.counts:
            return min((kind.state(self.clause.level) for kind in self.counts), key=lambda state: state.rank)
        if self.observations:
            return State.RECORDED
        return State.NO_CASE if self.known else State.UNKNOWN

    @property
    def calls(self) -> int:
        """Calls that exercised the clause, planned and not run ones included."""
        return self.counts.total()

    @property
    def affected(self) -> tuple[str, ...]:
        """The dtypes of the calls that give the cell its state."""
        kinds = [kind for kind in self.counts if kind.state(self.clause.level) is self.state]
        return _in_order(dtype for kind in kinds for dtype in self.dtypes.get(kind, ()))

    @property
    def note(self) -> str:
        """What stands beside the symbol: `NaN` where that came instead of errors, or `3 NaN`, and the affected dtypes.

        They are `half`, `f32` and the like, or `all` where every dtype that ran is affected.
        """
        if self.state is State.PASS:
            passed = sum(number for kind, number in self.counts.items() if kind.status == "pass")
            return "" if not self.nans else "NaN" if self.nans == passed else f"{self.nans:,} NaN"
        if self.state.rank > State.PASS.rank and self.state is not State.NOT_JUDGED:
            return ""
        ran = {dtype for kind, dtypes in self.dtypes.items() if kind.status not in _NOT_SEEN for dtype in dtypes}
        if set(self.affected) == ran and len(ran) > 1:
            return "all"
        if self.affected == _HALVES:
            return "half"
        return " ".join(_SHORT.get(dtype, dtype) for dtype in self.affected)

    @property
    def partial(self) -> bool:
        """Whether the cell passes although some of its calls were not judged."""
        return self.state is State.PASS and any(kind.status in _UNJUDGED for kind in self.counts)

    @property
    def divergences(self) -> tuple[str, ...]:
        """Ids of the known divergences that showed here."""
        return tuple(sorted({kind.divergence for kind in self.counts if kind.divergence is not None}))

    def describe(self) -> str:
        """The cell in one line, without colour or symbols."""
        parts = [f"{number:,} {kind}{self._in(kind)}" for kind, number in self.ordered()]
        parts += [f"{self.nans:,} returned {INSTEAD}"] if self.nans else []
        observed = self.observations - self.nans
        parts += [f"{observed:,} observed"] if observed else []
        counts = f": {'; '.join(parts)}" if parts else ""
        return f"{self.clause.id} on {self.subject}: {self.state.label}{counts}"

    def _in(self, kind: Kind) -> str:
        """In which dtypes a kind that is no pass came out."""
        dtypes = self.dtypes.get(kind, ()) if kind.status not in ("pass", *_NOT_SEEN) else ()
        return f" in {', '.join(dtypes)}" if dtypes else ""

    def ordered(self) -> list[tuple[Kind, int]]:
        """Counts, the worst kind first."""
        return sorted(self.counts.items(), key=lambda entry: (entry[0].state(self.clause.level).rank, -entry[1]))


@dataclass(frozen=True, slots=True)
class Matrix:
    """All cells, and the runs they were read from."""

    merged: Merged
    cells: dict[tuple[str, str], Cell]

    @property
    def subjects(self) -> tuple[SubjectInfo, ...]:
        """The columns, those of one backend together."""
        return self.merged.subjects

    def families(self) -> dict[str, list[ClauseInfo]]:
        """The rows, by clause family, in the order of the specification."""
        rows: dict[str, list[ClauseInfo]] = {}
        for clause in self.merged.clauses:
            rows.setdefault(clause.family, []).append(clause)
        return rows

    def backends(self) -> dict[str, list[SubjectInfo]]:
        """The columns, by backend."""
        columns: dict[str, list[SubjectInfo]] = {}
        for subject in self.subjects:
            columns.setdefault(subject.backend, []).append(subject)
        return columns

    def row(self, clause: str) -> list[Cell]:
        """The cells of one clause, in the order of the subjects."""
        return [self.cells[clause, subject.name] for subject in self.subjects]


@dataclass(frozen=True, slots=True)
class FamilyCell:
    """One clause family on one subject."""

    family: str
    subject: str
    cells: tuple[Cell, ...]

    @property
    def states(self) -> Counter[State]:
        """Clauses by state."""
        return Counter(cell.state for cell in self.cells)

    @property
    def state(self) -> State:
        """The worst state among the clauses."""
        return min(self.states, key=lambda state: state.rank)

    @property
    def text(self) -> str:
        """The worst state's symbol and how many clauses are in it; empty where the run had none of them."""
        return "" if self.state is State.UNKNOWN else f"{self.state.symbol} {self.states[self.state]}"

    def describe(self) -> str:
        """The cell in one line: clauses by state, the worst first."""
        ordered = sorted(self.states.items(), key=lambda entry: entry[0].rank)
        parts = [f"{number} {state.label}" for state, number in ordered]
        nans = sum(cell.nans > 0 for cell in self.cells)
        parts += [f"{nans} with {INSTEAD}"] if nans else []
        return f"{self.family} on {self.subject}: {', '.join(parts)}"


def cells(runs: Sequence[Run], missing: Sequence[str] = (), matter: Matter | None = None) -> Matrix:
    """Build the matrix of one run, or of several read as one, with sentences on those that are missing.

    It is of one loss on one device, which may be left out where the runs are about nothing else.
    """
    merged = merge(runs, missing, matter)
    severities = {known.id: severity_of(known) for known in merged.divergences}
    counts, dtypes = _count(merged.of(Tally), severities)
    observed, nans = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for record in merged.of(Observation):
        where = record.clause, record.subject
        observed[where] += record.count
        nans[where] += record.count * (record.what == INSTEAD)
    table = {
        (where := (clause.id, subject.name)): Cell(
            clause,
            subject.name,
            counts.get(where, Counter()),
            {kind: _in_order(found) for kind, found in dtypes.get(where, {}).items()},
            observed[where],
            merged.knows(subject.name, clause.id),
            nans[where],
        )
        for clause in merged.clauses
        for subject in merged.subjects
    }
    return Matrix(merged, table)


def family_table(matrix: Matrix) -> dict[str, dict[str, FamilyCell]]:
    """Aggregate to subject by clause family: `table[subject][family]`."""
    return {
        subject.name: {
            family: FamilyCell(family, subject.name, tuple(matrix.cells[clause.id, subject.name] for clause in clauses))
            for family, clauses in matrix.families().items()
        }
        for subject in matrix.subjects
    }


def _count(
    tallies: Iterable[Tally], severities: Mapping[str, Severity | None]
) -> tuple[dict[_Where, Counter[Kind]], dict[_Where, dict[Kind, set[str]]]]:
    """Calls by clause, subject and kind, and the dtypes in which each kind came out."""
    counts: dict[_Where, Counter[Kind]] = {}
    dtypes: dict[_Where, dict[Kind, set[str]]] = {}
    for tally in (tally for tally in tallies if tally.count):
        where = tally.clause, tally.subject
        kind = Kind(tally.status, tally.expected, tally.divergence, severities.get(tally.divergence or ""))
        counts.setdefault(where, Counter())[kind] += tally.count
        dtypes.setdefault(where, {}).setdefault(kind, set()).add(tally.dtype)
    return counts, dtypes


def _in_order(dtypes: Iterable[str]) -> tuple[str, ...]:
    """Each dtype once, floats by their size first."""
    known = list(_SHORT)
    return tuple(sorted(set(dtypes), key=lambda name: (known.index(name) if name in known else len(known), name)))
