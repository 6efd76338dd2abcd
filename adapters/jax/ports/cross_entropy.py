"""Cross-entropy in JAX, with the meaning of `torch.nn.functional.cross_entropy`."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.core import Tracer

from .classes import INVALID, Array, check, checked_ignore_index, class_index


def cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int | jax.Array = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> jax.Array:
    """Return the weighted cross-entropy of the softmax of `input` relative to `target`.

    A target is an index of a class, or a probability p[c] of each class; an index t stands for p[t] = 1. With
    l = log_softmax(input) and e = label_smoothing, PyTorch's documentation defines:

        none:  -sum over c of weight[c] * ((1 - e) * p[c] + e / C) * l[c]   at each position, 0 where it is ignored
        sum:   the sum of these
        mean:  the sum divided, for indices, by the sum of weight[target[n]] where kept (without weights: by their
               number); for probabilities by the number of positions

    What is ignored reaches neither value nor gradient. What is not follows IEEE 754, but for a probability of 0 where
    l = -inf: that adds 0. Probabilities need not add up to 1; none is ignored.

    Shapes: `input` is (N, C), (N, C, d1, ..., dK), or (C,); indices have this shape without the class axis,
    probabilities have it as it is; `weight` is (C,). `none` returns the shape of indices, `sum` and `mean` a 0-d array.

    Dtypes: `input` is float16, bfloat16, float32 or (with jax_enable_x64) float64; probabilities, `weight` and the
    result have the same dtype. Half precision is computed in float32 and rounded once. Indices are of any integer
    dtype; an `ignore_index` that it cannot hold ignores nothing.

    Works under jit, grad, jvp and vmap; `reduction` and `label_smoothing` must be static. Traced indices and a traced
    `ignore_index` are treated as by `nll_loss`.

    Raises:
        TypeError: a dtype other than these, or an `ignore_index` that is not an integer.
        ValueError: shapes that do not fit together, an unknown `reduction`, a `label_smoothing` outside [0, 1], or
            an `ignore_index` of 0 or more, unless it is traced, with probabilities, which have none to ignore.
        IndexError: an index outside [0, C) that is not ignored, where `target` is not traced.
    """
    check(input, target, weight, reduction, probabilities=True)
    ignore_index = checked_ignore_index(ignore_index)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing!r}; it must be in [0, 1]")
    classes = input.shape[min(1, input.ndim - 1)]
    if target.dtype.kind in "iu":
        target = class_index(target, ignore_index, classes)
    elif not isinstance(ignore_index, Tracer) and ignore_index >= 0:
        raise ValueError(f"ignore_index is {ignore_index}, but target holds probabilities: there is no class to ignore")
    if classes == 0:
        weight = None  # there is nothing to weigh, and XLA cannot gather from an empty array
    return _cross_entropy(input, target, weight, reduction=reduction, label_smoothing=float(label_smoothing))


@partial(jax.jit, static_argnames=("reduction", "label_smoothing"))
def _cross_entropy(
    input: jax.Array, target: jax.Array, weight: jax.Array | None, *, reduction: str, label_smoothing: float
) -> jax.Array:
    """The loss itself, given probabilities, or int32 indices with the codes of `class_index`."""
    axis = min(1, input.ndim - 1)
    classes, has_indices = input.shape[axis], target.dtype.kind in "iu"
    accumulator = jnp.promote_types(input.dtype, jnp.float32)
    x = input.astype(accumulator)
    if has_indices:
        # Masked before log_softmax, which also masks the gradient, and after it, where a product with 0 would not do:
        # it turns NaN and infinity into NaN.
        x = jnp.where(jnp.expand_dims(target >= 0, axis), x, 0)
        p = jax.nn.one_hot(target, classes, axis=axis, dtype=accumulator)
    else:
        p = target.astype(accumulator)
    if label_smoothing:
        p = (1 - label_smoothing) * p + label_smoothing / max(classes, 1)
    q = p
    if weight is not None:
        q = p * weight.astype(accumulator).reshape(classes, *[1] * (x.ndim - 1 - axis))
        q = jnp.where(p == 0, 0, q) if has_indices else q  # NaN and infinity among the weights of other classes
    logs = jax.nn.log_softmax(x, axis)
    losses = (-q * jnp.where((p == 0) & jnp.isneginf(logs), 0, logs)).sum(axis)
    if has_indices:
        losses = jnp.where(target >= 0, losses, jnp.where(target == INVALID, jnp.nan, 0))
    if reduction == "none":
        return losses.astype(input.dtype)
    total = losses.sum()
    if reduction == "mean":
        total = total / (_divisor(target, weight, accumulator) if has_indices else losses.size)
    return total.astype(input.dtype)


def _divisor(index: jax.Array, weight: jax.Array | None, accumulator: jnp.dtype) -> jax.Array:
    """Return what the mean of indices is divided by, in the accumulator."""
    kept = index >= 0
    if weight is None:
        return kept.sum(dtype=jnp.uint32).astype(accumulator)  # float32 cannot count beyond 2^24
    own = weight.at[jnp.where(kept, index, 0)].get(mode="promise_in_bounds")
    return jnp.where(kept, own, 0).astype(accumulator).sum()
