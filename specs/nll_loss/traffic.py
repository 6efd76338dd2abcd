"""How many bytes a call has to move between memory and processor, whoever executes it.

Memory moves in lines: a gather of single numbers costs a line for each line that holds one of them, counted here from
the targets themselves, not estimated. What a cache saves when lines are met again is in that count; what it saves
between two calls is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..call import Array, Call
from .oracle import class_axis, select

LINE = 64  # bytes that a CPU's caches move at once
SECTOR = 32  # and those of an accelerator by NVIDIA


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that have to be read and written at least, and how many lines of input among them."""

    read: int
    written: int
    lines: int


def traffic(call: Call, work: str, line: int = LINE) -> Traffic:
    """What a legal call has to move: for the loss ("forward"), its gradient ("backward") or both.

    The loss reads the targets and each line of input and weight that holds a selected number, and writes its result.
    The gradient reads targets, weights and the upstream gradient, and writes an array as large as the input.
    """
    selection = select(call)
    result = call["target"].size if call["reduction"] == "none" else 1
    size, labels = call["input"].itemsize, call["target"][selection.kept & selection.valid]
    read, written, lines = call["target"].nbytes, 0, 0
    if call["weight"] is not None:
        read += _lines(call["weight"], labels.astype(np.int64) * call["weight"].strides[0], line) * line
    if work != "backward":
        lines = _lines(call["input"], selected_offsets(call), line)
        read += lines * line
        written += result * size
    if work != "forward":
        read += result * size
        written += call["input"].size * size
    return Traffic(read, written, lines)


def selected_offsets(call: Call) -> Array:
    """Bytes from the input's first element to each number that a kept target selects, in the order of the targets."""
    selection, strides = select(call), call["input"].strides
    axis = class_axis(call["input"])
    offsets = np.zeros(call["target"].shape, np.int64)
    for dimension, step in enumerate(strides[:axis] + strides[axis + 1 :]):
        shape = [-1 if place == dimension else 1 for place in range(call["target"].ndim)]
        offsets = offsets + np.arange(call["target"].shape[dimension]).reshape(shape) * step
    chosen = selection.kept & selection.valid
    return offsets[chosen] + call["target"][chosen].astype(np.int64) * strides[axis]


def _lines(array: Array, offsets: Array, line: int) -> int:
    """Distinct lines among these bytes of an array, as it lies in memory."""
    if not offsets.size:
        return 0
    start = array.__array_interface__["data"][0]
    places = (start + offsets) // line
    first = int(places.min())
    met = np.zeros(int(places.max()) - first + 1, bool)
    met[places - first] = True
    return int(np.count_nonzero(met))
