"""What becomes of the item of a worker that died: it runs again, or its last call is accused, or it is lost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...reports.records import Finding, Record, Tally
from ...specs.call import Earlier
from ...specs.case import Status
from ..items import breadcrumb
from ..items.spec import ItemSpec
from ..judging import explain

_OUTSIDE = 2  # deaths of workers outside of any call, after which a subject is given up
_KILLS = 2  # of the workers of an item, each during another call, after which it is not tried again
_RAN_AGAIN = "SIGKILL is what the kernel sends when memory runs out. It ran again in a fresh process"
_STARVED = "something kills them from outside, such as the kernel when memory runs out: try fewer workers, -n 1"
_KILLED = "The process was killed by SIGKILL during this call, twice: it does so itself, or takes too much memory."
_BECAUSE = {Status.TIMEOUT: "The call did not come back.", Status.CRASH: "The process died during this call."}


@dataclass
class Deaths:
    """Decides it for each worker that dies; `problems` and `notes` are the run's, to be added to."""

    trail: Path
    specs: Mapping[str, ItemSpec]
    problems: list[str]
    notes: list[str] = field(default_factory=list)
    count: int = 0
    # item -> the calls, by their digests, during which its workers were killed from outside
    _killed: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _starved: list[ItemSpec] = field(default_factory=list)  # whose workers were killed again and again
    # subject -> items whose worker died outside of any call
    _outside: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def forgives(self, worker: str, nodeid: str) -> bool:
        """Whether the item of a worker that was killed from outside runs again: until the same call, or a third, dies.

        Outside of any call counts as one more call.
        """
        spec = self._spec(nodeid)
        crumb = breadcrumb.read(self.trail, worker)
        during = crumb.call if crumb is not None and crumb.item == spec.id else None
        calls = self._killed[spec.id]
        calls.append(during.digest() if during else "")
        if _repeated(calls) or len(calls) > _KILLS:
            return False
        where = f"during {during.describe()}" if during else "outside of any call"
        self.notes.append(f"{spec.id}: its worker was killed from outside, {where}; {_RAN_AGAIN}")
        return True

    def records(self, nodeid: str, worker: str) -> list[Record]:
        """Records of an item whose worker died: the fatal call, what was done before it, the rest NOT_RUN."""
        spec = self._spec(nodeid)
        crumb, killed = breadcrumb.read(self.trail, worker), self._killed[spec.id]
        if crumb is None or crumb.item != spec.id:
            self._died_outside(spec, worker)
            return []
        if len(killed) > _KILLS and not _repeated(killed):
            self._starved.append(spec)
            self.problems.append(f"{spec.id}: {len(killed)} workers were killed during as many calls; {_STARVED}")
            return []
        status = Status.TIMEOUT if crumb.timed_out else Status.CRASH
        statuses = Counter(crumb.done)
        statuses[status.value] += 1
        if (lost := crumb.planned - sum(statuses.values())) > 0:
            statuses[Status.NOT_RUN.value] = lost
        before = [Earlier(self.specs[past.item].subject, past.call, past.experiment) for past in crumb.before]
        because = _KILLED if _repeated(killed) else _BECAUSE[status]
        return [spec.record(statuses, unexpected=1), *_fatal(spec, crumb, status, because, before)]

    def told(self) -> tuple[str, ...]:
        """Sentences on everybody who was killed from outside and not accused, children of workers included."""
        children = [
            f"{id}: a child process was killed from outside; {_RAN_AGAIN}" for id in breadcrumb.killed(self.trail)
        ]
        return (*self.notes, *children)

    @property
    def whole(self) -> dict[str, list[str]]:
        """By loss, the subjects of which no item was lost."""
        hurt = {spec.subject for spec in self._starved} | set(self._outside)
        found: dict[str, dict[str, None]] = {}
        for spec in self.specs.values():
            if spec.subject not in hurt:
                found.setdefault(spec.loss_name, {})[spec.subject] = None
        return {loss: list(names) for loss, names in found.items()}

    @property
    def lost(self) -> set[str]:
        """Items of which a problem says that they have no record."""
        died = {id for ids in self._outside.values() for id in ids} | {spec.id for spec in self._starved}
        return died | {id for id, spec in self.specs.items() if len(self._outside.get(spec.subject, ())) >= _OUTSIDE}

    def _died_outside(self, spec: ItemSpec, worker: str) -> None:
        """Note a worker that died in no call; the second time its subject is given up, as nothing else would come."""
        self._outside[spec.subject].append(spec.id)
        place = breadcrumb.place(breadcrumb.last_words(self.trail, worker))
        problem = f"{spec.id}: the worker died outside of any call{f', in {place}' if place else ''}"
        if len(self._outside[spec.subject]) == _OUTSIDE:
            breadcrumb.give_up(self.trail, spec.subject)
            self.problems.append(f"{problem}, and not for the first time: {spec.subject} is given up, mend that first")
        elif len(self._outside[spec.subject]) < _OUTSIDE:
            self.problems.append(f"{problem}; run it alone with -b {spec.subject}")

    def _spec(self, nodeid: str) -> ItemSpec:
        """The item of a node id, which ends with its group."""
        return self.specs[nodeid.rpartition("::")[2].partition("@")[0]]


def _repeated(calls: Sequence[str]) -> bool:
    """Whether the same call is there twice."""
    return len(set(calls)) < len(calls)


def _fatal(
    spec: ItemSpec, crumb: breadcrumb.Crumb, status: Status, because: str, before: Sequence[Earlier]
) -> list[Record]:
    ids = tuple(id for id in crumb.clauses if spec.loss.rules.clauses[id].judges)
    tallies = [
        Tally(**spec.who, clause=id, status=status.value, expected=False, divergence=None, count=1) for id in ids
    ]
    finding = Finding.of(
        crumb.call,
        **spec.who,
        clauses=ids,
        flags=(),
        status=status.value,
        expected=False,
        divergence=None,
        because=because,
        observed=f"{status.value}, in {crumb.last_words}" if crumb.last_words else status.value,
        exact="a result or a Python exception",
        distance="",
        symptom=status.value,
        origin=crumb.origin,
        before=explain.suspects(before),
    )
    return [*tallies, finding]
