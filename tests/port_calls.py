"""The ports of cross_entropy on NumPy arrays, with their gradients, and what is due in mpmath."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
from lossparity.specs.call import BFLOAT16, Array
from lossparity.specs.exact import FORMATS
from lossparity.specs.reductions import REQUIRED

# (input, target, options) -> value, and gradient by input times an upstream gradient
Differentiated = Callable[..., tuple[Array, Array]]


def port(framework: str, compiled: str = "") -> Differentiated:
    """A port as it is, or compiled: "jit" of JAX, "function" and "xla" of TensorFlow."""
    pytest.importorskip(framework)
    module = importlib.import_module(f"lossparity.adapters.{framework}")
    if framework == "numpy":
        return partial(_in_numpy, module.cross_entropy, module.cross_entropy_gradient)
    function = module.cross_entropy
    if framework == "jax":
        import jax

        static = ("reduction", "label_smoothing")
        return partial(_in_jax, jax.jit(function, static_argnames=static) if compiled else function)
    import tensorflow as tf

    return partial(_in_tensorflow, tf.function(function, jit_compile=compiled == "xla") if compiled else function)


def _in_numpy(function: Any, derivative: Any, x: Array, target: Array, upstream: Any, **options: Any) -> Any:
    value = np.asarray(function(x, target, **options))
    g = np.full(value.shape, upstream, x.dtype)
    return value, derivative(x, target, upstream=g, **options)


def _in_jax(function: Any, x: Array, target: Array, upstream: Any, **options: Any) -> Any:
    import jax

    with jax.enable_x64(True):
        arrays = {name: jax.device_put(one) if isinstance(one, np.ndarray) else one for name, one in options.items()}
        t = jax.device_put(target)
        value, pull = jax.vjp(lambda x: function(x, t, **arrays), jax.device_put(x))
        return np.asarray(value), np.asarray(pull(jax.numpy.full(value.shape, upstream, value.dtype))[0])


def _in_tensorflow(function: Any, x: Array, target: Array, upstream: Any, **options: Any) -> Any:
    import tensorflow as tf

    arrays = {name: tf.constant(one) if isinstance(one, np.ndarray) else one for name, one in options.items()}
    logits = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = function(logits, tf.constant(target), **arrays)
    gradient = tape.gradient(value, logits, tf.fill(value.shape, tf.cast(upstream, value.dtype)))
    return value.numpy(), tf.convert_to_tensor(gradient).numpy()


def due(
    x: Array, target: Array, weight: Array | None, reduction: str, label_smoothing: float, upstream: float
) -> tuple[list[Any], list[Any]]:
    """Losses or their reduction, and the gradient, of input (N, C), each with its bound: [(exact, bound), ...].

    To first order log_softmax is off by u (|x - m| + |l| + C + 16): two differences, a sum of C exponentials of 4 ulp
    each, a logarithm of 4 ulp. Products and sums of n numbers add n u of what is summed, and the result is rounded once
    to the format of x. What may be flushed to zero is added.
    """
    fmt = FORMATS["bfloat16" if x.dtype == BFLOAT16 else x.dtype.name]
    u, own = float(REQUIRED[fmt.name].u), float(fmt.u)
    n, classes = x.shape
    tiny = 4 * float(fmt.smallest_normal)
    e, size = mpmath.mpf(label_smoothing), 2 * n * classes + 32
    has_indices = target.dtype.kind in "iu"
    w = [mpmath.mpf(1)] * classes if weight is None else [mpmath.mpf(float(one)) for one in weight]
    kept = [not has_indices or target[row] != -100 for row in range(n)]
    divisor: Any = 1
    if reduction == "mean":
        divisor = mpmath.fsum(w[target[row]] for row in range(n) if kept[row]) if has_indices else n
    losses, slopes = [], []
    for row in range(n):
        if not kept[row]:
            losses.append((mpmath.mpf(0), 0))
            slopes += [(mpmath.mpf(0), 0)] * classes
            continue
        logits = [mpmath.mpf(float(one)) for one in x[row]]
        m = max(logits)
        s = mpmath.log(mpmath.fsum(mpmath.exp(one - m) for one in logits))
        p = [
            mpmath.mpf(int(target[row] == c)) if has_indices else mpmath.mpf(float(target[row, c]))
            for c in range(classes)
        ]
        q = [w[c] * ((1 - e) * p[c] + e / classes) for c in range(classes)]
        logs = [one - m - s for one in logits]
        terms = [mpmath.mpf(0) if not q[c] else -q[c] * logs[c] for c in range(classes)]
        off = [size + (0 if mpmath.isinf(logs[c]) else abs(logits[c] - m) + abs(logs[c])) for c in range(classes)]
        inner = [
            0 if not q[c] or mpmath.isinf(terms[c]) else abs(q[c]) * off[c] + size * abs(terms[c])
            for c in range(classes)
        ]
        losses.append((mpmath.fsum(terms), u * mpmath.fsum(inner)))
        k, total = upstream / divisor, mpmath.fsum(q)
        for c in range(classes):
            share = mpmath.exp(logs[c])
            wide = abs(k) * (share * mpmath.fsum(map(abs, q)) * (off[c] + size) + abs(q[c]) * size) * u
            slopes.append((k * (share * total - q[c]), wide))
    if reduction != "none":
        losses = [_reduced(losses, divisor, u * size)]
    return _rounded(losses, own, tiny), _rounded(slopes, own, tiny)


def _rounded(found: list[Any], own: float, tiny: float) -> list[Any]:
    """What was found, rounded to a format of unit roundoff `own`; what may be flushed, `tiny`, is added."""
    return [(exact, bound + own * (abs(exact) + bound) + tiny) for exact, bound in found]


def _reduced(losses: list[Any], divisor: Any, each: float) -> tuple[Any, Any]:
    """The sum of losses by the divisor, with its bound: addition adds `each` of what is summed."""
    exact, inherited = (mpmath.fsum(column) for column in zip(*losses, strict=True))
    return exact / divisor, (inherited + each * mpmath.fsum(abs(one) for one, _ in losses)) / abs(divisor)


def require_close(found: Array, expected: list[Any]) -> None:
    """Guard that each number lies within its bound of what is due."""
    assert found.size == len(expected)
    for one, (exact, bound) in zip(found.reshape(-1).tolist(), expected, strict=True):
        if mpmath.isinf(exact):
            assert float(one) == float(exact)
        else:
            assert abs(mpmath.mpf(float(one)) - exact) <= bound, (one, exact, bound)
