"""Cross-entropy in TensorFlow, with the meaning of `torch.nn.functional.cross_entropy`."""

import tensorflow as tf

from .classes import INDEX_DTYPES, check, fitted, reduce, select, sizes_of


def cross_entropy(
    input: tf.Tensor,
    target: tf.Tensor,
    weight: tf.Tensor | None = None,
    ignore_index: int | tf.Tensor = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tf.Tensor:
    """Return the weighted cross-entropy of the softmax of `input` relative to `target`.

    A target is an index of a class, or a probability p[c] of each class; an index t stands for p[t] = 1. With
    l = log_softmax(input) and e = label_smoothing, PyTorch's documentation defines:

        none:  -sum over c of weight[c] * ((1 - e) * p[c] + e / C) * l[c]   at each position, 0 where it is ignored
        sum:   the sum of these
        mean:  the sum divided, for indices, by the sum of weight[target[n]] where kept (without weights: by their
               number); for probabilities by the number of positions

    What is ignored reaches neither value nor gradient. What is not follows IEEE 754, but for a probability of 0 where
    l = -inf: that adds 0. Probabilities need not add up to 1; none is ignored.

    Shapes: `input` is (N, C), (N, C, d1, ..., dK), or (C,); indices have this shape without the class axis,
    probabilities have it as it is; `weight` is (C,). `none` returns the shape of indices, `sum` and `mean` are 0-d.

    Dtypes: `input` is float16, bfloat16, float32 or float64; probabilities, `weight` and the result have the same
    dtype. Half precision is computed in float32, losses are added in float64. Indices are of any integer dtype; an
    `ignore_index` that it cannot hold ignores nothing.

    Works eagerly, in tf.function and under XLA, with a `label_smoothing` that is known while a graph is traced. Indices
    outside [0, C) in a graph, and sizes unknown while it is traced, are treated as by `nll_loss`.

    Raises:
        TypeError: a dtype other than these, or an `ignore_index` that is not an integer.
        ValueError: shapes that do not fit together, an unknown `reduction`, a `label_smoothing` outside [0, 1], or
            an `ignore_index` of 0 or more, unless it is a tensor, with probabilities, which have none to ignore.
        IndexError: an index outside [0, C) that is not ignored, where `target` is an eager tensor.
    """
    x, t = tf.convert_to_tensor(input), tf.convert_to_tensor(target)
    w = None if weight is None else tf.convert_to_tensor(weight)
    check(x, t, w, reduction, probabilities=True)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing!r}; it must be in [0, 1]")
    axis = min(1, x.shape.rank - 1)
    w = None if w is None or x.shape[axis] == 0 else fitted(w, x, axis)
    if t.dtype in INDEX_DTYPES:
        return _of_indices(x, t, w, ignore_index, reduction, label_smoothing)
    if not tf.is_tensor(ignore_index) and ignore_index >= 0:
        raise ValueError(f"ignore_index is {ignore_index}, but target holds probabilities: there is no class to ignore")
    wide = tf.cast(x, _accumulator(x))
    p = _smoothed(tf.cast(t, wide.dtype), axis, label_smoothing)
    losses = _losses(wide, p, p if w is None else p * _along(w, wide, axis), axis)
    return tf.cast(reduce(losses, None, tf.ones_like(losses, tf.bool), reduction), x.dtype)


def _of_indices(
    x: tf.Tensor,
    t: tf.Tensor,
    w: tf.Tensor | None,
    ignore_index: int | tf.Tensor,
    reduction: str,
    label_smoothing: float,
) -> tf.Tensor:
    """Return the loss of class indices; arguments fit together."""
    axis = min(1, x.shape.rank - 1)
    classes = sizes_of(x)[axis]
    wide, index = tf.cast(x, _accumulator(x)), tf.cast(t, tf.int64)  # uint64 beyond int64 becomes negative
    kept, fill = select(t, index, classes, ignore_index, wide.dtype)
    # Masked before log_softmax, which also masks the gradient, and after it, where a product with 0 would not do: it
    # turns NaN and infinity into NaN.
    wide = tf.where(tf.expand_dims(kept, axis), wide, tf.zeros([], wide.dtype))
    p = _smoothed(tf.one_hot(index, tf.cast(classes, tf.int32), axis=axis, dtype=wide.dtype), axis, label_smoothing)
    q, scale = p, None
    if w is not None:
        # NaN and infinity among the weights of other classes are none of this one's.
        q = tf.where(p == 0, tf.zeros([], p.dtype), p * _along(w, wide, axis))
        scale = tf.gather(w, tf.where(kept, index, tf.zeros([], tf.int64)))
        scale = tf.cast(tf.where(kept, scale, tf.zeros([], w.dtype)), tf.float64)
    losses = tf.where(kept, _losses(wide, p, q, axis), fill)
    return tf.cast(reduce(losses, scale, kept, reduction), x.dtype)


def _losses(x: tf.Tensor, p: tf.Tensor, q: tf.Tensor, axis: int) -> tf.Tensor:
    """Return -sum(q * log_softmax(x)) along the class axis, p being q without weights."""
    logs = tf.nn.log_softmax(x, axis)
    zero = tf.zeros([], logs.dtype)
    without_infinity = tf.where(tf.math.is_inf(logs) & (logs < 0), zero, logs)
    # Select, unlike tf.where, does not broadcast: it also rejects sizes that were unknown while tracing and do not fit.
    return tf.reduce_sum(-q * tf.raw_ops.Select(condition=p == 0, x=without_infinity, y=logs), axis)


def _smoothed(p: tf.Tensor, axis: int, label_smoothing: float) -> tf.Tensor:
    """Return probabilities of which a part is shared among all classes."""
    if not label_smoothing:
        return p
    return (1 - label_smoothing) * p + label_smoothing / tf.cast(tf.shape(p)[axis], p.dtype)


def _along(w: tf.Tensor, x: tf.Tensor, axis: int) -> tf.Tensor:
    """Return weights with the dtype of `x`, and their axis where it has its classes."""
    return tf.reshape(tf.cast(w, x.dtype), [-1] + [1] * (x.shape.rank - 1 - axis))


def _accumulator(x: tf.Tensor) -> tf.DType:
    """Return the dtype that a loss is computed in."""
    return tf.float64 if x.dtype == tf.float64 else tf.float32
