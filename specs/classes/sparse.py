"""Targets of calls on more elements than memory holds twice: few positions are anything but alike."""

from __future__ import annotations

import math

import numpy as np

from ..call import Array
from ..stream import Stream


def few_labels(stream: Stream, shape: tuple[int, ...], most: int, everywhere: int) -> tuple[Array, Array, Array]:
    """(target, positions, labels): `everywhere` but at the first, the last and so many random positions at most.

    The target is int64, in the shape of an input without its class axis, positions are in its C order. The first label
    is the first class, the last one the last.
    """
    positions, classes = shape[:1] + shape[2:], shape[1]
    count = math.prod(positions)
    target = np.full(positions, everywhere, np.int64)
    where = np.unique(np.concatenate([[0, count - 1], stream.integers(0, count, most)]))
    labels = stream.integers(0, classes, where.size) if classes <= 2**22 else _anywhere(stream, classes, where.size)
    labels[[0, -1]] = 0, classes - 1
    target.reshape(-1)[where] = labels
    return target, where, labels


def entries(shape: tuple[int, ...], positions: Array, classes: Array) -> Array:
    """Where these classes of these positions stand in an input of this shape, in C order; the two broadcast."""
    inner = math.prod(shape[2:])
    return (positions // inner * shape[1] + classes) * inner + positions % inner


def _anywhere(stream: Stream, classes: int, count: int) -> Array:
    """Classes from the whole range: two draws make one number."""
    return (stream.integers(0, 2**13, count) * 2**13 + stream.integers(0, 2**13, count)) % classes
