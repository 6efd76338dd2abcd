"""Losses that tf.function compiles, right and wrong on purpose, for tests/test_compiled.py."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

NAN, ZERO = tf.constant(float("nan"), tf.float64), tf.constant(0.0, tf.float64)


def _checked(x: Any, t: Any, w: Any, reduction: Any) -> int:
    """The class axis; raises for what is known without a look at numbers."""
    if reduction not in ("none", "sum", "mean"):
        raise ValueError("no such reduction")
    if not x.dtype.is_floating or not t.dtype.is_integer:
        raise TypeError("wrong dtype")
    if x.shape.rank == 0:
        raise ValueError("input is 0-d")
    axis = min(1, x.shape.rank - 1)
    if t.shape != x.shape[:axis] + x.shape[axis + 1 :]:
        raise ValueError("shapes do not fit")
    if w is not None and (w.shape != (x.shape[axis],) or w.dtype != x.dtype):
        raise ValueError("wrong weight")
    return axis


def _compute(
    x: Any, t: Any, w: Any, ignore_index: int, reduction: Any, *, clamp: bool = False, count: bool = False
) -> Any:
    """The loss; in a graph `clamp` takes the nearest class, and `count` divides by all positions."""
    axis = _checked(x, t, w, reduction)
    t = tf.cast(t, tf.int64)
    kept = t != ignore_index
    bad = kept & ((t < 0) | (t >= x.shape[axis]))
    symbolic = tf.is_symbolic_tensor(bad)
    if symbolic and clamp:
        t = tf.where(kept, tf.clip_by_value(t, 0, x.shape[axis] - 1), t)
        bad = tf.zeros_like(bad)
    if not symbolic and tf.reduce_any(bad):
        raise IndexError("a target is no class")
    live = kept & ~bad
    label = tf.where(live, t, 0)
    rows = tf.reshape(tf.transpose(x, [i for i in range(x.shape.rank) if i != axis] + [axis]), [-1, x.shape[axis]])
    picked = tf.gather(rows, tf.reshape(label, [-1]), axis=1, batch_dims=1)
    picked = tf.where(live, tf.cast(tf.reshape(picked, t.shape), tf.float64), tf.where(bad, NAN, ZERO))
    scale = tf.ones(t.shape, tf.float64) if w is None else tf.cast(tf.gather(w, label), tf.float64)
    scale = tf.where(kept, scale, ZERO)
    loss = -picked * scale
    if reduction == "sum":
        loss = tf.reduce_sum(loss)
    if reduction == "mean":
        loss = tf.reduce_sum(loss) / (tf.cast(tf.size(t), tf.float64) if count and symbolic else tf.reduce_sum(scale))
    return tf.cast(loss, x.dtype)


def eager(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Right, in a graph or not."""
    return _compute(input, target, weight, ignore_index, reduction)


def _clamps(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    return _compute(input, target, weight, ignore_index, reduction, clamp=True)


def _counts(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    return _compute(input, target, weight, ignore_index, reduction, count=True)


@tf.autograph.experimental.do_not_convert
def looks(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Right, but cannot be compiled: it asks for numbers."""
    if tf.reduce_all(target == ignore_index):
        ignore_index += 0
    return _compute(input, target, weight, ignore_index, reduction)


graph = tf.function(eager)
relaxed = tf.function(eager, reduce_retracing=True)
whole = tf.function(eager, jit_compile=True)
graph_clamps = tf.function(_clamps)
graph_counts = tf.function(_counts)
