"""Tells the controller what a worker was doing when it died or hung.

Before each call a worker writes the call to a file of its own. The files of the last few calls are kept: memory that
one of them corrupted may take the process down later. A watchdog ends the process when one call takes too long, and
leaves its traceback beside it, as a fatal signal does.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import itertools
import math
import os
import pickle
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from ...adapters import base
from ...specs.call import ASKED, Array, Call, Signature
from ...specs.case import Case
from ...specs.errors import NotWritten
from ...specs.stopwatch import booked

# The watchdog is a thread that is set up anew each time; often enough is once in a while.
_REARM_SECONDS = 5.0
_START_SECONDS = 300.0  # for the import of a framework
_LARGEST = 1 << 27  # bytes of an array that is written down
_KEPT = 6  # calls that are kept: the one under way, and those before it
_STOPPED, _GIVEN_UP, _KILLED = "stopped", "given-up", "killed"
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)
_FRAMES = 3  # innermost ones that are shown
_OURS = (str(Path(base.__file__).parent), str(Path(__file__).parent.parent))


@dataclass(frozen=True)
class Past:
    """A call that ran before: the item that it belonged to, and the clause whose experiment began with it, if any."""

    item: str
    call: Call
    experiment: str


@dataclass(frozen=True)
class Crumb:
    """The last state of a worker: which item, how far, and the call that it was about to run.

    `before` are the calls that ran before, newest first.
    """

    item: str
    done: Counter[str]
    planned: int
    call: Call
    clauses: tuple[str, ...]
    origin: str
    timed_out: bool
    last_words: str  # where the process was, innermost function first; empty when it left no traceback
    before: tuple[Past, ...] = ()


def stop(folder: Path) -> None:
    """Tell every worker to run no more calls."""
    (folder / _STOPPED).touch()


def is_stopped(folder: Path) -> bool:
    """Whether some process said so."""
    return (folder / _STOPPED).exists()


def give_up(folder: Path, subject: str) -> None:
    """Tell every worker to leave a subject alone."""
    (folder / f"{_GIVEN_UP}.{quote(subject, safe='')}").touch()


def is_given_up(folder: Path, subject: str) -> bool:
    """Whether some process said so."""
    return (folder / f"{_GIVEN_UP}.{quote(subject, safe='')}").exists()


def note_kill(folder: Path, item: str) -> None:
    """Note that a child process was killed from outside during an item."""
    (folder / f"{_KILLED}.{quote(item, safe='')}").touch()


def killed(folder: Path) -> list[str]:
    """The items of which that was noted."""
    return sorted(unquote(file.name.partition(".")[2]) for file in folder.glob(f"{_KILLED}.*"))


class Trail:
    """Writes a worker's breadcrumbs; `seconds` is how long a call may take before it is a TIMEOUT."""

    def __init__(self, folder: Path, worker: str, seconds: float) -> None:
        self._states = [_opened(folder / f"{worker}.{slot}.crumb") for slot in range(_KEPT)]
        # One more than there are states to refer to them: the next arrays overwrite none that are needed.
        self._stores = [_opened(folder / f"{worker}.{store}.arrays") for store in range(_KEPT + 1)]
        self._store_of = [0] * _KEPT  # where each state's arrays are
        self._store = 0
        self._number = 0
        self._keeps = False  # whether the last call is to be kept when the next one comes
        self.folder = folder
        self._arrays: dict[str, Array] = {}
        self._signature: Signature | None = None  # the last one, which is seldom another, as it was pickled
        self._pickled = b""
        self.last_words = (folder / f"{worker}.last_words").open("wb")
        self.seconds = seconds
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

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """A framework is imported within, and the process ends if that takes too long."""
        faulthandler.dump_traceback_later(_START_SECONDS, exit=True, file=self.last_words)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    @property
    def is_stopped(self) -> bool:
        """Whether no more calls are to be run."""
        return is_stopped(self.folder)

    def pause(self) -> None:
        """Stop the watchdog until the next call, as this one runs in another process."""
        faulthandler.cancel_dump_traceback_later()
        self._armed = 0.0
        self.forget()

    def forget(self) -> None:
        """Do not keep the last call: it did not run here."""
        self._keeps = False

    def rearm(self) -> None:
        """Give the call that starts now its whole time; an experiment makes many."""
        now = time.monotonic()
        if now - self._armed > _REARM_SECONDS:
            # The timer may have been running for so long already when the next call starts.
            faulthandler.dump_traceback_later(self.seconds + _REARM_SECONDS, exit=True, file=self.last_words)
            self._armed = now

    @booked("noting")
    def drop(self, case: Case) -> None:
        """Say which call comes next; raises NotWritten where there is no room for that."""
        try:
            self._drop(case)
        except OSError as error:
            raise NotWritten(self.folder, error) from error

    def _drop(self, case: Case) -> None:
        self.rearm()
        call = case.call
        arrays = dict(call.arrays())
        if not _are_the_same(arrays, self._arrays):
            self._store = next(store for store in range(len(self._stores)) if store not in self._store_of)
            # The calls of one base share theirs: once is enough.
            small = {name: _small(array) for name, array in arrays.items()}
            if call.signature is not self._signature:
                self._signature, self._pickled = call.signature, pickle.dumps(call.signature)
            _write(self._stores[self._store], (self._pickled, small))
            self._arrays = arrays
        self._number += self._keeps
        self._keeps = True
        batched = () if call.transform is None else call.transform.batched
        options = (dict(call.options), call.omitted, call.kind, batched, call.layouts)
        what = (options, case.clauses, case.origin, case.experiment)
        slot = self._number % _KEPT
        self._store_of[slot] = self._store
        _write(self._states[slot], (self._number, self._store, self._item, dict(self.done), self._planned, what))


class NoTrail(Trail):
    """Leaves no breadcrumbs, where nobody would follow them: within somebody else's process."""

    def __init__(self) -> None:
        self.done = Counter()
        self.seconds = math.inf

    @property
    def is_stopped(self) -> bool:
        """An item runs to its end."""
        return False

    @contextlib.contextmanager
    def item(self, name: str, planned: int) -> Iterator[None]:
        """Nothing is written, and no watchdog set."""
        yield

    def pause(self) -> None:
        """There is no watchdog."""

    def forget(self) -> None:
        """Nothing was kept."""

    def rearm(self) -> None:
        """There is no watchdog."""

    def drop(self, case: Case) -> None:
        """Nobody has to know which call comes next."""


def read(folder: Path, worker: str) -> Crumb | None:
    """What a dead worker left, or None when it died before its first call."""
    states = [_load(folder / f"{worker}.{slot}.crumb") for slot in range(_KEPT)]
    states = sorted((state for state in states if state is not None), reverse=True, key=lambda state: state[0])
    if not states:
        return None
    calls = [_restored(_load(folder / f"{worker}.{state[1]}.arrays"), *state[-1][0]) for state in states]
    before = [Past(item, call, what[-1]) for (_, _, item, *_, what), call in zip(states[1:], calls[1:], strict=True)]
    _, _, item, done, planned, (_, clauses, origin, _) = states[0]
    words = last_words(folder, worker)
    timed_out = words.startswith("Timeout")
    return Crumb(item, Counter(done), planned, calls[0], clauses, origin, timed_out, place(words), tuple(before))


def last_words(folder: Path, worker: str) -> str:
    """The traceback that a dead worker left, or nothing."""
    file = folder / f"{worker}.last_words"
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""


def place(words: str) -> str:
    """Where the implementation was, from the traceback that faulthandler writes: frames above those of the suite."""
    for thread in words.split("\n\n"):
        frames = _FRAME.findall(thread)
        inside = list(itertools.takewhile(lambda frame: not frame[0].startswith(_OURS), frames))
        if len(inside) < len(frames):
            return ", called by ".join(f"{name} at {file}:{line}" for file, line, name in inside[:_FRAMES])
    return ""


def _small(array: Any) -> Any:
    """The array, or one 0 of its dtype in its shape where writing it down would take seconds."""
    if array.nbytes <= _LARGEST:
        return array
    return _StandIn(array.dtype, array.shape)


@dataclass(frozen=True)
class _StandIn:
    """An array that was too large to be written down."""

    dtype: Any
    shape: tuple[int, ...]

    def zeros(self) -> Any:
        """Zeros in its place, which take no memory."""
        return np.broadcast_to(np.zeros((), self.dtype), self.shape)


def _are_the_same(some: dict[str, Array], others: dict[str, Array]) -> bool:
    return some.keys() == others.keys() and all(array is others[name] for name, array in some.items())


def _restored(store: Any, options: Any, omitted: Any, kind: str, batched: Any, layouts: Any) -> Call:
    """A call from what was written; its arrangement in memory is named, and not restored."""
    pickled, arrays = store
    signature = pickle.loads(pickled)
    arrays = {name: array.zeros() if isinstance(array, _StandIn) else array for name, array in arrays.items()}
    asked = {name: arrays.pop(name, None) for name in ASKED}
    transform = None if kind == "value" else replace(signature.kinds[kind], **asked, batched=batched)
    return signature.call(**arrays, **options, omitted=omitted, transform=transform, layouts=layouts)


def _opened(path: Path) -> int:
    """An empty file, open for writing."""
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)


def _write(descriptor: int, content: Any) -> None:
    """Replace what a file holds; a longer rest of what it held before does no harm."""
    raw = pickle.dumps(content, protocol=5)
    raw = len(raw).to_bytes(8, "little") + raw
    if os.pwrite(descriptor, raw, 0) < len(raw):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _load(path: Path) -> Any:
    """What `_write` wrote, or None."""
    raw = path.read_bytes() if path.exists() else b""
    return pickle.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")]) if raw else None
