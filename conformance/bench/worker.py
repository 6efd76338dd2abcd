"""A fresh process that times: imports, checks, warms up, then goes round and round among the contestants.

It tells the other end of its pipe what it is about to do before it does it, so that a contestant that takes the
process down or never comes back is known by name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...adapters import registry
from ...adapters.base import Backend, Baseline, Subject, loop, on_cpu
from ...reports.bench import TWIN, Cold, Contestant, Excluded, Measured, Point
from ...specs.call import Array, Call
from ...specs.errors import LossparityError, UsageError, nearest
from ...specs.nll_loss.traffic import LINE, SECTOR, traffic
from ..planning import machine, plan
from . import accelerator, roofs
from .gate import Gate
from .sweep import call_of

SAMPLE = 1e-3  # seconds that a sample takes at least, 1,000 and more steps of the clock
_STEADY = 0.05  # two medians of five calls that differ by less: warm
_WARM_CALLS = 50
_MOST_ROUNDS = 100
# A contestant so many times slower than the fastest, whose rounds would take more seconds than that, is left out of
# them: nobody needs an interval to see it, and others have use for the time.
_SLOW_TIMES, _SLOW = 10.0, 0.2
COLD = Point(n=4096, classes=256)


@dataclass(frozen=True)
class Job:
    """What a process is to do: points in one number of threads, or one backend's cold start."""

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


def main(pipe: Connection, job: Job) -> None:
    """The process: do the job and send what comes of it.

    Messages are ("ready", contestants), ("about", point, contestant, stage), records, and in the end "end" or an error.
    """
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(devnull, stream)  # frameworks log, users' functions print; what matters is sent
    if job.threads == "1" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        if job.points:
            _time(pipe, job)
        else:
            pipe.send(_cold(pipe, job))
        pipe.send("end")
    except Exception as error:
        pipe.send(error if isinstance(error, LossparityError) else RuntimeError(f"{type(error).__name__}: {error}"))


def contestants(backend: Backend, device: str) -> list[Runner]:
    """The subjects and baselines of a backend that is imported."""
    version = backend.version()

    def runner(subject: Subject, kind: str, says: str = "", differs: str = "", lacks: Any = None) -> Runner:
        style = subject.capabilities.style
        info = Contestant(
            name=subject.name, backend=backend.name, version=version, kind=kind, style=style, says=says, differs=differs
        )
        return Runner(info, subject, lacks)

    subjects = plan.start(backend, device)
    found = [runner(one, one.capabilities.binding) for one in subjects]
    if backend.baselines is not None and found[0].info.kind != "user":
        baselines: list[Baseline] = backend.baselines(device)
        found += [runner(one.subject, "baseline", one.says, one.differs, one.lacks) for one in baselines]
    return found


def _start(job: Job) -> list[Runner]:
    """Import the backends, in the order in which they go together, and choose the contestants that were asked for.

    Raises UsageError for a name that none has.
    """
    found: list[Runner] = []
    for key in job.backends:
        backend = registry.backend(key)
        registry.start(backend)
        found += contestants(backend, job.device)
    known = dict.fromkeys(name for one in found for name in (one.name, one.info.backend))
    wanted = {registry.backend(name).name if name in job.backends else name for name in job.names}
    for name in wanted:
        if name not in known and job.points:  # a cold start is of one backend alone
            raise UsageError(f"no subject or baseline {name!r}; {nearest(name, known)}")
    chosen = [one for one in found if not wanted or {one.name, one.info.backend} & wanted or one.info.kind == "user"]
    return chosen + [_slowed(one, share) for one in chosen if one.name == job.baseline for share in job.slowed]


# --- points ----------------------------------------------------------------------------------------------


def _time(pipe: Connection, job: Job) -> None:
    pipe.send(("about", "", "", "importing"))
    runners = _start(job)
    pipe.send(("ready", [one.info for one in runners]))
    last = 0.0
    for number, point in enumerate(job.points):
        if number and time.monotonic() + last > job.until:
            return
        start = time.monotonic()
        for record in measure(runners, point, job, lambda *what: pipe.send(("about", *what))):
            pipe.send(record)
        last = time.monotonic() - start


def measure(
    runners: Sequence[Runner], point: Point, job: Job, say: Callable[[str, str, str], None]
) -> Iterator[Measured | Excluded]:
    """Time the contestants at a point, and say why each other one is not timed."""
    say(point.name, "", "drawing its arrays")
    call = call_of(point, job.seed)
    gate = Gate(call, point)
    with contextlib.ExitStack() as stack:
        ready: dict[str, tuple[Runner, Callable[[int], Any]]] = {}
        answers: dict[str, Array] = {}
        peaks: dict[str, int] = {}
        took: dict[str, float] = {}
        for runner in runners:
            if (point.name, runner.name) in job.excluded:
                continue
            say(point.name, runner.name, "its first calls")
            reason, kind = _declined(runner, point, job), "unsupported"
            if not reason:
                reason, kind, answers[runner.name] = gate.verdict(runner.subject, runner.lacks is not None)
            if not reason:
                try:
                    run = stack.enter_context(loop(runner.subject, call, point.work))
                    _, peaks[runner.name] = _peak(lambda run=run: run(1))
                    took[runner.name] = _warm(run, job.warm)
                    ready[runner.name] = runner, run
                except Exception as error:
                    reason, kind = f"{type(error).__name__}: {str(error)[:200]}", "raised"
            if reason:
                yield Excluded(threads=job.threads, point=point.name, contestant=runner.name, reason=reason, kind=kind)
        least = _SLOW_TIMES * min(took.values(), default=0.0)
        slow = {name: took[name] for name in ready if took[name] * job.rounds > _SLOW and took[name] > least}
        fast = {name: run for name, (_, run) in ready.items() if name not in slow}
        if not fast:
            return
        baseline = next((name for name in (job.baseline, "torch", "numpy") if name in fast), next(iter(fast)))
        runs = dict(fast)
        runs[TWIN] = stack.enter_context(loop(ready[baseline][0].subject, call, point.work))
        moved = traffic(call, point.work, LINE if on_cpu(job.device) else SECTOR)
        threads = 1 if job.threads == "1" else machine.cores()
        steps = stack.enter_context(roofs.references(call, moved, point.work, threads))
        for name, step in steps.items():
            runs[name] = functools.partial(_steps, step)
        if not on_cpu(job.device):
            runs |= accelerator.roofs([runner.subject for runner, _ in ready.values()], moved)
        loops = {name: calibrated(run, took.get(name)) for name, run in runs.items()}
        loops[TWIN] = loops[baseline]  # or it would differ from its baseline in something
        rng = np.random.default_rng([job.seed, job.process])
        before, stolen = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw, _cpu_times()
        seconds = rounds(runs, loops, job.rounds, job.rounds_for, rng, lambda: say(point.name, "", "its rounds"))
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before
        share = _stolen(stolen, _cpu_times())
        for name in fast:
            say(point.name, name, "its last call")
            wrong = gate.changed(ready[name][0].subject, answers[name], runs[name](1))
            if wrong:
                del seconds[name], loops[name]
                yield Excluded(threads=job.threads, point=point.name, contestant=name, reason=wrong, kind="wrong")
        if baseline not in seconds:
            return  # nothing is left to compare with
        extra: dict[str, Any] = {}
        if not on_cpu(job.device):
            timed = {name: (ready[name][0].subject, runs[name]) for name in fast if name in seconds}
            extra = accelerator.measure(timed, loops, len(seconds[TWIN]), rng, job.device)
        yield Measured(
            threads=job.threads, process=job.process, point=point, baseline=baseline, seconds=seconds, loops=loops,
            slow=slow, peaks=peaks, read=moved.read, written=moved.written, lines=moved.lines, switches=switches,
            stolen=share, **extra,
        )  # fmt: skip


def rounds(
    runs: dict[str, Callable[[int], Any]],
    loops: dict[str, int],
    least: int,
    limit: float,
    rng: np.random.Generator,
    say: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds per call: in each round one sample of each, in random order, for so many seconds; `say` comes first."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names, clock = list(runs), time.perf_counter
    number, began = 0, clock()
    while number < least or (number < _MOST_ROUNDS and clock() - began < limit):
        number += 1
        say()
        for place in rng.permutation(len(names)).tolist():
            name = names[place]
            run, times = runs[name], loops[name]
            run(1)  # not timed: what ran before has emptied the caches of this one
            start = clock()
            result = run(times)
            seconds[name].append((clock() - start) / times)
            del result  # kept until the clock has stopped
    return seconds


def _steps(step: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        step()


def _declined(runner: Runner, point: Point, job: Job) -> str:
    """Why a contestant does not take part at a point, or nothing."""
    if runner.subject.capabilities.tier == 1 and point not in job.telling:
        return f"compiles for seconds: timed at the {len(job.telling)} most telling points only"
    if runner.lacks is None:
        return ""
    asked = {
        "weight": point.weighted,
        "ignored positions": point.ignored > 0,
        "spatial axes": bool(point.spatial),
        "gradient": point.work != "forward",
    }
    lacking = sorted(what for what, is_asked in asked.items() if is_asked and what in runner.lacks)
    return f"cannot do {', '.join(lacking)}" if lacking else ""


# --- one contestant --------------------------------------------------------------------------------------


def _warm(run: Callable[[int], Any], limit: float) -> float:
    """Call until two medians of five agree, or calls or seconds run out; returns the last median."""
    times: list[float] = []
    start, before = time.perf_counter(), math.inf
    while len(times) < _WARM_CALLS and time.perf_counter() - start < limit:
        begun = time.perf_counter()
        run(1)
        times.append(time.perf_counter() - begun)
        if len(times) % 5 == 0:
            now = float(np.median(times[-5:]))
            if abs(now / before - 1) < _STEADY:
                break
            before = now
    return float(np.median(times[-5:]))


def calibrated(run: Callable[[int], Any], seconds: float | None = None) -> int:
    """How many calls make a sample of at least SAMPLE seconds, one of them taking about so many, if that is known."""
    if seconds is None:
        seconds = _warm(run, 0.05)
    times = max(1, math.ceil(SAMPLE / max(seconds, 1e-9)))
    while True:  # a single call is dearer than one of many
        start = time.perf_counter()
        run(times)
        took = time.perf_counter() - start
        if took >= SAMPLE or times > 1 << 24:
            return times
        times = math.ceil(times * min(10.0, 1.2 * SAMPLE / max(took, 1e-7)))


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


def _peak(step: Callable[[], Any]) -> tuple[Any, int]:
    """A step's result, and by how many bytes this process grew meanwhile; 0 where the system does not tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        before = _status("VmRSS")
        result = step()
        return result, max(0, _status("VmHWM") - before)
    except OSError:
        return step(), 0


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    return 0


def _cpu_times() -> tuple[int, ...]:
    """Jiffies of the whole machine by kind; empty where the system does not tell."""
    try:
        return tuple(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    except OSError:
        return ()


def _stolen(before: tuple[int, ...], after: tuple[int, ...]) -> float:
    """The share that the host of a virtual machine gave to others."""
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return spent[7] / sum(spent) if len(spent) > 7 and sum(spent) else 0.0


# --- cold starts -----------------------------------------------------------------------------------------


def _cold(pipe: Connection, job: Job) -> Cold:
    """Import one backend, and call each of its contestants twice."""
    pipe.send(("about", COLD.name, "", "importing"))
    runners = _start(job)
    call = call_of(COLD, job.seed)
    first: dict[str, float] = {}
    second: dict[str, float] = {}
    compilations: dict[str, int] = {}
    failed: dict[str, str] = {}
    for runner in runners:
        if (COLD.name, runner.name) in job.excluded:
            continue
        pipe.send(("about", COLD.name, runner.name, "its first call"))
        before = runner.subject.compilations()
        start = time.perf_counter()
        try:
            with loop(runner.subject, call, "forward") as run:
                run(1)
                between = time.perf_counter()
                run(1)
                first[runner.name], second[runner.name] = between - start, time.perf_counter() - between
        except Exception as error:
            failed[runner.name] = f"{type(error).__name__}: {str(error)[:200]}"
        compilations[runner.name] = runner.subject.compilations() - before
    return Cold(
        process=job.process, backend=job.backends[0], import_seconds=_import_seconds(job.backends[0]),
        first=first, second=second, compilations=compilations, failed=failed,
    )  # fmt: skip


def _import_seconds(name: str) -> float:
    """Seconds that the framework's import takes in an interpreter that has imported nothing yet."""
    module = registry.backend(name).module
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(ended.stdout.split()[-1])
