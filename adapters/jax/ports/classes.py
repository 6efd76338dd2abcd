"""What the ports of losses over classes share: targets as class indices, and which arguments fit together."""

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


def class_index(target: Array, ignore_index: int | jax.Array, classes: int) -> Array:
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


def checked_ignore_index(ignore_index: int | jax.Array) -> int | jax.Array:
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


def check(input: Array, target: Array, weight: Array | None, reduction: str, probabilities: bool = False) -> None:
    """Raise TypeError or ValueError unless dtypes, shapes and the reduction fit together.

    With `probabilities` the target may also be of the input's dtype, and has its shape then.
    """
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
    probabilities = probabilities and target.dtype == input.dtype
    if not probabilities and target.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {target.dtype}; use an integer dtype, such as int32")
    if input.ndim == 0:
        raise ValueError("input is 0-d; it needs a class axis: (C,), (N, C) or (N, C, d1, ..., dK)")
    expected = input.shape if probabilities else input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
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
