"""A correct nll_loss in JAX whose derivative is written by hand, one step to a line.

jax_faults.toml and jax_correct.toml edit these lines. The one rule, `_along`, is both: forward mode runs it, and the
gradient is its transpose, which JAX makes.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero

WIDE: Any = {"float16": jnp.float32, "bfloat16": jnp.float32, "float32": jnp.float32, "float64": jnp.float64}
IGNORED, INVALID = -1, -2  # what stands for a target that is no class


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """The loss of lossparity's specification, for JAX arrays."""
    x, t, w = input, target, weight
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"no reduction {reduction!r}")
    if x.dtype.name not in WIDE:
        raise TypeError(f"input is {x.dtype}")
    if t.dtype.kind not in "iu":
        raise TypeError(f"target is {t.dtype}")
    if x.ndim == 0:
        raise ValueError("input has no class axis")
    axis = min(1, x.ndim - 1)
    classes = x.shape[axis]
    positions = x.shape[:axis] + x.shape[axis + 1 :]
    if t.shape != positions:
        raise ValueError(f"target is {t.shape}, input needs {positions}")
    if w is not None and w.shape != (classes,):
        raise ValueError(f"weight is {w.shape}, input needs {(classes,)}")
    if w is not None and w.dtype != x.dtype:
        raise TypeError(f"weight is {w.dtype}, input is {x.dtype}")

    traced = isinstance(t, Tracer)  # then its values do not exist yet
    xp: Any = jnp if traced else np
    t = xp.asarray(t)
    held = xp.iinfo(t.dtype)
    sentinel = t.dtype.type(ignore_index) if held.min <= ignore_index <= held.max else None
    kept = xp.ones(t.shape, bool) if sentinel is None else t != sentinel
    t = t.astype(np.int32) if t.dtype.itemsize < 4 else t  # wide enough to be compared with `classes`
    invalid = kept & ((t < 0) | (t >= classes))
    if not traced and invalid.any():
        raise IndexError(f"a target is outside [0, {classes})")
    labels = xp.where(kept, t, IGNORED)
    labels = xp.where(invalid, INVALID, labels).astype(np.int32)
    return _compiled(x, labels, w, reduction)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _loss(x: Any, labels: Any, w: Any, reduction: str) -> Any:
    """The loss of int32 labels, which are classes or one of the codes above."""
    kept, wide = labels != IGNORED, WIDE[x.dtype.name]
    picked = jnp.where(kept, _pick(x, labels), 0).astype(wide)
    picked = jnp.where(labels == INVALID, jnp.nan, picked)
    terms = -picked * _scale(labels, w, wide)
    if reduction == "none":
        return terms.astype(x.dtype)
    total = terms.sum()
    if reduction == "mean":
        total = total / _scale(labels, w, wide).sum()
    return total.astype(x.dtype)


def _pick(x: Any, labels: Any) -> Any:
    """x[n, label] at each position n; x[n, 0] where the label is no class."""
    axis = min(1, x.ndim - 1)
    index = jnp.expand_dims(jnp.maximum(labels, 0), axis)
    return jnp.take_along_axis(x, index, axis).squeeze(axis)


def _scale(labels: Any, w: Any, wide: Any) -> Any:
    """w[label] at each position; 0 where it is ignored."""
    weights = jnp.ones(labels.shape, wide) if w is None else w[jnp.maximum(labels, 0)].astype(wide)
    return jnp.where(labels != IGNORED, weights, 0)


@partial(cast(Any, _loss).defjvp, symbolic_zeros=True)
def _along(reduction: str, primals: Any, tangents: Any) -> Any:
    """The loss and its derivative along tangents of `x` and `w`; what does not move has a SymbolicZero."""
    (x, labels, w), (moved, _, turned) = primals, tangents
    kept, wide = labels != IGNORED, WIDE[x.dtype.name]
    scale = _scale(labels, w, wide)
    normaliser = scale.sum()
    rate = jnp.zeros(labels.shape, wide)
    if not isinstance(moved, SymbolicZero):
        rate = rate - jnp.where(kept, _pick(moved, labels), 0).astype(wide) * scale
    if w is not None and not isinstance(turned, SymbolicZero):
        share = jnp.where(kept, _pick(x, labels), 0).astype(wide)
        if reduction == "mean":
            share = share - (share * scale).sum() / normaliser
        rate = rate - share * _scale(labels, turned, wide)
    if reduction != "none":
        rate = rate.sum()
    if reduction == "mean":
        rate = rate / normaliser
    return _loss(x, labels, w, reduction), rate.astype(x.dtype)


_compiled: Any = jax.jit(_loss, static_argnums=3)
