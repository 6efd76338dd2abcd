"""Calls on more than 2^31 elements (VALUE-9), for profile `large`.

Inputs are float16 on pages that the operating system zeroes when they are first written to, and only a few rows are
written. A result is not 0 anywhere, so that of the value it is looked at what needs no numbers: with one class it is 0.
A gradient is 0 in every row whose upstream gradient is, and the others depend on results at both ends of the array.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..call import Array, Call, Transform, dtype_of
from ..case import Case, Exactly, Returns, Sparse, Within
from ..stream import Stream
from .clauses import RULES
from .facts import Facts
from .oracle import gradient_of_rows, placed
from .rows import axis_of
from .shapes import Place
from .signature import LOG_SOFTMAX

FAMILY = "large"
IDS = ("VALUE-9",)
WRITTEN = 64  # rows that are not 0 in upstream

ONE_CLASS: Place = ((2**31 + 3, 1), 1)
PLACES: tuple[Place, ...] = (
    ((2**28 + 1, 8), 1),  # rows lie one after another beyond 2^31
    ((33, 2**26 + 1), 0),  # the axis of classes reaches beyond 2^31
    ((2, 1025, 2**20), 1),  # so do axes on either side of it
)


def large_cases(dtype: str, seed: int, tier: int) -> Iterator[Case]:
    """The cases of one dtype, made one after another: each holds gigabytes of addresses."""
    if tier < 3 or dtype != "float16":  # a compiler sees each shape for the first time
        return
    shape, dim = ONE_CLASS
    x = np.zeros(shape, dtype_of(dtype))
    x[0], x[-WRITTEN:] = 1, 2  # numbers that are left as they are show
    yield sparse_case(LOG_SOFTMAX.call(x, dim), f"large/{shape}")
    for shape, dim in PLACES:
        yield sparse_case(gradient_call(shape, dim, dtype, seed), f"large/{shape}")


def large_size(dtype: str, tier: int) -> int:
    """How many cases `large_cases` makes."""
    return 1 + len(PLACES) if tier >= 3 and dtype == "float16" else 0


def gradient_call(shape: tuple[int, ...], dim: int, dtype: str, seed: int) -> Call:
    """A gradient whose first, last and some other rows have logits and an upstream gradient that are not 0."""
    stream = Stream(FAMILY, shape, dim, seed)
    x, upstream = (np.zeros(shape, dtype_of(dtype)) for _ in range(2))
    count, classes = x.size // shape[dim], shape[dim]
    picked = np.unique(np.concatenate([[0, count - 1], stream.integers(0, count, WRITTEN)]))
    for array, low in ((x, -16), (upstream, 1)):
        moved = np.moveaxis(array, dim, -1)
        numbers = stream.integers(low, 17, picked.size * classes).reshape(picked.size, classes) / 8.0
        moved[np.unravel_index(picked, moved.shape[:-1])] = numbers
    return LOG_SOFTMAX.call(x, dim, transform=Transform("gradient", upstream))


def sparse_case(call: Call, origin: str) -> Case:
    """The case of a call whose result is 0 but for a few rows; no other clause is asked, as that would read it all."""
    x, axis = call["input"], axis_of(call)
    picked, entries = _gradient(call, axis) if call.transform is not None else _nothing(x)
    nowhere = np.zeros((1,) * x.ndim, bool)
    answer = Returns(x.shape, call.dtype, Sparse(_places(picked, x.shape, axis), entries, nowhere))
    return Case(call, Facts(call), answer, IDS, RULES.flags_of(IDS), FAMILY, 3, origin, rules=RULES)


def _gradient(call: Call, axis: int) -> tuple[Array, Within]:
    """Rows whose upstream gradient is not 0, and what must stand there."""
    x, transform = call["input"], call.transform
    assert transform is not None
    assert transform.upstream is not None
    picked = np.flatnonzero(transform.upstream.view(f"u{x.dtype.itemsize}").any(axis))
    places = np.unravel_index(picked, x.shape[:axis] + x.shape[axis + 1 :])
    rows, upstream = (np.moveaxis(array, axis, -1)[places] for array in (x, transform.upstream))
    return picked, placed(gradient_of_rows(call.dtype, rows, upstream), np.ravel)


def _nothing(x: Array) -> tuple[Array, Exactly]:
    """No rows: of one class each is 0."""
    never = np.zeros(0, bool)
    return np.zeros(0, np.int64), Exactly(np.zeros(0, x.dtype), never, never, never)


def _places(rows: Array, shape: tuple[int, ...], axis: int) -> Array:
    """Positions in C order of the elements of these rows."""
    inner = math.prod(shape[axis + 1 :])
    first = rows // inner * inner * shape[axis] + rows % inner
    return (first[:, None] + np.arange(shape[axis]) * inner).reshape(-1)
