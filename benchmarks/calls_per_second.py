"""Counts judged calls a second on one core with NumPy, by family, and says where the time goes.

Each item runs in this process as a worker would run it: corpus and exploration, judged, resolved against the known
divergences, noted. Shares are measured by wrapping the functions that do each part; the wrapping costs a little. What
is left, "rest", is mostly Hypothesis drawing structures.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lossparity.adapters import registry
from lossparity.conformance import plan, runner
from lossparity.conformance.breadcrumb import Trail
from lossparity.conformance.isolation import Isolation
from lossparity.conformance.ledger import Ledger
from lossparity.conformance.notebook import Notebook
from lossparity.reports.records import Item
from lossparity.specs.nll_loss import corpus, generate

# What the time is booked to. Inside one part, another part's time is booked to that other one.
PARTS: tuple[tuple[str, Any, str], ...] = (
    ("framework", runner, "execute"),
    ("arguments", generate, "base"),
    ("oracle", generate, "select"),
    ("oracle", generate, "expect"),
    ("judging", runner, "judge"),
    ("judging", runner.checks, "pattern"),
    ("judging", runner.checks, "scaling"),
    ("clauses", generate, "exercised"),
    ("noting", Notebook, "enter"),
)
NAMES = ("framework", "arguments", "oracle", "clauses", "judging", "noting", "rest")


class Book:
    """Books the time spent in each part, nested parts counted once."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    def watch(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time booked to `part`."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._switch(part)
            try:
                return function(*args, **kwargs)
            finally:
                self._switch(None)

        return watched

    def _switch(self, part: str | None) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        if part is None:
            self._open.pop()
        else:
            self._open.append(part)
        self._since = now


def run(subject: Any, family: str, dtype: str, profile: str, folder: Path) -> Item:
    """One item's record."""
    spec = runner.ItemSpec(subject.name, family, dtype)
    chosen = runner.Plan(profile, seed=0, strict=False, device="cpu")
    trail, isolation = Trail(folder, "main", 300.0), Isolation("numpy", "cpu", 300.0)
    records, unexpected = runner.run_item(
        spec, chosen, subject, runner.probe(subject, dtype), Ledger(()), trail, isolation
    )
    assert not unexpected, unexpected
    item = records[0]
    assert isinstance(item, Item)
    return item


def main() -> None:
    """Print a line for each family, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="quick", choices=sorted(corpus.PROFILES))
    parser.add_argument("--dtype", action="append", help="repeatable; default: float32 and float16")
    chosen = parser.parse_args()

    (subject,) = plan.start(registry.backend("numpy"), "cpu")
    book = Book()
    for part, module, name in PARTS:
        setattr(module, name, book.watch(part, getattr(module, name)))
    print(f"{'family':10}{'calls':>9}{'seconds':>9}{'calls/s':>9}   " + "".join(f"{name:>11}" for name in NAMES))
    total, all_calls, all_seconds = defaultdict[str, float](float), 0, 0.0
    for family in corpus.FAMILIES:
        book.seconds.clear()
        calls, seconds = 0, 0.0
        with tempfile.TemporaryDirectory() as folder:
            for dtype in chosen.dtype or ("float32", "float16"):
                item = run(subject, family, dtype, chosen.profile, Path(folder))
                calls, seconds = calls + item.planned, seconds + item.seconds
        booked = dict(book.seconds)
        show(family, calls, seconds, booked)
        all_calls, all_seconds = all_calls + calls, all_seconds + seconds
        for part, spent in booked.items():
            total[part] += spent
    show("all", all_calls, all_seconds, total)


def show(label: str, calls: int, seconds: float, booked: dict[str, float]) -> None:
    """One line: calls a second, and the share of each part."""
    spent = booked | {"rest": seconds - sum(booked.values())}
    shares = "".join(f"{max(0.0, spent.get(name, 0.0)) / seconds:11.0%}" for name in NAMES)
    print(f"{label:10}{calls:9,}{seconds:9.2f}{calls / seconds:9,.0f}   {shares}", flush=True)


if __name__ == "__main__":
    main()
