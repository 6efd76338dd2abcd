"""Calls on class indices with less in them, as only their losses can tell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..call import Array, Call
from .structure import DEFAULT
from .targets import class_axis, not_ignored, structural_faults

_SINGLY = 64  # so many classes at most are left out one by one


def simpler(call: Call) -> Iterator[Call]:
    """Without ignored positions, without classes that nobody refers to, with the default ignore_index."""
    if not structural_faults(call):
        yield from without_ignored(call)
        yield from _fewer_classes(call)
    yield from plain_sentinel(call)


def without_ignored(call: Call) -> Iterator[Call]:
    """A well-formed call without its ignored positions, where those lie along one axis."""
    kept = not_ignored(call["target"], call["ignore_index"])
    if call["target"].ndim != 1 or kept.all():
        return
    per_position = {"input", "target", "direction", *["upstream"] * (call["reduction"] == "none")}
    yield call.holding({name: array[kept] if name in per_position else array for name, array in call.arrays()})


def _fewer_classes(call: Call) -> Iterator[Call]:
    """All of them are left out, or one; the others are numbered anew."""
    axis, sentinel = class_axis(call["input"]), call["ignore_index"]
    classes = call["input"].shape[axis]
    used = np.append(call["target"].reshape(-1).astype(np.int64, copy=False), min(sentinel, 2**62))
    unused = np.setdiff1d(np.arange(classes), used)
    for dropped in (unused, *(unused[n : n + 1] for n in range(min(unused.size, _SINGLY)))):
        if not dropped.size or dropped.size == classes:
            continue
        places, arrays = np.setdiff1d(np.arange(classes), dropped), dict(call.arrays())
        fewer = {name: np.take(array, places, axis) for name, array in arrays.items() if name in ("input", "direction")}
        fewer |= {name: array[places] for name, array in arrays.items() if name == "weight"}
        fewer["target"] = _renumbered(call["target"], dropped)
        below = int((dropped < sentinel).sum()) * (sentinel >= 0)
        yield call.holding(arrays | fewer, ignore_index=sentinel - below)


def _renumbered(target: Array, dropped: Array) -> Array:
    """Each target less the dropped classes below it; what is no class keeps its distance from the last one."""
    wide = target.astype(np.int64)
    return np.where(wide < 0, wide, wide - np.searchsorted(dropped, wide)).astype(target.dtype)


def plain_sentinel(call: Call) -> Iterator[Call]:
    """Also at the positions that are ignored."""
    if call["ignore_index"] == DEFAULT or call["target"].dtype.kind != "i":
        return
    ignored = ~not_ignored(call["target"], call["ignore_index"])
    target = np.where(ignored, DEFAULT, call["target"]).astype(call["target"].dtype)
    yield call.holding(dict(call.arrays()) | {"target": target}, ignore_index=DEFAULT)
