"""Tells the controller what a worker was doing when it died or hung.

Before each call a worker writes the call to a file of its own. A watchdog ends the process when one call takes too
long, and leaves its traceback beside it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..specs.call import Call
from ..specs.case import Case

# The watchdog is a thread that is set up anew each time; often enough is once in a while.
_REARM_SECONDS = 5.0


@dataclass(frozen=True)
class Crumb:
    """The last state of a worker: which item, how far, and the call that it was about to run."""

    item: str
    done: Counter[str]
    planned: int
    call: Call
    clauses: tuple[str, ...]
    origin: str
    timed_out: bool


class Trail:
    """Writes a worker's breadcrumbs; `seconds` is how long a call may take before it is a TIMEOUT."""

    def __init__(self, folder: Path, worker: str, seconds: float) -> None:
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
        self._arrays_file = os.open(folder / f"{worker}.arrays", flags)
        self._state_file = os.open(folder / f"{worker}.crumb", flags)
        self._arrays: tuple[Any, ...] = ()
        self._hang = (folder / f"{worker}.hang").open("wb")
        self._seconds = seconds
        self._armed = 0.0
        self._item = ""
        self._planned = 0
        self.done: Counter[str] = Counter()

    @contextlib.contextmanager
    def item(self, name: str, planned: int) -> Iterator[None]:
        """Everything within belongs to this item."""
        self._item, self._planned, self.done, self._armed = name, planned, Counter(), 0.0
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def pause(self) -> None:
        """Stop the watchdog until the next call."""
        faulthandler.cancel_dump_traceback_later()
        self._armed = 0.0

    def drop(self, case: Case) -> None:
        """Say which call comes next."""
        now = time.monotonic()
        if now - self._armed > _REARM_SECONDS:
            # The timer may have been running for so long already when the next call starts.
            faulthandler.dump_traceback_later(self._seconds + _REARM_SECONDS, exit=True, file=self._hang)
            self._armed = now
        call = case.call
        arrays = (call.input, call.target, call.weight)
        if not self._arrays or any(new is not old for new, old in zip(arrays, self._arrays, strict=True)):
            _write(self._arrays_file, arrays)  # the calls of one base share theirs: once is enough
            self._arrays = arrays
        options = (call.ignore_index, call.reduction, call.omitted)
        _write(self._state_file, (self._item, self.done, self._planned, options, case.clauses, case.origin))


def read(folder: Path, worker: str) -> Crumb | None:
    """What a dead worker left, or None when it died before its first call."""
    state = _load(folder / f"{worker}.crumb")
    if state is None:
        return None
    item, done, planned, options, clauses, origin = state
    hang = folder / f"{worker}.hang"
    timed_out = hang.exists() and hang.stat().st_size > 0
    call = Call(*_load(folder / f"{worker}.arrays"), *options)
    return Crumb(item, done, planned, call, clauses, origin, timed_out)


def _write(descriptor: int, content: Any) -> None:
    """Replace what a file holds; a longer rest of what it held before does no harm."""
    raw = pickle.dumps(content, protocol=5)
    os.pwrite(descriptor, len(raw).to_bytes(8, "little") + raw, 0)


def _load(path: Path) -> Any:
    """What `_write` wrote, or None."""
    raw = path.read_bytes() if path.exists() else b""
    return pickle.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")]) if raw else None
