"""pytest plugin: makes the items of a run from the specification, runs them in workers, hands their records over.

There are no test modules. The plugin collects the specification's clauses.toml as one file, whose items are the
plan's. Workers attach an item's records to its report; the controller's listener receives them.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ...adapters.base import Backend, Subject
from ...reports.records import Record
from ...specs import losses
from ...specs.case import Status
from ...specs.errors import LossparityError
from ...specs.reductions import Arithmetic
from ..items import breadcrumb
from ..items.breadcrumb import Trail
from ..items.isolation import Isolation
from ..items.runner import run_item
from ..items.spec import ItemSpec, planned_cases
from ..judging.judge import Traits
from ..judging.ledger import Divergence, Ledger, for_subject
from ..planning import plan
from ..planning.plan import RunSpec

PROPERTY = "lossparity"
_encode = msgspec.json.Encoder().encode


class UnexpectedResult(Exception):
    """An item held a result that was not the expected one; its message is complete alone."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option that carries the specification of a run to workers."""
    parser.addoption("--lossparity", default="", help="the specification of a run, as JSON (set by `lossparity run`)")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the specification's table of clauses."""
    if file_path.name == "clauses.toml" and parent.config.getoption("--lossparity"):
        return Specification.from_parent(parent, path=file_path)
    return None


def pytest_configure(config: pytest.Config) -> None:
    """Give each process a workshop of its own."""
    if text := config.getoption("--lossparity"):
        config.stash[WORKSHOP] = Workshop(RunSpec.decode(text))


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the workshop started."""
    if WORKSHOP in config.stash:
        config.stash[WORKSHOP].close()


class Workshop:
    """What the items of one process share: subjects, traits, ledgers; each made when first needed."""

    def __init__(self, run: RunSpec) -> None:
        self.spec = run
        for place in run.request.losses:  # those of one's own are known by their names from now on
            losses.find(place)
        self._subjects: dict[str, dict[str, tuple[Backend, Subject]]] = {}  # by losses
        self._isolations: dict[str, Isolation] = {}

    def subject(self, name: str, loss: str) -> tuple[Backend, Subject]:
        """A subject of a loss with its backend, which is imported now; torch always before any other."""
        found, signature = self._subjects.setdefault(loss, {}), losses.find(loss).signature
        for backend in plan.choose_backends(self.spec.backends):
            owns = name in self.spec.owners.get(backend.name, ())
            if name not in found and (owns or backend.name == "torch"):
                started = plan.start(backend, signature, self.spec.request.device)
                found |= {subject.name: (backend, subject) for subject in started}
        return found[name]

    @cached_property
    def rows(self) -> list[Divergence]:
        """All known divergences of the backends that run."""
        return plan.divergences(self.spec)

    @cached_property
    def trail(self) -> Trail:
        """Breadcrumbs of this process; a fatal signal leaves its traceback there too."""
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        trail = Trail(Path(self.spec.trail), worker, self.spec.request.seconds)
        faulthandler.enable(trail.last_words)
        return trail

    def traits(self, spec: ItemSpec, subject: Subject) -> Traits:
        """What the survey probed, and what the subject declares."""
        flush = spec.dtype in self.spec.flushing.get(spec.loss_name, {}).get(subject.name, ())
        return Traits(Arithmetic(flush=flush, per_term=subject.capabilities.per_term), subject.capabilities.traced)

    def run(self, spec: ItemSpec) -> tuple[list[Record], str]:
        """Run one item, or note that it is not run because the run was told to stop."""
        if breadcrumb.is_given_up(self.trail.folder, spec.subject):
            return [], ""
        with self.trail.starting():
            backend, subject = self.subject(spec.subject, spec.loss_name)
        if self.trail.is_stopped:
            _, planned = planned_cases(spec, self.spec.request, subject, self._known(spec, backend))
            return [spec.record({Status.NOT_RUN.value: planned})], ""
        records, unexpected = self._run(spec, backend, subject)
        if self.spec.request.stop and unexpected:
            breadcrumb.stop(self.trail.folder)
        return records, unexpected

    def _run(self, spec: ItemSpec, backend: Backend, subject: Subject) -> tuple[list[Record], str]:
        isolation = self._isolations.setdefault(
            backend.name,
            Isolation(plan.key_of(backend, self.spec.backends), self.spec.request.device, self.spec.request.seconds),
        )
        kills = isolation.kills
        found = run_item(
            spec,
            self.spec.request,
            subject,
            self.traits(spec, subject),
            self._known(spec, backend),
            self.trail,
            isolation,
            [
                other
                for other_backend, other in self._subjects[spec.loss_name].values()
                if other_backend is backend and other is not subject
            ],
        )
        if isolation.kills > kills:
            breadcrumb.note_kill(self.trail.folder, spec.id)
        return found

    def _known(self, spec: ItemSpec, backend: Backend) -> Ledger:
        return for_subject(self.rows, spec.subject, backend.version(), spec.device)

    def close(self) -> None:
        """End child processes."""
        for isolation in self._isolations.values():
            isolation.close()


WORKSHOP = pytest.StashKey[Workshop]()


class Specification(pytest.File):
    """clauses.toml, seen as a test file whose items the plan makes."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item per subject, family and dtype; subjects are known by name only, and made when they run."""
        run = self.config.stash[WORKSHOP].spec
        for spec in plan.items(run.subjects, run.request):
            # What xdist's loadgroup goes by is the end of the node id. Its own marker would write it there, but
            # does not under pytest 9.2 with xdist 3.8.
            nodeid = f"{self.nodeid}::{spec.id}@{plan.group(spec)}"
            yield ConformanceItem.from_parent(self, name=spec.id, nodeid=nodeid, spec=spec)


class ConformanceItem(pytest.Item):
    """One family of cases on one subject in one dtype."""

    def __init__(self, *, spec: ItemSpec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec

    def runtest(self) -> None:
        """Run the item and attach its records; raises UnexpectedResult after that."""
        records, unexpected = self.config.stash[WORKSHOP].run(self.spec)
        self.user_properties.append((PROPERTY, _encode(records).decode()))
        if unexpected:
            raise UnexpectedResult(unexpected)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Our own errors speak for themselves; others come with a traceback."""
        if isinstance(excinfo.value, UnexpectedResult | LossparityError):
            return f"{type(excinfo.value).__name__}: {excinfo.value}"
        return super().repr_failure(excinfo, style="long")

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where pytest says that the item stands."""
        return self.path, None, self.name
