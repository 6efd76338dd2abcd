"""What stands in the arrays of a generated call: logits as log_softmax has them, probabilities, special values.

Each function fills from a `Stream` and rounds into a format. Why a kind exists stands beside it.
"""

from __future__ import annotations

import math

import numpy as np

from ..call import Array, Call, dtype_of
from ..classes.plants import put
from ..classes.targets import class_axis, existing, not_ignored
from ..exact import FORMATS
from ..log_softmax.rows import as_rows, from_rows
from ..log_softmax.values import plant as put_into_rows
from ..stream import Stream
from .selection import is_soft, rows_of

# --- probabilities ---------------------------------------------------------------------------------------

PROBABILITIES = ("random", "one_hot", "sparse", "dyadic", "unnormalised", "negative", "tiny")


def probabilities(kind: str, stream: Stream, shape: tuple[int, ...], dtype: str) -> Array:
    """Probabilities of one kind, in input's shape."""
    axis = 1 if len(shape) > 1 else 0
    rows, classes = math.prod(shape[:axis] + shape[axis + 1 :]), shape[axis]
    whole = _probabilities(kind, stream, rows, classes, dtype).astype(dtype_of(dtype))
    return np.ascontiguousarray(from_rows(whole, shape, axis)) if whole.size else np.zeros(shape, whole.dtype)


def _probabilities(kind: str, stream: Stream, rows: int, classes: int, dtype: str) -> Array:
    some = (2.0**-10 + stream.uniform(rows * classes)).reshape(rows, classes)
    one = stream.integers(0, max(classes, 1), rows)[:, None] == np.arange(classes)
    match kind:
        case "random":
            return some / np.maximum(some.sum(1, keepdims=True), 2.0**-10)
        case "one_hot":  # as indices: zeros everywhere else
            return one * 1.0
        case "sparse":  # most of them 0, as under mixup
            return np.where(one, 0.75, 0.0) + np.where(np.roll(one, 1, 1), 0.25, 0.0)
        case "dyadic":  # exact products, and rows that add up to anything
            return stream.integers(0, 9, some.size).reshape(some.shape) / 8.0
        case "unnormalised":  # a renormalisation shows
            return 3.0 * some
        case "negative":  # not probabilities at all, and used as they are
            return some - 0.5
        case "tiny":  # below the normal range, or near it
            return some * 2.0 ** (FORMATS[dtype].emin - 1)
    raise ValueError(f"no kind of probabilities {kind!r}")


# --- special values --------------------------------------------------------------------------------------

# What may be planted besides what every loss on class indices has, and log_softmax.
OF_ROWS = ("masked", "masked_rows", "nan", "infinity", "negative_zeros")
OF_TARGETS = ("masked_others", "masked_target", "impossible", "nan_probability")
OF_CLASSES = ("ignored_rows", "other_weights", "ignored_weight", "selected_weight", "negative_zero_weights")
PLANTS = (*OF_ROWS, *OF_TARGETS, *OF_CLASSES)


def plant(call: Call, kind: str, stream: Stream) -> None:
    """Put special values where the kind says, in place; nothing where a call has no such place."""
    if kind in OF_CLASSES:
        if not is_soft(call):
            put(call, kind, stream)
        return
    axis = class_axis(call["input"])
    if not call["input"].size:
        return
    rows = as_rows(call["input"], axis).copy()
    if kind in OF_ROWS:
        put_into_rows(kind, stream, rows)
    elif is_soft(call):
        _put_among_probabilities(call, kind, stream, rows)
    elif kind in OF_TARGETS[:2]:
        _mask(call, kind, stream, rows)
    call["input"][...] = from_rows(rows, call["input"].shape, axis)


def _mask(call: Call, kind: str, stream: Stream, rows: Array) -> None:
    """-inf at classes that are not the target, or at it."""
    chosen = (not_ignored(call["target"], call["ignore_index"]) & existing(call)).reshape(-1)
    labels = np.where(chosen, call["target"].reshape(-1), 0).astype(np.int64)
    hot = labels[:, None] == np.arange(rows.shape[1])
    some = stream.integers(0, 2, rows.size).reshape(rows.shape) > 0
    rows[~hot & some if kind == "masked_others" else hot & some] = -np.inf


def _put_among_probabilities(call: Call, kind: str, stream: Stream, rows: Array) -> None:
    """-inf where the probability is 0, some of it made so, or where it is not; NaN among probabilities."""
    axis = class_axis(call["input"])
    p = rows_of(call["target"], axis).copy()
    some = stream.integers(0, 3, rows.size).reshape(rows.shape) == 0
    some[np.arange(len(rows)), stream.integers(0, rows.shape[1], len(rows))] = False  # a class is left in each row
    match kind:
        case "impossible":
            p[some] = 0.0
            rows[some] = -np.inf
        case "masked_target":
            rows[some & (p != 0)] = -np.inf
        case "masked_others":
            rows[some & (p == 0)] = -np.inf
        case _:
            p[some] = np.nan
            rows[some & (stream.integers(0, 2, rows.size).reshape(rows.shape) > 0)] = -np.inf
    call["target"][...] = from_rows(p, call["target"].shape, axis)
