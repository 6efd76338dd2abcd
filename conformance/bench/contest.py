"""Who takes part in a bench run, and what a process of it is asked for."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from ...adapters import registry
from ...adapters.base import Backend, Baseline, Subject, loop
from ...reports.bench import Contestant
from ...specs import losses
from ...specs.call import Call, Signature
from ...specs.errors import UsageError, nearest
from ...specs.speed import Point
from ..planning import plan

COLD, MEMORY = "cold start", "memory"  # what a process of one backend does, in place of a number of threads


@dataclass(frozen=True)
class Job:
    """What a process is to do: points in one number of threads, or one backend's cold start or memory."""

    loss: str  # as given to --loss, a name or a place
    backends: tuple[str, ...]
    names: tuple[str, ...]  # as given to -b; without any all subjects and baselines
    device: str
    threads: str
    process: int
    rounds: int  # at each point, at least
    rounds_for: float  # seconds until which there are more of them
    seed: int
    baseline: str  # of the ratios, if it passes
    points: tuple[Point, ...] = ()
    telling: tuple[Point, ...] = ()  # where subjects that compile for seconds take part, too
    until: float = math.inf  # time.monotonic() after which no point is begun, once one is done
    warm: float = 0.5  # seconds at most
    excluded: frozenset[tuple[str, str]] = frozenset()  # (point, contestant) that are not to be tried again
    slowed: tuple[float, ...] = ()  # shares by which copies of the baseline are slowed on purpose


@dataclass(frozen=True)
class Runner:
    """A contestant in this process; `lacks` is what a baseline cannot do."""

    info: Contestant
    subject: Subject
    lacks: frozenset[str] | None = None

    @property
    def name(self) -> str:
        return self.info.name


def contestants(backend: Backend, signature: Signature, device: str) -> list[Runner]:
    """The subjects and baselines of a backend that is imported, for the loss of this signature."""
    version = backend.version()

    def runner(subject: Subject, kind: str, says: str = "", differs: str = "", lacks: Any = None) -> Runner:
        style = subject.capabilities.style
        info = Contestant(
            name=subject.name, backend=backend.name, version=version, kind=kind, style=style, says=says, differs=differs
        )
        return Runner(info, subject, lacks)

    subjects = plan.start(backend, signature, device)
    found = [runner(one, one.capabilities.binding) for one in subjects]
    if backend.baselines is not None and all(one.info.kind != "user" for one in found):
        baselines: list[Baseline] = backend.baselines(signature, device)
        found += [runner(one.subject, "baseline", one.says, one.differs, one.lacks) for one in baselines]
    return found


def start(job: Job) -> list[Runner]:
    """Import the backends, in the order in which they go together, and choose the contestants that were asked for.

    Raises UsageError for a name that none has, and where there is nothing to time.
    """
    found: list[Runner] = []
    for key in job.backends:
        backend = registry.backend(key)
        registry.start(backend)
        found += contestants(backend, losses.find(job.loss).signature, job.device)
    known = dict.fromkeys(name for one in found for name in (one.name, one.info.backend))
    wanted = {registry.backend(name).name if name in job.backends else name for name in job.names}
    for name in wanted:
        if name not in known and job.threads not in (COLD, MEMORY):  # those are of one backend alone
            raise UsageError(f"no subject or baseline {name!r}; {nearest(name, known)}")
    if not found and job.threads not in (COLD, MEMORY):  # those may be of a backend that has nothing for the loss
        raise UsageError(
            f"{job.loss}: no subject of this loss in {', '.join(job.backends)}; name other backends with -b"
        )
    chosen = [one for one in found if not wanted or {one.name, one.info.backend} & wanted or one.info.kind == "user"]
    return chosen + [_slowed(one, share) for one in chosen if one.name == job.baseline for share in job.slowed]


# --- slowed on purpose -------------------------------------------------------------------------------------


def _slowed(runner: Runner, share: float) -> Runner:
    """A copy of a contestant that takes longer by a share: what the harness itself is tested with."""
    info = msgspec.structs.replace(runner.info, name=f"{runner.name} slowed by {share:.1%}")
    return dataclasses.replace(runner, info=info, subject=_Slowed(runner.subject, share))


class _Slowed:
    """A subject each of whose samples takes longer by a share."""

    def __init__(self, inner: Subject, share: float) -> None:
        self._inner, self._share = inner, share
        self.name, self.device, self.capabilities = inner.name, inner.device, inner.capabilities
        self.read, self.prepare, self.echo = inner.read, inner.prepare, inner.echo
        self.compilations = inner.compilations

    @contextlib.contextmanager
    def loop(self, call: Call, work: str) -> Iterator[Callable[[int], Any]]:
        """The inner loop, and as much idling after it as the share says."""
        with loop(self._inner, call, work) as run:

            def slower(times: int) -> Any:
                start = time.perf_counter()
                result = run(times)
                end = start + (time.perf_counter() - start) * (1 + self._share)
                while time.perf_counter() < end:
                    pass
                return result

            yield slower
