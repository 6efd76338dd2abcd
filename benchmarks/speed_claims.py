"""Whether `lossparity bench` claims what is there and nothing else.

    python benchmarks/speed_claims.py [--repetitions 20]

Times NumPy's port against copies of itself at three points, so many times. A copy that is not slowed may be called
faster or slower in at most 5 % of the comparisons; one that is slowed by 10 % has to be called slower, one by 0.5 % a
tie. Run it on an otherwise idle machine: on one that is too noisy nothing is claimed, which is printed too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path

from lossparity.conformance.bench.run import Options, Watch, run
from lossparity.reports import ratios
from lossparity.reports.ratios import Board
from lossparity.specs.nll_loss.speed import point

POINTS = (point(n=4096, classes=64), point(n=65536, classes=16), point(n=16, classes=256))
SHARES = (0.0, 0.1, 0.005)


def boards() -> list[Board]:
    """A small bench run of NumPy's port beside copies of it that are slowed by the shares."""
    options = Options(
        names=("numpy",), baseline="numpy", points=POINTS, threads=("1",), slowed=SHARES, cold=False,
        memory=False,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as out:
        return ratios.boards(run(options, Path(out), Watch()))


def main() -> None:
    """Print how often each copy is called what."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20)
    repetitions = parser.parse_args().repetitions
    claims: dict[str, Counter[str]] = {}
    spreads: list[float] = []
    for repetition in range(repetitions):
        for board in boards():
            spreads.append(board.spread)
            for row in board.rows:
                if " slowed by " in row.contestant:
                    claims.setdefault(row.contestant, Counter())[row.claim] += 1
        print(f"{repetition + 1} of {repetitions}", end="\r", file=sys.stderr, flush=True)
    print(f"A/A spread: median {statistics.median(spreads):.2%}, largest {max(spreads):.2%}")
    for contestant, found in sorted(claims.items()):
        print(f"{contestant}: {', '.join(f'{claim} {count}' for claim, count in sorted(found.items()))}")
    twin = claims["numpy slowed by 0.0%"]
    wrong = twin["faster"] + twin["slower"]
    print(f"false claims about a copy: {wrong} of {twin.total()}, {wrong / twin.total():.1%} (goal: at most 5 %)")


if __name__ == "__main__":
    main()
