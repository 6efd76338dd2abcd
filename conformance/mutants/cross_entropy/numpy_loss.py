"""A correct cross_entropy in NumPy, one step to a line: numpy_faults.toml and numpy_correct.toml edit these lines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

ACCUMULATORS: Any = {"float16": np.float32, "bfloat16": np.float32, "float32": np.float32, "float64": np.float64}


@np.errstate(all="ignore")
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """The loss of lossparity's specification, for NumPy arrays."""
    x, t, w, e = input, target, weight, label_smoothing
    check(x, t, w, ignore_index, reduction, e)
    axis = min(1, x.ndim - 1)
    classes = x.shape[axis]
    positions = x.shape[:axis] + x.shape[axis + 1 :]
    wide = ACCUMULATORS[x.dtype.name]
    rows = np.moveaxis(x, axis, -1).reshape(math.prod(positions), classes)
    weights = np.ones(classes, wide) if w is None else w.astype(wide)
    share = wide(e / max(classes, 1))
    rest = wide(1 - e)

    if t.dtype.kind in "iu":
        labels = t.reshape(-1)
        kept = labels != ignore_index
        chosen = labels[kept]
        if ((chosen < 0) | (chosen >= classes)).any():
            raise IndexError(f"a target is outside [0, {classes})")
        chosen = chosen.astype(np.int64)
        logs = log_softmax(rows[kept].astype(wide))
        picked = logs[np.arange(chosen.size), chosen]
        scale = weights[chosen]
        terms = -picked * scale
        if e:
            spread = -np.sum(logs * weights, axis=1)
            terms = rest * terms + share * spread
    else:
        kept = np.ones(len(rows), bool)
        p = np.moveaxis(t, axis, -1).reshape(rows.shape).astype(wide)
        smooth = rest * p + share
        logs = log_softmax(rows.astype(wide))
        products = np.where((smooth == 0) & np.isneginf(logs), wide(0), smooth * logs)
        scale = np.ones(len(rows), wide)
        terms = -np.sum(products * weights, axis=1)

    if reduction == "none":
        losses = np.zeros(kept.size, x.dtype)
        losses[kept] = terms.astype(x.dtype)
        return losses.reshape(positions)
    total = np.sum(terms)
    if reduction == "mean":
        normaliser = np.sum(scale)
        total = total / normaliser
    return np.asarray(total, x.dtype)


def log_softmax(rows: Any) -> Any:
    """The logarithms of the softmax of each row."""
    top = np.max(rows, axis=1, keepdims=True, initial=-np.inf)
    shifted = rows - top
    powers = np.exp(shifted)
    sums = np.sum(powers, axis=1, keepdims=True)
    return shifted - np.log(sums)


def check(x: Any, t: Any, w: Any, ignore_index: int, reduction: str, e: float) -> None:
    """Guard what a call may hold."""
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"no reduction {reduction!r}")
    if not 0 <= e <= 1:
        raise ValueError(f"label_smoothing is {e}")
    if x.dtype.name not in ACCUMULATORS:
        raise TypeError(f"input is {x.dtype}")
    if x.ndim == 0:
        raise ValueError("input has no class axis")
    along = min(1, x.ndim - 1)
    if t.dtype.kind in "iu":
        if t.shape != x.shape[:along] + x.shape[along + 1 :]:
            raise ValueError(f"target of classes is {t.shape}, input {x.shape}")
    else:
        if t.dtype.name not in ACCUMULATORS:
            raise TypeError(f"target is {t.dtype}")
        if t.dtype != x.dtype:
            raise TypeError(f"target is {t.dtype}, input is {x.dtype}")
        if t.shape != x.shape:
            raise ValueError(f"target of probabilities is {t.shape}, input {x.shape}")
        if ignore_index >= 0:
            raise ValueError(f"ignore_index is {ignore_index}, and target has no classes")
    if w is not None and w.shape != (x.shape[along],):
        raise ValueError(f"weight is {w.shape}, input {x.shape}")
    if w is not None and w.dtype != x.dtype:
        raise TypeError(f"weight is {w.dtype}, input is {x.dtype}")
