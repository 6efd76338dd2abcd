"""An input as rows that lie along `dim`, and back."""

from __future__ import annotations

import math

import numpy as np

from ..call import Array, Call


def axis_of(call: Call) -> int:
    """The axis that a legal dim means, counted from the front."""
    return int(call["dim"]) % int(call["input"].ndim)


def as_rows(array: Array, axis: int) -> Array:
    """The array as rows by classes, a view where it can be one."""
    moved = np.moveaxis(array, axis, -1)
    return moved.reshape(math.prod(moved.shape[:-1]), moved.shape[-1])


def from_rows(rows: Array, shape: tuple[int, ...], axis: int) -> Array:
    """The array of this shape whose rows these are."""
    return np.moveaxis(rows.reshape(*shape[:axis], *shape[axis + 1 :], shape[axis]), -1, axis)
