"""Times our exact sum against `math.fsum` on the same array, interleaved, and prints the ratio.

`math.fsum` rounds correctly to float64 and works on Python floats; ours returns the exact fraction with the sum of
sizes beside it. `numpy.sum`, which is not exact, stands there as a floor.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
from lossparity.specs.exact import exact_sum


def main() -> None:
    """Print one line for each contestant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terms", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()

    values = (-np.random.default_rng(0).gamma(2.0, 2.0, chosen.terms)).astype(np.float32)
    floats = values.tolist()
    contestants: dict[str, Callable[[], object]] = {
        "math.fsum, a list of floats": lambda: math.fsum(floats),
        "math.fsum, the array": lambda: math.fsum(values),
        "exact_sum": lambda: exact_sum(values),
        "numpy.sum (not exact)": lambda: np.sum(values),
    }
    assert float(exact_sum(values).total) == math.fsum(floats)

    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(chosen.rounds):
        for name, run in contestants.items():  # in turn, so that a slow spell hits all of them
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)

    baseline = times["math.fsum, the array"]
    print(f"{chosen.terms:,} float32, median of {chosen.rounds} rounds; ratio to math.fsum on the same array")
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, baseline, strict=True))
        print(f"  {name:28} {statistics.median(seconds) * 1e3:9.2f} ms  {ratio:7.3f}")


if __name__ == "__main__":
    main()
