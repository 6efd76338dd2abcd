"""The controlling side of a run: starts pytest, writes what workers report, adds up, decides the exit code."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import math
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from ...specs.case import Status
from ...specs.errors import NothingRan, NotWritten
from ...specs.loss import LARGE
from ..items import breadcrumb
from ..items.child import environment
from ..items.spec import ItemSpec, Request
from ..judging import severities
from ..judging.ledger import Divergence, condition
from ..planning import machine, plan
from ..planning.plan import RunSpec
from ..planning.survey import Survey
from . import soundness
from .deaths import Deaths
from .plugin import PROPERTY
from .progress import Progress
from .scheduling import GroupScheduling

_decode = msgspec.json.Decoder(list[Record]).decode

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
    surprising: list[Record] = field(default_factory=list)  # unexpected findings, and all tallies
    is_full: bool = False  # nothing more can be written
    _crashed: dict[str, str] = field(default_factory=dict)  # item -> worker

    @functools.cached_property
    def deaths(self) -> Deaths:
        """What becomes of workers that die."""
        return Deaths(self.trail, self.specs, self.problems)

    def pytest_xdist_make_scheduler(self, config: Any, log: Any) -> GroupScheduling:
        """Use our scheduler in place of xdist's."""
        return GroupScheduling(config, log, self.deaths.forgives)

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
            self._accuse(self.deaths.records(report.nodeid, self._crashed.pop(report.nodeid)))
        elif str(report.longrepr).startswith(NotWritten.__name__):
            if not self.is_full:
                self._give_up(str(report.longrepr).partition(": ")[2])
        elif report.failed:
            self.problems.append(f"{report.nodeid.rpartition('::')[2]}: {report.longrepr}")

    def pytest_handlecrashitem(self, crashitem: str, report: Any, sched: Any) -> None:
        """Remember whose worker died; the report follows."""
        self._crashed[crashitem] = report.node.gateway.id

    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Count the workers that died."""
        self.deaths.count += error is not None

    def pytest_internalerror(self, excrepr: Any) -> None:
        """Keep what pytest would have printed."""
        self.problems.append(str(excrepr))

    def pytest_collectreport(self, report: Any) -> None:
        """Keep a failed collection's reason."""
        if report.failed:
            self.problems.append(str(report.longrepr))

    def _accuse(self, found: Sequence[Record]) -> None:
        """Take the records of an item whose worker died, if it has any; the last one says during which call."""
        self._take(found)
        if found:
            item, last = found[0], found[-1]
            assert isinstance(item, Item)
            assert isinstance(last, Finding)
            self.unexpected.append(f"{last.subject}: {last.status} in {item.id}: {last.summary}")
            if self.stop:
                breadcrumb.stop(self.trail)

    def _take(self, found: Sequence[Record]) -> None:
        if not self.write(found):
            return
        for record in found:
            if isinstance(record, Item):
                self.items.append(record)
                self.progress.finished(record.id, record.planned)
            elif isinstance(record, Tally) and record.status in soundness.JUDGED:
                self.judged[record.loss, record.subject, record.clause] += record.count
            if isinstance(record, Tally) or (isinstance(record, Finding) and not record.expected):
                self.surprising.append(record)

    def write(self, found: Iterable[Record]) -> bool:
        """Write an item's records; after a failure nothing is written, nor counted, any more."""
        if not self.is_full:
            try:
                self.writer.write(*found)
            except NotWritten as error:
                self._give_up(str(error))
        return not self.is_full

    def _give_up(self, why: str) -> None:
        """Run no more calls: what came of them could not be kept."""
        self.is_full = True
        self.problems.append(why)
        with contextlib.suppress(OSError):  # that disk may be full too; then each worker finds out itself
            breadcrumb.stop(self.trail)


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
    follow: Callable[[Header, Sequence[Record]], Iterable[Record]] | None = None,
) -> Result:
    """Run what was asked for and write OUT/records.jsonl; no call starts after `limit` minutes.

    `follow` makes more records of those that came out unexpectedly. What is wrong before anything ran is raised.
    """
    start = time.perf_counter()
    request = run_spec.request
    workers = 1 if request.profile == LARGE else workers  # each takes gigabytes
    rows = plan.divergences(run_spec)
    specs = plan.items(run_spec.subjects, request)
    header = _header(run_spec, survey, rows, command)
    writer = framed.Writer(file := out / records.FILE, header)
    with _trail(run_spec) as run_spec:
        trail = Path(run_spec.trail)
        clock = threading.Timer(math.inf if limit is None else 60 * limit, breadcrumb.stop, [trail])
        clock.daemon = True
        listener = Listener(writer, progress, trail, {spec.id: spec for spec in specs}, clock, request.stop)
        progress.started(len(specs))
        code = _pytest(run_spec, workers, len(specs), listener) if specs else pytest.ExitCode.OK
        listener.clock.cancel()
        stopped = breadcrumb.is_stopped(trail)
        notes = listener.deaths.told()
    interrupted = code == pytest.ExitCode.INTERRUPTED
    cut = interrupted or listener.is_full
    if follow is not None and not cut:
        listener.write(follow(header, listener.surprising))
    problems = [*listener.problems, *([] if cut else _unsound(listener, specs, request, code, stopped))]
    verdict = _verdict(listener.items, request, stopped) if specs else EXPECTED  # a part may be empty
    exit_code = INTERRUPTED if interrupted else ENGINE_ERROR if problems else verdict
    footer = Footer(
        ended="interrupted" if cut else "stopped" if stopped else "complete",
        exit_code=exit_code,
        seconds=time.perf_counter() - start,
        planned=sum(item.planned for item in listener.items),
        statuses=dict(records.count_statuses(listener.items)),
        unexpected=sum(item.unexpected for item in listener.items),
        notes=notes,
    )
    if (full := _close(writer, footer)) and not problems:
        problems, exit_code = [full], INTERRUPTED if interrupted else ENGINE_ERROR
    return Result(file, exit_code, tuple(problems), tuple(listener.unexpected), footer)


def _close(writer: framed.Writer, footer: Footer) -> str:
    """End the file; why that did not succeed, or nothing."""
    try:
        writer.close(footer)
    except NotWritten as error:
        return str(error)
    return ""


def _verdict(items: Sequence[Item], request: Request, stopped: bool) -> int:
    """The exit code of a run that the suite itself got through; of a check also whether anything was ever returned."""
    verdict = judged(records.count_statuses(items), sum(item.unexpected for item in items))
    is_seen = not request.is_check or stopped or any(item.returned for item in items)
    return verdict if is_seen else verdict or NothingRan.exit_code


def judged(statuses: Counter[str], unexpected: int) -> int:
    """The exit code of a run that the suite itself got through: one in which no call ran is no success."""
    ran = statuses.total() - statuses[Status.NOT_RUN.value]
    return UNEXPECTED if unexpected else EXPECTED if ran else NothingRan.exit_code


def _pytest(run_spec: RunSpec, workers: int, items: int, listener: Listener) -> int:
    """Run pytest in this process as controller of `workers` others, none of the user's plugins loaded.

    Each item may cost some workers; those that die without any are not started for ever.
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
        f"--max-worker-restart={3 * items + workers}",
    ]
    # Workers share the cores: threads that spin while they wait made small calls thirty times slower.
    waiting = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    with environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS="", **waiting):
        return int(pytest.main(arguments, plugins=[listener]))


def _unsound(
    listener: Listener, specs: Sequence[ItemSpec], request: Request, code: int, stopped: bool
) -> Iterator[str]:
    """What the suite owes and did not do; of the parts of a run some of that is asked together, by `report`."""
    due = [spec for spec in specs if spec.id not in listener.deaths.lost]
    yield from _engine_problems(listener.items, due, code, listener.deaths.count)
    if stopped or request.part is not None:
        return
    yield from soundness.silent_hearts(listener.items, in_small=request.domain.is_small)
    if not request.families and request.profile != LARGE:
        yield from soundness.blind_spots(listener.deaths.whole, listener.judged, request.device)


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
        severity=severities.severity(row),
    )


@contextlib.contextmanager
def _trail(run_spec: RunSpec) -> Iterator[RunSpec]:
    """A temporary folder for breadcrumbs."""
    with tempfile.TemporaryDirectory(prefix="lossparity-") as folder:
        yield dataclasses.replace(run_spec, trail=folder)
