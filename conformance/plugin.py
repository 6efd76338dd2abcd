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

from ..adapters.base import Backend, Subject
from ..reports.records import Item, Record
from ..specs.accuracy import Arithmetic
from ..specs.case import Status
from ..specs.errors import LossparityError
from . import breadcrumb, plan
from .breadcrumb import Trail
from .isolation import Isolation
from .judge import Traits
from .ledger import Divergence, Ledger, for_subject
from .plan import Selection
from .runner import ItemSpec, planned_cases, run_item

PROPERTY = "lossparity"
_encode = msgspec.json.Encoder().encode


class UnexpectedResult(Exception):
    """An item held a result that was not the expected one; its message is complete alone."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option that carries the run's selection to workers."""
    parser.addoption("--lossparity", default="", help="the selection of a run, as JSON (set by `lossparity run`)")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the specification's table of clauses."""
    if file_path.name == "clauses.toml" and parent.config.getoption("--lossparity"):
        return Specification.from_parent(parent, path=file_path)
    return None


def pytest_configure(config: pytest.Config) -> None:
    """Give each process a workshop of its own."""
    if text := config.getoption("--lossparity"):
        config.stash[WORKSHOP] = Workshop(Selection.decode(text))


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the workshop started."""
    if WORKSHOP in config.stash:
        config.stash[WORKSHOP].close()


class Workshop:
    """What the items of one process share: subjects, traits, ledgers; each made when first needed."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._subjects: dict[str, tuple[Backend, Subject]] = {}
        self._isolations: dict[str, Isolation] = {}

    def subject(self, name: str) -> tuple[Backend, Subject]:
        """A subject with its backend, which is imported now; torch always before any other."""
        for backend in plan.choose_backends(self.selection.backends):
            owns = name in self.selection.owners.get(backend.name, ())
            if name not in self._subjects and (owns or backend.name == "torch"):
                self._subjects |= {s.name: (backend, s) for s in plan.start(backend, self.selection.device)}
        return self._subjects[name]

    @cached_property
    def rows(self) -> list[Divergence]:
        """All known divergences of the backends that run."""
        return plan.divergences(self.selection)

    @cached_property
    def trail(self) -> Trail:
        """Breadcrumbs of this process; a fatal signal leaves its traceback there too."""
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        trail = Trail(Path(self.selection.trail), worker, self.selection.seconds)
        faulthandler.enable(trail.last_words)
        return trail

    def traits(self, subject: Subject, dtype: str) -> Traits:
        """What the survey probed, and what the subject declares."""
        flush = dtype in self.selection.flushing.get(subject.name, ())
        return Traits(Arithmetic(flush=flush, per_term=subject.capabilities.per_term), subject.capabilities.traced)

    def run(self, spec: ItemSpec) -> tuple[list[Record], str]:
        """Run one item, or note that it is not run because the run was told to stop."""
        if breadcrumb.is_given_up(self.trail.folder, spec.subject):
            return [], ""
        with self.trail.starting():
            backend, subject = self.subject(spec.subject)
        if self.trail.is_stopped:
            known = self._known(spec, backend)
            return [_not_run(spec, planned_cases(spec, self.selection.plan, subject, known)[1])], ""
        records, unexpected = self._run(spec, backend, subject)
        if self.selection.stop and unexpected:
            breadcrumb.stop(self.trail.folder)
        return records, unexpected

    def _run(self, spec: ItemSpec, backend: Backend, subject: Subject) -> tuple[list[Record], str]:
        isolation = self._isolations.setdefault(
            backend.name,
            Isolation(plan.key_of(backend, self.selection.backends), self.selection.device, self.selection.seconds),
        )
        return run_item(
            spec,
            self.selection.plan,
            subject,
            self.traits(subject, spec.dtype),
            self._known(spec, backend),
            self.trail,
            isolation,
            [
                other
                for other_backend, other in self._subjects.values()
                if other_backend is backend and other is not subject
            ],
        )

    def _known(self, spec: ItemSpec, backend: Backend) -> Ledger:
        return for_subject(self.rows, spec.subject, backend.version())

    def close(self) -> None:
        """End child processes."""
        for isolation in self._isolations.values():
            isolation.close()


def _not_run(spec: ItemSpec, planned: int) -> Item:
    return Item(
        id=spec.id,
        subject=spec.subject,
        family=spec.family,
        dtype=spec.dtype,
        planned=planned,
        statuses={Status.NOT_RUN.value: planned},
        unexpected=0,
        seconds=0.0,
        framework_seconds=0.0,
        compilations=0,
        compile_seconds=0.0,
    )


WORKSHOP = pytest.StashKey[Workshop]()


class Specification(pytest.File):
    """clauses.toml, seen as a test file whose items the plan makes."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item per subject, family and dtype; subjects are known by name only, and made when they run."""
        selection = self.config.stash[WORKSHOP].selection
        for spec in plan.items(selection.subjects, selection.families, selection.profile):
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
