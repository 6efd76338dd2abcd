"""Logarithm of softmax in NumPy, with the meaning of `torch.nn.functional.log_softmax`."""

import operator

import numpy as np
from numpy.typing import ArrayLike

from .classes import ACCUMULATOR


def log_softmax(input: ArrayLike, dim: int = -1) -> np.ndarray:
    """Return x - m - log(sum(exp(x - m))) along the axis `dim`, m being the maximum there.

    So no finite input overflows. -inf is a class that is not there; NaN, +inf, or nothing but -inf make NaN of all that
    lies along the axis.

    Shapes: `input` has one axis or more; the result has its shape. An axis without elements gives none.

    Dtypes: `input` is float16, bfloat16, float32 or float64, and the result has its dtype. Half precision is computed
    in float32 and rounded once.

    Raises:
        TypeError: a dtype other than these, or a `dim` that is not an integer.
        IndexError: a `dim` that `input` does not have.
    """
    x = np.asarray(input)
    return in_accumulator(x, _axis(x, dim)).astype(x.dtype, copy=False)


def log_softmax_gradient(input: ArrayLike, dim: int = -1, upstream: ArrayLike | None = None) -> np.ndarray:
    """Return the gradient of `log_softmax` with respect to `input`, times `upstream`.

    It is upstream - softmax(input) * sum(upstream) along `dim`. `upstream` has the shape and dtype of `input`, and is 1
    if it is left out; another shape or dtype raises ValueError or TypeError, the rest is as for `log_softmax`.
    """
    x = np.asarray(input)
    axis = _axis(x, dim)
    g = np.ones_like(x) if upstream is None else np.asarray(upstream)
    if g.dtype != x.dtype:
        raise TypeError(f"upstream has dtype {g.dtype} and input {x.dtype}; they must be equal")
    if g.shape != x.shape:
        raise ValueError(f"upstream has shape {g.shape} and input {x.shape}; they must be equal")
    with np.errstate(all="ignore"):
        logs = in_accumulator(x, axis)
        wide = g.astype(logs.dtype, copy=False)
        return (wide - np.exp(logs) * wide.sum(axis, keepdims=True)).astype(x.dtype)


def in_accumulator(x: np.ndarray, axis: int) -> np.ndarray:
    """Return log_softmax along an axis that `x` has, in the dtype that it is computed in."""
    wide = x.astype(ACCUMULATOR[x.dtype.type.__name__], copy=False)
    with np.errstate(all="ignore"):  # NaN, infinity and log(0) are answers here, not accidents
        shifted = wide - wide.max(axis, keepdims=True, initial=-np.inf)
        return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def _axis(x: np.ndarray, dim: int) -> int:
    """Return `dim` as a Python integer; raise unless dtype and axis are there."""
    if x.dtype.type.__name__ not in ACCUMULATOR:
        raise TypeError(f"input has dtype {x.dtype}; convert it to one of {', '.join(ACCUMULATOR)}")
    try:
        axis = operator.index(dim)
    except TypeError:
        raise TypeError(f"dim is {dim!r}; pass an integer, for instance -1") from None
    if not -x.ndim <= axis < x.ndim:
        raise IndexError(f"dim is {axis}, and input of shape {x.shape} has no such axis; use one of its {x.ndim}")
    return axis
