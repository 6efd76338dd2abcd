"""Negative log-likelihood loss in JAX, with the meaning of `torch.nn.functional.nll_loss`."""

import operator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

REDUCTIONS = ("none", "mean", "sum")
DTYPES = ("float16", "bfloat16", "float32", "float64")

# Every target, of whatever dtype, reaches the compiled loss as an int32 class index or one of these codes.
IGNORED = -1
INVALID = -2

Array = jax.Array | np.ndarray | np.generic


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
    _check(input, target, weight, reduction)
    classes = input.shape[min(1, input.ndim - 1)]
    index = _class_index(target, _checked_ignore_index(ignore_index), classes)
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


def _encode(target: np.ndarray, ignore_index: int, classes: int) -> np.ndarray:
    """Return `target` as int32, IGNORED in place of `ignore_index`; raise IndexError at other non-classes."""
    low, high = (target.min(), target.max()) if target.size else (0, -1)
    if low >= 0 and high < classes and not low <= ignore_index <= high:
        return target.astype(np.int32, copy=False)  # nothing is ignored: spare the masks
    ignored = target == ignore_index  # NumPy compares with a Python integer by value: uint8 156 is not -100
    invalid = ((target < 0) | (target >= classes)) & ~ignored
    if invalid.any():
        position = np.argwhere(invalid)[0].tolist()
        value = target[tuple(position)]
        raise IndexError(
            f"target{position or ''} is {value}, neither a class, in [0, {classes}), nor ignore_index "
            f"({ignore_index}); correct the target, or pass ignore_index={value} to leave such positions out"
        )
    # Cast first, because unsigned dtypes cannot hold IGNORED.
    return np.where(ignored, np.int32(IGNORED), target.astype(np.int32))


@partial(jax.jit, static_argnames="classes")
def _encode_traced(target: jax.Array, ignore_index: jax.Array | None, classes: int) -> jax.Array:
    """Return `target` as `_encode` does, with INVALID where that raises; None ignores nothing."""
    if target.dtype.itemsize < 4:
        target = target.astype(jnp.int32)  # a dtype that can also hold `classes`
    if ignore_index is None:
        ignored = jnp.zeros(target.shape, bool)
    else:
        # Operands of two integer dtypes are cast to a common one, which may wrap. This cast may wrap too:
        # then either casting back gives another number, or the sign has changed.
        sentinel = ignore_index.astype(target.dtype)
        same_bits = sentinel.astype(ignore_index.dtype) == ignore_index
        same_sign = (sentinel < 0) == (ignore_index < 0)
        ignored = (target == sentinel) & same_bits & same_sign
    # Negative numbers become large ones: one comparison sees both ends.
    valid = target.astype(f"uint{8 * target.dtype.itemsize}") < classes
    return jnp.where(ignored, IGNORED, jnp.where(valid, target.astype(jnp.int32), INVALID))


def _class_index(target: Array, ignore_index: int | jax.Array, classes: int) -> Array:
    """Return int32 class indices and codes; raise IndexError for invalid targets if they can be seen."""
    traced = isinstance(ignore_index, jax.Array)
    if not isinstance(target, Tracer):
        if not traced:
            return _encode(np.asarray(target), ignore_index, classes)
        narrow = np.asarray(target).astype(jax.dtypes.canonicalize_dtype(target.dtype))
        if (narrow != target).any():
            raise IndexError(
                "target holds a number beyond 32 bits, which a traced ignore_index cannot match; enable "
                "jax_enable_x64, or make ignore_index a static argument"
            )
    if traced:
        return _encode_traced(target, ignore_index, classes)
    bounds = jnp.iinfo(target.dtype)
    fits = bounds.min <= ignore_index <= bounds.max
    return _encode_traced(target, np.asarray(ignore_index, target.dtype) if fits else None, classes)


def _checked_ignore_index(ignore_index: int | jax.Array) -> int | jax.Array:
    """Return a traced integer scalar as it is, everything else as a Python integer."""
    index: Any = ignore_index
    try:
        if not isinstance(index, Tracer):
            return operator.index(index)
        if index.dtype.kind in "iu" and index.ndim == 0:
            return index
    except TypeError:
        pass
    raise TypeError(f"ignore_index is {ignore_index!r}; pass an integer or a traced integer scalar")


def _check(input: Array, target: Array, weight: Array | None, reduction: str) -> None:
    """Raise TypeError or ValueError unless dtypes, shapes and the reduction fit together."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; use one of {', '.join(map(repr, REDUCTIONS))}")
    for name, array in {"input": input, "target": target, "weight": weight}.items():
        if not isinstance(array, Array) and (array is not None or name != "weight"):
            raise TypeError(f"{name} is of type {type(array).__name__}; pass a JAX or NumPy array")
    # By the name of the type: `dtype.name` is put together in Python on each call.
    if input.dtype.type.__name__ not in DTYPES:
        raise TypeError(f"input has dtype {input.dtype}; convert it to one of {', '.join(DTYPES)}")
    if jax.dtypes.canonicalize_dtype(input.dtype) != input.dtype:
        raise TypeError(
            "input has dtype float64, which JAX would truncate to float32; enable jax_enable_x64 or convert "
            "it to float32"
        )
    if target.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {target.dtype}; use an integer dtype, such as int32")
    if input.ndim == 0:
        raise ValueError("input is 0-d; it needs a class axis: (C,), (N, C) or (N, C, d1, ..., dK)")
    expected = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
    if target.shape != expected:
        raise ValueError(f"target has shape {target.shape}; input of shape {input.shape} needs a target of {expected}")
    classes = input.shape[min(1, input.ndim - 1)]
    if classes >= 2**31:
        raise ValueError(f"input has {classes} classes; at most 2**31 - 1 can be indexed")
    if weight is None:
        return
    if weight.dtype != input.dtype:
        raise TypeError(f"weight has dtype {weight.dtype} and input {input.dtype}; they must be equal")
    if weight.shape != (classes,):
        raise ValueError(
            f"weight has shape {weight.shape}; input of shape {input.shape} needs ({classes},), one per class"
        )
