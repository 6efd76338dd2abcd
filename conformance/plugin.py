"""pytest plugin: makes the items of a run from the specification, runs them in workers, hands their records over.

There are no test modules. The plugin collects the specification's clauses.toml as one file, whose items are the
plan's. Workers attach an item's records to its report; the controller's listener receives them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ..adapters.base import Backend, Subject
from ..reports.records import Record
from ..specs.errors import LossparityError
from . import ledger, plan
from .breadcrumb import Trail
from .isolation import Isolation
from .judge import Traits
from .plan import Selection
from .runner import ItemSpec, probe, run_item

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
        self._traits: dict[tuple[str, str], Traits] = {}
        self._isolations: dict[str, Isolation] = {}

    def subject(self, name: str) -> tuple[Backend, Subject]:
        """A subject with its backend, which is imported now; torch always before any other."""
        for backend in plan.choose_backends(self.selection.backends):
            owns = name in self.selection.owners.get(backend.name, ())
            if name not in self._subjects and (owns or backend.name == "torch"):
                self._subjects |= {s.name: (backend, s) for s in plan.start(backend, self.selection.device)}
        return self._subjects[name]

    @cached_property
    def rows(self) -> list[ledger.Divergence]:
        """All known divergences of the backends that run."""
        return plan.divergences(self.selection)

    @cached_property
    def trail(self) -> Trail:
        """Breadcrumbs of this process."""
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        return Trail(Path(self.selection.trail), worker, self.selection.seconds)

    def traits(self, subject: Subject, dtype: str) -> Traits:
        """Probed once in each process."""
        key = subject.name, dtype
        if key not in self._traits:
            self._traits[key] = probe(subject, dtype) if dtype in subject.capabilities.dtypes else Traits()
        return self._traits[key]

    def run(self, spec: ItemSpec) -> tuple[list[Record], str]:
        """Run one item."""
        backend, subject = self.subject(spec.subject)
        isolation = self._isolations.setdefault(
            backend.name,
            Isolation(plan.key_of(backend, self.selection.backends), self.selection.device, self.selection.seconds),
        )
        return run_item(
            spec,
            self.selection.plan,
            subject,
            self.traits(subject, spec.dtype),
            ledger.for_subject(self.rows, spec.subject, backend.version()),
            self.trail,
            isolation,
        )

    def close(self) -> None:
        """End child processes."""
        for isolation in self._isolations.values():
            isolation.close()


WORKSHOP = pytest.StashKey[Workshop]()


class Specification(pytest.File):
    """clauses.toml, seen as a test file whose items the plan makes."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item per subject, family and dtype; subjects are known by name only, and made when they run."""
        selection = self.config.stash[WORKSHOP].selection
        for spec in plan.items(selection.subjects, selection.families):
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
