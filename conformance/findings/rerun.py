"""Runs single cases in a child process that has one backend, as a run would: same executor, same judge.

A call that crashes or hangs costs the child, which is started again for the next one.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from ...adapters import registry
from ...adapters.base import Backend, Capabilities, Subject, on_cpu
from ...adapters.execution import execute
from ...reports.records import Before
from ...specs import losses
from ...specs.call import FLOAT_DTYPES, Crashed, Outcome, Returned, TimedOut
from ...specs.case import Case, Status
from ...specs.encoding import decode_call
from ...specs.errors import AdapterUnavailable, BridgeError, EngineError
from ...specs.exact import keeps_subnormals
from ...specs.loss import Loss
from ...specs.reductions import Arithmetic
from ..items.breadcrumb import Trail
from ..items.child import START_SECONDS, Child
from ..items.isolation import Isolation
from ..items.probe import probe
from ..items.runner import Executor, Work
from ..items.spec import ItemSpec, Request
from ..judging.judge import Judgement, Traits, judge
from ..planning import plan
from .locate import Located


@dataclass(frozen=True, slots=True)
class Hello:
    """What a child says when it is ready."""

    backend: str
    version: str
    subjects: Mapping[str, Capabilities]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a case, judged by what is known of the subject; the last answer knows its subnormal numbers."""

    outcome: Outcome
    judgement: Judgement
    traits: Traits
    is_last: bool = True


class Rerunner:
    """One backend, by the name that -b gives it, with a loss, in a process of its own.

    A call may take so many seconds.
    """

    def __init__(self, key: str, loss: str, device: str, seconds: float) -> None:
        self.key, self.loss, self.device, self.seconds = key, loss, device, seconds
        self._folder = tempfile.TemporaryDirectory(prefix="lossparity-")
        self._process: Child | None = None
        try:
            self.hello = self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def run(self, subject: str, located: Located, case: Case, *, after: bool = False) -> Answer:
        """Run a case, which `located` stands for; raises BridgeError when our bridge could not carry it.

        With `after` the calls before it run first, in a process that has run no others.
        """
        if after:
            self._end()
        if self._process is None:
            self._start()
        assert self._process is not None
        self._process.send((subject, located, after))
        limit = self._limit(case, self.hello.subjects[subject]) * (1 + after * len(located.before))
        answer: Answer | None = None
        while True:
            message = self._process.receive(limit)
            if isinstance(message, Exception):
                raise message
            if isinstance(message, Crashed | TimedOut):
                self._end()
                ended = TimedOut(self.seconds) if isinstance(message, TimedOut) else message
                # Who dies while subnormal numbers are probed has answered already.
                return answer or Answer(ended, judge(case, ended, Traits()), Traits())
            if message.is_last:
                return message
            answer = message

    def close(self) -> None:
        """End the process."""
        self._end()
        self._folder.cleanup()

    def _limit(self, case: Case, can: Capabilities) -> float:
        """Seconds to wait; calls that the child isolates in processes of its own have their limit there."""
        isolated = case.is_dangerous and (can.isolate or not on_cpu(self.device))
        return 2 * (self.seconds + START_SECONDS) if isolated else self.seconds

    def _start(self) -> Hello:
        """Start the process; raises AdapterUnavailable when it does not get as far as to say hello."""
        # Not a daemon, which may not have children: calls that must fail on compiled subjects run in such.
        arguments = (self.key, self.loss, self.device, self.seconds, self._folder.name)
        self._process = Child(_serve, *arguments, daemon=False, silent=True)
        hello = self._process.receive(START_SECONDS)
        match hello:
            case TimedOut():
                raise AdapterUnavailable(f"backend {self.key} did not start within {START_SECONDS:g} s")
            case Crashed(how):
                raise AdapterUnavailable(f"backend {self.key} took its process down while starting ({how})")
            case Exception():
                raise hello
            case _:
                return hello

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


# --- the other process -----------------------------------------------------------------------------------------


def _serve(pipe: Connection, key: str, loss: str, device: str, seconds: float, folder: str) -> None:
    """Answer one case after another until the other end closes."""
    try:
        backend = registry.backend(key)
        whose = losses.find(loss)
        subjects = {subject.name: subject for subject in plan.start(backend, whose.signature, device)}
        pipe.send(Hello(backend.name, backend.version(), {name: one.capabilities for name, one in subjects.items()}))
    except Exception as error:
        pipe.send(error)
        return
    server = _Server(
        backend,
        whose,
        subjects,
        Isolation(key, device, seconds),
        Trail(Path(folder), "replay", seconds),
        device,
    )
    while True:
        try:
            name, located, after = pipe.recv()
        except EOFError:
            server.isolation.close()
            return
        try:
            server.prepare(located.before[::-1] if after else ())
            for message in server.answers(subjects[name], located):
                pipe.send(message)
        except Exception as error:
            pipe.send(error)


@dataclass
class _Server:
    """What the child works with."""

    backend: Backend
    loss: Loss
    subjects: Mapping[str, Subject]
    isolation: Isolation
    trail: Trail
    device: str

    def __post_init__(self) -> None:
        self._probed: dict[tuple[str, str], Traits] = {}

    def prepare(self, before: Iterable[Before]) -> None:
        """Run calls, as far as they are recorded, for what they leave behind in this process."""
        for one in before:
            subjects = self._subjects_of(one.loss)
            if one.call is not None and one.subject in subjects:
                execute(subjects[one.subject], decode_call(one.call, losses.find(one.loss).signature))

    def _subjects_of(self, loss: str) -> Mapping[str, Subject]:
        """The backend's subjects of a loss that may be another one: a worker runs several."""
        if loss == self.loss.name:
            return self.subjects
        made = self.backend.subjects(losses.find(loss).signature, self.device)
        return {subject.name: subject for subject in made}

    def answers(self, subject: Subject, located: Located) -> Iterator[Answer]:
        """One answer, or two: a result that fails is judged again once subnormal numbers are probed."""
        if not keeps_subnormals():
            raise EngineError("subnormal numbers are flushed to zero in this process: no exact answer can be trusted")
        case, can = located.case(), subject.capabilities
        dtype = case.call.dtype if case.call.dtype in FLOAT_DTYPES else "float32"
        known = self._probed.get((subject.name, dtype))
        traits = known or Traits(Arithmetic(per_term=can.per_term), can.traced)
        answer = self._answer(subject, case, dtype, traits)
        failed = answer.judgement.status is Status.FAIL and isinstance(answer.outcome, Returned)
        if known or not failed or dtype not in can.dtypes:
            yield answer
            return
        yield dataclasses.replace(answer, is_last=False)
        probed = self._probed[subject.name, dtype] = probe(subject, dtype, self.loss)
        yield answer if probed == traits else self._answer(subject, case, dtype, probed)

    def _answer(self, subject: Subject, case: Case, dtype: str, traits: Traits) -> Answer:
        siblings = [other for other in self.subjects.values() if other is not subject]
        executor = Executor(subject, traits, self.isolation, self.trail, siblings)
        # Experiments do not leave what the subject is for.
        asked = Request(device=self.device, domain=subject.capabilities.domain)
        work = Work(
            ItemSpec(subject.name, case.family, dtype, self.loss.name, self.device),
            asked,
            executor,
        )
        outcome, judgement = work.try_out(case)
        self.trail.pause()
        if outcome is None or isinstance(judgement, str):
            raise BridgeError(str(judgement))
        return Answer(outcome, judgement, traits)
