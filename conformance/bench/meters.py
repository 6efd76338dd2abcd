"""What the system tells of a process and its machine while something is timed."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any


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


def peak(step: Callable[[], Any]) -> tuple[Any, int]:
    """A step's result, and by how many bytes this process grew meanwhile; 0 where the system does not tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        before = _status("VmRSS")
        result = step()
        return result, max(0, _status("VmHWM") - before)
    except OSError:
        return step(), 0


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    return 0
