"""Runs calls that may take the process down in child processes, at one thread and at two.

A child imports the framework afresh and runs one call after another until it dies; then another takes its place. Some
compiled bounds checks raise in serial code and end the process in parallel code, hence the two children.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from ...adapters.base import Subject
from ...adapters.execution import execute
from ...specs.call import Call, Crashed, Earlier, Outcome, Raised, Returned, Signature, TimedOut
from ...specs.case import Case, Status
from ...specs.errors import BridgeError
from ..judging.judge import Judgement, Traits, judge
from . import experiments
from .child import KILLED, START_SECONDS, Child
from .experiments import Setup

THREADS = (1, 2)
_READY = "ready"
_SUSPECTS = 5  # calls before a crash that are remembered
# What every child needs and no framework is: imported once, so that the next child after a crash is there at once.
_PRELOADED = ["lossparity.adapters.registry", "lossparity.conformance.planning.plan"]
_Work = Call | tuple[Case, Traits]  # a call, or an experiment


class Isolation:
    """Child processes for the subjects of one backend; they start when first needed."""

    def __init__(self, backend: str, device: str, seconds: float) -> None:
        self._backend, self._device, self._seconds = backend, device, seconds
        self._children: dict[int, _Child] = {}
        self.kills = 0  # of children, from outside

    def run(self, subject: Subject, call: Call, due: type[Raised | Returned] = Raised) -> Outcome:
        """Run one call at one thread and at two; the first outcome that is not of the kind due, or the last one."""
        outcome: Outcome = Raised("", "")
        for threads in THREADS:
            outcome = self._answer(subject.name, call, threads)
            if not isinstance(outcome, due):
                return outcome
        return outcome

    def perform(self, case: Case, setup: Setup) -> tuple[Outcome, Judgement]:
        """Perform an experiment at one thread and at two; what came of the first one that fails, or of the last one."""
        answer: Any = None
        for threads in THREADS:
            answer = self._answer(setup.subject.name, (case, setup.traits), threads)
            if isinstance(answer, Crashed | TimedOut):
                return answer, judge(case, answer, setup.traits)
            if answer[1].status is not Status.PASS:
                return answer
        return answer

    def close(self) -> None:
        """End the children."""
        for threads in tuple(self._children):
            self._end(threads)

    def _answer(self, subject: str, work: _Work, threads: int) -> Any:
        """What a child answers, or how it ended.

        Where other calls ran before in a child that died, this one runs once more without them: one of them may have
        corrupted the memory that this one used. So does one whose child was killed from outside.
        """
        child = self._child(threads, _call(work).signature)
        ran, before = child.ran, tuple(child.last)
        answer = self._ask(subject, work, threads)
        if isinstance(answer, TimedOut):
            return TimedOut(answer.seconds, before)
        killed = isinstance(answer, Crashed) and answer.how.startswith(KILLED)
        if not isinstance(answer, Crashed) or not (ran or killed):
            return answer
        alone = self._ask(subject, work, threads)
        if isinstance(alone, Crashed):
            return alone
        if killed:
            self.kills += 1
            return alone
        others = f"{ran} other call{'s' * (ran > 1)} in the same process"
        return Crashed(f"{answer.how}, after {others}; alone it does not crash: {_in_short(alone)}", before)

    def _ask(self, subject: str, work: _Work, threads: int) -> Any:
        """What the child answers, or how it ended: then it is gone."""
        answer = self._child(threads, _call(work).signature).ask(subject, work, self._seconds)
        if isinstance(answer, BridgeError):
            raise answer
        if isinstance(answer, Crashed):
            answer = Crashed(f"{answer.how}, with {threads} thread{'s' * (threads > 1)}")
        if isinstance(answer, Crashed | TimedOut) or isinstance(answer, tuple) and isinstance(answer[0], Crashed):
            self._end(threads)  # it is dead, or hangs, or its device is of no use any more
        return answer

    def _child(self, threads: int, signature: Signature) -> _Child:
        """The child with so many threads, which has made a loss's subjects by now if it is new.

        Raises BridgeError when it does not get as far as to import its framework.
        """
        if threads not in self._children:
            child = _Child(Child(_serve, self._backend, signature, self._device, threads, preload=_PRELOADED))
            answer = child.process.receive(START_SECONDS)
            if answer != _READY:
                child.process.end()
                how = answer.how if isinstance(answer, Crashed) else f"not within {START_SECONDS:g} s"
                raise BridgeError(f"a child process for {self._backend} did not start ({how})")
            self._children[threads] = child
        return self._children[threads]

    def _end(self, threads: int) -> None:
        self._children.pop(threads).process.end()


@dataclass
class _Child:
    """A process that runs what it is told until it dies, and what it ran."""

    process: Child
    ran: int = 0
    last: deque[Earlier] = field(default_factory=lambda: deque(maxlen=_SUSPECTS))  # newest first

    def ask(self, subject: str, work: _Work, seconds: float) -> Any:
        """What comes back, or how the process ended."""
        self.process.send((subject, work))
        answer = self.process.receive(seconds)
        self.ran += 1
        experiment = "" if isinstance(work, Call) else work[0].experiment
        self.last.appendleft(Earlier(subject, _call(work), experiment))
        return answer


def _call(work: _Work) -> Call:
    """The call, or that with which an experiment begins."""
    return work if isinstance(work, Call) else work[0].call


class NoIsolation(Isolation):
    """Runs every call in this process."""

    def __init__(self) -> None:
        super().__init__("", "", 0.0)

    def run(self, subject: Subject, call: Call, due: type[Raised | Returned] = Raised) -> Outcome:
        """What the call came to."""
        return execute(subject, call)[0]

    def perform(self, case: Case, setup: Setup) -> tuple[Outcome, Judgement]:
        """What the experiment came to."""
        return experiments.run(case, setup)


def _in_short(answer: Any) -> str:
    """What came of a call, in a few words."""
    match answer:
        case Returned():
            return "it returns a value"
        case Raised(kind, message):
            return f"it raises {kind}: {message[:80]}"
        case TimedOut(seconds):
            return f"no answer within {seconds:g} s"
        case _:
            return "the experiment comes to its end"


# --- the other process -----------------------------------------------------------------------------------------


def _serve(pipe: Connection, backend: str, signature: Signature, device: str, threads: int) -> None:
    """Do what comes in until the other end closes."""
    from ...adapters import registry

    os.environ["OMP_NUM_THREADS"] = str(threads)  # frameworks read it when they are imported, which comes next
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)  # a dying process prints its own account; the report has ours
    found = registry.backend(backend)
    registry.start(found)

    @functools.cache
    def subjects(signature: Signature) -> dict[str, Subject]:
        return {subject.name: subject for subject in found.subjects(signature, device)}

    subjects(signature)  # before the clock of a call runs
    pipe.send(_READY)
    while True:
        try:
            name, work = pipe.recv()
        except EOFError:
            return
        try:
            answer: Any = _done(subjects(_call(work).signature), name, work)
        except Exception as error:  # ours, and not to be taken for a crash
            answer = error if isinstance(error, BridgeError) else BridgeError(f"{name}: {error!r} in a child process")
        pipe.send(answer)


def _done(subjects: Mapping[str, Subject], name: str, work: _Work) -> Any:
    """What a call or an experiment comes to."""
    subject = subjects[name]
    if isinstance(work, Call):
        outcome, _ = execute(subject, work)
        return Returned(outcome.value.copy()) if isinstance(outcome, Returned) else outcome
    case, traits = work
    siblings = [other for other in subjects.values() if other is not subject]
    return experiments.run(case, Setup(lambda call: execute(subject, call)[0], subject, siblings, traits))
