"""Books the time that passes in this process to the part of the work that is under way.

There is one stopwatch, as there is one clock. A part that begins inside another interrupts it, so that every moment
is booked once.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

PARTS = {
    "generation": "drawing structures, making arguments, Hypothesis",
    "oracle": "exact answers, and which clauses a call exercises",
    "conversion": "arguments into the framework's arrays, and results back",
    "framework": "inside the implementation, compilation included",
    "judging": "outcomes against expectations, perturbed ones too",
    "noting": "breadcrumbs, known divergences, tallies",
}


class Stopwatch:
    """Seconds by part; what belongs to no other part is generation."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Forget what was booked."""
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._part, self._since = "generation", time.perf_counter()

    def turn(self, part: str) -> str:
        """From now on book to `part`; returns the part that this ends."""
        now, ended = time.perf_counter(), self._part
        self._seconds[ended] += now - self._since
        self._part, self._since = part, now
        return ended

    def reassign(self, seconds: float, part: str) -> None:
        """Book to `part` so many of the seconds that are under way."""
        self._seconds[part] += seconds
        self._since += seconds

    def read(self) -> dict[str, float]:
        """Seconds by part since the start."""
        self.turn(self._part)
        return dict(self._seconds)


STOPWATCH = Stopwatch()


def booked(part: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that books the time inside a function to `part`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            before = STOPWATCH.turn(part)
            try:
                return function(*args, **kwargs)
            finally:
                STOPWATCH.turn(before)

        return timed

    return decorate
