"""Runs calls that may take the process down in child processes, at one thread and at two.

A child imports the framework afresh, runs one call after another, and is started again when it dies. Some
compiled bounds checks raise in serial code and end the process in parallel code, hence the two children.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from ..adapters.base import Subject, execute
from ..specs.call import Call, Crashed, Outcome, Raised, Returned, TimedOut
from ..specs.errors import BridgeError

THREADS = (1, 2)
_READY = "ready"
_PATIENCE_SECONDS = 300  # for the import of a framework


class Isolation:
    """Child processes for the subjects of one backend; they start when first needed."""

    def __init__(self, backend: str, device: str, seconds: float) -> None:
        self._backend, self._device, self._seconds = backend, device, seconds
        self._children: dict[int, tuple[BaseProcess, Any]] = {}

    def run(self, subject: Subject, call: Call) -> Outcome:
        """Run one call at one thread and at two; the first outcome that is not an error, or the last one."""
        outcome: Outcome = Raised("", "")
        for threads in THREADS:
            outcome = self._run(subject.name, call, threads)
            if not isinstance(outcome, Raised):
                return outcome
        return outcome

    def close(self) -> None:
        """End the children."""
        for process, _ in self._children.values():
            process.kill()
            process.join()
        self._children.clear()

    def _run(self, subject: str, call: Call, threads: int) -> Outcome:
        process, pipe = self._child(threads)
        try:
            pipe.send((subject, call))
            if not pipe.poll(self._seconds):
                self._end(threads)
                return TimedOut(self._seconds)
            outcome = pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            process.join(5)
            how = how_it_ended(process.exitcode)
            self._end(threads)
            return Crashed(f"{how}, with {threads} thread{'s' * (threads > 1)}")
        if isinstance(outcome, BridgeError):
            raise outcome
        if isinstance(outcome, Crashed):  # its device is of no use any more
            self._end(threads)
        return outcome

    def _child(self, threads: int) -> tuple[BaseProcess, Any]:
        if threads not in self._children:
            ours, theirs = multiprocessing.Pipe()
            context = multiprocessing.get_context("spawn")
            arguments = (theirs, self._backend, self._device)
            process = context.Process(target=_serve, args=arguments, daemon=True)
            with environment(OMP_NUM_THREADS=str(threads)):
                process.start()
            theirs.close()
            self._await_ready(process, ours)
            self._children[threads] = process, ours
        return self._children[threads]

    def _await_ready(self, process: BaseProcess, pipe: Any) -> None:
        """Wait until the child has imported its framework; raises BridgeError when it does not get there."""
        try:
            if pipe.poll(_PATIENCE_SECONDS) and pipe.recv() == _READY:
                return
        except EOFError:
            process.join()
        process.kill()
        raise BridgeError(f"a child process for {self._backend} did not start (exit code {process.exitcode})")

    def _end(self, threads: int) -> None:
        process, pipe = self._children.pop(threads)
        process.kill()
        process.join()
        pipe.close()


class NoIsolation(Isolation):
    """Runs every call in this process."""

    def __init__(self) -> None:
        super().__init__("", "", 0.0)

    def run(self, subject: Subject, call: Call) -> Outcome:
        """What the call came to."""
        return execute(subject, call)[0]


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables for a while; processes started meanwhile inherit them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def how_it_ended(code: int | None) -> str:
    """A process's exit code in words."""
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _serve(pipe: Connection, backend: str, device: str) -> None:
    """The child: execute what comes in until the other end closes."""
    from ..adapters import registry

    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)  # a dying process prints its own account; the report has ours
    found = registry.backend(backend)
    registry.start(found)
    subjects: dict[str, Any] = {subject.name: subject for subject in found.subjects(device)}
    pipe.send(_READY)
    while True:
        try:
            name, call = pipe.recv()
        except EOFError:
            return
        try:
            outcome, _ = execute(subjects[name], call)
        except BridgeError as error:
            pipe.send(error)
            continue
        pipe.send(Returned(outcome.value.copy()) if isinstance(outcome, Returned) else outcome)
