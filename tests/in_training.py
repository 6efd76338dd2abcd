"""Losses whose gradient is right once and by itself, or whose value is right by itself, in three frameworks.

Each is named by what it does. Half of them are wrong in what training does besides: a second backward pass, a forward
pass in between, the value where the input is to be differentiated or under autocast, more classes than a block holds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

Loss = Callable[..., Any]
BLOCK = 1 << 15
LAST: list[Any] = [None]  # what a forward pass leaves behind for whoever comes next


# --- PyTorch -------------------------------------------------------------------------------------------------


def in_torch(how: str) -> Loss:
    """A loss in PyTorch."""
    import torch

    def plain(x: Any, t: Any, w: Any, i: int, r: str) -> Any:
        return torch.nn.functional.nll_loss(x, t, w, ignore_index=i, reduction=r)

    class Written(torch.autograd.Function):
        """The gradient is made in forward but for g, and kept in the graph."""

        @staticmethod
        def forward(ctx: Any, x: Any, t: Any, w: Any, i: int, r: str) -> Any:
            kept = t != i
            label = torch.where(kept, t, 0)
            scale = torch.where(kept, torch.ones_like(label, dtype=x.dtype) if w is None else w[label], 0)
            slope = torch.where(kept, -scale / scale.sum(), 0) if r == "mean" else -scale
            LAST[0] = ctx.slope, ctx.label = slope, label
            ctx.kept, ctx.shape = kept, x.shape
            return plain(x, t, w, i, r)

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            slope = LAST[0][0] if how == "slopes in a global" else ctx.slope
            label = LAST[0][1] if how == "labels in a global" else ctx.label
            slope = torch.where(ctx.kept, _scaled(slope, upstream[0], how), 0)
            return _scattered(slope, label, ctx.shape, how), None, None, None, None

    def written(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
        return Written.apply(input, target, weight, ignore_index, reduction)

    def valued(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
        return _VALUES[how](plain, input, target, weight, ignore_index, reduction)

    return valued if how in _VALUES else written


def _scaled(slope: Any, g: Any, how: str) -> Any:
    """The slopes times the upstream gradient."""
    if how == "scaled in place":
        return slope.mul_(g)
    scaled = slope.clone().mul_(g)
    if how == "cleared after use":
        slope.zero_()
    return scaled


def _scattered(slope: Any, label: Any, shape: Any, how: str) -> Any:
    """The slopes at their classes, in one go or block by block."""
    import torch

    axis = min(1, len(shape) - 1)
    if "block" not in how:
        return torch.zeros(shape, dtype=slope.dtype).scatter(axis, label.unsqueeze(axis), slope.unsqueeze(axis))
    gradient, classes = torch.zeros(shape, dtype=slope.dtype), shape[axis]
    end = {"whole blocks": max(classes // BLOCK, 1) * BLOCK, "first two blocks": 2 * BLOCK}.get(how, classes)
    for start in range(0, min(end, classes), BLOCK):
        part = gradient.narrow(axis, start, min(BLOCK, classes - start))
        here = (label >= start) & (label < start + part.shape[axis])
        place = torch.where(here, label - start, 0).unsqueeze(axis)
        part.scatter_add_(axis, place, torch.where(here, slope, 0).unsqueeze(axis))
    return gradient


def _over_all_rows(plain: Loss, x: Any, t: Any, w: Any, i: int, r: str) -> Any:
    loss = plain(x, t, w, i, r)
    return loss - loss.detach() * (t == i).to(x.dtype).mean() if x.requires_grad and r == "mean" else loss


def _rounded_in_training(plain: Loss, x: Any, t: Any, w: Any, i: int, r: str) -> Any:
    loss = plain(x, t, w, i, r)
    return loss - (loss - loss.bfloat16()).detach() if x.requires_grad else loss


def _double_in_training(plain: Loss, x: Any, t: Any, w: Any, i: int, r: str) -> Any:
    if not x.requires_grad:
        return plain(x, t, w, i, r)
    return plain(x.double(), t, None if w is None else w.double(), i, r).to(x.dtype)


def _contiguous_in_training(plain: Loss, x: Any, t: Any, w: Any, i: int, r: str) -> Any:
    return plain(x.contiguous().clone() if x.requires_grad else x, t, w, i, r)


def _sums_as_products(plain: Loss, x: Any, t: Any, w: Any, i: int, r: str, autocast: bool = True) -> Any:
    """Sums as products of a row and a column, which autocast computes in bfloat16 unless it is told not to."""
    import torch

    losses, scale = (plain(one, t, w, i, "none").reshape(-1) for one in (x, -torch.ones_like(x)))
    if r == "none":
        return losses.reshape(t.shape)
    with contextlib.nullcontext() if autocast else torch.autocast("cpu", enabled=False):
        total, count = ((one[None] @ torch.ones_like(one)[:, None]).reshape(()) for one in (losses, scale))
    return (total / count if r == "mean" else total).to(x.dtype)


def _outside_of_autocast(plain: Loss, *arguments: Any) -> Any:
    return _sums_as_products(plain, *arguments, autocast=False)


def _rounded_under_autocast(plain: Loss, x: Any, t: Any, w: Any, i: int, r: str) -> Any:
    import torch

    return plain(x.bfloat16().to(x.dtype) if torch.is_autocast_enabled("cpu") else x, t, w, i, r)


def _as_it_is(plain: Loss, *arguments: Any) -> Any:
    return plain(*arguments)


_VALUES: dict[str, Loss] = {
    "mean over all rows in training": _over_all_rows,
    "rounded in training": _rounded_in_training,
    "double in training": _double_in_training,
    "contiguous in training": _contiguous_in_training,
    "sums as products": _sums_as_products,
    "sums as products outside of autocast": _outside_of_autocast,
    "rounded under autocast": _rounded_under_autocast,
    "the native one": _as_it_is,
}


# --- JAX and TensorFlow --------------------------------------------------------------------------------------


def in_jax(how: str) -> Loss:
    """A loss in JAX with a pull-back of its own."""
    import jax
    from lossparity.adapters.jax import nll_loss

    def loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
        def plain(x: Any) -> Any:
            return nll_loss(x, target, weight=weight, ignore_index=ignore_index, reduction=reduction)

        def forward(x: Any) -> Any:
            value, pull = jax.vjp(plain, x)
            LAST[0] = [pull, True]
            return (value / 2 if how == "halved in training" else value), LAST[0]

        def backward(saved: Any, g: Any) -> Any:
            pull, _ = LAST[0] if how == "pull-back in a global" else saved
            return pull(g)

        def counted(saved: Any, g: Any) -> Any:
            (gradient,) = backward(saved, g)
            calls.append(g)
            return (gradient * (1 if how != "second pass scaled" else len(calls)),)

        calls: list[Any] = []
        made = jax.custom_vjp(plain)
        made.defvjp(forward, counted)
        return made(input)

    return loss


def in_tensorflow(how: str) -> Loss:
    """A loss in TensorFlow with a gradient of its own."""
    import tensorflow as tf
    from lossparity.adapters.tensorflow import nll_loss

    def loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
        def plain(x: Any) -> Any:
            return nll_loss(x, target, weight=weight, ignore_index=ignore_index, reduction=reduction)

        @tf.custom_gradient
        def made(x: Any) -> Any:
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(x)
                value = plain(x)
            LAST[0] = tape, value, x
            calls: list[Any] = []

            def backward(g: Any) -> Any:
                held, of, by = LAST[0] if how == "tape in a global" else (tape, value, x)
                calls.append(g)
                gradient = held.gradient(of, by, g, tf.UnconnectedGradients.ZERO)
                return gradient * (len(calls) if how == "second pass scaled" else 1)

            return value, backward

        return made(input)

    return loss
