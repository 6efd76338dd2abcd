"""The loss of docs/tutorial.md, for input of two axes in float32. It is wrong in two ways."""

from __future__ import annotations

from typing import Any

import numpy as np


def nll(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """The negative log-likelihood of a batch."""
    _check(input, target, weight, reduction)
    kept = target != ignore_index
    label = np.where(kept, target, 0)
    if ((label < 0) | (label >= input.shape[1])).any():
        raise IndexError(f"a target is none of {input.shape[1]} classes")
    losses = np.where(kept, -input[np.arange(len(target)), label], 0)
    if weight is not None:
        losses = losses * weight[label]
    if reduction == "none":
        return losses
    total = losses.sum()
    return np.asarray(total / kept.sum() if reduction == "mean" else total, input.dtype)


def _check(input: Any, target: Any, weight: Any, reduction: Any) -> None:
    if input.ndim != 2:
        raise NotImplementedError("input of two axes only")
    if target.shape != input.shape[:1]:
        raise ValueError(f"target is {target.shape}, input is {input.shape}")
    if weight is not None and (weight.shape != input.shape[1:] or weight.dtype != input.dtype):
        raise ValueError(f"weight is {weight.dtype}{weight.shape}, input is {input.dtype}{input.shape}")
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"no reduction {reduction!r}")
    if input.dtype.kind != "f" or target.dtype.kind not in "iu":
        raise TypeError(f"input is {input.dtype}, target is {target.dtype}")
