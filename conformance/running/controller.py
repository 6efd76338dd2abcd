"""The controlling side of a run: starts pytest, writes what workers report, adds up, decides the exit code."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import math
import os
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ...reports import framed, records
from ...reports.records import Finding, Footer, Header, Item, Record, Tally
from ...reports.verdict import plural
from ...specs import losses
from ...specs.call import Earlier
from ...specs.case import Status
from ...specs.errors import NothingRan
from ...specs.loss import LARGE
from ..items import breadcrumb
from ..items.child import environment
from ..items.spec import ItemSpec, Request
from ..judging import explain
from ..judging.ledger import Divergence, condition
from ..planning import machine, plan
from ..planning.plan import RunSpec
from ..planning.survey import Survey
from . import soundness
from .plugin import PROPERTY
from .progress import Progress
from .scheduling import GroupScheduling

_decode = msgspec.json.Decoder(list[Record]).decode

_DEATHS = 2  # of workers outside of any call, after which a subject is given up

EXPECTED, UNEXPECTED, INTERRUPTED, ENGINE_ERROR = 0, 1, 2, 3


@dataclass
class Listener:
    """pytest plugin of the controller: writes each item's records as they come."""

    writer: framed.Writer
    progress: Progress
    trail: Path
    specs: Mapping[str, ItemSpec]
    clock: threading.Timer  # tells every worker to stop, some time after the first item began
    stop: bool = False  # at the first unexpected result
    items: list[Item] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # engine errors
    unexpected: list[str] = field(default_factory=list)
    judged: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (loss, subject, clause) -> verdicts
    deaths: int = 0  # of workers
    _crashed: dict[str, str] = field(default_factory=dict)  # item -> worker
    # subject -> items whose worker died outside of any call
    _outside: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def pytest_xdist_make_scheduler(self, config: Any, log: Any) -> GroupScheduling:
        """Use our scheduler in place of xdist's."""
        return GroupScheduling(config, log)

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        """Start the clock with the first item: until workers are up nothing is judged."""
        if self.clock.ident is None and math.isfinite(self.clock.interval):
            self.clock.start()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take an item's records from its report, or what a dead worker left."""
        if report.when != "call" and not report.failed:
            return
        attached = [text for name, text in report.user_properties if name == PROPERTY]
        if attached:
            self._take(_decode(attached[0]))
            if report.failed:
                self.unexpected.append(str(report.longrepr).partition(": ")[2])
        elif report.nodeid in self._crashed:
            self._take(self._from_crumb(report.nodeid, self._crashed.pop(report.nodeid)))
        elif report.failed:
            self.problems.append(f"{report.nodeid.rpartition('::')[2]}: {report.longrepr}")

    def pytest_handlecrashitem(self, crashitem: str, report: Any, sched: Any) -> None:
        """Remember whose worker died; the report follows."""
        self._crashed[crashitem] = report.node.gateway.id

    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Count the workers that died."""
        self.deaths += error is not None

    def pytest_internalerror(self, excrepr: Any) -> None:
        """Keep what pytest would have printed."""
        self.problems.append(str(excrepr))

    def pytest_collectreport(self, report: Any) -> None:
        """Keep a failed collection's reason."""
        if report.failed:
            self.problems.append(str(report.longrepr))

    def _take(self, found: Sequence[Record]) -> None:
        for record in found:
            self.writer.write(record)
            if isinstance(record, Item):
                self.items.append(record)
                self.progress.finished(record.id, record.planned)
            elif isinstance(record, Tally) and record.status in soundness.JUDGED:
                self.judged[record.loss, record.subject, record.clause] += record.count

    def _died_outside(self, spec: ItemSpec, worker: str) -> None:
        """Note a worker that died in no call; the second time its subject is given up, as nothing else would come."""
        self._outside[spec.subject].append(spec.id)
        place = breadcrumb.place(breadcrumb.last_words(self.trail, worker))
        problem = f"{spec.id}: the worker died outside of any call{f', in {place}' if place else ''}"
        if len(self._outside[spec.subject]) == _DEATHS:
            breadcrumb.give_up(self.trail, spec.subject)
            self.problems.append(f"{problem}, and not for the first time: {spec.subject} is given up, mend that first")
        elif len(self._outside[spec.subject]) < _DEATHS:
            self.problems.append(f"{problem}; run it alone with -b {spec.subject}")

    @property
    def whole(self) -> dict[str, list[str]]:
        """By loss, the subjects of which no item was lost outside of any call."""
        found: dict[str, dict[str, None]] = {}
        for spec in self.specs.values():
            if spec.subject not in self._outside:
                found.setdefault(spec.loss_name, {})[spec.subject] = None
        return {loss: list(names) for loss, names in found.items()}

    @property
    def lost(self) -> set[str]:
        """Items of which a problem says that they have no record."""
        died = {id for ids in self._outside.values() for id in ids}
        return died | {id for id, spec in self.specs.items() if len(self._outside.get(spec.subject, ())) >= _DEATHS}

    def _from_crumb(self, nodeid: str, worker: str) -> list[Record]:
        """Records for an item whose worker died: the fatal call, what was done before it, the rest NOT_RUN."""
        spec = self.specs[nodeid.rpartition("::")[2].partition("@")[0]]
        crumb = breadcrumb.read(self.trail, worker)
        if crumb is None or crumb.item != spec.id:
            self._died_outside(spec, worker)
            return []
        if self.stop:
            breadcrumb.stop(self.trail)
        status = Status.TIMEOUT if crumb.timed_out else Status.CRASH
        statuses = Counter(crumb.done)
        statuses[status.value] += 1
        if (lost := crumb.planned - sum(statuses.values())) > 0:
            statuses[Status.NOT_RUN.value] = lost
        self.unexpected.append(f"{spec.subject}: {status.value} in {spec.id}: {crumb.call.describe()}")
        before = [Earlier(self.specs[past.item].subject, past.call, past.experiment) for past in crumb.before]
        return [spec.record(statuses, unexpected=1), *_fatal(spec, crumb, status, before)]


def _fatal(spec: ItemSpec, crumb: breadcrumb.Crumb, status: Status, before: Sequence[Earlier]) -> list[Record]:
    call = crumb.call
    ids = tuple(id for id in crumb.clauses if spec.loss.rules.clauses[id].judges)
    because = "The call did not come back." if status is Status.TIMEOUT else "The process died during this call."
    tallies = [
        Tally(**spec.who, clause=id, status=status.value, expected=False, divergence=None, count=1) for id in ids
    ]
    finding = Finding.of(
        call,
        **spec.who,
        clauses=ids,
        flags=(),
        status=status.value,
        expected=False,
        divergence=None,
        because=because,
        observed=f"{status.value}, in {crumb.last_words}" if crumb.last_words else status.value,
        exact="a result or a Python exception",
        distance="",
        origin=crumb.origin,
        before=explain.suspects(before),
    )
    return [*tallies, finding]


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    file: Path
    exit_code: int
    problems: tuple[str, ...]
    unexpected: tuple[str, ...]
    footer: Footer


def run(
    run_spec: RunSpec,
    survey: Survey,
    workers: int,
    out: Path,
    progress: Progress,
    command: str,
    limit: float | None = None,
) -> Result:
    """Run what was asked for and write OUT/records.jsonl; no call starts after `limit` minutes.

    Raises LossparityError for what is wrong before anything ran.
    """
    start = time.perf_counter()
    request = run_spec.request
    workers = 1 if request.profile == LARGE else workers  # each takes gigabytes
    rows = plan.divergences(run_spec)
    specs = plan.items(run_spec.subjects, request)
    header = _header(run_spec, survey, rows, command)
    file = out / records.FILE
    writer = framed.Writer(file, header)
    with _trail(run_spec) as run_spec:
        trail = Path(run_spec.trail)
        clock = threading.Timer(math.inf if limit is None else 60 * limit, breadcrumb.stop, [trail])
        clock.daemon = True
        listener = Listener(writer, progress, trail, {spec.id: spec for spec in specs}, clock, request.stop)
        progress.started(len(specs))
        code = _pytest(run_spec, workers, len(specs), listener) if specs else pytest.ExitCode.OK
        listener.clock.cancel()
        stopped = breadcrumb.is_stopped(trail)
    interrupted = code == pytest.ExitCode.INTERRUPTED
    problems = [*listener.problems, *([] if interrupted else _unsound(listener, specs, request, code, stopped))]
    unexpected = sum(item.unexpected for item in listener.items)
    statuses = records.count_statuses(listener.items)
    verdict = judged(statuses, unexpected) if specs else EXPECTED  # a part may be empty
    if request.is_check and not stopped and not any(item.returned for item in listener.items):
        verdict = verdict or NothingRan.exit_code  # what it computes was never seen
    exit_code = INTERRUPTED if interrupted else ENGINE_ERROR if problems else verdict
    footer = Footer(
        ended="interrupted" if interrupted else "stopped" if stopped else "complete",
        exit_code=exit_code,
        seconds=time.perf_counter() - start,
        planned=sum(item.planned for item in listener.items),
        statuses=dict(statuses),
        unexpected=unexpected,
    )
    writer.close(footer)
    return Result(file, exit_code, tuple(problems), tuple(listener.unexpected), footer)


def judged(statuses: Counter[str], unexpected: int) -> int:
    """The exit code of a run that the suite itself got through: one in which no call ran is no success."""
    ran = statuses.total() - statuses[Status.NOT_RUN.value]
    return UNEXPECTED if unexpected else EXPECTED if ran else NothingRan.exit_code


def _pytest(run_spec: RunSpec, workers: int, items: int, listener: Listener) -> int:
    """Run pytest in this process as controller of `workers` others, none of the user's plugins loaded.

    Each item may cost one worker; workers that die without any are not started for ever.
    """
    folder = resources.files("lossparity.specs.common").joinpath("clauses.toml")
    arguments = [
        str(folder),
        f"--lossparity={run_spec.encode()}",
        "-c",
        str(resources.files("lossparity.conformance.running").joinpath("run.ini")),
        f"--rootdir={Path(str(folder)).parent}",
        *("--noconftest", "-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:logging"),
        *("-p", "no:faulthandler"),  # the trail has its own
        *("-p", "xdist.plugin", "-p", "lossparity.conformance.running.plugin"),
        *("-n", str(workers), "--dist=loadgroup", "--no-loadscope-reorder"),
        f"--max-worker-restart={items + workers}",
    ]
    # Workers share the cores: threads that spin while they wait made small calls thirty times slower.
    waiting = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    with environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS="", **waiting):
        return int(pytest.main(arguments, plugins=[listener]))


def _unsound(
    listener: Listener, specs: Sequence[ItemSpec], request: Request, code: int, stopped: bool
) -> Iterator[str]:
    """What the suite owes and did not do; of the parts of a run some of that is asked together, by `report`."""
    due = [spec for spec in specs if spec.id not in listener.lost]
    yield from _engine_problems(listener.items, due, code, listener.deaths)
    if stopped or request.part is not None:
        return
    yield from soundness.silent_hearts(listener.items, in_small=request.domain.is_small)
    if not request.families and request.profile != LARGE:
        yield from soundness.blind_spots(listener.whole, listener.judged, request.device)


def _engine_problems(items: Sequence[Item], specs: Sequence[ItemSpec], code: int, deaths: int) -> list[str]:
    """What does not add up at the end of a complete run."""
    problems = []
    seen = Counter(item.id for item in items)
    problems += [f"{id} left {count} records where one is due" for id, count in seen.items() if count > 1]
    missing = {spec.id for spec in specs} - set(seen)
    if missing:
        shown = ", ".join(sorted(missing)[:3])
        problems.append(
            f"{len(missing)} of {len(specs)} items left no record, e.g. {shown}; {plural(deaths, 'worker')} died"
        )
    problems += soundness.unaccounted(items)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not problems:
        problems.append(f"pytest ended with {code}")
    return problems


def _header(run_spec: RunSpec, survey: Survey, rows: Sequence[Divergence], command: str) -> Header:
    request, chosen = run_spec.request, run_spec.subjects
    subjects = tuple(
        msgspec.structs.replace(subject, domain=_asked_for(request, subject.loss))
        for subject in survey.subjects
        if subject.name in chosen.get(subject.loss, ())
    )
    version = metadata.version("lossparity")
    versions = {"lossparity": version} | {subject.backend: subject.version for subject in subjects}
    return Header(
        format=records.FORMAT,
        lossparity=version,
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=command,
        profile=request.profile,
        seed=request.seed,
        strict=request.strict,
        machine=machine.describe(),
        subjects=subjects,
        absent=survey.absent,
        clauses=tuple(
            records.ClauseInfo(one.id, one.family, one.level, one.statement, one.source, loss)
            for loss in chosen
            for one in losses.find(loss).rules.clauses.values()
        ),
        divergences=tuple(_divergence(row) for row in rows if set(row.subjects) & set(chosen.get(row.loss, ()))),
        plan=plan.digest(run_spec, rows, versions),
        part=request.part,
        families=request.families,
        places={loss: losses.place(loss) for loss in chosen if losses.place(loss) != loss},
    )


def _asked_for(request: Request, loss: str) -> str:
    """What a user's function is asked for, in words."""
    return request.domain.said or f"all that {loss} asks" * request.is_check


def _divergence(row: Divergence) -> records.DivergenceInfo:
    on = {"device": list(row.devices)} if row.devices else {}
    return records.DivergenceInfo(
        loss=row.loss,
        id=row.id,
        title=row.title,
        subjects=row.subjects,
        clauses=row.clauses,
        cause=row.cause,
        explanation=row.explanation,
        references=row.references,
        reproducer=row.reproducer,
        selector=", ".join(f"{fact} {condition(wanted)}" for fact, wanted in (row.selector | on).items()),
        vector=row.vector,
    )


@contextlib.contextmanager
def _trail(run_spec: RunSpec) -> Iterator[RunSpec]:
    """A temporary folder for breadcrumbs."""
    with tempfile.TemporaryDirectory(prefix="lossparity-") as folder:
        yield dataclasses.replace(run_spec, trail=folder)
