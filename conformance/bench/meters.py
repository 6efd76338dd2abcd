"""What the system tells of a process and its machine while something is timed."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...specs.errors import EngineError

_PEAKS = 3  # calls of which the memory is measured
_SETTLED = 0.1  # seconds after which a call has given back what it held


class Unrest:
    """What disturbed this process since then: involuntary switches, and the share of time that the host took."""

    def __init__(self) -> None:
        self._switches, self._times = _switches(), _cpu_times()

    def switches(self) -> int:
        """How often the system gave this process's processor to others."""
        return _switches() - self._switches

    def stolen(self) -> float:
        """The share of the machine's time that the host of a virtual machine gave to others."""
        spent = [late - early for early, late in zip(self._times, _cpu_times(), strict=True)]
        return spent[7] / sum(spent) if len(spent) > 7 and sum(spent) else 0.0


def _switches() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _cpu_times() -> tuple[int, ...]:
    """Jiffies of the whole machine by kind; empty where the system does not tell."""
    try:
        return tuple(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    except OSError:
        return ()


def peak(run: Callable[[int], Any]) -> int:
    """By how many bytes this process grows at most while a loop does one call, its result included.

    That is what the call holds if large arrays come from the system and go back to it one by one. The first call is not
    counted, as it may compile. Of several the largest number counts: what an earlier call held is given back late by
    some, who then seem to need less. Raises EngineError where the system does not tell.
    """
    run(1)
    return max(_growth(run) for _ in range(_PEAKS))


def _growth(run: Callable[[int], Any]) -> int:
    time.sleep(_SETTLED)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        before = _status("VmRSS")
        run(1)
        return max(0, _status("VmHWM") - before)
    except OSError as error:
        raise EngineError(f"the system does not tell how much memory a process takes: {error}") from error


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))
