"""Losses that torch compiles, right and wrong on purpose, for tests/test_compiled.py."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

WIDER = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.float32: torch.float32}


def _checked(x: Any, t: Any, w: Any, reduction: Any) -> int:
    """The class axis; raises for what is known without a look at numbers."""
    if reduction not in ("none", "sum", "mean"):
        raise ValueError("no such reduction")
    if not x.is_floating_point() or t.is_floating_point() or t.is_complex() or t.dtype == torch.bool:
        raise TypeError("wrong dtype")
    if x.ndim == 0:
        raise ValueError("input is 0-d")
    axis = min(1, x.ndim - 1)
    if t.shape != x.shape[:axis] + x.shape[axis + 1 :]:
        raise ValueError("shapes do not fit")
    if w is not None and (w.shape != (x.shape[axis],) or w.dtype != x.dtype):
        raise ValueError("wrong weight")
    return axis


def _loss(x: Any, t: Any, w: Any, ignore_index: int, reduction: str, axis: int, *, bad: Any, count: bool) -> Any:
    """The loss, NaN where a target is no class; `count` divides by all positions."""
    wide = WIDER.get(x.dtype, torch.float64)
    kept = t != ignore_index
    label = torch.where(kept & ~bad, t, 0)
    picked = x.gather(axis, label.unsqueeze(axis)).squeeze(axis)
    picked = torch.where(bad, torch.nan, torch.where(kept, picked, 0).to(wide))
    scale = torch.ones_like(picked) if w is None else w.index_select(0, label.reshape(-1)).reshape(label.shape).to(wide)
    scale = torch.where(kept, scale, 0)
    loss = -picked * scale
    if reduction == "sum":
        loss = loss.sum()
    if reduction == "mean":
        loss = loss.sum() / (torch.ones_like(scale).sum() if count else scale.sum())
    return loss.to(x.dtype)


def _compute(
    x: Any, t: Any, w: Any, ignore_index: int, reduction: Any, *, clamp: bool = False, count: bool = False
) -> Any:
    axis = _checked(x, t, w, reduction)
    kept = t != ignore_index
    bad = kept & ((t < 0) | (t >= x.shape[axis]))
    if torch.compiler.is_compiling():
        if clamp:
            t, bad = torch.where(kept, t.clamp(0, x.shape[axis] - 1), t), torch.zeros_like(bad)
    else:
        count = False
        if bad.any():
            raise IndexError("a target is no class")
    return _loss(x, t, w, ignore_index, reduction, axis, bad=bad, count=count)


def eager(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Right, and can be compiled as a whole: it does not look at numbers then."""
    return _compute(input, target, weight, ignore_index, reduction)


def _clamps(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    return _compute(input, target, weight, ignore_index, reduction, clamp=True)


def _counts(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    return _compute(input, target, weight, ignore_index, reduction, count=True)


def looks(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Right, and looks at numbers even while it is compiled: that breaks a graph in two."""
    axis = _checked(input, target, weight, reduction)
    bad = (target != ignore_index) & ((target < 0) | (target >= input.shape[axis]))
    if bad.any():
        raise IndexError("a target is no class")
    return _loss(input, target, weight, ignore_index, reduction, axis, bad=bad, count=False)


@torch.compiler.disable
def never(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Whoever compiles this runs it eagerly."""
    return eager(input, target, weight, ignore_index, reduction)


compiled = torch.compile(eager, fullgraph=True, dynamic=False)
broken_graph = torch.compile(looks)
compiled_clamps = torch.compile(_clamps, dynamic=False)
compiled_counts = functools.partial(torch.compile(_counts, dynamic=False))
compiled_never = torch.compile(lambda *arguments, **options: never(*arguments, **options))


def _script(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    clamp: bool = False,
) -> Tensor:
    if reduction not in ("none", "sum", "mean"):
        raise ValueError("no such reduction")
    if not input.is_floating_point() or target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise TypeError("wrong dtype")
    if input.dim() == 0:
        raise ValueError("input is 0-d")
    axis = min(1, input.dim() - 1)
    positions = input.size()[:axis] + input.size()[axis + 1 :]
    if target.size() != positions:
        raise ValueError("shapes do not fit")
    kept = target != ignore_index
    bad = kept & ((target < 0) | (target >= input.size(axis)))
    if clamp:
        label = torch.where(kept, target.clamp(0, input.size(axis) - 1), torch.zeros_like(target))
    else:
        if bool(bad.any()):
            raise IndexError("a target is no class")
        label = torch.where(kept, target, torch.zeros_like(target))
    wide = torch.float64 if input.dtype == torch.float64 else torch.float32
    picked = input.gather(axis, label.unsqueeze(axis)).squeeze(axis).to(wide)
    picked = torch.where(kept, picked, torch.zeros_like(picked))
    scale = torch.ones_like(picked)
    if weight is not None:
        if weight.dim() != 1 or weight.size(0) != input.size(axis) or weight.dtype != input.dtype:
            raise ValueError("wrong weight")
        scale = weight.index_select(0, label.reshape(-1)).reshape(label.size()).to(wide)
    scale = torch.where(kept, scale, torch.zeros_like(scale))
    loss = -picked * scale
    if reduction == "sum":
        loss = loss.sum()
    if reduction == "mean":
        loss = loss.sum() / scale.sum()
    return loss.to(input.dtype)


_source: Any = torch.jit.script(_script)
scripted = _source
scripted_clamps = functools.partial(_source, clamp=True)
