"""A correct nll_loss in PyTorch whose derivatives are written by hand, one step to a line.

torch_faults.toml and torch_correct.toml edit these lines.
"""

from __future__ import annotations

from typing import Any

import torch

WIDE: Any = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
WIDE |= {torch.float32: torch.float32, torch.float64: torch.float64}


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """The loss of lossparity's specification, for tensors."""
    x, t, w = input, target, weight
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"no reduction {reduction!r}")
    if x.dtype not in WIDE:
        raise TypeError(f"input is {x.dtype}")
    if t.dtype == torch.bool or t.is_floating_point() or t.is_complex():
        raise TypeError(f"target is {t.dtype}")
    if x.ndim == 0:
        raise ValueError("input has no class axis")
    positions = x.shape[:1] + x.shape[2:] if x.ndim > 1 else x.shape[1:]
    if t.shape != positions:
        raise ValueError(f"target is {tuple(t.shape)}, input needs {tuple(positions)}")
    if w is not None and w.shape != x.shape[class_axis(x) :][:1]:
        raise ValueError(f"weight is {tuple(w.shape)}, input is {tuple(x.shape)}")
    if w is not None and w.dtype != x.dtype:
        raise TypeError(f"weight is {w.dtype}, input is {x.dtype}")
    held = torch.iinfo(t.dtype)
    labels = t.long()
    kept = labels != ignore_index if held.min <= ignore_index <= held.max else torch.ones_like(labels, dtype=torch.bool)
    return Loss.apply(x, labels, kept, w, reduction)


def class_axis(x: Any) -> int:
    """The axis of `x` that its classes lie on."""
    return min(1, x.ndim - 1)


class Loss(torch.autograd.Function):
    """The loss of checked arguments."""

    @staticmethod
    def forward(x: Any, labels: Any, kept: Any, w: Any, reduction: str) -> Any:
        """The value, in input's dtype."""
        wide, classes = WIDE[x.dtype], x.shape[class_axis(x)]
        position = kept.reshape(-1).nonzero().squeeze(1)
        chosen = labels.reshape(-1)[position]
        if ((chosen < 0) | (chosen >= classes)).any():
            raise IndexError(f"a target is outside [0, {classes})")
        rows = x.movedim(class_axis(x), -1).reshape(labels.numel(), classes)
        picked = rows[position, chosen].to(wide)
        scale = torch.ones_like(picked) if w is None else w[chosen].to(wide)
        terms = -picked * scale
        if reduction == "none":
            losses = x.new_zeros(labels.numel()).index_put((position,), terms.to(x.dtype))
            return losses.reshape(labels.shape)
        total = terms.sum()
        if reduction == "mean":
            total = total / scale.sum()
        return total.to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep what the derivatives need."""
        x, labels, kept, w, ctx.reduction = inputs
        ctx.save_for_backward(x, labels, kept, w)
        ctx.save_for_forward(x, labels, kept, w)
        ctx.set_materialize_grads(False)  # None for what does not move: 0 times an infinite input would be NaN

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        """The gradients with respect to `x` and `w`, g being the upstream one; made of what can be derived again."""
        (g,), (x, labels, kept, w), reduction = upstream, ctx.saved_tensors, ctx.reduction
        if g is None:
            return None, None, None, None, None
        wide, axis = WIDE[x.dtype], class_axis(x)
        classes = x.shape[axis]
        label = torch.where(kept, labels, 0)
        scale = torch.ones_like(label, dtype=wide) if w is None else w[label].to(wide)
        slope = -g.to(wide) * scale
        normaliser = torch.where(kept, scale, 0).sum()
        if reduction == "mean":
            slope = slope / normaliser
        slope = torch.where(kept, slope, 0)

        position = torch.arange(label.numel(), device=x.device).reshape(label.shape)
        place = position * classes + label
        rows = slope.new_zeros(label.numel() * classes, dtype=x.dtype)
        rows = rows.scatter(0, place.reshape(-1), slope.to(x.dtype).reshape(-1))
        gradient = rows.reshape(*label.shape, classes).movedim(-1, axis)

        weight_gradient: Any = None
        if ctx.needs_input_grad[3]:
            share = torch.where(kept, x.gather(axis, label.unsqueeze(axis)).squeeze(axis), 0).to(wide)
            if reduction == "mean":
                share = (share - (share * scale).sum() / normaliser) / normaliser
            share = torch.where(kept, -g.to(wide) * share, 0).reshape(-1)
            weight_gradient = share.new_zeros(classes).index_add(0, label.reshape(-1), share).to(x.dtype)
        return gradient, None, None, weight_gradient, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """The derivative along the tangents of `x` and `w`; what does not move has None."""
        (x, labels, kept, w), reduction = ctx.saved_tensors, ctx.reduction
        moved, _, _, turned, _ = tangents
        axis, wide = class_axis(x), WIDE[x.dtype]
        at = torch.where(kept, labels, 0)
        factor = torch.ones_like(at, dtype=wide) if w is None else w[at].to(wide)
        total = torch.where(kept, factor, 0).sum()
        rate = torch.zeros_like(factor)
        if moved is not None:
            rate = rate - moved.gather(axis, at.unsqueeze(axis)).squeeze(axis).to(wide) * factor
        if turned is not None:
            share = torch.where(kept, x.gather(axis, at.unsqueeze(axis)).squeeze(axis), 0).to(wide)
            if reduction == "mean":
                share = share - (share * factor).sum() / total
            rate = rate - share * turned[at].to(wide)
        rate = torch.where(kept, rate, 0)
        if reduction != "none":
            rate = rate.sum()
        if reduction == "mean":
            rate = rate / total
        return rate.to(x.dtype)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        """The losses of each part, one after another."""
        mapped = zip(arguments, in_dims, strict=True)
        columns = [[one] * info.batch_size if dim is None else one.unbind(dim) for one, dim in mapped]
        return torch.stack([Loss.apply(*part) for part in zip(*columns, strict=True)]), 0
