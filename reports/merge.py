"""Several runs, usually one per backend, read as one.

A subject that two runs have is taken from the later of them, whole; everything that was decided on the way is
kept as a note, so that a report can say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .records import AbsentBackend, ClauseInfo, DivergenceInfo, Record, Run, SubjectInfo

_Kind = TypeVar("_Kind", bound=Record)
_Entry = TypeVar("_Entry", ClauseInfo, DivergenceInfo)


@dataclass(frozen=True, slots=True)
class Merged:
    """What several runs say together.

    `runs` are ordered from the oldest to the newest; `owner` maps each subject to the index of the run it is
    taken from; subjects of one backend stand together.
    """

    runs: tuple[Run, ...]
    owner: dict[str, int]
    subjects: tuple[SubjectInfo, ...]
    clauses: tuple[ClauseInfo, ...]
    divergences: tuple[DivergenceInfo, ...]
    absent: tuple[AbsentBackend, ...]
    replaced: tuple[str, ...]
    reworded: tuple[str, ...]
    missing: tuple[str, ...] = ()  # sentences on what should have been here

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was decided when the runs were merged."""
        return (*self.replaced, *self.reworded)

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """The records of one type, each subject's from the run that owns it."""
        return [
            record
            for index, run in enumerate(self.runs)
            for record in run.of(kind)
            if self.owner.get(record.subject, index) == index
        ]

    def file_of(self, subject: str) -> str:
        """The records file that `subject` is taken from."""
        return self.runs[self.owner.get(subject, -1)].path

    def knows(self, subject: str, clause: str) -> bool:
        """Whether the run that `subject` is taken from had this clause in its specification."""
        return any(known.id == clause for known in self.runs[self.owner[subject]].header.clauses)


def merge(runs: Sequence[Run], missing: Sequence[str] = ()) -> Merged:
    """Read several runs as one, without those that are `missing`; raises ValueError for none at all."""
    if not runs:
        raise ValueError("no run to merge; read at least one records file")
    ordered = tuple(sorted(runs, key=lambda run: run.header.started))
    owner = {subject.name: index for index, run in enumerate(ordered) for subject in run.header.subjects}
    return Merged(
        runs=ordered,
        owner=owner,
        subjects=_subjects(ordered, owner),
        clauses=_newest(run.header.clauses for run in ordered),
        divergences=_newest(run.header.divergences for run in ordered),
        absent=_absent(ordered),
        replaced=tuple(_replaced(ordered, owner)),
        reworded=tuple(_reworded(ordered)),
        missing=tuple(missing),
    )


def _subjects(runs: Sequence[Run], owner: dict[str, int]) -> tuple[SubjectInfo, ...]:
    kept = [
        subject for index, run in enumerate(runs) for subject in run.header.subjects if owner[subject.name] == index
    ]
    first = list(dict.fromkeys(subject.backend for subject in kept))
    return tuple(sorted(kept, key=lambda subject: first.index(subject.backend)))


def _newest(tables: Iterable[Sequence[_Entry]]) -> tuple[_Entry, ...]:
    """Entries by id, in the order of first appearance, each as the newest run has it."""
    found: dict[str, _Entry] = {}
    for table in tables:
        found |= {entry.id: entry for entry in table}
    return tuple(found.values())


def _absent(runs: Sequence[Run]) -> tuple[AbsentBackend, ...]:
    """Backends that no run had."""
    present = {subject.backend for run in runs for subject in run.header.subjects}
    missing = {backend.name: backend for run in runs for backend in run.header.absent}
    return tuple(backend for name, backend in missing.items() if name not in present)


def _replaced(runs: Sequence[Run], owner: dict[str, int]) -> list[str]:
    pairs: dict[tuple[int, int], list[str]] = {}
    for index, run in enumerate(runs):
        for subject in run.header.subjects:
            if owner[subject.name] != index:
                pairs.setdefault((index, owner[subject.name]), []).append(subject.name)
    return [
        f"In several runs: {', '.join(names)}. "
        f"Shown from the run of {runs[newer].header.started} ({runs[newer].path}), "
        f"not from that of {runs[older].header.started} ({runs[older].path})."
        for (older, newer), names in pairs.items()
    ]


def _reworded(runs: Sequence[Run]) -> list[str]:
    tables = [{clause.id: clause for clause in run.header.clauses} for run in runs]
    newest = {clause: entry for table in tables for clause, entry in table.items()}
    changed = sorted({clause for table in tables for clause, entry in table.items() if entry != newest[clause]})
    notes = []
    if changed:
        notes.append(f"The runs word these clauses differently; the newest wording is shown: {', '.join(changed)}.")
    if any(table.keys() != tables[0].keys() for table in tables):
        notes.append("The runs know different sets of clauses; a blank cell is a clause that its run did not know.")
    return notes
