"""The controlling side of a bench run: shares out the budget, starts fresh processes, writes down what they send."""

from __future__ import annotations

import datetime
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ...adapters import registry, user
from ...adapters.base import on_cpu
from ...reports import bench, framed
from ...reports.bench import Bench, Cold, Contestant, Excluded, Footer, Header, Measured, Memory
from ...specs import losses
from ...specs.call import Crashed, TimedOut
from ...specs.errors import AdapterUnavailable, EngineError, UsageError
from ...specs.speed import Point
from ..items.child import Child, environment
from ..planning import machine, plan
from . import accelerator, sweep, worker
from .contest import COLD, MEMORY, Job

LEAST_PROCESSES, MOST_PROCESSES = 2, 5
LEAST_ROUNDS = 10
_TELLING = 6  # points at which subjects that compile for seconds are timed
# Shares of the budget: one thread, cold starts, memory; what is left is for all threads.
_ONE_THREAD, _COLD, _MEMORY = 0.5, 0.15, 0.1
_FINISHING = 12.0  # seconds kept for statistics and pictures
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
_THREADS += ("TF_NUM_INTEROP_THREADS",)
# So that large arrays come from the system one by one and go back at once, or their memory could not be told.
_UNPOOLED = {"MALLOC_MMAP_THRESHOLD_": "65536", "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1"}


@dataclass
class Options:
    """What a bench run is asked for."""

    loss: str = losses.DEFAULT  # a name, or where a loss is found
    names: tuple[str, ...] = ()  # backends and subjects; all that are installed without any
    budget: float = 300.0
    device: str = "cpu"
    seed: int = 0
    baseline: str = "torch"
    timeout: float = 120.0  # seconds without a sign of life
    resume: bool = False
    command: str = ""
    points: tuple[Point, ...] = ()  # the usual sweep without any
    threads: tuple[str, ...] = ("1", "all")
    slowed: tuple[float, ...] = ()  # see Job
    cold: bool = True
    memory: bool = True

    @property
    def processes(self) -> int:
        """Fresh processes in which each point is measured."""
        return max(LEAST_PROCESSES, min(MOST_PROCESSES, int(self.budget / 200)))

    @property
    def rounds_for(self) -> float:
        """Seconds that the rounds of a point may take, once there are enough of them."""
        return self.budget / 100


@dataclass
class Watch:
    """Told as a run goes on: seconds gone, and what is being done."""

    said: Callable[[float, str], None] = lambda seconds, what: None


def run(options: Options, out: Path, watch: Watch) -> Bench:
    """Time what the options say and write OUT/bench.jsonl; returns it, read.

    Raises UsageError for names that do not exist, for a loss that does not say how it is timed and for a budget that
    one point does not fit into, AdapterUnavailable for a backend that does not start, EngineError when the harness
    itself fails.
    """
    return _Run(options, out, watch).all()


class _Run:
    """One run under way."""

    def __init__(self, options: Options, out: Path, watch: Watch) -> None:
        self.options, self.watch = options, watch
        self.began = time.monotonic()
        self.loss = losses.find(options.loss)
        self.file = out / bench.FILE
        self.names, self.keys = _choose(options.names)
        self.old = bench.read(self.file) if options.resume and self.file.exists() else None
        self.points = options.points or tuple(sweep.points(self.loss, sweep.memory_cap()))
        self.writer: framed.Writer | None = None
        self.contestants: tuple[Contestant, ...] = ()
        self.excluded: dict[str, set[tuple[str, str]]] = {}
        self.done: dict[tuple[str, int], list[Point]] = {}  # (threads, process) -> points
        self.alone: set[tuple[str, int, str]] = set()  # (COLD or MEMORY, process, backend)
        for one in self.old.records if self.old is not None else ():
            self._remember(one)
        if self.old is not None:
            self._require_same(self.old.header.settings, self._settings())

    def all(self) -> Bench:
        """Every table, cold starts and memory in between, and the footer."""
        room = max(0.0, self.options.budget - _FINISHING)
        tables = [name for name in self.options.threads if name == "1" or machine.cores() > 1]
        is_all = len(tables) == 1 and not self.options.cold and not self.options.memory
        self._table(tables[0], room if is_all else room * _ONE_THREAD)
        if self.options.cold:
            for process in range(1 if self.options.budget < 600 else LEAST_PROCESSES):
                self._one_by_one(COLD, process, room * (_ONE_THREAD + _COLD))
        if (
            self.options.memory
            and self.loss.speed is not None
            and self.loss.speed.memory
            and on_cpu(self.options.device)
        ):
            self._one_by_one(MEMORY, 0, room * (_ONE_THREAD + _COLD + _MEMORY))
        for name in tables[1:]:
            if self._gone() < room:
                self._table(name, room)
        if self.writer is None:  # nothing was left to do
            assert self.old is not None
            return self.old
        left = len(self.points) - len(self.done.get((tables[0], 0), ()))
        seconds, finished = round(self._gone(), 1), datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.writer.close(Footer(finished=finished, seconds=seconds, complete=not left, left=left))
        return bench.read(self.file)

    def _gone(self) -> float:
        return time.monotonic() - self.began

    def _table(self, threads: str, until: float) -> None:
        """Measure points in one number of threads, in as many processes as planned, until so many seconds are gone."""
        processes = self.options.processes
        for process in range(processes):
            wanted = self.points if not process else self.done.get((threads, 0), [])
            wanted = [one for one in wanted if one not in self.done.get((threads, process), [])]
            share = (until - self._gone()) / (processes - process)
            if wanted:
                self._process(threads, process, wanted, self._gone() + share)
            if not process and not self.done.get((threads, 0)):
                raise EngineError(f"bench: no contestant could be timed at any point with threads={threads}")

    def _process(self, threads: str, process: int, wanted: Sequence[Point], until: float) -> None:
        """One process, and another one for what it leaves when a contestant takes it down."""
        while wanted:
            job = self._job(threads, process, tuple(wanted), until)
            culprit = None
            for message in self._messages(job):
                if isinstance(message, _Ended):
                    culprit = message
                elif isinstance(message, Measured | Excluded):
                    self._write(message)
                elif message[0] == "ready":
                    self._ready(message[1])
                else:
                    self.watch.said(self._gone(), _in_words(threads, process, message))
                self._require_room(isinstance(message, Measured))
            if culprit is None:
                return
            self._blame(culprit, threads)
            known = self.done.get((threads, process), [])
            wanted = [one for one in wanted if one not in known and (one.name, "") not in self.excluded[threads]]
            if self._gone() > until:
                return

    def _require_room(self, is_measured: bool) -> None:
        """Raise UsageError when the first point shows that the least for one does not fit, or never comes."""
        points = sum(map(len, self.done.values()))
        if self.old is not None or points > 1 or points and not is_measured:
            return
        budget, gone = self.options.budget, self._gone()
        need = 5 * math.ceil((LEAST_PROCESSES * gone + _FINISHING) / 5)
        if need > budget + 5 if points else gone >= budget:
            raise UsageError(
                f"--budget {budget:g} is too small for one point: {LEAST_PROCESSES} fresh processes of {LEAST_ROUNDS} "
                f"rounds need about {max(need, 5 * math.ceil(2 * budget / 5))} s here; give it more, or name fewer "
                "backends with -b"
            )

    def _one_by_one(self, task: str, process: int, until: float) -> None:
        """Each backend in a process of its own: its cold start with nothing compiled beforehand, or its memory."""
        for key in self.keys:
            while (task, process, key) not in self.alone and self._gone() < until:
                if not self._one(task, process, key, until):
                    break  # or once more, without the contestant that the process died of

    def _one(self, task: str, process: int, key: str, until: float) -> str:
        """One backend; returns the contestant that took the process down, which the next process will leave out."""
        job = replace(self._job(task, process, (), math.inf if task == COLD else until), backends=(key,))
        culprit = ""
        with tempfile.TemporaryDirectory() as empty:
            variables = {"TORCHINDUCTOR_CACHE_DIR": empty} if task == COLD else _UNPOOLED
            with environment(**variables):
                for message in self._messages(job):
                    if isinstance(message, Cold | Memory):
                        self._write(message)
                    elif isinstance(message, _Ended):
                        self._blame(message, task)
                        culprit = message.contestant
                    else:
                        self.watch.said(self._gone(), _in_words(task, process, message))
        return culprit

    def _job(self, threads: str, process: int, points: tuple[Point, ...], until: float) -> Job:
        options = self.options
        return Job(
            options.loss, self.keys, self.names, options.device, threads, process, LEAST_ROUNDS, options.rounds_for,
            options.seed, options.baseline, points, self.points[:_TELLING], self.began + until,
            min(0.5, options.budget / 2000), frozenset(self.excluded.setdefault(threads, set())), options.slowed,
        )  # fmt: skip

    def _messages(self, job: Job) -> Iterator[Any]:
        """What a fresh process sends; _Ended if it did not get to its end."""
        with environment(**(dict.fromkeys(_THREADS, "1") if job.threads == "1" else {})):
            child = Child(worker.main, job)
        last: tuple[str, ...] = ("about", "", "", "starting")
        with child:
            while True:
                message = self._next(child)
                if message == "end":
                    return
                if isinstance(message, Exception):
                    raise (
                        message
                        if isinstance(message, UsageError | AdapterUnavailable)
                        else EngineError(f"bench: {last[2] or 'the harness'}, {last[1]}, {last[3]}: {message}")
                    )
                if isinstance(message, Crashed | TimedOut):
                    yield _Ended(last[1], last[2], last[3], message)
                    return
                if isinstance(message, tuple) and message[0] == "about":
                    last = message
                yield message

    def _next(self, child: Child) -> Any:
        """The next message, or how the process ended; TimedOut when it gives no sign of life for too long."""
        start = time.monotonic()
        while time.monotonic() - start < self.options.timeout:
            if child.has_spoken(0.5):
                return child.receive(0)
            self.watch.said(self._gone(), "")
        return TimedOut(self.options.timeout)

    def _blame(self, ended: _Ended, threads: str) -> None:
        """Write down who took a process down, and let it try no more."""
        if not ended.point:
            raise EngineError(f"bench: a process did not start: {ended.reason} while {ended.stage}")
        self.excluded.setdefault(threads, set()).add((ended.point, ended.contestant))
        if ended.contestant:
            self._write(
                Excluded(threads=threads, point=ended.point, contestant=ended.contestant, reason=ended.reason,
                         kind=ended.kind)
            )  # fmt: skip

    def _ready(self, contestants: Iterable[Contestant]) -> None:
        """The first process has started: now the header is known."""
        if self.contestants:
            return
        self.contestants = tuple(contestants)
        header = self._header()
        if self.old is not None:
            self._require_same(self.old.header.contestants, header.contestants)
        self.writer = self.writer or framed.Writer(self.file, None if self.old is not None else header)

    def _settings(self) -> tuple[object, ...]:
        """What has to be equal for a run to be resumed, and is known before anything has started."""
        options = self.options
        return bench.FORMAT, metadata.version("lossparity"), self.loss.name, options.seed, options.device

    def _require_same(self, before: object, now: object) -> None:
        if before != now:
            raise UsageError(
                f"{self.file} was measured with other settings, versions or contestants than these ({before}, now "
                f"{now}); choose another --out, or leave --resume out to begin anew"
            )

    def _header(self) -> Header:
        options = self.options
        names = [one.name for one in self.contestants]
        return Header(
            format=bench.FORMAT,
            loss=self.loss.name,
            lossparity=metadata.version("lossparity"),
            started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            command=options.command,
            budget=options.budget,
            processes=options.processes,
            rounds=LEAST_ROUNDS,
            seed=options.seed,
            device=options.device,
            baseline=options.baseline if options.baseline in names else names[0],
            machine=machine.describe() | machine.for_timing() | accelerator.describe(options.device),
            environment=dict.fromkeys(_THREADS, "1"),
            contestants=self.contestants,
            absent={one.name: one.install for one in map(registry.backend, registry.BUILT_IN)
                    if not registry.is_installed(one)},
        )  # fmt: skip

    def _write(self, record: bench.Record) -> None:
        if self.writer is None:  # nothing but cold starts was left of a run that is resumed
            assert self.old is not None
            self.writer = framed.Writer(self.file, None)
        self.writer.write(record)
        self._remember(record)

    def _remember(self, record: bench.Record) -> None:
        match record:
            case Measured(threads=threads, process=process, point=point):
                self.done.setdefault((threads, process), []).append(point)
            case Excluded(threads=threads, point=point, contestant=contestant):  # other processes need not try
                self.excluded.setdefault(threads, set()).add((point, contestant))
            case Cold(process=process, backend=backend):
                self.alone.add((COLD, process, backend))
            case Memory(backend=backend):
                self.alone.add((MEMORY, 0, backend))
            case _:
                pass


@dataclass(frozen=True)
class _Ended:
    """A process that did not get to its end: what it was doing, and how it ended, if it did."""

    point: str
    contestant: str
    stage: str
    how: Crashed | TimedOut

    @property
    def kind(self) -> str:
        return "crash" if isinstance(self.how, Crashed) else "timeout"

    @property
    def reason(self) -> str:
        match self.how:
            case Crashed(how):
                return f"the process died: {how}, at {self.stage}"
            case TimedOut(seconds):
                return f"no sign of life for {seconds:g} s, at {self.stage}"


def _choose(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names without users' functions, and the keys of all backends; a function alone brings its framework's with it.

    Raises UsageError for names that do not exist, AdapterUnavailable for backends that were asked for and are absent.
    """
    functions = tuple(name for name in names if user.SIGN in name)
    plain = tuple(name for name in names if name not in functions)
    if functions and not plain:
        plain = tuple(dict.fromkeys(user.parse(name).framework for name in functions))
    keys = [plan.key_of(found, plain) for found in plan.choose_backends(plain)]
    for name in functions:
        keys += [plan.key_of(found, (name,)) for found in plan.choose_backends((name,))]
    return plain, tuple(keys)


def _in_words(threads: str, process: int, message: tuple[Any, ...]) -> str:
    if message[0] != "about":
        return ""
    _, point, contestant, stage = message
    where = threads if threads in (COLD, MEMORY) else f"threads={threads}, process {process + 1}"
    return " · ".join(part for part in (where, point, contestant, stage) if part)
