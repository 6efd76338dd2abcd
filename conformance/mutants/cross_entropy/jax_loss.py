"""A correct cross_entropy in JAX whose derivatives are written by hand, one step to a line.

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


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """The loss of lossparity's specification, for JAX arrays."""
    x, t, w, e = input, target, weight, label_smoothing
    check(x, t, w, ignore_index, reduction, e)
    if t.dtype.kind not in "iu":
        return _compiled(x, t, w, reduction, float(e))
    traced = isinstance(t, Tracer)  # then its values do not exist yet
    xp: Any = jnp if traced else np
    t, classes = xp.asarray(t), x.shape[_axis(x)]
    held = xp.iinfo(t.dtype)
    sentinel = t.dtype.type(ignore_index) if held.min <= ignore_index <= held.max else None
    kept = xp.ones(t.shape, bool) if sentinel is None else t != sentinel
    t = t.astype(np.int32) if t.dtype.itemsize < 4 else t  # wide enough to be compared with `classes`
    invalid = kept & ((t < 0) | (t >= classes))
    if not traced and invalid.any():
        raise IndexError(f"a target is outside [0, {classes})")
    labels = xp.where(kept, t, IGNORED)
    labels = xp.where(invalid, INVALID, labels).astype(np.int32)
    return _compiled(x, labels, w, reduction, float(e))


def _axis(x: Any) -> int:
    return min(1, x.ndim - 1)


def _is_labels(t: Any) -> bool:
    return t.dtype.kind == "i"


def _kept(x: Any, t: Any) -> Any:
    """Which positions count, on one class."""
    axis = _axis(x)
    shape = x.shape[:axis] + (1,) + x.shape[axis + 1 :]
    return jnp.expand_dims(t, axis) != IGNORED if _is_labels(t) else jnp.ones(shape, bool)


def _weights(x: Any, w: Any) -> Any:
    """The weights, ones without any, in the wide dtype, along the class axis of `x`."""
    classes = x.shape[_axis(x)]
    found = jnp.ones(classes) if w is None else w
    return found.astype(WIDE[x.dtype.name]).reshape((classes,) + (1,) * (x.ndim - 1 - _axis(x)))


def _hit(x: Any, t: Any) -> Any:
    """Where the class is the label."""
    return jnp.expand_dims(t, _axis(x)) == jax.lax.broadcasted_iota(t.dtype, x.shape, _axis(x))


def _counts(x: Any, t: Any, w: Any, e: float) -> Any:
    """What each -log_softmax counts with, for labels and for probabilities alike."""
    weights, classes = _weights(x, w), x.shape[_axis(x)]
    if not _is_labels(t):
        smooth = (1 - e) * t.astype(weights.dtype) + e / max(classes, 1)
        return smooth * weights
    counts = jnp.where(_hit(x, t), (1 - e) * weights, 0)
    if e:
        counts = counts + e / max(classes, 1) * weights
    return jnp.where(_kept(x, t), counts, 0)


def _normaliser(x: Any, t: Any, w: Any) -> Any:
    """What a mean divides by."""
    wide = WIDE[x.dtype.name]
    if w is None or not _is_labels(t):
        return _kept(x, t).sum().astype(wide)
    return jnp.where(t != IGNORED, w[jnp.maximum(t, 0)].astype(wide), 0).sum()


@partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _loss(x: Any, t: Any, w: Any, reduction: str, e: float) -> Any:
    """The loss of probabilities, or of int32 labels, which are classes or one of the codes above."""
    axis, weights = _axis(x), _weights(x, w)
    logs = jax.nn.log_softmax(x.astype(weights.dtype), axis)
    if _is_labels(t):
        products = jnp.where(_hit(x, t), (1 - e) * logs, 0)
        products = products + e / max(x.shape[axis], 1) * logs if e else products
        terms = -jnp.where(_hit(x, t) | (e > 0), products * weights, 0).sum(axis)
        terms = jnp.where(t == INVALID, jnp.nan, terms)
    else:
        smooth = (1 - e) * t.astype(weights.dtype) + e / max(x.shape[axis], 1)
        products = jnp.where((smooth == 0) & jnp.isneginf(logs), 0, smooth * logs)
        terms = -(products * weights).sum(axis)
    terms = jnp.where(_kept(x, t).squeeze(axis), terms, 0)
    if reduction == "none":
        return terms.astype(x.dtype)
    total = terms.sum()
    if reduction == "mean":
        total = total / _normaliser(x, t, w)
    return total.astype(x.dtype)


@partial(cast(Any, _loss).defjvp, symbolic_zeros=True)
def _along(reduction: str, e: float, primals: Any, tangents: Any) -> Any:
    """The loss and its derivative along tangents of `x` and `t`; what does not move has a SymbolicZero."""
    (x, t, w), (moved, turned, _) = primals, tangents
    axis, weights = _axis(x), _weights(x, w)
    kept = _kept(x, t)
    rate = jnp.zeros(kept.shape, weights.dtype)
    if not isinstance(moved, SymbolicZero):
        counts = _counts(x, t, w, e)
        whole = counts.sum(axis, keepdims=True)
        share = jax.nn.softmax(x.astype(weights.dtype), axis)
        slope = jnp.where(kept, share * whole - counts, 0)
        rate = rate + (slope * moved.astype(weights.dtype)).sum(axis, keepdims=True)
    if not (_is_labels(t) or isinstance(turned, SymbolicZero)):
        logs = jax.nn.log_softmax(x.astype(weights.dtype), axis)
        rate = rate - ((1 - e) * weights * logs * turned.astype(weights.dtype)).sum(axis, keepdims=True)
    rate = rate.squeeze(axis)
    if reduction != "none":
        rate = rate.sum()
    if reduction == "mean":
        rate = rate / _normaliser(x, t, w)
    return _loss(x, t, w, reduction, e), rate.astype(x.dtype)


def check(x: Any, t: Any, w: Any, ignore_index: int, reduction: str, e: float) -> None:
    """Guard what a call may hold."""
    axis = min(1, x.ndim - 1)
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"no reduction {reduction!r}")
    if not 0 <= e <= 1:
        raise ValueError(f"label_smoothing is {e}")
    if x.dtype.name not in WIDE:
        raise TypeError(f"input is {x.dtype}")
    if x.ndim == 0:
        raise ValueError("input has no class axis")
    indexed = t.dtype.kind in "iu"
    if not indexed and t.dtype != x.dtype:
        raise TypeError(f"target is {t.dtype}, input is {x.dtype}")
    if t.shape != (x.shape[:axis] + x.shape[axis + 1 :] if indexed else x.shape):
        raise ValueError(f"target {t.shape} of {t.dtype} does not fit input {x.shape}")
    if not indexed and ignore_index >= 0:
        raise ValueError(f"ignore_index is {ignore_index}, and target has no classes")
    if w is not None and w.shape != (x.shape[axis],):
        raise ValueError(f"weight is {w.shape}, input needs {(x.shape[axis],)}")
    if w is not None and w.dtype != x.dtype:
        raise TypeError(f"weight is {w.dtype}, input is {x.dtype}")


_compiled: Any = jax.jit(_loss, static_argnums=(3, 4))
