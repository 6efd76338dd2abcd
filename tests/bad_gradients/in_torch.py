"""PyTorch functions with a backward of their own (torch.autograd.Function) and one fault in it."""

from typing import Any

import torch

from tests.bad_gradients import FAULTS


def make(fault: str) -> Any:
    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
            ctx.save_for_backward(x, target, weight)
            ctx.options = ignore_index, reduction
            return torch.nn.functional.nll_loss(x, target, weight, ignore_index=ignore_index, reduction=reduction)

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            (g,), (x, target, weight), (ignore_index, reduction) = upstream, ctx.saved_tensors, ctx.options
            axis = min(1, x.ndim - 1)
            kept = target != ignore_index
            safe = torch.where(kept, target, 0)
            w = torch.ones(safe.shape, dtype=x.dtype) if weight is None else weight[safe]
            slope = -(torch.ones_like(g) if fault == "upstream_ignored" else g).expand(safe.shape)
            slope = slope if fault == "weight_missing" else slope * w
            if reduction == "mean" and fault != "normaliser_missing":
                slope = slope / torch.where(kept, w, 0).sum()
            if fault != "ignored_row_not_zero":  # last: 0/0 is NaN
                slope = torch.where(kept, slope, 0)
            gradient = torch.where(torch.arange(x.shape[axis]) == safe[..., None], slope[..., None], 0)
            gradient = gradient.movedim(-1, axis)
            if fault == "arrangement" and not x.is_contiguous():
                gradient = gradient.flip(-1)
            if fault == "nan_in_ignored_row":
                gradient = gradient + torch.where(kept.unsqueeze(axis), 0, x * 0)
            return gradient, None, None, None, None

    def loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
        return Loss.apply(input, target, weight, ignore_index, reduction)

    return loss


for _fault in ("none", *FAULTS):
    globals()[_fault] = make(_fault)
