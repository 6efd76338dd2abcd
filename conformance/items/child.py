"""A process of its own at the other end of a pipe: what it says, and how it ended if it says no more."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

from ...specs import losses
from ...specs.call import Crashed, TimedOut

START_SECONDS = 300.0  # for the import of a framework
KILLED = "killed by SIGKILL"  # by others: a person, or the kernel when memory runs out
_DYING_SECONDS = 5  # until a process whose pipe is closed has ended


class Child:
    """Runs `target(pipe, *arguments)`, a function of a module, in a fresh process.

    With `preload` the process forks from a server that has imported these modules, so that one after a crash is there
    at once; without it a new interpreter starts. A `daemon` may not have children, and ends with this process. One that
    is `silent` prints nothing: frameworks do, and what is called may.
    """

    def __init__(
        self,
        target: Callable[..., None],
        *arguments: Any,
        preload: Sequence[str] = (),
        daemon: bool = True,
        silent: bool = False,
    ) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        context: Any = multiprocessing.get_context("forkserver" if preload else "spawn")
        if preload:
            context.set_forkserver_preload(list(preload))
        work = (target, losses.places(), silent, theirs, *arguments)
        self._process = context.Process(target=_run, args=work, daemon=daemon)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def send(self, message: Any) -> None:
        """Tell it something; that it is dead, `receive` says."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._pipe.send(message)

    def has_spoken(self, seconds: float) -> bool:
        """Whether `receive` has something at once, a message or the end, waiting for it so many seconds."""
        return self._pipe.poll(seconds)

    def receive(self, seconds: float) -> Any:
        """What it says next, or Crashed or TimedOut; one that is silent for so long is left as it is."""
        try:
            return self._pipe.recv() if self._pipe.poll(seconds) else TimedOut(seconds)
        except (EOFError, ConnectionResetError):
            self._process.join(_DYING_SECONDS)
            return Crashed(how_it_ended(self._process.exitcode))

    def abort(self) -> None:
        """End it by a signal that makes faulthandler write down where it is."""
        if self._process.pid is not None:
            os.kill(self._process.pid, signal.SIGABRT)
        self._process.join(_DYING_SECONDS)
        self.end()

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _run(target: Callable[..., None], places: Sequence[str], silent: bool, *arguments: Any) -> None:
    """The process: find the losses that its parent knows, since calls name them, and go to work."""
    for stream in (1, 2) if silent else ():
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    for place in places:
        losses.find(place)
    target(*arguments)


def how_it_ended(code: int | None) -> str:
    """A process's exit code in words."""
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


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
