"""One point in one process: who may be timed there, and the rounds of those who may."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...adapters.base import loop, on_cpu
from ...reports.bench import TWIN, Excluded, Measured
from ...specs import losses
from ...specs.call import Array
from ...specs.speed import LINE, SECTOR, Point
from ..planning import machine
from . import accelerator, exponentials, meters, roofs, samples, sweep
from .contest import Job, Runner
from .gate import Gate

# A contestant so many times slower than the fastest, whose rounds would take more seconds than that, is left out of
# them: nobody needs an interval to see it, and others have use for the time.
_SLOW_TIMES, _SLOW = 10.0, 0.2

_EXP = "exponentials of "  # and a backend: no contestant has spaces in its name

_Runs = dict[str, Callable[[int], Any]]
_Say = Callable[[str, str, str], None]


@dataclass(frozen=True)
class _Ready:
    """A contestant that may be timed, and is warm."""

    runner: Runner
    run: Callable[[int], Any]
    answer: Array
    took: float  # seconds of a call, about


def measure(runners: Sequence[Runner], point: Point, job: Job, say: _Say) -> Iterator[Measured | Excluded]:
    """Time the contestants at a point, and say why each other one is not timed."""
    say(point.name, "", "drawing its arrays")
    with contextlib.ExitStack() as stack:
        place = _Place(point, job, say, stack)
        ready: dict[str, _Ready] = {}
        for runner in runners:
            if (point.name, runner.name) in job.excluded:
                continue
            say(point.name, runner.name, "its first calls")
            match place.prepared(runner):
                case _Ready() as found:
                    ready[runner.name] = found
                case excluded:
                    yield excluded
        slow = _too_slow(ready, job.rounds)
        fast = {name: one for name, one in ready.items() if name not in slow}
        if fast:
            yield from place.measured(fast, slow)


def _too_slow(ready: Mapping[str, _Ready], rounds: int) -> dict[str, float]:
    """Those that would take too long for rounds, with the seconds of a call."""
    least = _SLOW_TIMES * min((one.took for one in ready.values()), default=0.0)
    return {name: one.took for name, one in ready.items() if one.took * rounds > _SLOW and one.took > least}


def declined(runner: Runner, point: Point, job: Job) -> str:
    """Why a contestant does not take part at a point, or nothing."""
    if runner.subject.capabilities.tier == 1 and point not in job.telling:
        return f"compiles for seconds: timed at the {len(job.telling)} most telling points only"
    if runner.lacks is None:
        return ""
    asked = [*sweep.speed_of(losses.find(job.loss)).asks(point), *["gradient"] * (point.work != "forward")]
    lacking = sorted(what for what in asked if what in runner.lacks)
    return f"cannot do {', '.join(lacking)}" if lacking else ""


class _Place:
    """A point under way: its call, what has to be moved for it, and the loops that are open until the stack closes."""

    def __init__(self, point: Point, job: Job, say: _Say, stack: contextlib.ExitStack) -> None:
        self.point, self.job, self.say, self.stack = point, job, say, stack
        loss = losses.find(job.loss)
        speed = sweep.speed_of(loss)
        self.call = sweep.call_of(loss, point, job.seed)
        self.gate = Gate(self.call, point)
        self.moved = speed.traffic(self.call, point.work, LINE if on_cpu(job.device) else SECTOR)
        self.offsets = speed.offsets(self.call) if speed.offsets is not None else None

    def prepared(self, runner: Runner) -> _Ready | Excluded:
        """The contestant, checked and warm, or why it is not timed."""
        if reason := declined(runner, self.point, self.job):
            return self._excluded(runner.name, reason, "unsupported")
        reason, kind, answer = self.gate.verdict(runner.subject, runner.lacks is not None)
        if reason:
            return self._excluded(runner.name, reason, kind)
        try:
            run = self._loop(runner)
            return _Ready(runner, run, answer, samples.warm(run, self.job.warm))
        except Exception as error:
            return self._excluded(runner.name, f"{type(error).__name__}: {str(error)[:200]}", "raised")

    def measured(self, fast: Mapping[str, _Ready], slow: dict[str, float]) -> Iterator[Measured | Excluded]:
        """Rounds of those who are ready and fast enough, without those whose last result turns out wrong."""
        job = self.job
        baseline = next((name for name in (job.baseline, "torch", "numpy") if name in fast), next(iter(fast)))
        runs = self._runs(fast, baseline)
        loops = {name: samples.calibrated(run, fast[name].took if name in fast else None) for name, run in runs.items()}
        loops[TWIN] = loops[baseline]  # or it would differ from its baseline in something
        rng = np.random.default_rng([job.seed, job.process])
        unrest = meters.Unrest()
        seconds = samples.rounds(
            runs, loops, job.rounds, job.rounds_for, rng, lambda: self.say(self.point.name, "", "its rounds")
        )
        switches, stolen = unrest.switches(), unrest.stolen()
        exps = {name.removeprefix(_EXP): seconds.pop(name) for name in runs if name.startswith(_EXP)}
        loops = {name: loops[name] for name in seconds}
        for excluded in self._wrong(fast):
            del seconds[excluded.contestant], loops[excluded.contestant]
            yield excluded
        if baseline not in seconds:
            return  # nothing is left to compare with
        extra: dict[str, Any] = {}
        if not on_cpu(job.device):
            timed = {name: (one.runner.subject, one.run) for name, one in fast.items() if name in seconds}
            extra = accelerator.measure(timed, loops, len(seconds[TWIN]), rng, job.device)
        yield Measured(
            threads=job.threads, process=job.process, point=self.point, baseline=baseline, seconds=seconds,
            loops=loops, slow=slow, read=self.moved.read, written=self.moved.written, lines=self.moved.lines,
            exponentials=self.moved.exponentials, exponential_seconds=exps, switches=switches, stolen=stolen, **extra,
        )  # fmt: skip

    def _runs(self, fast: Mapping[str, _Ready], baseline: str) -> _Runs:
        """What each round consists of: the contestants, the baseline's twin, the empty call and the roofs."""
        job, point = self.job, self.point
        runs = {name: one.run for name, one in fast.items()}
        runs[TWIN] = self._loop(fast[baseline].runner)
        threads = 1 if job.threads == "1" else machine.cores()
        references = self.stack.enter_context(
            roofs.references(self.call, self.offsets, self.moved, point.work, threads)
        )
        runs |= {name: functools.partial(samples.steps, step) for name, step in references.items()}
        if not on_cpu(job.device):
            subjects = [one.runner.subject for one in fast.values()]
            runs |= accelerator.roofs(subjects, self.moved, self.offsets is not None)
        backends = [one.runner.info.backend for one in fast.values()]
        exps = self.stack.enter_context(
            exponentials.references(backends, self.moved.exponentials, point.dtype, job.device)
        )
        return runs | {_EXP + backend: run for backend, run in exps.items()}

    def _wrong(self, fast: Mapping[str, _Ready]) -> Iterator[Excluded]:
        """Those whose timed loop gives another result than the call that was checked."""
        for name, one in fast.items():
            self.say(self.point.name, name, "its last call")
            if wrong := self.gate.changed(one.runner.subject, one.answer, one.run(1)):
                yield self._excluded(name, wrong, "wrong")

    def _loop(self, runner: Runner) -> Callable[[int], Any]:
        return self.stack.enter_context(loop(runner.subject, self.call, self.point.work))

    def _excluded(self, name: str, reason: str, kind: str) -> Excluded:
        return Excluded(threads=self.job.threads, point=self.point.name, contestant=name, reason=reason, kind=kind)
