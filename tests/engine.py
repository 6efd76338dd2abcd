"""Runs items of the suite in this process, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from lossparity.adapters.base import Subject
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.items.breadcrumb import Trail
from lossparity.conformance.items.isolation import Isolation
from lossparity.conformance.items.probe import probe
from lossparity.conformance.items.runner import run_item
from lossparity.conformance.items.spec import ItemSpec, Request
from lossparity.conformance.judging.ledger import Divergence, for_subject
from lossparity.reports.records import Finding, Item
from lossparity.specs.nll_loss.loss import LOSS

REQUEST = Request(explored=10)


def run(
    subject: Subject,
    family: str,
    dtype: str,
    folder: Path,
    rows: Iterable[Divergence] = (),
    version: str = "1.0",
    request: Request = REQUEST,
    backend: str = "numpy",
) -> tuple[Item, list[Finding], str]:
    """One item: its record, its findings, and the first unexpected result in words."""
    trail = Trail(folder, "test", 600.0)
    isolation = Isolation(backend, "cpu", 120.0)
    try:
        traits = probe(subject, dtype, LOSS)
        ledger = for_subject(rows, subject.name, version, "cpu")
        found, message = run_item(
            ItemSpec(subject.name, family, dtype), request, subject, traits, ledger, trail, isolation
        )
    finally:
        isolation.close()
    (item,) = (record for record in found if isinstance(record, Item))
    return item, [record for record in found if isinstance(record, Finding)], message


def first_failure(
    function: Callable[..., Any], folder: Path, families: Sequence[str], dtypes: Sequence[str] = ("float32", "float16")
) -> str:
    """The first unexpected result of a function on NumPy arrays in these families; empty when there is none."""
    subject = NumpySubject(function, "mine")
    for family in families:
        for dtype in dtypes:
            message = run(subject, family, dtype, folder)[2]
            if message:
                return message
    return ""
