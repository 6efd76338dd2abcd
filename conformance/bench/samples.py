"""How long something takes: warmed up, in samples long enough for the clock, in rounds among others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

SAMPLE = 1e-3  # seconds that a sample takes at least, 1,000 and more steps of the clock
_STEADY = 0.05  # two medians of five calls that differ by less: warm
_WARM_CALLS = 50
_MOST_ROUNDS = 100


def warm(run: Callable[[int], Any], limit: float) -> float:
    """Call until two medians of five agree, or calls or seconds run out; returns the last median."""
    times: list[float] = []
    start, before = time.perf_counter(), math.inf
    while len(times) < _WARM_CALLS and time.perf_counter() - start < limit:
        begun = time.perf_counter()
        run(1)
        times.append(time.perf_counter() - begun)
        if len(times) % 5 == 0:
            now = float(np.median(times[-5:]))
            if abs(now / before - 1) < _STEADY:
                break
            before = now
    return float(np.median(times[-5:]))


def calibrated(run: Callable[[int], Any], seconds: float | None = None) -> int:
    """How many calls make a sample of at least SAMPLE seconds, one of them taking about so many, if that is known."""
    if seconds is None:
        seconds = warm(run, 0.05)
    times = max(1, math.ceil(SAMPLE / max(seconds, 1e-9)))
    while True:  # a single call is dearer than one of many
        start = time.perf_counter()
        run(times)
        took = time.perf_counter() - start
        if took >= SAMPLE or times > 1 << 24:
            return times
        times = math.ceil(times * min(10.0, 1.2 * SAMPLE / max(took, 1e-7)))


def rounds(
    runs: Mapping[str, Callable[[int], Any]],
    loops: Mapping[str, int],
    least: int,
    limit: float,
    rng: np.random.Generator,
    say: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds per call: in each round one sample of each, in random order, for so many seconds; `say` comes first."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names, clock = list(runs), time.perf_counter
    number, began = 0, clock()
    while number < least or (number < _MOST_ROUNDS and clock() - began < limit):
        number += 1
        say()
        for place in rng.permutation(len(names)).tolist():
            name = names[place]
            run, times = runs[name], loops[name]
            run(1)  # not timed: what ran before has emptied the caches of this one
            start = clock()
            result = run(times)
            seconds[name].append((clock() - start) / times)
            del result  # kept until the clock has stopped
    return seconds


def steps(step: Callable[[], Any], times: int) -> None:
    """Do a step so many times."""
    for _ in range(times):
        step()
