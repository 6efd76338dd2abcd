"""Finds out what is here: backends, their versions, subjects and what those can do.

Each backend is looked at in a process of its own, so that neither an import that fails nor one that takes the
process down reaches the caller, and no framework is loaded where it does not compute.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from ..adapters import registry
from ..adapters.base import Backend, Subject
from ..reports.records import AbsentBackend, SubjectInfo
from ..specs.errors import AdapterUnavailable
from . import machine, plan
from .runner import probe


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
    context = multiprocessing.get_context("spawn")
    keys = [_key(backend, names) for backend in backends]
    with ProcessPoolExecutor(min(machine.cores(), len(keys) or 1), mp_context=context, max_tasks_per_child=1) as pool:
        try:
            found = list(pool.map(describe, keys, [device] * len(keys)))
        except BrokenProcessPool as error:
            raise AdapterUnavailable(
                f"a backend among {', '.join(keys)} took its process down while starting; try each alone with -b"
            ) from error
    subjects = sorted((pair for pairs in found for pair in pairs), key=lambda pair: pair[0])
    return Survey(tuple(backends), tuple(info for _, info in subjects), tuple(absent()))


def _key(backend: Backend, names: Sequence[str]) -> str:
    """The name by which another process finds this backend again."""
    if backend.name in registry.names():
        return backend.name
    return next(name for name in names if ":" in name and registry.backend(name) is backend)


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
