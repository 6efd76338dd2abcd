"""Calls on class indices that must raise: each way of getting the arguments of a legal call wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..call import Array, Call, dtype_of
from .targets import class_axis

# Ranks in which the faults are planted; the first two are all that dear compilers see.
SHAPES = ((6, 5), (4, 3, 2), (5,), (3, 4, 2, 3), (2, 3, 2, 1, 3), (64, 3))


def faulty(legal: Call) -> Iterator[tuple[int, Call]]:
    """(tier, call) for each fault, the reduction being wrong only where it is the fault."""
    yield from ((1, call) for call in _bad_targets(legal))
    for call in (*_bad_shapes(legal), *_bad_dtypes(legal)):
        yield 1, call
    for reduction in ("avg", "", None, "MEAN", "Mean", " mean"):
        yield 1, legal.replace(reduction=reduction)


def nearly_sentinels(plain: Call) -> Iterator[Call]:
    """Targets that equal ignore_index only to a comparison in floating point, or after a wrapping cast."""
    for sentinel, target in ((2**53 + 1, 2**53), (2**24 + 1, 2**24), (2**32 - 100, -100), (-100, 2**32 - 100)):
        yield with_target(plain, 0, target).replace(ignore_index=sentinel)
    unsigned = plain.replace(target=plain["target"].astype(np.uint64))
    yield with_target(unsigned, 0, 2**64 - 100)


def _bad_targets(legal: Call) -> Iterator[Call]:
    """Classes that do not exist, at the first, a middle and the last position."""
    classes = legal["input"].shape[class_axis(legal["input"])]
    size = legal["target"].size
    for position in sorted({0, size // 2, size - 1}):
        for value in (classes, classes + 1, -1, -classes):
            yield with_target(legal, position, value)
    for value in (255, 2**31, 2**32 + 1, 2**62, -2, -(2**31), -(2**62)):
        yield with_target(legal, size // 2, value)
    # -100 is nothing special when another sentinel is chosen, nor is a neighbour of the sentinel ignored.
    yield with_target(legal, 0, -100).replace(ignore_index=-1)
    yield with_target(legal, 0, -100).replace(ignore_index=1)
    yield with_target(legal, size - 1, -101)
    yield with_target(legal, 0, -1).replace(ignore_index=255)


def with_target(call: Call, position: int, value: int) -> Call:
    target = call["target"].copy()
    target.reshape(-1)[position] = value
    return call.replace(target=target)


def _bad_shapes(legal: Call) -> Iterator[Call]:
    """ERR-3, ERR-4 and ERR-5."""
    x, target = legal["input"], legal["target"]

    def to(array: Array) -> Call:
        return legal.replace(target=array)

    if x.ndim > 1:
        yield to(np.concatenate([target, target[:1]]))
        yield to(target[:-1])
        yield to(target[:1])
        yield to(target[:0])
        yield legal.replace(input=x[:1])
        yield to(np.array(0))
        one_hot = np.zeros(x.shape, np.int64)
        yield to(one_hot)
        yield to(np.expand_dims(target, 1))
    else:
        yield to(np.zeros(1, np.int64))
        yield to(np.zeros(x.shape[0], np.int64))
    if x.ndim > 2:
        yield to(np.ascontiguousarray(target[..., :1]))
        yield to(target.reshape(-1))
        yield to(np.ascontiguousarray(target.T))
        yield to(target.reshape(target.shape[0], 1, -1) if x.ndim == 4 else target.reshape(1, -1))
        yield to(np.concatenate([target, target], axis=-1))
    yield to(target[..., None])
    yield legal.replace(input=x.reshape(-1)[:1].reshape(()), target=np.array(0), weight=None)
    yield from (legal.replace(weight=weight) for weight in _bad_weights(legal))


def _bad_weights(legal: Call) -> Iterator[Array]:
    classes = legal["input"].shape[class_axis(legal["input"])]
    dtype = legal["input"].dtype
    for shape in ((classes + 1,), (classes - 1,), (1,), (0,), (1, classes), (classes, 1), ()):
        if shape != (classes,):
            yield np.ones(shape, dtype)


def _bad_dtypes(legal: Call) -> Iterator[Call]:
    """ERR-7, ERR-8 and DTYPE-4."""
    classes = legal["input"].shape[class_axis(legal["input"])]
    for name in ("float32", "float64", "bool"):
        yield legal.replace(target=np.zeros(legal["target"].shape, name))
    for name in ("int32", "int64", "uint8", "bool", "complex64"):
        yield legal.replace(input=np.ones(legal["input"].shape, name), weight=None)
    other: Any = dtype_of("float64" if legal.dtype != "float64" else "float32")
    yield legal.replace(weight=np.ones(classes, other))
    yield legal.replace(weight=np.ones(classes, np.int64))
