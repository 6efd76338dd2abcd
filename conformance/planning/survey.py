"""Finds out what is here: backends, their versions, subjects and what those can do.

Each backend is looked at in a process of its own, so that neither an import that fails nor one that takes the
process down reaches the caller, and no framework is loaded where it does not compute. The process also probes subnormal
numbers by computing with them, and says before each call which one comes next: of what dies or hangs then, the rest is
probed by another process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from ...adapters import registry, user
from ...adapters.base import Backend, Subject
from ...reports.records import AbsentBackend, SubjectInfo
from ...reports.verdict import plural
from ...specs import losses
from ...specs.call import Call, Crashed, TimedOut
from ...specs.errors import AdapterUnavailable, LossparityError
from ...specs.loss import Loss
from ..items import breadcrumb
from ..items.child import START_SECONDS, Child
from ..items.probe import is_probed, probe
from . import machine, plan
from .plan import NoSuchDevice

NOT_PROBED = "subnormal numbers: not probed"
_QUIET_SECONDS = 5  # after which it is said what is waited for
_LINES = 4  # of what a process wrote last that are shown
_Found = list[tuple[int, SubjectInfo]]  # (tier, description) of each subject
_Who = tuple[str, str]  # loss and subject


@dataclass(frozen=True)
class Survey:
    """What was found: the backends that can run, their subjects (dear ones first), and what is not installed.

    `elsewhere` says of each installed backend that lacks the device which ones it has. `places` are those of the
    losses that were asked for.
    """

    backends: tuple[Backend, ...]
    subjects: tuple[SubjectInfo, ...]
    absent: tuple[AbsentBackend, ...]
    elsewhere: tuple[str, ...] = ()
    places: tuple[str, ...] = losses.BUILT_IN

    @property
    def owners(self) -> dict[str, tuple[str, ...]]:
        """backend -> its subjects, those that are left out as well."""
        found = {
            backend.name: [one.name for one in self.subjects if one.backend == backend.name]
            for backend in self.backends
        }
        for backend, _, lacking in self._lacking():
            found[backend.name] += lacking
        return {name: tuple(dict.fromkeys(subjects)) for name, subjects in found.items()}

    @property
    def missing_tools(self) -> list[str]:
        """Subjects that are left out, each with what to do, and with the losses where others keep it."""
        missing: dict[tuple[str, str], list[str]] = {}
        for _, loss, lacking in self._lacking():
            for pair in lacking.items():
                missing.setdefault(pair, []).append(loss)
        kept = self.backend_of
        of = {pair: f" of {', '.join(found)}" if pair[0] in kept else "" for pair, found in missing.items()}
        return [f"{subject} is left out{of[subject, why]}: {why}" for subject, why in missing]

    def _lacking(self) -> Iterator[tuple[Backend, str, Mapping[str, str]]]:
        """Backend, loss, and the subjects of this loss that there are no tools for."""
        for backend in self.backends:
            for loss in map(losses.find, self.places):
                yield backend, loss.name, backend.lacking(loss.signature)

    @property
    def flushing(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """loss -> subject -> dtypes in which it flushes subnormal numbers."""
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        for one in self.subjects:
            lost = tuple(dtype for dtype, keeps in one.gradual_underflow.items() if not keeps)
            found.setdefault(one.loss, {})[one.name] = lost
        return found

    @property
    def backend_of(self) -> dict[str, str]:
        """subject -> its backend."""
        return {subject.name: subject.backend for subject in self.subjects}

    def chosen(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """loss -> those of its subjects that `names`, as given to -b, stand for; raises UsageError for an unknown one.

        A loss for which they have none is left out.
        """
        wanted = set(plan.choose_subjects(names, self.backend_of, self.places))
        found: dict[str, tuple[str, ...]] = {}
        for one in self.subjects:
            if one.name in wanted:
                found[one.loss] = (*found.get(one.loss, ()), one.name)
        return found


def _silent(message: str) -> None:
    """Say nothing."""


def survey(
    names: Sequence[str],
    device: str,
    seconds: float = START_SECONDS,
    said: Callable[[str], None] = _silent,
    places: Sequence[str] = losses.BUILT_IN,
) -> Survey:
    """Look at the backends that `names` (as given to -b) concern, and at what they have for the losses at `places`.

    A call may take so many seconds; `said` is told what is waited for. A device that is not there is an error, but of
    backends that no name asked for: they are left out as long as another one has it. Raises AdapterUnavailable,
    UsageError.
    """
    backends = plan.choose_backends(names)
    keys = [plan.key_of(backend, names) for backend in backends]
    found: dict[str, _Found] = {}
    elsewhere: list[str] = []
    for start in range(0, len(keys), machine.cores()):
        with contextlib.ExitStack() as stack:
            chosen = keys[start : start + machine.cores()]
            looks = [stack.enter_context(_Look(key, device, places, seconds, said)) for key in chosen]
            for key, look in zip(chosen, looks, strict=True):
                try:
                    found[key] = look.result()
                except NoSuchDevice as error:
                    elsewhere.append(str(error))
    if elsewhere and (names or not found):
        raise NoSuchDevice("; ".join(elsewhere))
    subjects = sorted((pair for pairs in found.values() for pair in pairs), key=lambda pair: pair[0])
    missing = () if any(user.SIGN in key for key in keys) else absent()  # who checks one function asks for no more
    here = tuple(backend for backend, key in zip(backends, keys, strict=True) if key in found)
    return Survey(here, tuple(info for _, info in subjects), tuple(missing), tuple(elsewhere), tuple(places))


# --- looking at one backend --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Next:
    """A process is about to run this call on a subject."""

    who: _Who | None
    call: str


@dataclass(frozen=True, slots=True)
class _Probed:
    """A subject keeps subnormal numbers in a dtype, or does not."""

    who: _Who
    dtype: str
    keeps: bool


class _Look:
    """A backend being looked at in a process of its own, or in several where it takes them down."""

    def __init__(
        self, key: str, device: str, places: Sequence[str], seconds: float, said: Callable[[str], None]
    ) -> None:
        self._key, self._device, self._places, self._seconds, self._said = key, device, places, seconds, said
        self._keeps: dict[tuple[_Who, str], bool] = {}
        self._lost: dict[_Who | None, str] = {}  # what became of the call that was to probe a subject
        self._begun: list[_Who] = []  # subjects of which a call was announced
        self._told: set[str] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="lossparity-")
        self._words = Path(self._folder.name) / "words"
        self._child = self._start()

    def __enter__(self) -> _Look:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.end()
        self._folder.cleanup()

    def result(self) -> _Found:
        """What was found; raises what the process raised, or AdapterUnavailable when it died or hung at the start.

        Calls that kill or hang it later lose no more than what they were to find out: the run will show them.
        """
        found = self._receive_found()
        while not self._receive_probed():
            self._child = self._start()
            self._receive_found()
        return [(tier, self._probed(info)) for tier, info in found]

    def _probed(self, info: SubjectInfo) -> SubjectInfo:
        """A subject's description with what probing found."""
        who = info.loss, info.name
        keeps = {dtype: self._keeps.get((who, dtype), True) for dtype in info.dtypes}
        why = self._lost.get(who if who in self._begun else None)
        if why is None:
            return msgspec.structs.replace(info, gradual_underflow=keeps)
        left = ", ".join(dtype for dtype in info.dtypes if (who, dtype) not in self._keeps)
        note = f"{NOT_PROBED} in {left}, and taken to be kept: {why}"
        return msgspec.structs.replace(info, gradual_underflow=keeps, notes=(*info.notes, note))

    def _start(self) -> Child:
        return Child(_report, self._key, self._device, self._places, str(self._words), tuple(self._begun))

    def _receive_found(self) -> _Found:
        """The subjects, not probed yet; raises AdapterUnavailable when the process does not get so far."""
        answer = self._receive(START_SECONDS, "to start")
        if isinstance(answer, Crashed | TimedOut):
            wrote = "".join(f"\n  {line}" for line in self._wrote())
            raise AdapterUnavailable(
                f"backend {self._key} {self._became(answer)} while starting"
                + (f"; it wrote last:{wrote}\nMend" if wrote else ": mend")
                + " or reinstall it, or name the other backends with -b"
            )
        return answer

    def _receive_probed(self) -> bool:
        """Take in what is probed until all is; False when the process ended too early, and another has to go on."""
        ran, now = 0, _Next(None, "its first call")
        while True:
            doing = f"to probe subnormal numbers of {now.who[1] if now.who else self._key} with {now.call}"
            match self._receive(self._seconds, doing):
                case None:
                    return True
                case _Next() as now:
                    ran += 1
                    if now.who is not None and now.who not in self._begun:
                        self._begun.append(now.who)
                case _Probed(who, dtype, keeps):
                    self._keeps[who, dtype] = keeps
                case ended:
                    others = f", after {plural(ran - 1, 'other call')} in the same process" * (ran > 1)
                    self._lost[now.who] = f"{now.call}, {self._became(ended)}{others}"
                    return now.who is None

    def _receive(self, seconds: float, doing: str) -> Any:
        """What the process says next, or how it ended; raises what it raised."""
        if not self._child.has_spoken(min(seconds, _QUIET_SECONDS)):
            self._say(doing, seconds)
        answer = self._child.receive(max(0, seconds - _QUIET_SECONDS))
        if isinstance(answer, TimedOut):
            self._child.abort()
            return TimedOut(seconds)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _say(self, doing: str, seconds: float) -> None:
        """Say what is waited for, once of each subject: compilers are slow with every call."""
        topic = doing.partition(" with ")[0]
        if topic not in self._told:
            self._told.add(topic)
            self._said(f"waiting for {self._key} {doing}, for {seconds:g} s at most")

    def _became(self, ended: Crashed | TimedOut) -> str:
        """What became of the process, in words."""
        place = breadcrumb.place(self._words.read_text(encoding="utf-8", errors="replace"))
        where = f", in {place}" if place else ""
        if isinstance(ended, TimedOut):
            return f"did not come back within {ended.seconds:g} s{where}"
        return f"took its process down ({ended.how}{where})"

    def _wrote(self) -> list[str]:
        """The last lines that the process wrote to stderr itself."""
        words = self._words.read_text(encoding="utf-8", errors="replace").partition("Fatal Python error")[0]
        return [line for line in words.splitlines() if line.strip()][-_LINES:]


# --- the other process -------------------------------------------------------------------------------------


def _report(pipe: Connection, key: str, device: str, places: Sequence[str], words: str, done: Collection[_Who]) -> None:
    """Send what `describe` yields or raises, and None at the end; what goes to stderr lands in the file `words`."""
    os.dup2(os.open(words, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND), 2)
    faulthandler.enable()
    if user.SIGN in key:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # users' functions print
    try:
        for found in describe(key, device, places, pipe.send, done):
            pipe.send(found)
        pipe.send(None)
    except Exception as error:
        pipe.send(error if isinstance(error, LossparityError) else AdapterUnavailable(f"backend {key}: {error!r}"))


def describe(
    name: str, device: str, places: Sequence[str], say: Callable[[_Next], None], done: Collection[_Who]
) -> Iterator[_Found | _Probed]:
    """Start a backend in this process and describe its subjects of losses; then probe those that are not done yet."""
    backend = registry.backend(name)
    found = [
        (loss, subject) for loss in map(losses.find, places) for subject in plan.start(backend, loss.signature, device)
    ]
    yield [(subject.capabilities.tier, _describe_subject(backend, loss, subject)) for loss, subject in found]
    for loss, subject in found:
        who = loss.name, subject.name
        for dtype in subject.capabilities.dtypes if who not in done else ():
            flush = probe(_Announcing(subject, loss.name, say), dtype, loss).arithmetic.flush
            yield _Probed(who, dtype, not flush)


class _Announcing:
    """A subject that says which call comes next."""

    def __init__(self, inner: Subject, loss: str, say: Callable[[_Next], None]) -> None:
        self._inner, self._loss, self._say = inner, loss, say
        self.name, self.device, self.capabilities = inner.name, inner.device, inner.capabilities
        self.read, self.echo, self.compilations = inner.read, inner.echo, inner.compilations

    def prepare(self, call: Call) -> Callable[[], Any]:
        """What the subject makes of the call."""
        self._say(_Next((self._loss, self.name), f"the call {call.digest()}, {call.describe()}"))
        return self._inner.prepare(call)


# --- what is not there -------------------------------------------------------------------------------------


def absent() -> list[AbsentBackend]:
    """Known backends that are not installed, with the line that installs them."""
    known = [registry.backend(name) for name in registry.names()]
    return [AbsentBackend(backend.name, backend.install) for backend in known if not registry.is_installed(backend)]


def _describe_subject(backend: Backend, loss: Loss, subject: Subject) -> SubjectInfo:
    """A subject and what it says that it can do."""
    can = subject.capabilities
    unasked = [dtype for dtype in can.dtypes if not is_probed(can.domain, dtype, loss)]
    left = f"{NOT_PROBED} in {', '.join(unasked)}, and taken to be kept: {can.domain.said} leaves no call to do it with"
    return SubjectInfo(
        loss=loss.name,
        name=subject.name,
        backend=backend.name,
        version=backend.version(),
        device=subject.device,
        binding=can.binding,
        style=can.style,
        dtypes=can.dtypes,
        target_dtypes=can.target_dtypes,
        gradual_underflow={},
        notes=(*can.notes, *(f"no {what}: {why}" for what, why in can.without.items()), *[left] * bool(unasked)),
    )
