"""Negative log-likelihood loss in TensorFlow, with the meaning of `torch.nn.functional.nll_loss`."""

import math

import tensorflow as tf

from .classes import check, fitted, reduce, select, sizes_of


def nll_loss(
    input: tf.Tensor,
    target: tf.Tensor,
    weight: tf.Tensor | None = None,
    ignore_index: int | tf.Tensor = -100,
    reduction: str = "mean",
) -> tf.Tensor:
    """Return the weighted negative log-likelihood of `target` under the log-probabilities `input`.

    With `kept` the positions whose target is not `ignore_index`, PyTorch's documentation defines:

        none:  -weight[target[n]] * input[n, target[n]]   where kept, else 0
        sum:   the sum of these
        mean:  the sum divided by the sum of weight[target[n]] where kept (without weights: by their number)

    What is not selected, NaN and infinity included, reaches neither value nor gradient. What is selected
    follows IEEE 754: the mean of nothing is 0/0 = NaN.

    Shapes: `input` is (N, C), (N, C, d1, ..., dK), or (C,); `target` is `input` without the class axis;
    `weight` is (C,). `none` returns the shape of `target`, `sum` and `mean` return a 0-d tensor.

    Dtypes: `input` is float16, bfloat16, float32 or float64, `weight` and the result have the same dtype;
    products and sums are formed in float64. `target` is of any integer dtype; an `ignore_index` that its
    dtype cannot hold ignores nothing.

    Works eagerly, in tf.function (ranks must be static, sizes need not be) and under XLA. Compiled code
    cannot raise on values: in a graph, a class outside [0, C) that is not ignored makes the result NaN, under
    `none` at its position. Sizes that are unknown while a graph is traced are checked when it runs
    (InvalidArgumentError).

    Raises:
        TypeError: a dtype other than these, or an `ignore_index` that is not an integer.
        ValueError: shapes that do not fit together, or an unknown `reduction`.
        IndexError: a target outside [0, C) that is not ignored, where `target` is an eager tensor.
    """
    x, t = tf.convert_to_tensor(input), tf.convert_to_tensor(target)
    w = None if weight is None else tf.convert_to_tensor(weight)
    check(x, t, w, reduction)
    return _nll_loss(x, t, w, ignore_index, reduction)


def _nll_loss(
    x: tf.Tensor, t: tf.Tensor, w: tf.Tensor | None, ignore_index: int | tf.Tensor, reduction: str
) -> tf.Tensor:
    """Return the loss of arguments that fit together."""
    axis = min(1, x.shape.rank - 1)
    sizes = sizes_of(x)
    w = None if w is None else fitted(w, x, axis)
    if x.shape[axis] == 0:
        # No position can be kept, but the gather needs something to gather from.
        x, w = tf.pad(x, [[0, int(i == axis)] for i in range(x.shape.rank)]), None

    index = tf.cast(t, tf.int64)  # uint64 beyond int64 becomes negative, hence invalid
    kept, fill = select(t, index, sizes[axis], ignore_index, x.dtype)
    # Masked before the gather, which must stay in bounds, and after it, which also masks the gradient. A
    # product with 0 would not do: it turns NaN and infinity into NaN.
    losses = tf.where(kept, -_gather_classes(x, index, kept, sizes), fill)
    scale = None
    if w is not None:
        scale = tf.cast(tf.where(kept, tf.gather(w, tf.where(kept, index, 0)), tf.zeros([], x.dtype)), tf.float64)
        losses = tf.cast(losses, tf.float64) * scale
    return tf.cast(reduce(losses, scale, kept, reduction), x.dtype)


def _gather_classes(x: tf.Tensor, index: tf.Tensor, kept: tf.Tensor, sizes: list[int | tf.Tensor]) -> tf.Tensor:
    """Return x[n, index[n, ...], ...] for each position (n, ...) that is kept, some number of x for the others.

    `sizes` are those of x. It takes one offset into all of x, not an index for each axis: without XLA, to stack
    such indices takes longer than to gather.
    """
    batch, classes, *inner = sizes if len(sizes) > 1 else [1, *sizes]
    size = math.prod(inner)
    start = tf.reshape(tf.range(tf.cast(batch, tf.int64)), [-1] + [1] * len(inner)) * (classes * size)
    if inner:
        start += tf.reshape(tf.range(tf.cast(size, tf.int64)), inner)
    if len(sizes) == 1:
        start = start[0]
    # Select, unlike tf.where, does not broadcast: it also rejects sizes that were unknown while tracing and do
    # not fit.
    offsets = tf.raw_ops.Select(condition=kept, x=index * size + start, y=start)
    # An axis is put in front because the gradient of gathering a plain list is tf.IndexedSlices. To make a tensor
    # of these takes several times longer than the scatter that is the gradient otherwise, from 100 classes on.
    picked = tf.gather_nd(tf.reshape(x, [-1]), offsets[tf.newaxis, ..., tf.newaxis])
    return tf.squeeze(picked, 0)
