"""Negative log-likelihood loss in NumPy, with the meaning of `torch.nn.functional.nll_loss`."""

import math

import numpy as np
from numpy.typing import ArrayLike

from .classes import ACCUMULATOR, as_int, check, select, spread


def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> np.ndarray | np.generic:
    """Return the weighted negative log-likelihood of `target` under the log-probabilities `input`.

    With `kept` the positions whose target is not `ignore_index`, PyTorch's documentation defines:

        none:  -weight[target[n]] * input[n, target[n]]   where kept, else 0
        sum:   the sum of these
        mean:  the sum divided by the sum of weight[target[n]] where kept (without weights: by their number)

    What is not selected is never read, so NaN and infinity there have no effect. What is selected follows
    IEEE 754, silently: the mean of nothing is 0/0 = NaN.

    Shapes: `input` is (N, C), (N, C, d1, ..., dK), or (C,); `target` is `input` without the class axis;
    `weight` is (C,). `none` returns the shape of `target`, `sum` and `mean` return a scalar.

    Dtypes: `input` is float16, bfloat16, float32 or float64, `weight` and the result have the same dtype.
    Half precision is multiplied and summed in float32 and rounded once. `target` is of any integer dtype; an
    `ignore_index` that its dtype cannot hold ignores nothing.

    Raises:
        TypeError: a dtype other than these, or an `ignore_index` that is not an integer.
        ValueError: shapes that do not fit together, or an unknown `reduction`.
        IndexError: a target outside [0, C) that is not ignored.
    """
    x, t = np.asarray(input), np.asarray(target)
    w = None if weight is None else np.asarray(weight)
    check(x, t, w, reduction)
    kept, classes = select(t, x.shape[min(1, x.ndim - 1)], as_int(ignore_index))
    dtype, accumulator = x.dtype, ACCUMULATOR[x.dtype.type.__name__]
    with np.errstate(all="ignore"):  # NaN, inf, x/0 and overflow are answers here, not accidents
        losses = -_pick(x, t, kept, classes)
        scale = None if w is None else w[classes].astype(accumulator, copy=False)
        if scale is not None:
            losses = losses.astype(accumulator, copy=False) * scale  # halves: exact, 11 + 11 bits fit into 24
        if reduction == "none":
            return spread(losses.astype(dtype, copy=False), t, kept)
        # NumPy adds dense arrays pairwise: the error grows with log2(N), not with N. Widening comes first,
        # because sum(dtype=...) widens block by block and adds the blocks one after another.
        total = losses.astype(accumulator, copy=False).sum()
        if reduction == "mean":
            total = total / (accumulator(classes.size) if scale is None else scale.sum())
        return total.astype(dtype)


def nll_loss_gradient(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    upstream: ArrayLike | None = None,
) -> np.ndarray:
    """Return the gradient of `nll_loss` with respect to `input`, times `upstream`.

    It is -upstream * weight[target[n]] at [n, target[n]] of the positions that are kept, for `mean` divided by
    the sum of weight[target[n]], and 0 everywhere else. `upstream` is the gradient with respect to the loss: of
    the shape of `target` under `none`, else 0-d, with input's dtype; 1 if it is left out.

    The result has the shape and dtype of `input`. The other arguments, and what is raised, are as for
    `nll_loss`; an `upstream` of another shape or dtype raises ValueError or TypeError.
    """
    x, t = np.asarray(input), np.asarray(target)
    w = None if weight is None else np.asarray(weight)
    check(x, t, w, reduction)
    shape = t.shape if reduction == "none" else ()
    g = np.ones(shape, x.dtype) if upstream is None else np.asarray(upstream)
    if g.dtype != x.dtype:
        raise TypeError(f"upstream has dtype {g.dtype} and input {x.dtype}; they must be equal")
    if g.shape != shape:
        raise ValueError(f"upstream has shape {g.shape}; reduction {reduction!r} needs {shape}")

    kept, classes = select(t, x.shape[min(1, x.ndim - 1)], as_int(ignore_index))
    accumulator = ACCUMULATOR[x.dtype.type.__name__]
    gradient = np.zeros(x.size, x.dtype)
    with np.errstate(all="ignore"):
        scale = accumulator(1) if w is None else w[classes].astype(accumulator)
        if reduction == "none":
            g = g.reshape(-1)
            g = g if kept is None else g[kept]
        slope = -g.astype(accumulator) * scale
        if reduction == "mean":
            slope = slope / (accumulator(classes.size) if w is None else np.sum(scale))
        gradient[_offsets(x.shape, t, kept)] = slope.astype(x.dtype)
    return gradient.reshape(x.shape)


def _pick(x: np.ndarray, t: np.ndarray, kept: np.ndarray | None, classes: np.ndarray) -> np.ndarray:
    """Return x[n, t[n, ...], ...] of the positions that are kept, as one axis."""
    if x.flags.c_contiguous or x.ndim == 1:
        return x.reshape(-1)[_offsets(x.shape, t, kept)]
    # Its reshape would copy all of x. An index for each axis takes twice as long as one offset, but does not.
    rows = np.moveaxis(x, 1, -1)
    if kept is None:
        return rows[(*np.indices(t.shape, sparse=True), t)].reshape(-1)
    return rows[(*np.unravel_index(kept, t.shape), classes)]


def _offsets(shape: tuple[int, ...], t: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    """Return where x[n, t[n, ...], ...] lies in x.reshape(-1), x being of `shape`, for the positions kept."""
    offsets = t.astype(np.intp)  # what is ignored may wrap here, and is left out below
    if len(shape) > 1:
        batch, _, *inner = shape
        size = math.prod(inner)
        if inner:
            offsets *= size
            offsets += np.arange(size).reshape(inner)
        offsets += (np.arange(batch) * (shape[1] * size)).reshape(batch, *[1] * len(inner))
    return offsets.reshape(-1) if kept is None else offsets.reshape(-1)[kept]
