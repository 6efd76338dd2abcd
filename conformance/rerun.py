"""Runs single cases in a child process that has one backend, as a run would: same executor, same judge.

A call that crashes or hangs costs the child, which is started again for the next one.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..adapters import registry
from ..adapters.base import Capabilities, Subject, execute, on_cpu
from ..reports.records import Before
from ..specs.accuracy import Arithmetic
from ..specs.call import FLOAT_DTYPES, Crashed, Outcome, Returned, TimedOut, decode_call
from ..specs.case import Case, Status
from ..specs.errors import AdapterUnavailable, BridgeError, EngineError
from ..specs.exact import keeps_subnormals
from . import plan
from .breadcrumb import Trail
from .isolation import Isolation, how_it_ended
from .judge import Judgement, Traits, judge
from .ledger import NOTHING_KNOWN
from .locate import Located
from .runner import Executor, ItemSpec, Plan, Work, probe

_PATIENCE_SECONDS = 300.0  # for the import of a framework


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


class Child:
    """One backend, by the name that -b gives it, in a process of its own; a call may take so many seconds."""

    def __init__(self, key: str, device: str, seconds: float) -> None:
        self.key, self.device, self.seconds = key, device, seconds
        self._folder = tempfile.TemporaryDirectory(prefix="lossparity-")
        self._process: BaseProcess | None = None
        self._pipe: Any = None
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
        self._pipe.send((subject, located, after))
        limit = self._limit(case, self.hello.subjects[subject]) * (1 + after * len(located.before))
        answer: Answer | None = None
        while True:
            message = self._receive(limit)
            if isinstance(message, Exception):
                raise message
            if isinstance(message, Crashed | TimedOut):
                self._end()
                # Who dies while subnormal numbers are probed has answered already.
                return answer or Answer(message, judge(case, message, Traits()), Traits())
            if message.is_last:
                return message
            answer = message

    def _receive(self, limit: float) -> Any:
        """The child's next message, or how it ended."""
        try:
            return self._pipe.recv() if self._pipe.poll(limit) else TimedOut(self.seconds)
        except (EOFError, ConnectionResetError):
            assert self._process is not None
            self._process.join(5)
            return Crashed(how_it_ended(self._process.exitcode))

    def close(self) -> None:
        """End the process."""
        self._end()
        self._folder.cleanup()

    def _limit(self, case: Case, can: Capabilities) -> float:
        """Seconds to wait; calls that the child isolates in processes of its own have their limit there."""
        isolated = case.is_dangerous and (can.isolate or not on_cpu(self.device))
        return 2 * (self.seconds + _PATIENCE_SECONDS) if isolated else self.seconds

    def _start(self) -> Hello:
        self._pipe, theirs = multiprocessing.Pipe()
        arguments = (theirs, self.key, self.device, self.seconds, self._folder.name)
        # Not a daemon, which may not have children: calls that must fail on compiled subjects run in such.
        self._process = multiprocessing.get_context("spawn").Process(target=_serve, args=arguments)
        self._process.start()
        theirs.close()
        try:
            if not self._pipe.poll(_PATIENCE_SECONDS):
                raise AdapterUnavailable(f"backend {self.key} did not start within {_PATIENCE_SECONDS:g} s")
            hello = self._pipe.recv()
        except EOFError as error:
            self._process.join(5)
            raise AdapterUnavailable(
                f"backend {self.key} took its process down while starting ({how_it_ended(self._process.exitcode)})"
            ) from error
        if isinstance(hello, Exception):
            raise hello
        return hello

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None


# --- the other process -----------------------------------------------------------------------------------------


def _serve(pipe: Connection, key: str, device: str, seconds: float, folder: str) -> None:
    """Answer one case after another until the other end closes."""
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)  # what is called may print, and frameworks do
    try:
        backend = registry.backend(key)
        subjects = {subject.name: subject for subject in plan.start(backend, device)}
        pipe.send(Hello(backend.name, backend.version(), {name: one.capabilities for name, one in subjects.items()}))
    except Exception as error:
        pipe.send(error)
        return
    bench = _Bench(subjects, Isolation(key, device, seconds), Trail(Path(folder), "replay", seconds), device)
    while True:
        try:
            name, located, after = pipe.recv()
        except EOFError:
            bench.isolation.close()
            return
        try:
            bench.prepare(located.before[::-1] if after else ())
            for message in bench.answers(subjects[name], located):
                pipe.send(message)
        except Exception as error:
            pipe.send(error)


@dataclass
class _Bench:
    """What the child works with."""

    subjects: Mapping[str, Subject]
    isolation: Isolation
    trail: Trail
    device: str

    def __post_init__(self) -> None:
        self._probed: dict[tuple[str, str], Traits] = {}

    def prepare(self, before: Iterable[Before]) -> None:
        """Run calls, as far as they are recorded, for what they leave behind in this process."""
        for one in before:
            if one.call is not None and one.subject in self.subjects:
                execute(self.subjects[one.subject], decode_call(one.call))

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
        probed = self._probed[subject.name, dtype] = probe(subject, dtype)
        yield answer if probed == traits else self._answer(subject, case, dtype, probed)

    def _answer(self, subject: Subject, case: Case, dtype: str, traits: Traits) -> Answer:
        siblings = [other for other in self.subjects.values() if other is not subject]
        executor = Executor(subject, traits, self.isolation, self.trail, siblings)
        asked = Plan(profile="quick", seed=0, strict=False, device=self.device)
        work = Work(ItemSpec(subject.name, case.family, dtype), asked, executor, NOTHING_KNOWN, self.trail)
        outcome, judgement = work.try_out(case)
        self.trail.pause()
        if outcome is None or isinstance(judgement, str):
            raise BridgeError(str(judgement))
        return Answer(outcome, judgement, traits)
