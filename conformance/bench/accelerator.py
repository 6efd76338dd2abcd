"""Timing on an accelerator: the device's own clock beside the wall, with its cache warm and emptied.

Written for CUDA and read against the protocol, but never yet run on hardware: reports say so.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...adapters.base import Subject, on_cpu
from ...reports.bench import GATHER, STREAM
from ...specs.errors import EngineError
from ...specs.speed import Traffic

_ASKED = ("name", "driver_version", "clocks.sm", "clocks.mem", "clocks_throttle_reasons.active", "power.draw")
_FLUSH = 256 << 20  # bytes written to push everything else out of the cache: twice any that is known


def roofs(subjects: Sequence[Subject], moved: Traffic, gathers: bool) -> dict[str, Callable[[int], Any]]:
    """The limit of the device's own memory, by the first subject that can tell it; a gather has none of its own.

    Raises EngineError where no subject can.
    """
    for subject in subjects:
        stream: Callable[[int, int], Callable[[int], Any]] | None = getattr(subject, "stream", None)
        if stream is not None:
            run = stream(moved.read, moved.written)
            return {STREAM: run, GATHER: run} if gathers else {STREAM: run}
    raise EngineError("bench: no subject here can measure the device's memory; name one of torch, jax, tensorflow too")


def describe(device: str) -> dict[str, str]:
    """Name, driver, clocks and what holds the clocks back, as nvidia-smi tells them; empty without it."""
    tool = shutil.which("nvidia-smi")
    if tool is None or on_cpu(device):
        return {}
    number = device.partition(":")[2] or "0"
    command = [tool, f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader", "-i", number]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().split(", ")
    return {name.replace(".", " "): text for name, text in zip(_ASKED, told, strict=False) if text}


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
