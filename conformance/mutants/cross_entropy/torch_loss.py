"""A correct cross_entropy in PyTorch whose derivatives are written by hand, one step to a line.

torch_faults.toml and torch_correct.toml edit these lines.
"""

from __future__ import annotations

from typing import Any

import torch

WIDE: Any = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
WIDE |= {torch.float32: torch.float32, torch.float64: torch.float64}


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """The loss of lossparity's specification, for tensors."""
    x, t, w, e = input, target, weight, label_smoothing
    check(x, t, w, ignore_index, reduction, e)
    if t.is_floating_point():
        kept = torch.ones(positions(x), dtype=torch.bool, device=x.device)
        return Loss.apply(x, t, kept, w, reduction, e)
    held = torch.iinfo(t.dtype)
    labels = t.long()
    kept = labels != ignore_index if held.min <= ignore_index <= held.max else torch.ones_like(labels, dtype=torch.bool)
    return Loss.apply(x, torch.where(kept, labels, 0), kept, w, reduction, e)


def class_axis(x: Any) -> int:
    """The axis of `x` that its classes lie on."""
    return min(1, x.ndim - 1)


def positions(x: Any) -> Any:
    """The shape of `x` without its classes."""
    axis = class_axis(x)
    return x.shape[:axis] + x.shape[axis + 1 :]


def weights_of(x: Any, w: Any) -> Any:
    """The weights, ones without any, in the wide dtype, along the class axis of `x`."""
    classes = x.shape[class_axis(x)]
    found = torch.ones(classes, device=x.device) if w is None else w
    return found.to(WIDE[x.dtype]).reshape(classes, *[1] * (x.ndim - 1 - class_axis(x)))


def coefficients(x: Any, t: Any, w: Any, e: float) -> Any:
    """What each -log_softmax counts with, for labels and for probabilities alike."""
    axis, wide = class_axis(x), WIDE[x.dtype]
    weights, classes = weights_of(x, w), x.shape[axis]
    if t.is_floating_point():
        smooth = (1 - e) * t.to(wide) + e / max(classes, 1)
        return smooth * weights
    index = torch.arange(classes, device=x.device).reshape(classes, *[1] * (x.ndim - 1 - axis))
    counts = torch.where(t.unsqueeze(axis) == index, (1 - e) * weights, 0)
    if e:
        counts = counts + e / classes * weights
    return counts


def normaliser_of(x: Any, t: Any, kept: Any, w: Any) -> Any:
    """What a mean divides by."""
    if w is None or t.is_floating_point():
        return kept.sum().to(WIDE[x.dtype])
    return torch.where(kept, w[t].to(WIDE[x.dtype]), 0).sum()


class Loss(torch.autograd.Function):
    """The loss of checked arguments; ignored positions have label 0."""

    @staticmethod
    def forward(x: Any, t: Any, kept: Any, w: Any, reduction: str, e: float) -> Any:
        """The value, in input's dtype."""
        axis, weights = class_axis(x), weights_of(x, w)
        logs = torch.log_softmax(x.to(WIDE[x.dtype]), axis)
        if t.is_floating_point():
            smooth = (1 - e) * t.to(logs.dtype) + e / max(x.shape[axis], 1)
            products = torch.where((smooth == 0) & logs.isneginf(), 0, smooth * logs)
            terms = -(products * weights).sum(axis)
        else:
            if ((t < 0) | (t >= x.shape[axis])).any():
                raise IndexError(f"a target is outside [0, {x.shape[axis]})")
            scale = torch.ones_like(t, dtype=logs.dtype) if w is None else w[t].to(logs.dtype)
            terms = -logs.gather(axis, t.unsqueeze(axis)).squeeze(axis) * scale
            if e:
                terms = (1 - e) * terms - e / x.shape[axis] * (logs * weights).sum(axis)
        terms = torch.where(kept, terms, 0)
        if reduction == "none":
            return terms.to(x.dtype)
        total = terms.sum()
        if reduction == "mean":
            total = total / normaliser_of(x, t, kept, w)
        return total.to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep what the derivatives need."""
        x, t, kept, w, ctx.reduction, ctx.smoothing = inputs
        ctx.save_for_backward(x, t, kept, w)
        ctx.save_for_forward(x, t, kept, w)
        ctx.set_materialize_grads(False)  # None for what does not move: 0 times an infinite logarithm would be NaN

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        """The gradients with respect to `x` and `t`, g being the upstream one; made of what can be derived again."""
        (g,), (x, t, kept, w), reduction, e = upstream, ctx.saved_tensors, ctx.reduction, ctx.smoothing
        if g is None:
            return None, None, None, None, None, None
        axis, wide = class_axis(x), WIDE[x.dtype]
        slope = g.to(wide)
        if reduction == "mean":
            slope = slope / normaliser_of(x, t, kept, w)
        slope = slope.expand(kept.shape).unsqueeze(axis)
        here = kept.unsqueeze(axis)
        gradient = target_gradient = None
        if ctx.needs_input_grad[0]:
            counts = coefficients(x, t, w, e)
            whole = counts.sum(axis, keepdim=True)
            share = torch.softmax(x.to(wide), axis)
            pull = share * whole - counts
            gradient = torch.where(here, slope * pull, 0).to(x.dtype)
        if ctx.needs_input_grad[1]:
            logs = torch.log_softmax(x.to(wide), axis)
            target_gradient = (-slope * (1 - e) * weights_of(x, w) * logs).to(x.dtype)
        return gradient, target_gradient, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """The derivative along the tangents of `x` and `t`; what does not move has None."""
        (x, t, kept, w), reduction, e = ctx.saved_tensors, ctx.reduction, ctx.smoothing
        moved, turned = tangents[:2]
        axis, wide = class_axis(x), WIDE[x.dtype]
        rate = torch.zeros(kept.shape, dtype=wide, device=x.device)
        if moved is not None:
            coefficient = coefficients(x, t, w, e)
            mean = (torch.softmax(x.to(wide), axis) * moved.to(wide)).sum(axis, keepdim=True)
            rate = rate + (coefficient * (mean - moved.to(wide))).sum(axis)
        if turned is not None:
            logs = torch.log_softmax(x.to(wide), axis)
            rate = rate - ((1 - e) * weights_of(x, w) * logs * turned.to(wide)).sum(axis)
        rate = torch.where(kept, rate, 0)
        if reduction != "none":
            rate = rate.sum()
        if reduction == "mean":
            rate = rate / normaliser_of(x, t, kept, w)
        return rate.to(x.dtype)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        """The losses of each part, one after another."""
        mapped = zip(arguments, in_dims, strict=True)
        columns = [[one] * info.batch_size if dim is None else one.unbind(dim) for one, dim in mapped]
        return torch.stack([Loss.apply(*part) for part in zip(*columns, strict=True)]), 0


def check(x: Any, t: Any, w: Any, ignore_index: int, reduction: str, e: float) -> None:
    """Guard what a call may hold."""
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"no reduction {reduction!r}")
    if not 0 <= e <= 1:
        raise ValueError(f"label_smoothing is {e}")
    if x.dtype not in WIDE:
        raise TypeError(f"input is {x.dtype}")
    if x.ndim == 0:
        raise ValueError("input has no class axis")
    if t.dtype == torch.bool or t.is_complex():
        raise TypeError(f"target is {t.dtype}")
    if t.is_floating_point() and t.dtype != x.dtype:
        raise TypeError(f"target is {t.dtype}, input is {x.dtype}")
    if t.shape != (x.shape if t.is_floating_point() else positions(x)):
        raise ValueError(f"target {tuple(t.shape)} of {t.dtype} does not fit input {tuple(x.shape)}")
    if t.is_floating_point() and ignore_index >= 0:
        raise ValueError(f"ignore_index is {ignore_index}, and target has no classes")
    if w is not None and w.shape != x.shape[class_axis(x) :][:1]:
        raise ValueError(f"weight is {tuple(w.shape)}, input is {tuple(x.shape)}")
    if w is not None and w.dtype != x.dtype:
        raise TypeError(f"weight is {w.dtype}, input is {x.dtype}")
