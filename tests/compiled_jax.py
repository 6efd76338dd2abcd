"""Losses that jax.jit compiles or that know whether 64-bit types are on, for tests/test_compiled.py."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

WIDER: dict[str, Any] = {
    "float16": jnp.float32,
    "bfloat16": jnp.float32,
    "float32": jnp.float32,
    "float64": jnp.float64,
}
FIXED = ("ignore_index", "reduction")


def _checked(x: Any, t: Any, w: Any, reduction: Any) -> int:
    """The class axis; raises for what is known without a look at numbers."""
    if reduction not in ("none", "sum", "mean"):
        raise ValueError("no such reduction")
    if x.dtype.name not in WIDER or t.dtype.kind not in "iu":
        raise TypeError("wrong dtype")
    if x.ndim == 0:
        raise ValueError("input is 0-d")
    axis = min(1, x.ndim - 1)
    if t.shape != x.shape[:axis] + x.shape[axis + 1 :]:
        raise ValueError("shapes do not fit")
    if w is not None and (w.shape != (x.shape[axis],) or w.dtype != x.dtype):
        raise ValueError("wrong weight")
    return axis


def _compute(
    x: Any, t: Any, w: Any, ignore_index: int, reduction: Any, *, clamp: bool = False, count: bool = False
) -> Any:
    """The loss; `clamp` takes the nearest class where targets are traced, `count` divides by all positions."""
    axis = _checked(x, t, w, reduction)
    info = jnp.iinfo(t.dtype)
    kept = t != ignore_index if info.min <= ignore_index <= info.max else jnp.ones(t.shape, bool)
    bad = kept & ((t < 0) | (t >= x.shape[axis]))
    if clamp and isinstance(t, Tracer):
        t, bad = jnp.clip(t, 0, x.shape[axis] - 1), jnp.zeros(t.shape, bool)
    if not isinstance(bad, Tracer) and bad.any():
        raise IndexError("a target is no class")
    label = jnp.where(kept & ~bad, t, 0)
    wide = WIDER[x.dtype.name]
    picked = jnp.take_along_axis(x, jnp.expand_dims(label, axis), axis).squeeze(axis)
    picked = jnp.where(bad, jnp.nan, jnp.where(kept, picked, 0).astype(wide))
    scale = jnp.where(kept, jnp.ones(t.shape, wide) if w is None else w[label].astype(wide), 0)
    loss = -picked * scale
    if reduction == "sum":
        loss = loss.sum()
    if reduction == "mean":
        loss = loss.sum() / (scale.size if count else scale.sum())
    return loss.astype(x.dtype)


def eager(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Right, traced or not, with 64-bit types and without."""
    return _compute(input, target, weight, ignore_index, reduction)


def _clamps(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    return _compute(input, target, weight, ignore_index, reduction, clamp=True)


def _counts(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    count = isinstance(target, Tracer)
    return _compute(input, target, weight, ignore_index, reduction, count=count)


def looks(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Right, but cannot be compiled: it asks for numbers."""
    if (target == ignore_index).all() and reduction == "sum":
        return jnp.zeros((), input.dtype) + 0 * _compute(input, target, weight, ignore_index, reduction)
    return _compute(input, target, weight, ignore_index, reduction)


jitted = jax.jit(eager, static_argnames=FIXED)
jitted_clamps = jax.jit(_clamps, static_argnames=FIXED)
jitted_counts = jax.jit(_counts, static_argnames=FIXED)


def hidden(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Compiled, which nothing shows from outside."""
    return jitted(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


def narrow_counts(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean"
) -> Any:
    """Wrong without 64-bit types only."""
    config: Any = jax.config
    count = not config.jax_enable_x64
    return _compute(input, target, weight, ignore_index, reduction, count=count)


def narrow_overflows(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean"
) -> Any:
    """Makes an array of ignore_index: without 64-bit types that raises OverflowError beyond 32 bits."""
    bits = jnp.asarray(ignore_index)  # so big in some calls that nothing is ignored
    del bits
    return _compute(input, target, weight, ignore_index, reduction)
