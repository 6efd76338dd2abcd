"""A correct log_softmax in PyTorch whose derivatives are written by hand, one step to a line.

torch_faults.toml and torch_correct.toml edit these lines.
"""

from __future__ import annotations

from typing import Any

import torch

WIDE: Any = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
WIDE |= {torch.float32: torch.float32, torch.float64: torch.float64}


def log_softmax(input: Any, dim: int = -1) -> Any:
    """The logarithms of lossparity's specification, for tensors."""
    x = input
    if x.dtype not in WIDE:
        raise TypeError(f"input is {x.dtype}")
    if not -x.ndim <= dim < x.ndim:
        raise IndexError(f"input {tuple(x.shape)} has no axis {dim}")
    return Loss.apply(x, dim % x.ndim)


class Loss(torch.autograd.Function):
    """The logarithms of checked arguments."""

    @staticmethod
    def forward(x: Any, dim: int) -> Any:
        """The value, in input's dtype."""
        rows = x.to(WIDE[x.dtype])
        if not x.numel():
            return torch.empty_like(x)
        shifted = rows - rows.amax(dim, keepdim=True)
        total = shifted.exp().sum(dim, keepdim=True)
        return (shifted - total.log()).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep what the derivatives need."""
        x, ctx.dim = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        """The gradient with respect to `x`, g being the upstream one; made of what can be derived again."""
        (g,), (x,), dim = upstream, ctx.saved_tensors, ctx.dim
        wide = WIDE[x.dtype]
        share = torch.softmax(x.to(wide), dim)
        slope = g.to(wide)
        pull = slope.sum(dim, keepdim=True)
        gradient = slope - share * pull
        return gradient.to(x.dtype), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """The derivative along the tangent of `x`."""
        (x,), moved, dim = ctx.saved_tensors, tangents[0], ctx.dim
        wide = WIDE[x.dtype]
        mean = (torch.softmax(x.to(wide), dim) * moved.to(wide)).sum(dim, keepdim=True)
        return (moved.to(wide) - mean).to(x.dtype)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        """All parts at once: the mapped axis goes to the front, and the others follow it."""
        x, dim = arguments
        return Loss.apply(x.movedim(in_dims[0], 0), dim + 1), 0
