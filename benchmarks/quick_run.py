"""Wall time and peak memory of `lossparity run --profile quick`, each installed backend by itself.

Memory is the largest resident set among all processes of a run, not their sum. Ratios are to the first line, which
is NumPy unless chosen otherwise. With --before CHECKOUT, such as a git worktree of an older commit, each backend is run
with that code and with this one in turn, and the last column is how many times as long it takes now: the median of the
ratios of pairs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
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


def measure(backend: str, profile: str, checkout: Path | None = None) -> Cost:
    """Run one backend in a process of its own, so that its peak is not mixed with another's; perhaps of other code."""
    with tempfile.TemporaryDirectory() as folder, imported_from(checkout) as environment:
        command = [*CLI, "run", "-b", backend, "--profile", profile, "--out", folder]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *command], capture_output=True, text=True, check=True, env=environment
        )
        seconds = time.perf_counter() - start
        gradients = gradient_ratio(Path(folder) / "records.jsonl")
    code, peak = done.stdout.split()
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in kilobytes elsewhere
    return Cost(int(code), seconds, int(peak) * unit / 2**20, gradients)


@contextlib.contextmanager
def imported_from(checkout: Path | None) -> Iterator[dict[str, str]]:
    """An environment in which `lossparity` is the code of a checkout, whose root is the package; None: as installed."""
    if checkout is None:
        yield dict(os.environ)
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lossparity").symlink_to(checkout.resolve())
        yield os.environ | {"PYTHONPATH": folder}


def slowdown(backend: str, profile: str, before: Path, pairs: int) -> float:
    """How many times as long a run takes as with the code of an older checkout."""
    ratios: list[float] = []
    for _ in range(pairs):
        old, new = (measure(backend, profile, checkout) for checkout in (before, None))
        ratios.append(new.seconds / old.seconds)
    return statistics.median(ratios)


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
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="compare with this code")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each for the comparison; default: 3")
    chosen = parser.parse_args()
    backends = chosen.backend or installed()
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    print(f"profile {chosen.profile}" + ("" if limit == resource.RLIM_INFINITY else f", memory limit {limit:,} bytes"))
    heads = f"{'backend':12}{'exit':>5}{'seconds':>9}{'ratio':>7}{'peak MB':>9}{'ratio':>7}{'gradients':>11}"
    print(f"{heads}{'now/before':>12}")
    first: Cost | None = None
    for backend in backends:
        cost = measure(backend, chosen.profile)
        first = first or cost
        times = f"{slowdown(backend, chosen.profile, chosen.before, chosen.pairs):.2f}x" if chosen.before else "-"
        print(
            f"{backend:12}{cost.exit_code:5}{cost.seconds:9.1f}{cost.seconds / first.seconds:7.2f}"
            f"{cost.megabytes:9.0f}{cost.megabytes / first.megabytes:7.2f}"
            f"{cost.gradients:10.2f}x{times:>12}",
            flush=True,
        )


if __name__ == "__main__":
    main()
