"""Times our ports of nll_loss against their frameworks' own means, interleaved, and prints ratios with their goals.

Each line is one way of running one port on (N, C) float32 with int64 targets (int32 in JAX), unweighted, nothing
ignored, reduction mean unless it says otherwise. `bare` is what a user would write by hand: NumPy's gather and mean
without any check, and the fastest of several compositions that mask ignored positions in JAX and TensorFlow. `fused` is
the framework's cross entropy of the same log-probabilities (optax's in JAX, left out where it is not installed). Ratios
are the port's time over theirs, medians over rounds. Ratios alone compare: machines differ.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import os
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from lossparity.adapters.base import repeated
from lossparity.conformance.bench import samples

GOALS = {"numpy": "bare 1.3 at N = 65,536", "jax": "bare 1.1, fused 1", "tensorflow": "bare 1.1, fused 1"}
SIZES = [(n, c) for n in (16, 65_536) for c in (16, 256, 1000)]
Contestants = dict[str, Callable[[], object]]


def numpy_contests(x: np.ndarray, t: np.ndarray) -> Iterator[tuple[str, Contestants]]:
    """The port of NumPy: reductions, then weights, then a tenth of positions ignored."""
    from lossparity.adapters.numpy import nll_loss

    some, w = np.where(np.arange(len(t)) % 10 == 0, -100, t), np.ones(x.shape[1], x.dtype)

    def masked(kept: Any) -> Any:
        return (-x[np.arange(len(t))[kept], some[kept]]).mean()

    def weighted(scale: Any) -> Any:
        return (-x[np.arange(len(t)), t] * scale).sum() / scale.sum()

    for name in ("mean", "sum", "none"):
        finish: Any = getattr(np, name, lambda losses: losses)
        ours = functools.partial(nll_loss, x, t, reduction=name)
        yield name, {"port": ours, "bare": lambda finish=finish: finish(-x[np.arange(len(t)), t])}
    yield "weighted", {"port": lambda: nll_loss(x, t, w), "bare": lambda: weighted(w[t])}
    yield "ignored", {"port": lambda: nll_loss(x, some), "bare": lambda: masked(some != -100)}


def _masked(where: Any, add: Any, gather: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """The mean over positions that are not ignored, the numbers found by `gather`."""

    def loss(x: Any, t: Any, ignore_index: Any = -100) -> Any:
        kept = t != ignore_index
        return add(where(kept, -gather(x, where(kept, t, 0)), 0.0)) / add(kept)

    return loss


def _of_two(loss: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, t: loss(x, t)


def jax_contests(x: np.ndarray, t: np.ndarray) -> Iterator[tuple[str, Contestants]]:
    """The port of JAX under jit, with its gradient and with a traced ignore_index."""
    import jax
    import jax.numpy as jnp
    from lossparity.adapters.jax import nll_loss

    a, b = jnp.asarray(x), jnp.asarray(t, jnp.int32)

    masked = functools.partial(_masked, jnp.where, jnp.sum)
    losses: dict[str, Callable[..., Any]] = {
        "port": lambda x, t, *ignore_index: nll_loss(x, t, None, *ignore_index),
        "bare: take_along_axis": masked(lambda x, t: jnp.take_along_axis(x, t[:, None], 1)[:, 0]),
        "bare: index": masked(lambda x, t: x.at[jnp.arange(len(t)), t].get(mode="promise_in_bounds")),
        "bare: offsets": masked(lambda x, t: x.reshape(-1)[jnp.arange(len(t)) * x.shape[1] + t]),
        "bare: vmap": masked(jax.vmap(lambda row, label: row[label])),
    }
    optax: Any = importlib.import_module("optax") if importlib.util.find_spec("optax") else None
    fused = {"fused": lambda x, t: optax.softmax_cross_entropy_with_integer_labels(x, t).mean()} if optax else {}

    def bind(function: Callable[..., Any], *arguments: Any) -> Callable[[], object]:
        return lambda: jax.block_until_ready(function(*arguments))

    yield "jit", {name: bind(jax.jit(loss), a, b) for name, loss in (losses | fused).items()}
    yield "jit, traced", {name: bind(jax.jit(loss), a, b, jnp.int32(-100)) for name, loss in losses.items()}
    yield "jit, gradient", {n: bind(jax.jit(jax.value_and_grad(loss)), a, b) for n, loss in (losses | fused).items()}


def tensorflow_contests(x: np.ndarray, t: np.ndarray) -> Iterator[tuple[str, Contestants]]:
    """The port of TensorFlow in tf.function and compiled by XLA, and its gradient as a dense tensor."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf
    from lossparity.adapters.tensorflow import nll_loss

    a, b = tf.constant(x), tf.constant(t, tf.int64)

    # Its mean counts in float32, which is faster than what the port does, and wrong beyond 2^24.
    masked = functools.partial(_masked, tf.where, lambda v: tf.reduce_sum(tf.cast(v, tf.float32)))
    rows = tf.range(len(t), dtype=tf.int64)
    losses: dict[str, Callable[..., Any]] = {
        "port": nll_loss,
        "bare: gather": masked(lambda x, t: tf.gather(x, t, batch_dims=1)),
        "bare: gather_nd": masked(lambda x, t: tf.gather_nd(x, tf.stack([rows, t], -1))),
        "bare: offsets": masked(lambda x, t: tf.gather(tf.reshape(x, [-1]), rows * x.shape[1] + t)),
        "fused": lambda x, t: tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(t, x)),
    }

    def with_gradient(loss: Callable[..., Any], x: Any, t: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x, t)
        return value, tf.convert_to_tensor(tape.gradient(value, x))

    def compiled(contestants: dict[str, Callable[..., Any]], jit: bool) -> Contestants:
        # Of two parameters only: a concrete function with defaults takes 1 ms for each call, whatever it computes.
        traced = {n: tf.function(_of_two(f), jit_compile=jit, autograph=False) for n, f in contestants.items()}
        return {n: functools.partial(f.get_concrete_function(a, b), a, b) for n, f in traced.items()}

    gradients = {name: functools.partial(with_gradient, loss) for name, loss in losses.items()}
    for way, jit in {"function": False, "XLA": True}.items():
        yield way, compiled(losses, jit)
        yield f"{way}, gradient", compiled(gradients, jit)


def ratios(contestants: Contestants, seconds: float) -> dict[str, float]:
    """The port's time over each other's: medians of ratios within a round of the harness of `lossparity bench`."""
    runs = {name: repeated(run) for name, run in contestants.items()}
    loops = {name: samples.calibrated(run) for name, run in runs.items()}
    times = samples.rounds(runs, loops, 10, seconds, np.random.default_rng(0))
    ports = times.pop("port")
    return {n: statistics.median(p / s for p, s in zip(ports, own, strict=True)) for n, own in times.items()}


def main() -> None:
    """Print a line for each way and size: the ratio to the fastest bare composition, and to the fused loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    contests = {"numpy": numpy_contests, "jax": jax_contests, "tensorflow": tensorflow_contests}
    parser.add_argument("-b", "--backend", action="append", choices=contests, help="repeatable; default: all")
    parser.add_argument("--seconds", type=float, default=2.0, help="of rounds for each line; ten rounds to a hundred")
    chosen = parser.parse_args()
    random = np.random.default_rng(0)
    for backend in chosen.backend or contests:
        print(f"{backend}: the port's time / theirs; goals: {GOALS[backend]}")
        for n, c in SIZES:
            x = -random.gamma(2.0, 2.0, (n, c)).astype(np.float32)
            for way, contestants in contests[backend](x, random.integers(0, c, n)):
                found = ratios(contestants, chosen.seconds)
                bare = max((name for name in found if name.startswith("bare")), key=found.__getitem__)
                fused = f"fused {found['fused']:6.3f}" if "fused" in found else ""
                label = bare.partition(": ")[2]
                print(f"  {n:6} x {c:4}  {way:20} bare {found[bare]:5.2f} {label:16} {fused}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
