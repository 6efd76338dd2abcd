"""PyTorch functions with one fault each."""

from typing import Any

import torch

from tests.wrong_kernels import FAULTS


def make(fault: str) -> Any:
    def loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
        if weight is not None and weight.shape != input.shape[min(1, input.ndim - 1) :][:1]:  # torch takes (1, C)
            raise ValueError(f"weight is {tuple(weight.shape)}")
        if target.shape != input.shape[: input.ndim > 1] + input.shape[2:]:  # torch takes one of (1,) for ()
            raise ValueError(f"input is {tuple(input.shape)}, target is {tuple(target.shape)}")
        right = torch.nn.functional.nll_loss(input, target, weight, ignore_index=ignore_index, reduction="none")
        if reduction not in ("sum", "mean"):
            return torch.nn.functional.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)
        kept = target != ignore_index
        if fault == "ignored_times_zero":
            axis = min(1, input.ndim - 1)
            picked = input.gather(axis, torch.where(kept, target, 0).unsqueeze(axis)).squeeze(axis)
            right = right + picked * ~kept
        total = right.float().sum() if input.dtype != torch.float64 else right.sum()
        if reduction == "mean":
            weights = torch.ones(target.shape) if weight is None else weight[torch.where(kept, target, 0)]
            if fault == "mean_over_all":
                total = total / target.numel()
            elif fault == "mean_by_count":
                total = total / kept.sum()
            else:
                total = total / torch.where(kept, weights, 0).to(total.dtype).sum()
        return total.to(input.dtype)

    return loss


for _fault in ("none", *FAULTS):
    globals()[_fault] = make(_fault)
