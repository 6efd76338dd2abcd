"""Wall time and peak memory of `lossparity run --profile quick`, each installed backend by itself.

Memory is the largest resident set among all processes of a run, not their sum. Ratios are to the first line, which
is NumPy unless chosen otherwise.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lossparity.reports.records import Item, read

CLI = (sys.executable, "-m", "lossparity.conformance.cli")
CHILD = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@dataclass(frozen=True)
class Cost:
    """What one run took; `gradients` is the time of all items over the time without family gradient."""

    exit_code: int
    seconds: float
    megabytes: float
    gradients: float


def installed() -> list[str]:
    """Backends that can run here."""
    done = subprocess.run([*CLI, "backends", "--json"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])["subjects"]
    return sorted({subject["backend"] for subject in found}, key=lambda name: (name != "numpy", name))


def measure(backend: str, profile: str) -> Cost:
    """Run one backend in a process of its own, so that its peak is not mixed with another's."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*CLI, "run", "-b", backend, "--profile", profile, "--out", folder]
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", CHILD, *command], capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - start
        gradients = gradient_ratio(Path(folder) / "records.jsonl")
    code, peak = done.stdout.split()
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in kilobytes elsewhere
    return Cost(int(code), seconds, int(peak) * unit / 2**20, gradients)


def gradient_ratio(records: Path) -> float:
    """How much longer a run takes for checking gradients: the goal is 1.5 at most."""
    items = read(records).of(Item)
    rest = sum(item.seconds for item in items if item.family != "gradient")
    return sum(item.seconds for item in items) / rest if rest else float("nan")


def main() -> None:
    """Print a line for each backend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-b", "--backend", action="append", help="repeatable; default: every installed one")
    parser.add_argument("--profile", default="quick")
    chosen = parser.parse_args()
    backends = chosen.backend or installed()
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    print(f"profile {chosen.profile}" + ("" if limit == resource.RLIM_INFINITY else f", memory limit {limit:,} bytes"))
    print(f"{'backend':12}{'exit':>5}{'seconds':>9}{'ratio':>7}{'peak MB':>9}{'ratio':>7}{'gradients':>11}")
    first: Cost | None = None
    for backend in backends:
        cost = measure(backend, chosen.profile)
        first = first or cost
        print(
            f"{backend:12}{cost.exit_code:5}{cost.seconds:9.1f}{cost.seconds / first.seconds:7.2f}"
            f"{cost.megabytes:9.0f}{cost.megabytes / first.megabytes:7.2f}"
            f"{cost.gradients:10.2f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
