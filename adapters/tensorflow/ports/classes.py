"""What the ports of losses over classes share: which positions are kept, and which arguments fit together."""

import operator

import numpy as np
import tensorflow as tf

REDUCTIONS = ("none", "mean", "sum")
DTYPES = (tf.float16, tf.bfloat16, tf.float32, tf.float64)
INDEX_DTYPES = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64)


def select(
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


def reduce(losses: tf.Tensor, scale: tf.Tensor | None, kept: tf.Tensor, reduction: str) -> tf.Tensor:
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


def sizes_of(x: tf.Tensor) -> list[int | tf.Tensor]:
    """Return the length of each axis, as a number where it is known."""
    if x.shape.is_fully_defined():
        return [n for n in x.shape.as_list() if n is not None]
    dynamic = tf.unstack(tf.shape(x, out_type=tf.int64), num=x.shape.rank)
    return [run if static is None else static for static, run in zip(x.shape, dynamic, strict=True)]


def fitted(w: tf.Tensor, x: tf.Tensor, axis: int) -> tf.Tensor:
    """Return weights, which hold one number per class of `x`; raise where that turns out otherwise in a graph."""
    if None not in (w.shape[0], x.shape[axis]):
        return w
    # Unknown until the graph runs. XLA drops the assertion, graphs without XLA drop the reshape.
    classes = sizes_of(x)[axis]
    tf.debugging.assert_equal(tf.size(w, tf.int64), classes, "weight must hold one number per class of input")
    return tf.reshape(w, [classes])


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


def check(x: tf.Tensor, t: tf.Tensor, w: tf.Tensor | None, reduction: str, probabilities: bool = False) -> None:
    """Raise TypeError or ValueError unless dtypes, static shapes and the reduction fit together.

    With `probabilities` the target may also be of the input's dtype, and has its shape then.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; use one of {', '.join(map(repr, REDUCTIONS))}")
    if x.dtype not in DTYPES:
        raise TypeError(f"input has dtype {x.dtype.name}; convert it to one of {', '.join(d.name for d in DTYPES)}")
    probabilities = probabilities and t.dtype == x.dtype
    if not probabilities and t.dtype not in INDEX_DTYPES:
        raise TypeError(f"target has dtype {t.dtype.name}; use an integer dtype, such as int64")
    if not x.shape.rank:
        raise ValueError(f"input has shape {x.shape}; it must be (C,), (N, C) or (N, C, d1, ..., dK), of known rank")
    expected = x.shape if probabilities else x.shape[:1] + x.shape[2:] if x.shape.rank > 1 else tf.TensorShape([])
    if t.shape.rank != expected.rank or not t.shape.is_compatible_with(expected):
        raise ValueError(f"target has shape {t.shape}; input of shape {x.shape} needs a target of {expected}")
    if w is None:
        return
    if w.dtype != x.dtype:
        raise TypeError(f"weight has dtype {w.dtype.name} and input {x.dtype.name}; they must be equal")
    classes = x.shape[min(1, x.shape.rank - 1)]
    if w.shape.rank != 1 or not w.shape.is_compatible_with([classes]):
        raise ValueError(f"weight has shape {w.shape}; input of shape {x.shape} needs ({classes},), one per class")
