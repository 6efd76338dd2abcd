"""Makes a failing call smaller for as long as it fails in the same way: greedy, deterministic, bounded.

Hypothesis shrinks what it drew itself, by the choices that it made, and has no way to begin with a call that was found
by other means; hence this module.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...specs.call import Array, Call
from ...specs.layouts import lay
from ...specs.nll_loss.generate import DEFAULT
from ...specs.nll_loss.oracle import class_axis, not_ignored, structural_faults

RUNS, SECONDS = 500, 20.0
_SINGLY = 64  # an array of at most so many elements is simplified down to single ones
_REDUCTIONS = {"sum": 0, "mean": 1}
_Arrays = dict[str, Array]


def shrink(
    call: Call, still_fails: Callable[[Call], bool], runs: int = RUNS, seconds: float = SECONDS
) -> tuple[Call, int]:
    """The smallest call found that still fails, and how many were tried, at most `runs` in about so many seconds."""
    end, tried = time.monotonic() + seconds, {call.digest()}
    progress = True
    while progress:
        progress = False
        for candidate in candidates(call):
            digest = candidate.digest()
            if digest in tried or _cost(candidate) >= _cost(call):
                continue
            if len(tried) > runs or time.monotonic() > end:
                return call, len(tried) - 1
            tried.add(digest)
            if still_fails(candidate):
                call, progress = candidate, True
                break
    return call, len(tried) - 1


def _cost(call: Call) -> tuple[Any, ...]:
    """What a reader would rather have less of, the weightiest first."""
    arrays = dict(call.arrays())
    return (
        sum(array.size for array in arrays.values()),
        sum(sum(array.shape) for array in arrays.values()),
        len(arrays) + len(call.layouts) + len(call.omitted),
        call["input"].ndim,
        _REDUCTIONS.get(str(call["reduction"]), 2),
        call["ignore_index"] != DEFAULT,
        sum(_complexity(array) for array in arrays.values()),
    )


def _complexity(array: Array) -> int:
    """0 for each 0, 1 for each 1 or -1, and more the more digits a number has."""
    values, counts = np.unique(array.reshape(-1).astype(complex), return_counts=True)
    return sum(int(count) * _digits(complex(value).real) for value, count in zip(values, counts, strict=True))


def _digits(value: float) -> int:
    if abs(value) in (0, 1) or not np.isfinite(value):
        return int(value != 0) + (not np.isfinite(value))
    return 2 + len(f"{value.hex().partition('p')[0].rstrip('0')}")


# --- candidates ----------------------------------------------------------------------------------------------


def candidates(call: Call) -> Iterator[Call]:
    """Calls with less in them, those that leave out most first."""
    arrays = dict(call.arrays())
    is_batched = call.transform is not None and bool(call.transform.batched)
    if call["weight"] is not None and call.kind != "weight_gradient":
        yield _with(call, {name: array for name, array in arrays.items() if name != "weight"})
    for name, _ in call.layouts:
        yield _with(call, arrays, layouts=tuple(pair for pair in call.layouts if pair[0] != name))
    if not is_batched and not structural_faults(call):
        yield from _fewer_positions(call, arrays)
        yield from _fewer_classes(call, arrays)
    if call.transform is None and call["reduction"] in ("mean", "none") and "reduction" not in call.omitted:
        yield call.replace(reduction="sum")
    yield from _plain_sentinel(call, arrays)
    yield from _simpler_numbers(call, arrays)


def _with(call: Call, arrays: _Arrays, **fields: Any) -> Call:
    """The call with these arrays, those that had an arrangement in memory in it again."""
    wanted = dict(fields.pop("layouts", call.layouts))
    able = {name: wanted[name] for name, array in arrays.items() if name in wanted and array.ndim and array.size}
    held = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    held |= {name: lay(arrays[name], layout) for name, layout in able.items()}
    transform = call.transform
    if transform is not None:
        transform = dataclasses.replace(transform, upstream=held.get("upstream"), direction=held.get("direction"))
    own = {name: held.get(name) for name in ("input", "target", "weight")}
    return call.replace(**own, transform=transform, layouts=tuple(able.items()), **fields)


def _fewer_positions(call: Call, arrays: _Arrays) -> Iterator[Call]:
    """Parts of the batch and of the spatial axes; trailing axes of length 1 are left out."""
    kept = not_ignored(call["target"], call["ignore_index"])
    if call["target"].ndim == 1 and not kept.all():
        yield _with(call, _taken(call, arrays, 0, np.flatnonzero(kept)))
    for axis, length in enumerate(call["target"].shape):
        for places in _parts(length):
            yield _with(call, _taken(call, arrays, axis, places))
    if call["input"].ndim > 2 and call["input"].shape[-1] == 1:
        yield _with(
            call, {name: array[..., 0] if _has_positions(call, name) else array for name, array in arrays.items()}
        )


def _has_positions(call: Call, name: str) -> bool:
    return name in ("input", "target", "direction") or name == "upstream" and call["reduction"] == "none"


def _taken(call: Call, arrays: _Arrays, axis: int, places: Array) -> _Arrays:
    """The arrays at these places of one of target's axes."""
    taken = dict(arrays)
    for name, array in arrays.items():
        if _has_positions(call, name):
            own = axis if name in ("target", "upstream") else axis + (axis > 0)
            taken[name] = np.take(array, places, own)
    return taken


def _parts(length: int) -> Iterator[Array]:
    """Halves, then all but a part of it, the parts getting smaller; some of the single ones of a long axis."""
    every = np.arange(length)
    size = length // 2
    if size:
        yield every[:size]
        yield every[size:]
    while size:
        for start in range(0, length, size):
            yield np.delete(every, slice(start, start + size))
        size = size // 2 if length // max(size // 2, 1) <= _SINGLY else 0


def _fewer_classes(call: Call, arrays: _Arrays) -> Iterator[Call]:
    """Without classes that nobody refers to: all of them, or one; the others are numbered anew."""
    axis = class_axis(call["input"])
    classes = call["input"].shape[axis]
    used = np.append(call["target"].reshape(-1).astype(np.int64, copy=False), min(call["ignore_index"], 2**62))
    unused = np.setdiff1d(np.arange(classes), used)
    for dropped in (unused, *(unused[n : n + 1] for n in range(min(unused.size, _SINGLY)))):
        if not dropped.size or dropped.size == classes:
            continue
        places = np.setdiff1d(np.arange(classes), dropped)
        along = {name: array for name, array in arrays.items() if name in ("input", "direction")}
        fewer = arrays | {name: np.take(array, places, axis) for name, array in along.items()}
        if call["weight"] is not None:
            fewer["weight"] = call["weight"][places]
        fewer["target"] = _renumbered(call["target"], dropped)
        sentinel = call["ignore_index"] - int((dropped < call["ignore_index"]).sum()) * (call["ignore_index"] >= 0)
        yield _with(call, fewer, ignore_index=sentinel)


def _renumbered(target: Array, dropped: Array) -> Array:
    """Each target less the dropped classes below it; what is no class keeps its distance from the last one."""
    wide = target.astype(np.int64)
    return np.where(wide < 0, wide, wide - np.searchsorted(dropped, wide)).astype(target.dtype)


def _plain_sentinel(call: Call, arrays: _Arrays) -> Iterator[Call]:
    """The default ignore_index, also at the positions that are ignored."""
    if call["ignore_index"] == DEFAULT or call["target"].dtype.kind != "i":
        return
    ignored = ~not_ignored(call["target"], call["ignore_index"])
    target = np.where(ignored, DEFAULT, call["target"]).astype(call["target"].dtype)
    yield _with(call, arrays | {"target": target}, ignore_index=DEFAULT)


def _simpler_numbers(call: Call, arrays: _Arrays) -> Iterator[Call]:
    """Parts of an array replaced by 0, by ones, or by their own first digits."""
    for name, array in arrays.items():
        if array.dtype.kind not in ("f", "V", "i", "u") or not array.size:
            continue
        fixed = ~not_ignored(array, call["ignore_index"]) if name == "target" else np.zeros(array.shape, bool)
        size = array.size
        while size:
            for start in range(0, array.size, size):
                part = np.zeros(array.size, bool)
                part[start : start + size] = True
                part = part.reshape(array.shape) & ~fixed
                for simpler in _simpler(name, array):
                    yield _with(call, arrays | {name: np.where(part, simpler, array).astype(array.dtype)})
            size = size // 2 if array.size // max(size // 2, 1) <= _SINGLY else 0


def _simpler(name: str, array: Array) -> Iterator[Any]:
    yield 0
    if name == "target":
        return
    yield -1 if name == "input" else 1
    if array.dtype.kind in "fV":
        wide = array.astype(np.float64)
        with np.errstate(all="ignore"):
            yield np.round(wide)
            mantissa, exponent = np.frexp(wide)
            yield np.where(np.isfinite(wide), np.ldexp(np.round(mantissa * 8) / 8, exponent), wide)
