"""What is said while long work goes on: a bar in a terminal, and elsewhere a line every half minute."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from ..running.progress import Progress

_EVERY = 30.0  # seconds between lines


@dataclass
class _Items:
    """How far a run is."""

    total: int = 0
    done: int = 0
    calls: int = 0
    last: str = ""  # item that was finished
    start: float = field(default_factory=time.monotonic)

    @property
    def times(self) -> str:
        """How long it has taken, and how much longer it takes if what is left is like what is done.

        Items take very different times: nothing is said before a tenth of them is done.
        """
        spent = time.monotonic() - self.start
        if self.done < self.total / 10 or self.done >= self.total:
            return minutes(spent)
        return f"{minutes(spent)}, about {minutes(spent * (self.total - self.done) / self.done)} left"

    def __str__(self) -> str:
        return f"{self.done} of {self.total} items, {self.calls:,} calls, {self.times}; last: {self.last or 'none yet'}"


def minutes(seconds: float) -> str:
    """A duration as 4:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@contextlib.contextmanager
def progress(console: Console) -> Iterator[Progress]:
    """Show items as they are finished, the calls judged so far, and the time that is left."""
    items = _Items()
    with _bar(console, items) if console.is_terminal else _lines(console, items) as changed:

        def started(total: int) -> None:
            items.total, items.start = total, time.monotonic()
            changed()

        def finished(item: str, count: int) -> None:
            items.done, items.calls, items.last = items.done + 1, items.calls + count, item
            changed()

        yield Progress(started=started, finished=finished)


@contextlib.contextmanager
def _bar(console: Console, items: _Items) -> Iterator[Callable[[], None]]:
    said = [TextColumn(words, markup=False) for words in ("{task.fields[times]}", "{task.description}")]
    with Bar(BarColumn(), MofNCompleteColumn(), *said, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, times="")

        def changed() -> None:
            said = f"{items.calls:,} calls  {items.last}"
            bar.update(task, total=items.total, completed=items.done, description=said, times=items.times)

        yield changed


@contextlib.contextmanager
def _lines(console: Console, items: _Items) -> Iterator[Callable[[], None]]:
    """A line now and then, from a thread of its own: an item may take longer than that."""
    ended = threading.Event()

    def say() -> None:
        while not ended.wait(_EVERY):
            console.print(str(items), soft_wrap=True)

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield lambda: None
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def clock(console: Console, budget: float) -> Iterator[Callable[[float, str], None]]:
    """A bar over the seconds of a budget, with the time that is left and what is being done."""
    columns = (BarColumn(), TextColumn("{task.fields[left]}"), TextColumn("{task.description}"))
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=budget, left="")

        def said(seconds: float, what: str) -> None:
            left = max(0.0, budget - seconds)
            bar.update(task, completed=min(seconds, budget), left=f"{left:.0f} s left", description=what or None)

        yield said
