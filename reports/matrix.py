"""The matrix of clauses and subjects: one cell model for the page, the summary and the terminal.

`State` is decided here and nowhere else, from the statuses that were recorded; no outcome is judged again.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .merge import Merged, merge
from .records import ClauseInfo, Matter, Observation, Run, SubjectInfo, Tally


class State(enum.Enum):
    """What a cell shows, ordered so that the worst comes first: a cell shows the worst of its counts.

    PASS stands before the states of calls that were not judged: a cell passes where some calls passed and the
    rest were not judged, and `Cell.partial` says so.
    """

    UNEXPECTED = "unexpected"
    BROKEN = "broken"
    DIVERGENT = "divergent"
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
    State.DIVERGENT: ("≠", "known divergence", "Fails as a recorded divergence says: an expected failure."),
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
_RANK = {state: rank for rank, state in enumerate(State)}
_UNJUDGED = ("uninformative", "unsupported", "not_run")
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

    def state(self, level: str) -> State:
        """The state that calls of this kind alone would give a cell."""
        if not self.expected:
            return State.UNEXPECTED
        if self.status in ("pass", "fail") and level == "RECORD":
            return State.RECORDED
        if self.status in _OF_STATUS:
            return _OF_STATUS[self.status]
        if self.divergence is not None:
            return State.DIVERGENT
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
    observations: int = 0
    known: bool = True

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
    def telling(self) -> int:
        """Calls of the kinds that give the cell its state."""
        return sum(number for kind, number in self.counts.items() if kind.state(self.clause.level) is self.state)

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
        parts = [f"{number:,} {kind}" for kind, number in self.ordered()]
        parts += [f"{self.observations:,} observed"] if self.observations else []
        counts = f": {'; '.join(parts)}" if parts else ""
        return f"{self.clause.id} on {self.subject}: {self.state.label}{counts}"

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
        return f"{self.family} on {self.subject}: " + ", ".join(f"{number} {state.label}" for state, number in ordered)


def cells(runs: Sequence[Run], missing: Sequence[str] = (), matter: Matter | None = None) -> Matrix:
    """Build the matrix of one run, or of several read as one, with sentences on those that are missing.

    It is of one loss on one device, which may be left out where the runs are about nothing else.
    """
    merged = merge(runs, missing, matter)
    counts = _count(merged.of(Tally))
    observed = Counter[tuple[str, str]]()
    for record in merged.of(Observation):
        observed[record.clause, record.subject] += record.count
    table = {
        (clause.id, subject.name): Cell(
            clause,
            subject.name,
            counts.get((clause.id, subject.name), Counter()),
            observed[clause.id, subject.name],
            merged.knows(subject.name, clause.id),
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


def _count(tallies: Iterable[Tally]) -> dict[tuple[str, str], Counter[Kind]]:
    counts: dict[tuple[str, str], Counter[Kind]] = {}
    for tally in tallies:
        kind = Kind(tally.status, tally.expected, tally.divergence)
        if tally.count:
            counts.setdefault((tally.clause, tally.subject), Counter())[kind] += tally.count
    return counts
