"""cross_entropy, or log_softmax and then nll_loss? How often the two agree, how far they are apart, what each costs.

    python benchmarks/composition.py [--draws 10000] [--rounds 30] [torch] [jax] [tensorflow]

Each framework's fused loss against the composition of its own log_softmax with a gather: `F.cross_entropy` in torch,
optax's integer form in JAX under jit, TensorFlow's sparse form. A draw is a row of normal logits times 4 and a label.
Distances count representable numbers between two results (units in the last place), those from the exact answer are
taken to one in long double. Prices are medians over rounds of paired times, float32, (4096, 1000).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np
from lossparity.adapters.base import Capabilities, Subject, loop
from lossparity.adapters.execution import execute
from lossparity.conformance.bench import samples
from lossparity.specs.call import Array, Call, Parameter, Returned, Signature, Transform, dtype_of

PAIR = Signature("pair", (Parameter("input", "x", differentiable=True), Parameter("target", "t", "classes")))
DTYPES = ("float64", "float32", "float16", "bfloat16")
CLASSES = (10, 1000)
BATCH = 1000
TIMED = (4096, 1000)
Pair = tuple[Subject, Subject]  # fused, composed


# --- the two ways, by framework ----------------------------------------------------------------------------


def torch() -> Pair:
    """Eager, as most people run it."""
    from lossparity.adapters.torch.subject import TorchSubject
    from torch.nn import functional

    def fused(input: Any, target: Any) -> Any:
        return functional.cross_entropy(input, target, reduction="none")

    def composed(input: Any, target: Any) -> Any:
        return functional.nll_loss(functional.log_softmax(input, 1), target, reduction="none")

    can = Capabilities(binding="baseline", style="eager")
    return TorchSubject("F.cross_entropy", fused, "cpu", can), TorchSubject("log_softmax", composed, "cpu", can)


def jax() -> Pair:
    """Compiled: nobody trains without."""
    import jax as framework
    from jax import numpy as jnp
    from lossparity.adapters.jax.subject import JaxSubject
    from optax import softmax_cross_entropy_with_integer_labels

    def composed(input: Any, target: Any) -> Any:
        return -jnp.take_along_axis(framework.nn.log_softmax(input), target[:, None], axis=1)[:, 0]

    can = Capabilities(binding="baseline", style="jit", tier=2, traced=True)
    fused = framework.jit(softmax_cross_entropy_with_integer_labels)
    return JaxSubject("optax", fused, "cpu", can, ()), JaxSubject(
        "log_softmax", framework.jit(composed), "cpu", can, ()
    )


def tensorflow() -> Pair:
    """In a graph, as Keras runs it."""
    import tensorflow as tf
    from lossparity.adapters.tensorflow.subject import TensorflowSubject

    def fused(input: Any, target: Any) -> Any:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(target, input)

    def composed(input: Any, target: Any) -> Any:
        return -tf.gather(tf.nn.log_softmax(input), target, axis=1, batch_dims=1)

    can = Capabilities(binding="baseline", style="tf.function", tier=2, traced=True)
    made = [TensorflowSubject(one.__name__, tf.function(one), "cpu", can) for one in (fused, composed)]
    return made[0], made[1]


FRAMEWORKS: dict[str, Callable[[], Pair]] = {"torch": torch, "jax": jax, "tensorflow": tensorflow}


# --- draws -------------------------------------------------------------------------------------------------


def draw(rows: int, classes: int, dtype: str, seed: int) -> Call:
    """Rows of logits and a label for each."""
    rng = np.random.default_rng([seed, classes])
    x = (4 * rng.standard_normal((rows, classes))).astype(dtype_of(dtype))
    return PAIR.call(x, rng.integers(classes, size=rows))


def result(subject: Subject, call: Call) -> Array:
    """What a subject makes of a call."""
    outcome, _ = execute(subject, call)
    assert isinstance(outcome, Returned), f"{subject.name}: {outcome}"
    return outcome.value


def with_gradient(call: Call) -> Call:
    """The gradient of the sum of all rows' losses."""
    rows = call["target"].shape
    return call.replace(transform=Transform("gradient", np.ones(rows, call["input"].dtype)))


def exact(call: Call) -> Array:
    """The losses, in long double."""
    x = call["input"].astype(np.longdouble)
    shifted = x - x.max(1, keepdims=True)
    picked = np.take_along_axis(shifted, call["target"][:, None], 1)[:, 0]
    return (np.log(np.exp(shifted).sum(1)) - picked).astype(call["input"].dtype)


def apart(one: Array, other: Array) -> Array:
    """How many representable numbers two arrays are apart, element by element."""
    width = {2: np.int16, 4: np.int32, 8: np.int64}[one.itemsize]
    places = [array.view(width).astype(np.int64) for array in (one, other)]
    low = np.iinfo(width).min
    along = [np.where(place < 0, low - place, place) for place in places]  # negative numbers run backwards
    return np.abs(along[0] - along[1])


def agreement(pair: Pair, dtype: str, classes: int, draws: int) -> tuple[str, ...]:
    """A row of the table: shares of equal losses and gradients, and largest distances."""
    equal, equal_gradients, furthest = 0, 0, np.zeros(4)
    for seed in range(draws // BATCH):
        call = draw(BATCH, classes, dtype, seed)
        fused, composed = (result(subject, call) for subject in pair)
        gradients = [result(subject, with_gradient(call)) for subject in pair]
        between, slopes = apart(fused, composed), apart(*gradients)
        due = exact(call)
        equal += int((between == 0).sum())
        equal_gradients += int((slopes == 0).all(1).sum())
        found = [between.max(), apart(fused, due).max(), apart(composed, due).max(), slopes.max()]
        furthest = np.maximum(furthest, np.array(found, float))
    shares = (f"{found / draws:.2%}" for found in (equal, equal_gradients))
    return (*shares, *(f"{distance:,.0f}" for distance in furthest))


# --- prices ------------------------------------------------------------------------------------------------


def prices(pair: Pair, rounds: int) -> Iterator[tuple[str, ...]]:
    """For each kind of work the times of both, and by how much the composition takes longer, and the fused loss again.

    The last one, which should be 1, is what the machine does to any ratio.
    """
    for work in ("forward", "both"):
        call = draw(*TIMED, "float32", 0)
        call = call if work == "forward" else with_gradient(call)
        with contextlib.ExitStack() as stack:
            fused, composed, twin = (stack.enter_context(loop(subject, call, work)) for subject in (*pair, pair[0]))
            runs = {"fused": fused, "composed": composed, "twin": twin}
            loops = {name: samples.calibrated(run, samples.warm(run, 0.5)) for name, run in runs.items()}
            seconds = samples.rounds(runs, loops, rounds, 0.0, np.random.default_rng(0))
        times = [f"{1e3 * float(np.median(seconds[name])):.2f} ms" for name in ("fused", "composed")]
        yield work, *times, *(ratio(seconds[name], seconds["fused"]) for name in ("composed", "twin"))


def ratio(one: list[float], other: list[float]) -> str:
    """The median of the rounds' ratios, with a 95 % interval by bootstrap."""
    logs = np.log(one) - np.log(other)
    drawn = np.random.default_rng(0).choice(logs, (2000, logs.size))
    low, middle, high = np.exp(np.percentile(np.median(drawn, axis=1), [2.5, 50, 97.5]))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


# --- the tables --------------------------------------------------------------------------------------------


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """In Markdown."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Print the table of agreement, that of prices, and the versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frameworks", nargs="*", help=f"of {', '.join(FRAMEWORKS)}; all without any")
    parser.add_argument("--draws", type=int, default=10_000, help=f"a multiple of {BATCH:,}; 0 for prices alone")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    agreeing: list[tuple[str, ...]] = []
    costing: list[tuple[str, ...]] = []
    names = options.frameworks or [*FRAMEWORKS]
    for name in names:
        importlib.import_module(name)
        pair = FRAMEWORKS[name]()
        for dtype in DTYPES if options.draws else ():
            for classes in CLASSES:
                agreeing.append((name, dtype, f"{classes:,}", *agreement(pair, dtype, classes, options.draws)))
        costing += [(name, *row) for row in prices(pair, options.rounds)]
    print(table(("framework", "dtype", "C", "losses equal", "gradients equal", "losses apart, ulp",
                 "fused off, ulp", "composed off, ulp", "gradients apart, ulp"), agreeing), end="\n\n")  # fmt: skip
    print(
        table(("framework", "work", "fused", "composed", "composed / fused", "fused again / fused"), costing),
        end="\n\n",
    )
    versions = [f"{name} {metadata.version(name)}" for name in ("torch", "jax", "optax", "tensorflow-cpu", "numpy")]
    print(", ".join(versions))


if __name__ == "__main__":
    main()
