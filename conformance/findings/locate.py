"""Finds the case that a command line names: a vector of ours, a file of vectors, or a finding in a run's records."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...adapters import registry, user
from ...reports import records
from ...reports.findings import replay_line
from ...reports.records import Before, Finding, Header, Run, SubjectInfo
from ...reports.verdict import plural
from ...specs import losses
from ...specs.case import FAILED, Case
from ...specs.encoding import decode_call
from ...specs.errors import UsageError, VectorError, nearest
from ...specs.vectors import Vector, parse, vectors
from ..judging import explain
from ..judging.ledger import BESIDE

_LISTED = 20
_EXPERIMENTS = ("PURE", "REL")  # families of clauses that several calls decide


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a run said of a case that failed: which clauses, in which version, and by which command, begun when."""

    failed: tuple[str, ...]
    version: str
    command: str
    started: str  # ISO 8601


@dataclass(frozen=True, slots=True)
class Located:
    """A case in a form that crosses process boundaries, arrangements in memory included, and whom it is about.

    `subject` is empty for a vector, which is about everybody; `key` is the name by which -b finds its backend.
    `recorded` tells of a finding that failed, and is None for all else. `before` are the calls that ran before it,
    newest first, where it died and one of them may be to blame.
    """

    call: dict[str, Any]  # specs.encoding.encode_call
    family: str
    origin: str
    clauses: tuple[str, ...]
    experiment: str = ""
    loss: str = losses.DEFAULT
    subject: str = ""
    key: str = ""
    recorded: Recorded | None = None
    before: tuple[Before, ...] = ()
    lead: tuple[str, ...] = ()  # the clause that it is about before all others, if one is

    def case(self) -> Case:
        """The case, with the oracle's expectation; raises VectorError when its call cannot be decoded."""
        loss = losses.find(self.loss)
        call = decode_call(self.call, loss.signature, self.origin)
        case = loss.case_of(call, self.family, 1, self.origin, self.clauses)
        return case.in_experiment(self.experiment) if self.experiment else case


def locate(name: str) -> list[Located]:
    """What a name stands for: one case, or the same call in several experiments or on several subjects.

    Raises UsageError where it stands for nothing, or for too much, and says what there is.
    """
    if name in vectors():
        return [of_vector(vectors()[name])]
    place, _, choice = name.rpartition("#") if "#" in name and not Path(name).exists() else (name, "", "")
    path = Path(place)
    if not path.exists():
        raise UsageError(
            f"no vector or file {place!r}; {nearest(place, vectors())}; or name a file of vectors, or a run's folder "
            "or records.jsonl with #DIGEST behind it"
        )
    if path.suffix != ".json":
        return _recorded(path, choice)
    vector = _vector(path, choice)
    return [of_vector(vector, f"{path.name}{BESIDE}{vector.id}")]  # as a row beside the file names it


def of_vector(vector: Vector, name: str = "") -> Located:
    """A vector, about nobody in particular; `name` is its id unless it is not one of ours."""
    origin = f"vector {name or vector.id}"
    return Located(vector.call, "vectors", origin, vector.clauses, vector.experiment, vector.loss)


def _vector(path: Path, id: str) -> Vector:
    """The vector with this id in a file, or its only one."""
    try:
        found = {vector.id: vector for vector in parse(path.read_text(encoding="utf-8"), str(path))}
    except (OSError, UnicodeDecodeError) as error:
        raise VectorError(f"{path}: {error}; name a JSON file of vectors") from error
    if not id and len(found) == 1:
        return next(iter(found.values()))
    if id not in found:
        asked = f"no vector {id!r}" if id else plural(len(found), "vector")
        raise UsageError(f"{path}: {asked}; name one of them as {path}#ID: {', '.join(found) or 'there is none'}")
    return found[id]


# --- findings ----------------------------------------------------------------------------------------------


def _recorded(path: Path, digest: str) -> list[Located]:
    """The findings whose digest begins so; without one, the only unexpected finding."""
    runs, chosen = _looked_up(path, digest)
    if digest and not chosen and path.is_dir():
        runs, chosen = _looked_up(path, digest, earlier=True)
    count = len({one.digest for _, one in chosen})
    if count == 1:
        return _distinct(chosen)
    what = (
        f"has {plural(count, 'call')} whose digest begins with {digest}"
        if digest
        else (f"has unexpected results of {plural(count, 'call')}")
    )
    raise UsageError(f"{path} {what}; name one, such as\n{_listed(runs, chosen if digest and chosen else [])}")


def _looked_up(path: Path, digest: str, *, earlier: bool = False) -> tuple[list[Run], list[tuple[Run, Finding]]]:
    """The runs there, the newest first, and which of their findings are meant."""
    runs = [records.read(file) for file in records.find([path], earlier=earlier)]
    runs.sort(key=lambda run: run.header.started, reverse=True)
    found = [(run, one) for run in runs for one in explain.most_telling_first(run.records, run.of(Finding))]
    if digest:
        return runs, [pair for pair in found if pair[1].digest.startswith(digest)]
    made_smaller = {one.made_from for _, one in found}
    return runs, [pair for pair in found if not pair[1].expected and pair[1].digest not in made_smaller]


def _listed(runs: Sequence[Run], chosen: Sequence[tuple[Run, Finding]]) -> str:
    """Findings, each with the command that runs it again: those chosen, or of each unexpected kind the smallest."""
    listed = chosen or [(run, one) for run in runs for one in explain.kinds(run.records)]
    listed = listed or [(run, one) for run in runs for one in run.of(Finding)]
    lines = dict.fromkeys(
        f"  {replay_line(run.path, one)}  {one.subject} {', '.join(one.clauses[:3])}: {one.because}"
        for run, one in listed
    )
    more = [f"  and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n".join([*list(lines)[:_LISTED], *more]) if lines else "  nothing: there are no findings"


def _distinct(found: Sequence[tuple[Run, Finding]]) -> list[Located]:
    """One case for each subject and experiment that a call was found with, unexpected ones first."""
    cases: dict[tuple[str, str, str], Located] = {}
    for run, one in sorted(found, key=lambda pair: pair[1].expected):
        losses.find(run.header.places.get(one.loss, one.loss))  # known by its name from now on
        located = of_finding(one, _key(run, one.subject), run.header)
        cases.setdefault((one.loss, one.subject, located.experiment), located)
    return list(cases.values())


def of_finding(one: Finding, key: str, run: Header) -> Located:
    """The case of a finding of a run on its subject, whose backend -b finds by `key`; its first clause leads."""
    clauses = losses.find(one.loss).rules.clauses
    known = tuple(id for id in one.clauses if id in clauses)
    several = next((id for id in known if clauses[id].family in _EXPERIMENTS), "")
    said = _said(run, one)
    return Located(
        one.call, one.family, one.origin, known, several, one.loss, one.subject, key, said, one.before, known[:1]
    )


def _said(run: Header, finding: Finding) -> Recorded | None:
    """What the run said of a finding that failed."""
    if finding.status not in FAILED:
        return None
    version = next((info.version for info in run.subjects if info.name == finding.subject), "")
    return Recorded(finding.clauses, version, run.command, run.started)


def _key(run: Run, subject: str) -> str:
    """The name by which -b finds the backend of a run's subject; the header tells where a user's function is.

    Empty where nothing tells.
    """
    info = next((info for info in run.header.subjects if info.name == subject), None)
    if info is None:
        return ""
    if info.binding == "user":
        return _users(info)
    if info.backend in registry.names():
        return info.backend
    words = shlex.split(run.header.command)
    given = [word for flag, word in itertools.pairwise(words) if flag in ("-b", "--backend")]
    return next((name for name in given if ":" in name and registry.backend(name).name == info.backend), "")


def _users(info: SubjectInfo) -> str:
    """The key of a user's function; empty where its file is gone, or it never had a place to be found at."""
    key = next((note.removeprefix(user.FOUND_BY) for note in info.notes if note.startswith(user.FOUND_BY)), "")
    if not key:
        return ""
    target = user.parse(key)
    return "" if target.is_file and not Path(target.module).is_file() else key
