"""Several runs read as one: those of several backends, and the parts of one run.

What is merged is about one loss on one device. A subject that two runs have is taken from the later of them, whole;
parts of one run count as that run together. Everything that was decided on the way is kept as a note, and what is not
there as a sentence, so that a report can say it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..specs.errors import RecordsError
from .records import AbsentBackend, ClauseInfo, DivergenceInfo, Finding, Matter, Part, Record, Run, SubjectInfo

_Kind = TypeVar("_Kind", bound=Record)
_Entry = TypeVar("_Entry", ClauseInfo, DivergenceInfo)


@dataclass(frozen=True)
class Merged:
    """What several runs say together of one loss on one device.

    `runs` are ordered from the oldest to the newest; `owners` maps each subject to the indices of the runs that it is
    taken from, several where those are parts of one; subjects of one backend stand together.
    """

    matter: Matter
    runs: tuple[Run, ...]
    owners: dict[str, tuple[int, ...]]
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

    @property
    def is_all(self) -> bool:
        """Whether all that the runs did is here: nothing was replaced, and they were about nothing else."""
        return not self.replaced and all(run.matters == [self.matter] for run in self.runs)

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """The records of one type, each subject's from the runs that it is taken from."""
        return [record for _, record in self._records(kind)]

    def file_of(self, finding: Finding) -> str:
        """The records file that holds a finding."""
        return self._files[id(finding)]

    def knows(self, subject: str, clause: str) -> bool:
        """Whether the runs that `subject` is taken from had this clause in their specification."""
        return any(
            (known.loss, known.id) == (self.matter.loss, clause)
            for index in self.owners[subject]
            for known in self.runs[index].header.clauses
        )

    @functools.cached_property
    def _files(self) -> dict[int, str]:
        return {id(finding): path for path, finding in self._records(Finding)}

    def _records(self, kind: type[_Kind]) -> Iterator[tuple[str, _Kind]]:
        for index, run in enumerate(self.runs):
            for record in run.of(kind):
                if (record.loss, record.device) == self.matter and index in self.owners.get(record.subject, (index,)):
                    yield run.path, record


def matters(runs: Iterable[Run]) -> list[Matter]:
    """What runs are about, in the order of first appearance."""
    return list(dict.fromkeys(matter for run in runs for matter in run.matters))


def merge(runs: Sequence[Run], missing: Sequence[str] = (), matter: Matter | None = None) -> Merged:
    """What several runs say of a matter, without those that are `missing`; the matter may be left out if there is one.

    Raises ValueError for no run at all, and where the matter has to be named; RecordsError for parts that belong to
    different runs.
    """
    if not runs:
        raise ValueError("no run to merge; read at least one records file")
    known = matters(runs)
    if matter is None and len(known) > 1:
        raise ValueError(f"these runs are about {', '.join(map(' on '.join, known))}: name one of them")
    matter = matter or (known[0] if known else Matter("", ""))
    ordered = tuple(sorted((run for run in runs if matter in run.matters or not known), key=_started))
    wholes = _wholes(ordered, matter)
    owner = {subject.name: whole for whole in wholes for subject in _own(ordered[whole[-1]], matter)}
    return Merged(
        matter=matter,
        runs=ordered,
        owners=owner,
        subjects=_subjects(ordered, owner, matter),
        clauses=_newest((run.header.clauses for run in ordered), matter.loss),
        divergences=_newest((run.header.divergences for run in ordered), matter.loss),
        absent=_absent(ordered),
        replaced=(*_repeated(ordered, wholes), *_replaced(ordered, wholes, owner, matter)),
        reworded=tuple(_reworded(ordered, matter.loss)),
        missing=(*missing, *_missing_parts(ordered, wholes)),
    )


def _started(run: Run) -> str:
    return run.header.started


def _own(run: Run, matter: Matter) -> Iterator[SubjectInfo]:
    """The subjects of a run that are about the matter."""
    return (subject for subject in run.header.subjects if (subject.loss, subject.device) == matter)


def _wholes(runs: Sequence[Run], matter: Matter) -> list[tuple[int, ...]]:
    """Runs, and parts of one run together, by their indices, the newest last; of a part that is here twice the newer.

    Raises RecordsError where parts of different runs have a subject in common: they cannot be added up.
    """
    parts: dict[str, dict[int, int]] = {}
    wholes: list[tuple[int, ...]] = []
    for index, run in enumerate(runs):
        if run.header.part is None:
            wholes.append((index,))
        else:
            parts.setdefault(run.header.plan, {})[run.header.part.number] = index
    _require_alike(runs, matter)
    wholes += [tuple(sorted(one.values())) for one in parts.values()]
    return sorted(wholes, key=max)


def _require_alike(runs: Sequence[Run], matter: Matter) -> None:
    seen: dict[str, Run] = {}
    for run in runs:
        if run.header.part is None:
            continue
        for subject in _own(run, matter):
            other = seen.setdefault(subject.name, run)
            if (other.header.plan, _count(other)) != (run.header.plan, _count(run)):
                raise RecordsError(
                    f"{other.path} is part {other.header.part} of the plan {other.header.plan}, {run.path} part "
                    f"{run.header.part} of {run.header.plan}: parts of different runs cannot be added up; give parts "
                    "of one run, made with the same options and versions"
                )


def _count(run: Run) -> int:
    return run.header.part.of if run.header.part is not None else 0


def _missing_parts(runs: Sequence[Run], wholes: Iterable[tuple[int, ...]]) -> Iterator[str]:
    """Sentences on parts of runs that are not here."""
    for whole in wholes:
        first = runs[whole[0]]
        here = {runs[index].header.part for index in whole}
        for part in (Part(number, _count(first)) for number in range(1, _count(first) + 1)):
            if part not in here:
                yield (
                    f"Part {part} of the run with the plan {first.header.plan} is not here: what it judges is not "
                    f"counted. Part {first.header.part} was made by `{first.header.command}`."
                )


def _repeated(runs: Sequence[Run], wholes: Iterable[tuple[int, ...]]) -> Iterator[str]:
    """Sentences on parts that are here more than once."""
    shown = {index for whole in wholes for index in whole}
    for index, run in enumerate(runs):
        if index not in shown:
            yield (
                f"Part {run.header.part} of the plan {run.header.plan} is here more than once; that of "
                f"{run.header.started} ({run.path}) is not shown."
            )


def _subjects(runs: Sequence[Run], owner: dict[str, tuple[int, ...]], matter: Matter) -> tuple[SubjectInfo, ...]:
    kept = [
        subject for index, run in enumerate(runs) for subject in _own(run, matter) if owner[subject.name][-1] == index
    ]
    first = list(dict.fromkeys(subject.backend for subject in kept))
    return tuple(sorted(kept, key=lambda subject: first.index(subject.backend)))


def _newest(tables: Iterable[Sequence[_Entry]], loss: str) -> tuple[_Entry, ...]:
    """A loss's entries by id, in the order of first appearance, each as the newest run has it."""
    found: dict[str, _Entry] = {}
    for table in tables:
        found |= {entry.id: entry for entry in table if entry.loss == loss}
    return tuple(found.values())


def _absent(runs: Sequence[Run]) -> tuple[AbsentBackend, ...]:
    """Backends that no run had."""
    present = {subject.backend for run in runs for subject in run.header.subjects}
    missing = {backend.name: backend for run in runs for backend in run.header.absent}
    return tuple(backend for name, backend in missing.items() if name not in present)


def _replaced(
    runs: Sequence[Run], wholes: Iterable[tuple[int, ...]], owner: dict[str, tuple[int, ...]], matter: Matter
) -> Iterator[str]:
    pairs: dict[tuple[int, int], list[str]] = {}
    for whole in wholes:
        for subject in _own(runs[whole[-1]], matter):
            if owner[subject.name] != whole:
                pairs.setdefault((whole[-1], owner[subject.name][-1]), []).append(subject.name)
    for (older, newer), names in pairs.items():
        yield (
            f"In several runs: {', '.join(names)}. "
            f"Shown from the run of {runs[newer].header.started} ({runs[newer].path}), "
            f"not from that of {runs[older].header.started} ({runs[older].path})."
        )


def _reworded(runs: Sequence[Run], loss: str) -> list[str]:
    tables = [{clause.id: clause for clause in run.header.clauses if clause.loss == loss} for run in runs]
    newest = {clause: entry for table in tables for clause, entry in table.items()}
    changed = sorted({clause for table in tables for clause, entry in table.items() if entry != newest[clause]})
    notes = []
    if changed:
        notes.append(f"The runs word these clauses differently; the newest wording is shown: {', '.join(changed)}.")
    if any(table.keys() != tables[0].keys() for table in tables):
        notes.append("The runs know different sets of clauses; a blank cell is a clause that its run did not know.")
    return notes
