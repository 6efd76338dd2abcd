"""Runs one case again: on whom it is about, or on whom is asked for, judged and explained as a run does it."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ...adapters import user
from ...reports.findings import is_named, telling
from ...reports.records import Finding
from ...reports.verdict import plural
from ...specs.call import FLOAT_DTYPES, Crashed, Earlier, Outcome, TimedOut, Unsupported
from ...specs.case import FAILED, Case, Status
from ...specs.encoding import decode_call
from ...specs.errors import UsageError
from ..items.spec import Request
from ..judging import explain, ledger
from ..judging.judge import Judgement, Traits
from ..judging.ledger import Divergence, Resolved
from ..planning import plan
from ..planning.plan import RunSpec
from .locate import Located
from .reproducer import Fault, Reproducer, reproducer
from .rerun import Answer, Hello, Rerunner

# A finding that does not show the first time is run again so often, within so many seconds.
_AGAIN, _AGAIN_SECONDS = 9, 20.0
_Ended = Crashed | TimedOut


@dataclass(frozen=True, slots=True)
class Hint:
    """What the cause of a failure may be, in a sentence, and the bug classes that this suggests; it is no verdict."""

    text: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Replayed:
    """What came of one case on one subject."""

    located: Located
    case: Case
    subject: str
    key: str  # by which -b finds the subject's backend
    backend: str
    version: str
    outcome: Outcome
    judgement: Judgement
    traits: Traits
    verdicts: tuple[Resolved, ...]
    rows: tuple[Divergence, ...]  # known divergences that expect some of the verdicts
    device: str
    why_gone: str = ""  # why a recorded failure does not show again; empty if it does, or there is none
    runs: int = 1  # how many it took to show it
    hint: Hint = Hint()

    @property
    def is_reproduced(self) -> bool:
        """Whether some clause fails again that a finding about this subject says failed."""
        recorded = self.located.recorded
        if recorded is None or self.subject != self.located.subject:
            return True
        return bool(set(recorded.failed) & set(self.failed))

    @property
    def is_expected(self) -> bool:
        """Whether every verdict is."""
        return all(one.expected for one in self.verdicts)

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the clauses that failed, the most telling first: MUST before SHOULD, those a vector was made for.

        The one that a run put first stays there.
        """
        ids = [one.verdict.clause for one in self.verdicts if one.verdict.status in FAILED]

        def rank(id: str) -> tuple[bool, bool, bool, bool, int]:
            clause = self.case.rules.clauses[id]
            named, for_this = is_named(clause.family, self.judgement.symptom), id in self.located.clauses
            lead = id in self.located.lead
            return not lead, clause.level != "MUST", not named, not for_this, telling(clause.family)

        return tuple(sorted(ids, key=rank))

    @property
    def finding(self) -> Finding:
        """The same as a finding, as records hold it."""
        call = self.case.call
        surprising = tuple(one.verdict.clause for one in self.verdicts if not one.expected)
        status = self.judgement.status.value
        return Finding.of(
            call,
            subject=self.subject,
            family=self.case.family,
            dtype=call.dtype if call.dtype in FLOAT_DTYPES else "float32",
            clauses=self.failed or surprising,
            flags=self.hint.flags,
            status=status,
            expected=self.is_expected,
            divergence=next((row.id for row in self.rows), None),
            because=self._because(),
            observed=explain.observed(self.outcome, self.judgement),
            exact=explain.exact(self.case, self.judgement),
            distance=explain.distance(self.judgement, self.case, self.outcome),
            symptom=self.judgement.symptom,
            hint=self.hint.text,
            origin=self.case.origin,
            before=explain.suspects(self.outcome.before) if isinstance(self.outcome, _Ended) else (),
        )

    def _because(self) -> str:
        if isinstance(self.outcome, Unsupported):
            return "The subject declares that it does not do this."
        if missed := [one for one in self.verdicts if not one.expected and one.verdict.status is Status.PASS]:
            return explain.fixed(missed[0])
        return explain.because(self.case, self.judgement, self.outcome)

    @property
    def fault(self) -> Fault:
        """What a script about it needs to know."""
        return Fault(self.case, self.outcome, self.judgement, self.traits, self.subject, self.key, self.device)

    def reproduce(self) -> Reproducer:
        """A script that was seen to show the fault, or why there is none."""
        if self.judgement.status not in FAILED:
            return Reproducer(why_not="no standalone reproducer: nothing failed")
        headline = [f"{self.subject}, {self.backend} {self.version}: {self._because()}"]
        headline += [f"{id}: {self.case.rules.clauses[id].statement}" for id in self.failed[:1]]
        return reproducer(self.fault, headline)


class Session:
    """A backend, by the name that -b gives it, with a loss, in a child process, with its known divergences."""

    def __init__(self, key: str, loss: str, request: Request) -> None:
        self.key, self.request, self._loss = key, request, loss
        self._child = Rerunner(key, loss, request.device, request.seconds)
        self.hello = self._child.hello
        try:
            self._rows = plan.divergences(_run_of(key, loss, self.hello, request))
        except BaseException:
            self._child.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._child.close()

    def subjects(self, name: str) -> tuple[str, ...]:
        """The subjects that a name stands for; the backend's own, or none, stands for all of them."""
        known = dict.fromkeys(self.hello.subjects, self.hello.backend)
        return plan.choose_subjects([name] if name else [], known, (self._loss,))

    def run(self, located: Located, subject: str) -> Replayed:
        """Run a case on one of the subjects; raises BridgeError when our bridge could not carry the call."""
        case = located.case()
        answer = self._child.run(subject, located, case)
        if located.before and subject == located.subject and not isinstance(answer.outcome, _Ended):
            answer = self._after(subject, located, case) or answer
        rows = ledger.for_subject(self._rows, subject, self.hello.version, self.request.device)
        verdicts = tuple(rows.resolve(case, answer.judgement, self.request.strict))
        shown = {one.divergence for one in verdicts}
        return Replayed(
            located=located,
            case=case,
            subject=subject,
            key=self.key,
            backend=self.hello.backend,
            version=self.hello.version,
            outcome=answer.outcome,
            judgement=answer.judgement,
            traits=answer.traits,
            verdicts=verdicts,
            rows=tuple(row for row in rows.rows if row.id in shown),
            device=self.request.device,
        )

    def _after(self, subject: str, located: Located, case: Case) -> Answer | None:
        """What comes of a case after the calls before it, of which it died once and does not alone; or None."""
        answer = self._child.run(subject, located, case, after=True)
        recorded = (one for one in located.before if one.call is not None)
        before = tuple(
            Earlier(one.subject, decode_call(one.call, case.call.signature), one.experiment) for one in recorded
        )
        match answer.outcome:
            case Crashed(how):
                told = f"after the {plural(len(before), 'recorded call')} before it; alone it comes back"
                outcome: Outcome = Crashed(f"{how}, {told}", before)
            case TimedOut(seconds):
                outcome = TimedOut(seconds, before)
            case _:
                return None
        return dataclasses.replace(answer, outcome=outcome)


def replay(cases: Sequence[Located], names: Sequence[str], request: Request) -> list[Replayed]:
    """Run cases on the subjects that `names`, as given to -b, stand for; without names on whom each is about.

    Raises UsageError, AdapterUnavailable, and BridgeError when our bridge could not carry a call.
    """
    # (key, loss) -> (case, name of the subject or of its backend)
    wanted: dict[tuple[str, str], list[tuple[Located, str]]] = {}
    for located in cases:
        for key, name in _subjects(located, names):
            wanted.setdefault((key, located.loss), []).append((located, name))
    replayed: dict[tuple[str, str, str, str], Replayed] = {}  # two names may stand for one subject
    for (key, loss), pairs in wanted.items():
        with Session(key, loss, request) as session:
            for located, name in pairs:
                for subject in session.subjects(name):
                    if (key, loss, subject, located.experiment) not in replayed:
                        replayed[key, loss, subject, located.experiment] = _insist(session, located, subject)
    return list(replayed.values())


def _insist(session: Session, located: Located, subject: str) -> Replayed:
    """Run a case; what a run said of it is looked for several times, and its absence explained."""
    first = found = session.run(located, subject)
    end, runs = time.monotonic() + _AGAIN_SECONDS, 1
    while not found.is_reproduced and runs <= _AGAIN and time.monotonic() < end:
        found, runs = session.run(located, subject), runs + 1
    if found.is_reproduced:
        return dataclasses.replace(found, runs=runs)
    return dataclasses.replace(first, why_gone=_why_gone(first, runs), runs=runs)


def _why_gone(found: Replayed, runs: int) -> str:
    """Why a failure that is on record may not show again, and what to do."""
    recorded = found.located.recorded
    assert recorded is not None
    head = (
        f"{', '.join(recorded.failed[:3])} failed on {found.subject} in the run, and not in {plural(runs, 'run')} now"
    )
    if recorded.version != found.version:
        return f"{head}: the run had {found.backend} {recorded.version}, and here is {found.version}"
    if user.SIGN in found.key:
        file = Path(user.parse(found.key).module)
        started = datetime.datetime.fromisoformat(recorded.started).timestamp()
        if file.is_file() and file.stat().st_mtime > started:
            return (
                f"{head}: {file.name} was changed since, so it may be mended; check it again with: {recorded.command}"
            )
    return (
        f"{head}: there, other calls came before it in the same process, and here it runs alone. What they leave "
        f"behind may matter (state, memory, threads). Run the family again with: {recorded.command} "
        f"--family {found.case.family}"
    )


def _subjects(located: Located, names: Sequence[str]) -> Iterable[tuple[str, str]]:
    """(key of a backend, name of its subject or nothing) for each subject that a case is to run on."""
    if not names:
        if not located.subject:
            return [(backend.name, "") for backend in plan.choose_backends(())]
        if not located.key:
            raise UsageError(
                f"the records do not tell where {located.subject} is, or it is not there any more; say it with "
                f"-b FRAMEWORK{user.SIGN}path/to/file.py:FUNCTION, or -b package.module:object for an adapter"
            )
        return [(located.key, located.subject)]
    chosen: list[tuple[str, str]] = []
    for name in names:
        if name == located.subject and located.key:
            chosen.append((located.key, name))
            continue
        (backend,) = plan.choose_backends([name])
        key = plan.key_of(backend, [name])
        chosen.append((key, "" if key == name else name))
    return chosen


def _run_of(key: str, loss: str, hello: Hello, request: Request) -> RunSpec:
    """The run that this is a part of, for whom known divergences are looked up."""
    subjects = tuple(hello.subjects)
    return RunSpec(request=request, backends=(key,), subjects={loss: subjects}, owners={hello.backend: subjects})
