"""A correct nll_loss in NumPy, one step to a line: numpy_faults.toml and numpy_correct.toml edit these lines."""

from __future__ import annotations

from typing import Any

import numpy as np

ACCUMULATORS: Any = {"float16": np.float32, "bfloat16": np.float32, "float32": np.float32, "float64": np.float64}


@np.errstate(all="ignore")
def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """The loss of lossparity's specification, for NumPy arrays."""
    x, t, w = input, target, weight
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"no reduction {reduction!r}")
    if x.dtype.name not in ACCUMULATORS:
        raise TypeError(f"input is {x.dtype}")
    if t.dtype.kind not in "iu":
        raise TypeError(f"target is {t.dtype}")
    if x.ndim == 0:
        raise ValueError("input has no class axis")
    axis = min(1, x.ndim - 1)
    classes = x.shape[axis]
    positions = x.shape[:axis] + x.shape[axis + 1 :]
    if t.shape != positions:
        raise ValueError(f"target is {t.shape}, input needs {positions}")
    if w is not None and w.shape != (classes,):
        raise ValueError(f"weight is {w.shape}, input needs {(classes,)}")
    if w is not None and w.dtype != x.dtype:
        raise TypeError(f"weight is {w.dtype}, input is {x.dtype}")

    rows = np.moveaxis(x, axis, -1).reshape(t.size, classes)
    labels = t.reshape(-1)
    kept = labels != ignore_index
    chosen = labels[kept]
    if ((chosen < 0) | (chosen >= classes)).any():
        raise IndexError(f"a target is outside [0, {classes})")
    chosen = chosen.astype(np.int64)
    offsets = np.flatnonzero(kept) * classes + chosen

    wide = ACCUMULATORS[x.dtype.name]
    picked = rows.reshape(-1)[offsets].astype(wide)
    scale = np.ones(chosen.size, wide) if w is None else w[chosen].astype(wide)
    terms = -picked * scale
    if reduction == "none":
        losses = np.zeros(t.size, x.dtype)
        losses[kept] = terms.astype(x.dtype)
        return losses.reshape(t.shape)
    total = np.sum(terms)
    if reduction == "mean":
        normaliser = np.sum(scale)
        total = total / normaliser
    return np.asarray(total, x.dtype)
