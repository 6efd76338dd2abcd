"""How long `lossparity check -x --profile quick` takes on faulty NumPy functions, process start included.

    python benchmarks/time_to_kill.py [--every K]

Prints median and 95th percentile over the mutants in NumPy, or over each Kth of them, and how long a correct function
takes to pass. The goals are 5 s, 15 s and 60 s.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time

from lossparity.conformance.mutants import zoo
from lossparity.specs.call import TARGET_DTYPES

COMMAND = "import lossparity.conformance.cli as cli; cli.main()"


def seconds(name: str, expected: int) -> float:
    """Seconds that a check takes; exits when it does not end with the expected code."""
    target = f"lossparity.conformance.mutants.nll_loss:{name}"
    options = ["--framework", "numpy", "--profile", "quick", "--strict", "--targets", ",".join(TARGET_DTYPES), "-x"]
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        run = subprocess.run(
            [sys.executable, "-c", COMMAND, "check", target, *options, "--out", out], capture_output=True, text=True
        )
        spent = time.perf_counter() - start
    if run.returncode != expected:
        sys.exit(f"{name}: exit code {run.returncode}, not {expected}\n{run.stdout}{run.stderr}")
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description="How long `lossparity check -x` takes to find a fault.")
    parser.add_argument("--every", type=int, default=1, help="take each Kth mutant only")
    every = parser.parse_args().every
    # These two cannot be seen by one function alone on arrays of ordinary size.
    elsewhere = {"VALUE-9", "REL-8"}
    names = [
        one.name for one in zoo.mutants("nll_loss") if one.framework == "numpy" and not elsewhere & set(one.clauses)
    ]
    spent = {}
    for number, name in enumerate(names[::every], 1):
        spent[name] = seconds(name, expected=1)
        print(f"\r{number} of {len(names[::every])}", end="", flush=True, file=sys.stderr)
    ordered = sorted(spent.values())
    slowest = max(spent, key=spent.__getitem__)
    print(f"\nmutants: {len(ordered)}")
    print(f"median: {ordered[len(ordered) // 2]:.2f} s (goal 5)")
    print(f"95th percentile: {ordered[int(len(ordered) * 0.95)]:.2f} s (goal 15)")
    print(f"slowest: {slowest}, {spent[slowest]:.2f} s")
    print(f"a correct function: {seconds('as_it_stands', expected=0):.1f} s (goal 60)")


if __name__ == "__main__":
    main()
