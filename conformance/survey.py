"""Finds out what is here: backends, their versions, subjects and what those can do.

Each backend is looked at in a process of its own, so that neither an import that fails nor one that takes the
process down reaches the caller, and no framework is loaded where it does not compute.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from ..adapters import registry, user
from ..adapters.base import Backend, Subject
from ..reports.records import AbsentBackend, SubjectInfo
from ..specs.errors import AdapterUnavailable, LossparityError
from . import machine, plan
from .plan import NoSuchDevice
from .runner import probe

# Importing a framework, and then probing its subnormal numbers, compilations included.
_PATIENCE_SECONDS = 300
_Found = list[tuple[int, SubjectInfo]]  # (tier, description) of each subject


@dataclass(frozen=True)
class Survey:
    """What was found: the backends that can run, their subjects (dear ones first), and what is not installed.

    `elsewhere` says of each installed backend that lacks the device which ones it has.
    """

    backends: tuple[Backend, ...]
    subjects: tuple[SubjectInfo, ...]
    absent: tuple[AbsentBackend, ...]
    elsewhere: tuple[str, ...] = ()

    @property
    def owners(self) -> dict[str, tuple[str, ...]]:
        """backend -> its subjects."""
        names = {backend.name: backend.name for backend in self.backends}
        return {name: tuple(s.name for s in self.subjects if s.backend == name) for name in names}

    @property
    def flushing(self) -> dict[str, tuple[str, ...]]:
        """subject -> dtypes in which it flushes subnormal numbers."""
        return {
            subject.name: tuple(dtype for dtype, keeps in subject.gradual_underflow.items() if not keeps)
            for subject in self.subjects
        }

    @property
    def backend_of(self) -> dict[str, str]:
        """subject -> its backend."""
        return {subject.name: subject.backend for subject in self.subjects}


def survey(names: Sequence[str], device: str, seconds: float = _PATIENCE_SECONDS) -> Survey:
    """Look at the backends that `names` (as given to -b) concern; raises AdapterUnavailable, UsageError.

    Probing one may take so many seconds. A device that is not there is an error, but of backends that no name asked
    for: they are left out as long as another one has it.
    """
    backends = plan.choose_backends(names)
    keys = [plan.key_of(backend, names) for backend in backends]
    found: dict[str, _Found] = {}
    elsewhere: list[str] = []
    for start in range(0, len(keys), machine.cores()):
        looks = {key: _Look(key, device, seconds) for key in keys[start : start + machine.cores()]}
        for key, look in looks.items():
            try:
                found[key] = look.result()
            except NoSuchDevice as error:
                elsewhere.append(str(error))
    if elsewhere and (names or not found):
        raise NoSuchDevice("; ".join(elsewhere))
    subjects = sorted((pair for pairs in found.values() for pair in pairs), key=lambda pair: pair[0])
    missing = () if any(user.SIGN in key for key in keys) else absent()  # who checks one function asks for no more
    here = tuple(backend for backend, key in zip(backends, keys, strict=True) if key in found)
    return Survey(here, tuple(info for _, info in subjects), tuple(missing), tuple(elsewhere))


class _Look:
    """A backend being looked at in a process of its own."""

    def __init__(self, key: str, device: str, seconds: float) -> None:
        self._key = key
        self._seconds = seconds
        self._pipe, theirs = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_report, args=(theirs, key, device), daemon=True)
        self._process.start()
        theirs.close()

    def result(self) -> _Found:
        """What was found; raises what the process raised, or AdapterUnavailable when it died or hung.

        A user's function that dies or hangs while it is probed is not lost: the run will show it.
        """
        try:
            unprobed = self._receive(_PATIENCE_SECONDS)
            try:
                return self._receive(self._seconds)
            except AdapterUnavailable:
                if user.SIGN not in self._key:
                    raise
                return unprobed
        finally:
            self._process.kill()

    def _receive(self, seconds: float) -> _Found:
        try:
            if not self._pipe.poll(seconds):
                raise AdapterUnavailable(f"backend {self._key} did not start within {seconds:g} s; run without it")
            answer = self._pipe.recv()
        except EOFError as error:
            self._process.join()
            raise AdapterUnavailable(
                f"backend {self._key} took its process down while starting (exit code {self._process.exitcode}): "
                "reinstall it, or name the other backends with -b"
            ) from error
        if isinstance(answer, Exception):
            raise answer
        return answer


def _report(pipe: Connection, key: str, device: str) -> None:
    """The other process: send what `describe` yields or raises."""
    if user.SIGN in key:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)  # users' functions print
    try:
        for found in describe(key, device):
            pipe.send(found)
    except Exception as error:
        pipe.send(error if isinstance(error, LossparityError) else AdapterUnavailable(f"backend {key}: {error!r}"))


def describe(name: str, device: str) -> Iterator[_Found]:
    """Start a backend in this process and describe its subjects, first before and then after probing them."""
    backend = registry.backend(name)
    subjects = plan.start(backend, device)
    for probed in (False, True):
        yield [(subject.capabilities.tier, _describe_subject(backend, subject, probed)) for subject in subjects]


def absent() -> list[AbsentBackend]:
    """Known backends that are not installed, with the line that installs them."""
    known = [registry.backend(name) for name in registry.names()]
    return [AbsentBackend(backend.name, backend.install) for backend in known if not registry.is_installed(backend)]


def missing_tools() -> list[str]:
    """Tools outside Python that a subject needs and that are not found."""
    if registry.is_installed(registry.backend("torch")) and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        return ["torch:compile needs a C++ compiler, and none is found: install g++ or clang"]
    return []


def _describe_subject(backend: Backend, subject: Subject, probed: bool) -> SubjectInfo:
    """A subject and what it can do, subnormal numbers probed by computing with them."""
    can = subject.capabilities
    unprobed = () if probed else ("subnormal numbers: not probed, the first calls did not come back",)
    return SubjectInfo(
        name=subject.name,
        backend=backend.name,
        version=backend.version(),
        device=subject.device,
        binding=can.binding,
        style=can.style,
        dtypes=can.dtypes,
        target_dtypes=can.target_dtypes,
        gradual_underflow={dtype: not (probed and probe(subject, dtype).arithmetic.flush) for dtype in can.dtypes},
        notes=(*can.notes, *(f"no {what}: {why}" for what, why in can.without.items()), *unprobed),
    )
