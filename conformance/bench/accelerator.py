"""Timing on an accelerator: the device's own clock beside the wall, with its cache warm and emptied.

Written for CUDA and read against the protocol, but never yet run on hardware: reports say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ...adapters.base import Subject

_FLUSH = 256 << 20  # bytes written to push everything else out of the cache: twice any that is known


def measure(
    runs: dict[str, tuple[Subject, Callable[[int], Any]]],
    loops: dict[str, int],
    number: int,
    rng: np.random.Generator,
    device: str,
) -> dict[str, dict[str, list[float]]]:
    """Seconds per call by the device's events, and by the wall with the cache emptied before each single call.

    A subject without `event_seconds` (a function of a loop and a count) has no column of events, one without
    `scrub` (a function of a number of bytes to write) none of an emptied cache.
    """
    events: dict[str, list[float]] = {}
    flushed: dict[str, list[float]] = {}
    names = list(runs)
    for _ in range(number):
        for place in rng.permutation(len(names)).tolist():
            name = names[place]
            subject, run = runs[name]
            timer: Callable[..., float] | None = getattr(subject, "event_seconds", None)
            if timer is not None:
                events.setdefault(name, []).append(timer(run, loops[name]) / loops[name])
            scrub: Callable[[int], None] | None = getattr(subject, "scrub", None)
            if scrub is not None:
                scrub(_FLUSH)
                start = time.perf_counter()
                run(1)
                flushed.setdefault(name, []).append(time.perf_counter() - start)
    return {"device_seconds": events, "flushed": flushed}
