"""Negative log-likelihood loss in TensorFlow, with the meaning of `torch.nn.functional.nll_loss`."""

import operator

import numpy as np
import tensorflow as tf

REDUCTIONS = ("none", "mean", "sum")
DTYPES = (tf.float16, tf.bfloat16, tf.float32, tf.float64)
INDEX_DTYPES = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64)


def nll_loss(
    input: tf.Tensor,
    target: tf.Tensor,
    weight: tf.Tensor | None = None,
    ignore_index: int | tf.Tensor = -100,
    reduction: str = "mean",
) -> tf.Tensor:
    """Return the weighted negative log-likelihood of `target` under the log-probabilities `input`.

    With `kept` the positions whose target is not `ignore_index`, the formulas of the PyTorch documentation are:

        none:  -weight[target[n]] * input[n, target[n]]   where kept, else 0
        sum:   the sum of these
        mean:  the sum divided by the sum of weight[target[n]] over kept positions (their number without weights)

    What is not selected, NaN and infinity included, reaches neither value nor gradient. What is selected follows
    IEEE 754: the mean of nothing is 0/0 = NaN.

    Shapes: `input` is (N, C), (N, C, d1, ..., dK), or (C,); `target` is `input` without the class axis; `weight` is
    (C,). `none` returns the shape of `target`, `sum` and `mean` return a 0-d tensor.

    Dtypes: `input` is float16, bfloat16, float32 or float64, `weight` and the result have the same dtype; products
    and sums are formed in float64. `target` is of any integer dtype; an `ignore_index` that its dtype cannot hold
    ignores nothing.

    Works eagerly, in tf.function (ranks must be static, sizes need not be) and under XLA. Compiled code cannot raise
    on values: in a graph, a class outside [0, C) that is not ignored makes the result NaN, under `none` at its
    position. Sizes that are unknown while a graph is traced are checked when it runs (InvalidArgumentError).

    Raises:
        TypeError: a dtype other than these, or an `ignore_index` that is not an integer.
        ValueError: shapes that do not fit together, or an unknown `reduction`.
        IndexError: a target outside [0, C) that is not ignored, where `target` is an eager tensor.
    """
    x, t = tf.convert_to_tensor(input), tf.convert_to_tensor(target)
    w = None if weight is None else tf.convert_to_tensor(weight)
    _check(x, t, w, reduction)
    axis = min(1, x.shape.rank - 1)
    classes = tf.shape(x, out_type=tf.int64)[axis]
    if w is not None:
        # Lengths that were unknown while tracing: XLA drops the assertion, and graphs without XLA the reshape.
        tf.debugging.assert_equal(tf.size(w, tf.int64), classes, "weight must hold one number per class of input")
        w = tf.reshape(w, [classes])
    if x.shape[axis] == 0:
        # No position can be kept, but something must be there to gather from.
        x, w = tf.pad(x, [[0, int(i == axis)] for i in range(x.shape.rank)]), None

    ignored = _ignored(t, ignore_index)
    index = tf.cast(t, tf.int64)  # uint64 beyond int64 becomes negative, hence invalid
    invalid = ((index < 0) | (index >= classes)) & ~ignored
    if not tf.is_symbolic_tensor(invalid):
        _raise_if_any(invalid.numpy(), t, int(classes), ignore_index)
    kept = ~(ignored | invalid)

    # Masked before the gather, which must stay in bounds, and after it, so that the gradient is masked too: a product
    # with 0 would turn NaN and infinity into NaN.
    safe = tf.where(kept, index, 0)
    picked = _gather_classes(x, safe)
    losses = tf.where(kept, -picked, tf.zeros_like(picked))
    if w is not None:
        scale = tf.gather(w, safe)
        scale = tf.cast(tf.where(kept, scale, tf.zeros_like(scale)), tf.float64)
        losses = tf.cast(losses, tf.float64) * scale
    losses = tf.where(invalid, tf.constant(np.nan, losses.dtype), losses)
    if reduction == "none":
        return tf.cast(losses, x.dtype)
    # float64 throughout, because reduce_sum may add one number after another: XLA on CPU does, and in float32 a sum of
    # a million terms would keep only half of its digits.
    total = tf.reduce_sum(tf.cast(losses, tf.float64))
    if reduction == "mean":
        # `/` keeps IEEE's 0/0 = NaN, where tf.math.divide_no_nan would return 0.
        total /= tf.cast(tf.math.count_nonzero(kept), tf.float64) if w is None else tf.reduce_sum(scale)
    return tf.cast(total, x.dtype)


def _gather_classes(x: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Return x[n, index[n, ...], ...] for each position (n, ...)."""
    sizes = tf.unstack(tf.shape(x, out_type=tf.int64), num=x.shape.rank)
    position = tf.meshgrid(*(tf.range(size) for size in sizes[:1] + sizes[2:]), indexing="ij") if len(sizes) > 1 else []
    # tf.stack does not broadcast: it also rejects targets whose sizes were not known while tracing and do not fit.
    return tf.gather_nd(x, tf.stack([*position[:1], index, *position[1:]], axis=-1))


def _ignored(t: tf.Tensor, ignore_index: int | tf.Tensor) -> tf.Tensor:
    """Return where `t` equals `ignore_index` by value; an implicit cast would make uint8 156 equal to -100."""
    if isinstance(ignore_index, (tf.Tensor, tf.Variable)):
        if ignore_index.dtype not in INDEX_DTYPES or ignore_index.shape.rank != 0:
            raise TypeError(f"ignore_index is {ignore_index!r}; pass an integer or an integer scalar tensor")
        # Casting to int64 wraps uint64 only, and then to a number of the other sign.
        same = tf.cast(t, tf.int64) == tf.cast(ignore_index, tf.int64)
        return same & ((t < 0) == (ignore_index < 0))
    try:
        ignore_index = operator.index(ignore_index)
    except TypeError:
        raise TypeError(f"ignore_index is {ignore_index!r}; pass an integer, for instance -100") from None
    if not t.dtype.min <= ignore_index <= t.dtype.max:
        return tf.zeros_like(t, tf.bool)
    return t == tf.constant(ignore_index, t.dtype)


def _raise_if_any(invalid: np.ndarray, t: tf.Tensor, classes: int, ignore_index: int | tf.Tensor) -> None:
    """Raise IndexError for the first invalid target."""
    if invalid.any():
        position = np.argwhere(invalid)[0].tolist()
        value = t.numpy()[tuple(position)]
        raise IndexError(
            f"target{position or ''} is {value}, which is neither a class of input, in [0, {classes}), nor ignore_index "
            f"({int(ignore_index)}); correct the target, or pass ignore_index={value} to leave such positions out"
        )


def _check(x: tf.Tensor, t: tf.Tensor, w: tf.Tensor | None, reduction: str) -> None:
    """Raise TypeError or ValueError unless dtypes, static shapes and the reduction fit together."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; use one of {', '.join(map(repr, REDUCTIONS))}")
    if x.dtype not in DTYPES:
        raise TypeError(f"input has dtype {x.dtype.name}; convert it to one of {', '.join(d.name for d in DTYPES)}")
    if t.dtype not in INDEX_DTYPES:
        raise TypeError(f"target has dtype {t.dtype.name}; class indices must have an integer dtype, such as int64")
    if not x.shape.rank:
        raise ValueError(f"input has shape {x.shape}; it must be (C,), (N, C) or (N, C, d1, ..., dK), of known rank")
    expected = x.shape[:1] + x.shape[2:] if x.shape.rank > 1 else tf.TensorShape([])
    if t.shape.rank != expected.rank or not t.shape.is_compatible_with(expected):
        raise ValueError(f"target has shape {t.shape}; input of shape {x.shape} needs a target of shape {expected}")
    if w is None:
        return
    if w.dtype != x.dtype:
        raise TypeError(f"weight has dtype {w.dtype.name} and input {x.dtype.name}; convert weight to {x.dtype.name}")
    classes = x.shape[min(1, x.shape.rank - 1)]
    if w.shape.rank != 1 or not w.shape.is_compatible_with([classes]):
        raise ValueError(f"weight has shape {w.shape}; input of shape {x.shape} needs one weight per class: ({classes},)")
