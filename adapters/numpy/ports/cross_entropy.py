"""Cross-entropy in NumPy, with the meaning of `torch.nn.functional.cross_entropy`."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .classes import as_int, check, select
from .log_softmax import in_accumulator


def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> np.ndarray | np.generic:
    """Return the weighted cross-entropy of the softmax of `input` relative to `target`.

    A target is an index of a class, or a probability p[c] of each class; an index t stands for p[t] = 1. With
    l = log_softmax(input) and e = label_smoothing, PyTorch's documentation defines:

        none:  -sum over c of weight[c] * ((1 - e) * p[c] + e / C) * l[c]   at each position, 0 where it is ignored
        sum:   the sum of these
        mean:  the sum divided, for indices, by the sum of weight[target[n]] where kept (without weights: by their
               number); for probabilities by the number of positions

    What is ignored is never read. What is not follows IEEE 754, silently, but for a probability of 0 where l = -inf:
    that adds 0. Probabilities need not add up to 1; none is ignored.

    Shapes: `input` is (N, C), (N, C, d1, ..., dK), or (C,); indices have this shape without the class axis,
    probabilities have it as it is; `weight` is (C,). `none` returns the shape of indices, `sum` and `mean` a scalar.

    Dtypes: `input` is float16, bfloat16, float32 or float64; probabilities, `weight` and the result have the same
    dtype. Half precision is computed in float32 and rounded once. Indices are of any integer dtype; an `ignore_index`
    that it cannot hold ignores nothing.

    Raises:
        TypeError: a dtype other than these, or an `ignore_index` that is not an integer.
        ValueError: shapes that do not fit together, an unknown `reduction`, a `label_smoothing` outside [0, 1], or
            an `ignore_index` of 0 or more with probabilities, which have none to ignore.
        IndexError: an index outside [0, C) that is not ignored.
    """
    x, t = np.asarray(input), np.asarray(target)
    w = None if weight is None else np.asarray(weight)
    rows = _rows(x, t, w, ignore_index, reduction, label_smoothing)
    with np.errstate(all="ignore"):  # NaN, inf, x/0 and overflow are answers here, not accidents
        is_absent = (rows.p == 0) & np.isneginf(rows.logs)
        losses = (-rows.q * np.where(is_absent, 0, rows.logs)).sum(axis=1)
        if reduction == "none":
            full = np.zeros(math.prod(rows.shape), x.dtype)
            full[rows.kept] = losses
            return full.reshape(rows.shape)
        total = losses.sum()
        return (total / rows.divisor if reduction == "mean" else total).astype(x.dtype)


def cross_entropy_gradient(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    upstream: ArrayLike | None = None,
) -> np.ndarray:
    """Return the gradient of `cross_entropy` with respect to `input`, times `upstream`.

    With q[c] = weight[c] * ((1 - e) * p[c] + e / C) it is upstream * (softmax(input)[c] * sum(q) - q[c]), for `mean`
    divided by what the loss is divided by, and 0 at ignored positions. `upstream` is the gradient with respect to the
    loss: of its shape and input's dtype, 1 if it is left out.

    The result has the shape and dtype of `input`. The other arguments, and what is raised, are as for
    `cross_entropy`; an `upstream` of another shape or dtype raises ValueError or TypeError.
    """
    x, t = np.asarray(input), np.asarray(target)
    w = None if weight is None else np.asarray(weight)
    rows = _rows(x, t, w, ignore_index, reduction, label_smoothing)
    shape = rows.shape if reduction == "none" else ()
    g = np.ones(shape, x.dtype) if upstream is None else np.asarray(upstream)
    if g.dtype != x.dtype:
        raise TypeError(f"upstream has dtype {g.dtype} and input {x.dtype}; they must be equal")
    if g.shape != shape:
        raise ValueError(f"upstream has shape {g.shape}; reduction {reduction!r} needs {shape}")
    with np.errstate(all="ignore"):
        slope = np.broadcast_to(g, rows.shape).reshape(-1, 1)[rows.kept].astype(rows.q.dtype)
        # Divided first: the sum of the smallest weights has no reciprocal, and a product with one of them underflows.
        q = rows.q / rows.divisor if reduction == "mean" else rows.q
        gradient = np.zeros((math.prod(rows.shape), rows.q.shape[1]), x.dtype)
        gradient[rows.kept] = slope * (np.exp(rows.logs) * q.sum(axis=1, keepdims=True) - q)
    return np.moveaxis(gradient.reshape(*rows.shape, gradient.shape[1]), -1, min(1, x.ndim - 1))


class _Rows(NamedTuple):
    """The positions that are kept, one a row, with a column for each class."""

    shape: tuple[int, ...]  # of all positions
    kept: np.ndarray | slice  # which of them, counted through
    logs: np.ndarray  # log_softmax, in the accumulator
    p: np.ndarray  # smoothed probabilities, likewise
    q: np.ndarray  # these with weights
    divisor: np.generic  # of the mean


def _rows(
    x: np.ndarray, t: np.ndarray, w: np.ndarray | None, ignore_index: int, reduction: str, label_smoothing: float
) -> _Rows:
    """Return what both functions need; raise for arguments that do not fit together."""
    check(x, t, w, reduction, probabilities=True)
    ignore_index = as_int(ignore_index)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing!r}; it must be in [0, 1]")
    classes, indices = x.shape[min(1, x.ndim - 1)], t.dtype.kind in "iu"
    if not indices and ignore_index >= 0:
        raise ValueError(f"ignore_index is {ignore_index}, but target holds probabilities: there is no class to ignore")
    kept, chosen = select(t, classes, ignore_index) if indices else (None, t)
    kept = slice(None) if kept is None else kept
    logs = in_accumulator(_in_rows(x)[kept], 1)
    if indices:
        p = np.zeros(logs.shape, logs.dtype)
        p[np.arange(chosen.size), chosen] = 1
        divisor = chosen.size if w is None else w[chosen].astype(logs.dtype).sum()
    else:
        p, divisor = _in_rows(t).astype(logs.dtype), len(logs)
    if label_smoothing:
        p = (1 - label_smoothing) * p + label_smoothing / max(classes, 1)
    q = p
    if w is not None:
        with np.errstate(all="ignore"):
            q = p * w.astype(p.dtype)
        if indices:
            q[p == 0] = 0  # NaN and infinity among the weights of other classes
    return _Rows(x.shape[:1] * (x.ndim > 1) + x.shape[2:], kept, logs, p, q, logs.dtype.type(divisor))


def _in_rows(array: np.ndarray) -> np.ndarray:
    """Return an array with a row for each position, and a column for each class."""
    last = np.moveaxis(array, min(1, array.ndim - 1), -1)
    return np.ascontiguousarray(last).reshape(math.prod(last.shape[:-1]), last.shape[-1])
