"""A negative log-likelihood loss in PyTorch, made of `gather` and `where`."""

from __future__ import annotations

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """The loss of log-probabilities `input`, (N, C, d1, ..., dK) or (C,), at int64 `target`, (N, d1, ..., dK) or ().

    Half precision is multiplied and summed in float32, and rounded once.
    """
    _check(input, target, weight, reduction)
    axis = min(1, input.ndim - 1)
    kept = target != ignore_index
    # Masked and not multiplied by 0: NaN and infinity at ignored positions reach neither value nor gradient.
    classes = torch.where(kept, target, 0)
    scores = input.gather(axis, classes.unsqueeze(axis)).squeeze(axis)  # raises for what is no class
    wide = torch.promote_types(input.dtype, torch.float32)
    losses = torch.where(kept, -scores, 0).to(wide)
    weights = kept.to(wide)
    if weight is not None:
        weights = torch.where(kept, weight.to(wide).gather(0, classes.flatten()).reshape(target.shape), 0)
        losses = losses * weights
    if reduction == "none":
        return losses.to(input.dtype)
    total = losses.sum()
    return (total / weights.sum() if reduction == "mean" else total).to(input.dtype)


def _check(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> None:
    """Raise ValueError for shapes and reductions, TypeError for dtypes; `gather` raises for classes."""
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"reduction is {reduction!r}; use 'none', 'sum' or 'mean'")
    if input.dtype not in DTYPES or target.dtype != torch.int64:
        raise TypeError(f"input is {input.dtype} and target {target.dtype}; use floating point and torch.int64")
    if input.ndim == 0 or target.shape != input.shape[:1][: input.ndim - 1] + input.shape[2:]:
        raise ValueError(f"input of shape {tuple(input.shape)} does not go with target of {tuple(target.shape)}")
    if weight is not None and weight.dtype != input.dtype:
        raise TypeError(f"weight is {weight.dtype} and input {input.dtype}; they must be equal")
    if weight is not None and weight.shape != (input.shape[min(1, input.ndim - 1)],):
        raise ValueError(f"weight has shape {tuple(weight.shape)}; it needs one number for each class")
