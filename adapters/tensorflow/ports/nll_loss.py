"""Negative log-likelihood loss in TensorFlow, with the meaning of `torch.nn.functional.nll_loss`."""

import math
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
    _check(x, t, w, reduction)
    return _nll_loss(x, t, w, ignore_index, reduction)


def _nll_loss(
    x: tf.Tensor, t: tf.Tensor, w: tf.Tensor | None, ignore_index: int | tf.Tensor, reduction: str
) -> tf.Tensor:
    """Return the loss of arguments that fit together."""
    axis = min(1, x.shape.rank - 1)
    sizes = _sizes(x)
    if w is not None and None in (w.shape[0], x.shape[axis]):
        # Unknown until the graph runs. XLA drops the assertion, graphs without XLA drop the reshape.
        tf.debugging.assert_equal(tf.size(w, tf.int64), sizes[axis], "weight must hold one number per class of input")
        w = tf.reshape(w, [sizes[axis]])
    if x.shape[axis] == 0:
        # No position can be kept, but the gather needs something to gather from.
        x, w = tf.pad(x, [[0, int(i == axis)] for i in range(x.shape.rank)]), None

    index = tf.cast(t, tf.int64)  # uint64 beyond int64 becomes negative, hence invalid
    kept, fill = _select(t, index, sizes[axis], ignore_index, x.dtype)
    # Masked before the gather, which must stay in bounds, and after it, which also masks the gradient. A
    # product with 0 would not do: it turns NaN and infinity into NaN.
    losses = tf.where(kept, -_gather_classes(x, index, kept, sizes), fill)
    scale = None
    if w is not None:
        scale = tf.cast(tf.where(kept, tf.gather(w, tf.where(kept, index, 0)), tf.zeros([], x.dtype)), tf.float64)
        losses = tf.cast(losses, tf.float64) * scale
    return tf.cast(_reduce(losses, scale, kept, reduction), x.dtype)


def _select(
    t: tf.Tensor, index: tf.Tensor, classes: int | tf.Tensor, ignore_index: int | tf.Tensor, dtype: tf.DType
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return where a target is kept, and what stands elsewhere: 0, and NaN where a graph cannot raise IndexError."""
    ignored = _ignored(t, ignore_index)
    valid = (index >= 0) & (index < classes)
    symbolic = tf.is_symbolic_tensor(valid)
    if not symbolic and not (valid | ignored).numpy().all():
        raise _out_of_range(~(valid | ignored).numpy(), t, classes, ignore_index)
    zero = tf.zeros([], dtype)
    return valid & tf.logical_not(ignored), tf.where(ignored, zero, tf.constant(np.nan, dtype)) if symbolic else zero


def _reduce(losses: tf.Tensor, scale: tf.Tensor | None, kept: tf.Tensor, reduction: str) -> tf.Tensor:
    """Return the losses, their sum or their mean, the last two in float64."""
    if reduction == "none":
        return losses
    # float64, because reduce_sum promises no order: XLA on CPU was seen to add tens of thousands of numbers one
    # after another, which costs float32 three digits.
    total = tf.reduce_sum(tf.cast(losses, tf.float64))
    if reduction == "mean":
        # Counted in float64, exact up to 2^53; sums of integers have no kernel on some devices. `/` keeps IEEE's
        # 0/0 = NaN, where tf.math.divide_no_nan would return 0.
        total /= tf.reduce_sum(tf.cast(kept, tf.float64) if scale is None else scale)
    return total


def _sizes(x: tf.Tensor) -> list[int | tf.Tensor]:
    """Return the length of each axis, as a number where it is known."""
    if x.shape.is_fully_defined():
        return [n for n in x.shape.as_list() if n is not None]
    dynamic = tf.unstack(tf.shape(x, out_type=tf.int64), num=x.shape.rank)
    return [run if static is None else static for static, run in zip(x.shape, dynamic, strict=True)]


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


def _ignored(t: tf.Tensor, ignore_index: int | tf.Tensor) -> tf.Tensor:
    """Return where `t` equals `ignore_index` by value: cast to uint8, -100 would equal 156."""
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


def _out_of_range(
    invalid: np.ndarray, t: tf.Tensor, classes: int | tf.Tensor, ignore_index: int | tf.Tensor
) -> IndexError:
    """Return the error for the first invalid target."""
    position = np.argwhere(invalid)[0].tolist()
    value = t.numpy()[tuple(position)]
    return IndexError(
        f"target{position or ''} is {value}, neither a class, in [0, {classes}), nor ignore_index "
        f"({int(ignore_index)}); correct the target, or pass ignore_index={value} to leave such positions out"
    )


def _check(x: tf.Tensor, t: tf.Tensor, w: tf.Tensor | None, reduction: str) -> None:
    """Raise TypeError or ValueError unless dtypes, static shapes and the reduction fit together."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; use one of {', '.join(map(repr, REDUCTIONS))}")
    if x.dtype not in DTYPES:
        raise TypeError(f"input has dtype {x.dtype.name}; convert it to one of {', '.join(d.name for d in DTYPES)}")
    if t.dtype not in INDEX_DTYPES:
        raise TypeError(f"target has dtype {t.dtype.name}; use an integer dtype, such as int64")
    if not x.shape.rank:
        raise ValueError(f"input has shape {x.shape}; it must be (C,), (N, C) or (N, C, d1, ..., dK), of known rank")
    expected = x.shape[:1] + x.shape[2:] if x.shape.rank > 1 else tf.TensorShape([])
    if t.shape.rank != expected.rank or not t.shape.is_compatible_with(expected):
        raise ValueError(f"target has shape {t.shape}; input of shape {x.shape} needs a target of {expected}")
    if w is None:
        return
    if w.dtype != x.dtype:
        raise TypeError(f"weight has dtype {w.dtype.name} and input {x.dtype.name}; they must be equal")
    classes = x.shape[min(1, x.shape.rank - 1)]
    if w.shape.rank != 1 or not w.shape.is_compatible_with([classes]):
        raise ValueError(f"weight has shape {w.shape}; input of shape {x.shape} needs ({classes},), one per class")
