"""Three losses of one's own, to be tried with `lossparity check examples/my_losses.py:NAME --framework numpy`."""

from __future__ import annotations

from typing import Any

import numpy as np


def correct(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """Conforms: float64 inside, so that neither rounding nor overflow of a narrow dtype shows."""
    _validate(input, target, weight, reduction)
    scores = np.moveaxis(input, min(1, input.ndim - 1), -1)
    kept = np.asarray(target != ignore_index)
    classes = target[kept].astype(np.int64)
    if ((classes < 0) | (classes >= scores.shape[-1])).any():
        raise IndexError(f"a target is none of {scores.shape[-1]} classes")
    weights = np.ones(classes.size) if weight is None else weight[classes].astype(np.float64)
    with np.errstate(all="ignore"):
        losses = -scores[kept, classes].astype(np.float64) * weights
        if reduction == "none":
            result = np.zeros(target.shape)
            result[kept] = losses
        else:
            result = losses.sum() / (weights.sum() if reduction == "mean" else 1)
        return np.asarray(result).astype(input.dtype)


def mean_over_all(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """Faulty: the mean divides by the number of positions, whether they are ignored or weigh more than 1."""
    if reduction != "mean":
        return correct(input, target, weight, ignore_index, reduction)
    with np.errstate(all="ignore"):
        return correct(input, target, weight, ignore_index, "sum") / np.asarray(target.size, input.dtype)


def nan_at_ignored(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """Faulty: ignored positions are multiplied by 0, and 0 times infinity is NaN."""
    if reduction != "sum" or np.ndim(target) == 0 or weight is not None:
        return correct(input, target, weight, ignore_index, reduction)
    correct(input, target, weight, ignore_index, reduction)  # for its checks
    kept = target != ignore_index
    scores = np.moveaxis(input, 1, -1).astype(np.float64)
    chosen = np.take_along_axis(scores, np.where(kept, target, 0)[..., None], -1)[..., 0]
    with np.errstate(all="ignore"):
        return np.asarray(-(chosen * kept).sum()).astype(input.dtype)


def _validate(input: Any, target: Any, weight: Any, reduction: Any) -> None:
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"reduction {reduction!r} is none of 'none', 'sum' and 'mean'")
    if input.dtype.kind not in "fV" or target.dtype.kind not in "iu":
        raise TypeError(f"input is {input.dtype}, target is {target.dtype}")
    if input.ndim == 0 or target.shape != input.shape[: input.ndim > 1] + input.shape[2:]:
        raise ValueError(f"input {input.shape} does not go with target {target.shape}")
    if weight is not None and weight.shape != input.shape[min(1, input.ndim - 1) :][:1]:
        raise ValueError(f"weight {weight.shape} does not go with input {input.shape}")
    if weight is not None and weight.dtype != input.dtype:
        raise TypeError(f"weight is {weight.dtype}, input is {input.dtype}")
