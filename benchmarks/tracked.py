"""How fast formulas are answered, and what share of the bound honest implementations reach.

    python benchmarks/tracked.py             # seconds of the processor, so that a busy machine matters less
    python benchmarks/tracked.py --share     # the largest share of the bound by dtype and number of classes

The share is |made - exact| over the bound on that side, of NumPy, PyTorch and a running sum computed in the required
precision, on logits of several kinds. For half formats, whose last rounding is in the band, it is taken before that
rounding: of what NumPy computes in float32.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from lossparity.specs.call import Array, dtype_of
from lossparity.specs.reductions import REQUIRED
from lossparity.specs.tracked.answers import Evaluations, within, within_shared
from lossparity.specs.tracked.number import Evaluation, Tracked, exp, largest, log, total

DTYPES = ("float16", "bfloat16", "float32", "float64")
CLASSES = (2, 10, 1_000, 32_000)
Function = Callable[[Array], Array]


def log_softmax(x: Tracked) -> Tracked:
    """The shift first."""
    shifted = x - largest(x, -1)
    return shifted - log(total(exp(shifted), -1))


def usual(x: Array) -> Array:
    """NumPy's pairwise sum."""
    d = x - x.max(-1, keepdims=True)
    return d - np.log(np.exp(d).sum(-1, keepdims=True))


def running(x: Array) -> Array:
    """Added up one by one."""
    d = x - x.max(-1, keepdims=True)
    return d - np.log(np.cumsum(np.exp(d), -1, dtype=x.dtype)[:, -1:])


def native(x: Array) -> Array:
    """PyTorch's own."""
    import torch

    return torch.log_softmax(torch.from_numpy(x), -1).numpy()


HONEST: tuple[Function, ...] = (usual, running, native)


def swallowed(rng: np.random.Generator, classes: int, u: float) -> Array:
    """One class, beside which each other is too small for a running sum to notice."""
    x = np.log(u) - 1 + rng.uniform(0, 0.2, (8, classes))
    x[:, 0] = 0
    return x


KINDS: dict[str, Callable[[np.random.Generator, int, float], Array]] = {
    "ordinary": lambda rng, classes, u: rng.standard_normal((8, classes)) * 3,
    "nearly equal": lambda rng, classes, u: 1 + rng.standard_normal((8, classes)) * 1e-4,
    "offset": lambda rng, classes, u: rng.standard_normal((8, classes)) + 1e4,
    "spread": lambda rng, classes, u: -rng.uniform(0, 800, (8, classes)),
    "swallowed": swallowed,
}


def seconds(function: Callable[[], object], rounds: int = 20) -> float:
    """The processor's, of the best of several rounds."""
    best = float("inf")
    for _ in range(7):
        start = time.process_time()
        for _ in range(rounds):
            function()
        best = min(best, (time.process_time() - start) / rounds)
    return best


def show_speed() -> None:
    """Answers a second, alone and when six answers share their logarithms."""
    for dtype, shape in (("float32", (32, 10)), ("float16", (32, 10)), ("float64", (8, 1000))):
        x = (np.random.default_rng(0).standard_normal(shape) * 3).astype(dtype)

        def alone(x: Array = x) -> None:
            within(lambda evaluation: log_softmax(evaluation.number(x)), x.dtype.name, x.shape)

        def shared(x: Array = x) -> None:
            evaluations = Evaluations(x.dtype.name)

            def formula(evaluation: Evaluation) -> Tracked:
                return evaluation.once("y", lambda: log_softmax(evaluation.number(x)))

            for _ in range(6):
                within_shared(formula, evaluations, x.shape)

        one, six = seconds(alone), seconds(shared, 4) / 6
        print(f"{dtype:9}{shape!s:11}", end="")
        print(f"{one * 1e3:8.3f} ms alone {1 / one:9,.0f}/s {six * 1e3:8.3f} ms shared {1 / six:9,.0f}/s")


def share(x: Array, inside: str) -> tuple[float, float]:
    """The largest share, and whether anything was outside, of x's log_softmax in the precision it is computed in."""
    answer = within(lambda evaluation: log_softmax(evaluation.number(x)), inside, x.shape)
    exact = answer.rounded.astype(np.float64)
    worst, outside = 0.0, 0
    for function in HONEST:
        with np.errstate(all="ignore"):
            made = function(x)
        outside += int((~answer.required.holds(made)).sum())
        reach = np.where(made > answer.rounded, answer.required.high - exact, exact - answer.required.low)
        off = np.abs(made.astype(np.float64) - exact)
        worst = max(worst, float((off[reach > 0] / reach[reach > 0]).max(initial=0.0)))
    return worst, outside


def show_shares() -> None:
    """The largest share by dtype, number of classes and kind."""
    print(f"{'':10}{'C':>7}" + "".join(f"{kind:>14}" for kind in KINDS) + "   outside")
    for dtype in DTYPES:
        inside, u = REQUIRED[dtype].name, REQUIRED[dtype].u
        for classes in CLASSES:
            rng = np.random.default_rng(classes)
            rounds = [
                [share(make(rng, classes, u).astype(dtype_of(dtype)).astype(inside), inside) for _ in range(5)]
                for make in KINDS.values()
            ]
            shares = "".join(f"{max(one for one, _ in found):14.3f}" for found in rounds)
            print(f"{dtype:10}{classes:7,}{shares}{sum(out for found in rounds for _, out in found):10}")


def main() -> None:
    """Print either table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", action="store_true", help="what honest implementations reach, instead of speed")
    (show_shares if parser.parse_args().share else show_speed)()


if __name__ == "__main__":
    main()
