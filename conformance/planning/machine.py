"""What machine this is, for the head of a report."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path

import numpy as np


def describe() -> dict[str, str]:
    """Processor, memory, system and the versions of what computes."""
    return {
        "processor": _cpu() or platform.processor() or platform.machine(),
        "cores": str(cores()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "ml_dtypes": metadata.version("ml_dtypes"),
        "hypothesis": metadata.version("hypothesis"),
        "threads": os.environ.get("OMP_NUM_THREADS", "framework's default"),
    }


def for_timing() -> dict[str, str]:
    """What else of the machine bears on speed; empty where the system does not tell."""
    said: dict[str, str] = {}
    cpu = Path("/sys/devices/system/cpu/cpu0")
    for cache in sorted(cpu.glob("cache/index*")):
        level, kind, size = (_read(cache / name) for name in ("level", "type", "size"))
        if kind != "Instruction":
            said[f"cache L{level}"] = size
    governor = _read(cpu / "cpufreq/scaling_governor")
    memory = _read(Path("/proc/meminfo")).partition("\n")[0].partition(":")[2].strip()
    load = " ".join(_read(Path("/proc/loadavg")).split()[:3])
    said |= {"governor": governor, "memory": memory, "load before": load, "clock": f"{_clock_step():.0f} ns a step"}
    return {name: value for name, value in said.items() if value}


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _clock_step() -> float:
    """Nanoseconds between two readings of the clock that differ, at least."""
    steps: list[int] = []
    for _ in range(100):
        start = now = time.perf_counter_ns()
        while now == start:
            now = time.perf_counter_ns()
        steps.append(now - start)
    return min(steps)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> str:
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return ""
