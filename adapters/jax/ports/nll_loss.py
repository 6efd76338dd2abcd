"""Negative log-likelihood loss in JAX, with the meaning of `torch.nn.functional.nll_loss`."""

from functools import partial

import jax
import jax.numpy as jnp

from .classes import INVALID, Array, check, checked_ignore_index, class_index


def nll_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int | jax.Array = -100,
    reduction: str = "mean",
) -> jax.Array:
    """Return the weighted negative log-likelihood of `target` under the log-probabilities `input`.

    With `kept` the positions whose target is not `ignore_index`, PyTorch's documentation defines:

        none:  -weight[target[n]] * input[n, target[n]]   where kept, else 0
        sum:   the sum of these
        mean:  the sum divided by the sum of weight[target[n]] where kept (without weights: by their number)

    What is not selected, NaN and infinity included, reaches neither value nor gradient. What is selected
    follows IEEE 754: the mean of nothing is 0/0 = NaN.

    Shapes: `input` is (N, C), (N, C, d1, ..., dK), or (C,); `target` is `input` without the class axis;
    `weight` is (C,). `none` returns the shape of `target`, `sum` and `mean` return a 0-d array.

    Dtypes: `input` is float16, bfloat16, float32 or (with jax_enable_x64) float64; `weight` and the result
    have the same dtype. Half precision is multiplied and summed in float32 and rounded once. `target` is of
    any integer dtype; an `ignore_index` that its dtype cannot hold ignores nothing.

    Works under jit, grad, jvp and vmap; `reduction` must be static, `ignore_index` may be traced. Compiled
    code cannot raise on values: where `target` is traced, a class outside [0, C) that is not ignored makes
    the result NaN, under `none` at its position. Without jax_enable_x64, jit itself truncates 64-bit targets
    passed to it; pass int32. Outside of jit, 64-bit NumPy targets are compared and checked at full width.

    Raises:
        TypeError: a dtype other than these, or an `ignore_index` that is not an integer.
        ValueError: shapes that do not fit together, or an unknown `reduction`.
        IndexError: a target outside [0, C) that is not ignored, where `target` is not traced.
    """
    check(input, target, weight, reduction)
    classes = input.shape[min(1, input.ndim - 1)]
    index = class_index(target, checked_ignore_index(ignore_index), classes)
    if classes == 0:
        weight = None  # no position can be kept, and XLA cannot gather from an empty array
    return _nll_loss(input, index, weight, reduction=reduction)


@partial(jax.jit, static_argnames="reduction")
def _nll_loss(input: jax.Array, index: jax.Array, weight: jax.Array | None, *, reduction: str) -> jax.Array:
    """The loss itself, given int32 `index` with the codes above: one small program for each signature."""
    axis = min(1, input.ndim - 1)
    kept = index >= 0
    # Masked before the gather, which must stay in bounds, and after it, which also masks the gradient. A
    # product with 0 would not do: it turns NaN and infinity into NaN.
    safe = jnp.where(kept, index, 0)
    picked = jnp.take_along_axis(input, jnp.expand_dims(safe, axis), axis, mode="promise_in_bounds")
    picked = picked.squeeze(axis)
    accumulator = jnp.promote_types(input.dtype, jnp.float32)
    losses = jnp.where(kept, -picked, jnp.where(index == INVALID, jnp.nan, 0)).astype(accumulator)
    scale = None
    if weight is not None:
        scale = jnp.where(kept, weight.at[safe].get(mode="promise_in_bounds"), 0).astype(accumulator)
        losses = losses * scale  # exact for half precision: 11 + 11 bits fit into 24; NaN * 0 is NaN
    if reduction == "none":
        return losses.astype(input.dtype)
    total = losses.sum()
    if reduction == "mean":
        # Counted in integers: float32 cannot count beyond 2^24.
        total = total / (kept.sum(dtype=jnp.uint32).astype(accumulator) if scale is None else scale.sum())
    return total.astype(input.dtype)
