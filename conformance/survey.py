"""Finds out what is here: backends, their versions, subjects and what those can do.

Each backend is looked at in a process of its own, so that neither an import that fails nor one that takes the
process down reaches the caller, and no framework is loaded where it does not compute.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from ..adapters import registry
from ..adapters.base import Backend, Subject
from ..reports.records import AbsentBackend, SubjectInfo
from ..specs.errors import AdapterUnavailable, LossparityError
from . import machine, plan
from .runner import probe

# Importing a framework and probing its subnormal numbers, compilations included.
_PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Survey:
    """What was found: the backends looked at, their subjects (dear ones first), and what is not installed."""

    backends: tuple[Backend, ...]
    subjects: tuple[SubjectInfo, ...]
    absent: tuple[AbsentBackend, ...]

    @property
    def owners(self) -> dict[str, tuple[str, ...]]:
        """backend -> its subjects."""
        names = {backend.name: backend.name for backend in self.backends}
        return {name: tuple(s.name for s in self.subjects if s.backend == name) for name in names}

    @property
    def backend_of(self) -> dict[str, str]:
        """subject -> its backend."""
        return {subject.name: subject.backend for subject in self.subjects}


def survey(names: Sequence[str], device: str) -> Survey:
    """Look at the backends that `names` (as given to -b) concern; raises AdapterUnavailable, UsageError."""
    backends = plan.choose_backends(names)
    keys = [plan.key_of(backend, names) for backend in backends]
    found: list[list[tuple[int, SubjectInfo]]] = []
    for start in range(0, len(keys), machine.cores()):
        looks = [_Look(key, device) for key in keys[start : start + machine.cores()]]
        found += [look.result() for look in looks]
    subjects = sorted((pair for pairs in found for pair in pairs), key=lambda pair: pair[0])
    return Survey(tuple(backends), tuple(info for _, info in subjects), tuple(absent()))


class _Look:
    """A backend being looked at in a process of its own."""

    def __init__(self, key: str, device: str) -> None:
        self._key = key
        self._pipe, theirs = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_report, args=(theirs, key, device), daemon=True)
        self._process.start()
        theirs.close()

    def result(self) -> list[tuple[int, SubjectInfo]]:
        """What was found; raises what the process raised, or AdapterUnavailable when it died or hung."""
        try:
            if not self._pipe.poll(_PATIENCE_SECONDS):
                raise AdapterUnavailable(
                    f"backend {self._key} did not start within {_PATIENCE_SECONDS} s; run without it"
                )
            answer = self._pipe.recv()
        except EOFError as error:
            self._process.join()
            raise AdapterUnavailable(
                f"backend {self._key} took its process down while starting (exit code {self._process.exitcode}): "
                "reinstall it, or name the other backends with -b"
            ) from error
        finally:
            self._process.kill()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _report(pipe: Connection, key: str, device: str) -> None:
    """The other process: send what `describe` returns or raises."""
    try:
        pipe.send(describe(key, device))
    except Exception as error:
        pipe.send(error if isinstance(error, LossparityError) else AdapterUnavailable(f"backend {key}: {error!r}"))


def describe(name: str, device: str) -> list[tuple[int, SubjectInfo]]:
    """(tier, description) of each subject of a backend; starts it in this process."""
    backend = registry.backend(name)
    return [(subject.capabilities.tier, _describe_subject(backend, subject)) for subject in plan.start(backend, device)]


def absent() -> list[AbsentBackend]:
    """Known backends that are not installed, with the line that installs them."""
    known = [registry.backend(name) for name in registry.names()]
    return [AbsentBackend(backend.name, backend.install) for backend in known if not registry.is_installed(backend)]


def missing_tools() -> list[str]:
    """Tools outside Python that a subject needs and that are not found."""
    if registry.is_installed(registry.backend("torch")) and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        return ["torch:compile needs a C++ compiler, and none is found: install g++ or clang"]
    return []


def _describe_subject(backend: Backend, subject: Subject) -> SubjectInfo:
    """A subject and what it can do, subnormal numbers probed by computing with them."""
    can = subject.capabilities
    return SubjectInfo(
        name=subject.name,
        backend=backend.name,
        version=backend.version(),
        device=subject.device,
        binding=can.binding,
        style=can.style,
        dtypes=can.dtypes,
        target_dtypes=can.target_dtypes,
        gradual_underflow={dtype: not probe(subject, dtype).arithmetic.flush for dtype in can.dtypes},
        notes=(*can.notes, *(f"no {what}: {why}" for what, why in can.without.items())),
    )
