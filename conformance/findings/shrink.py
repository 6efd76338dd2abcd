"""Makes a failing call smaller for as long as it fails in the same way: greedy, deterministic, bounded.

Hypothesis shrinks what it drew itself, by the choices that it made, and has no way to begin with a call that was found
by other means; hence this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ...specs import losses
from ...specs.call import Array, Call

RUNS, SECONDS = 500, 20.0
_SINGLY = 64  # an array of at most so many elements is simplified down to single ones
_REDUCTIONS = {"sum": 0, "mean": 1}


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
    arrays = [array for _, array in call.arrays()]
    options = {name: value for name, value in call.options.items() if name != "reduction"}
    return (
        sum(array.size for array in arrays),
        sum(sum(array.shape) for array in arrays),
        len(arrays) + len(call.layouts) + len(call.omitted),
        max(array.ndim for array in arrays),
        _REDUCTIONS.get(str(call.options.get("reduction")), 2),
        sum(value != call.signature.defaults[name] for name, value in options.items()),
        sum(_complexity(array) for array in arrays),
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
    arrays, loss = dict(call.arrays()), losses.find(call.signature.loss)
    is_batched = call.transform is not None and bool(call.transform.batched)
    for one in call.signature.arrays:
        if one.optional and one.name in arrays and (call.transform is None or one.name != call.transform.wrt):
            yield call.holding({name: array for name, array in arrays.items() if name != one.name})
    for name, _ in call.layouts:
        yield call.holding(arrays, layouts=tuple(pair for pair in call.layouts if pair[0] != name))
    if not is_batched and (axes := loss.axes(call)):
        yield from _fewer(call, arrays, axes)
    yield from (() if is_batched else loss.simpler(call))
    reduction = call.options.get("reduction")
    if call.transform is None and reduction in ("mean", "none") and "reduction" not in call.omitted:
        yield call.replace(reduction="sum")
    for name, array in arrays.items():
        for simpler in _simpler_numbers(array, call.signature.holds_classes(name, array)):
            yield call.holding(arrays | {name: simpler})


def _fewer(call: Call, arrays: Mapping[str, Array], axes: Mapping[str, tuple[str, ...]]) -> Iterator[Call]:
    """Parts of each axis but that of classes, which others refer to; the last one is left out where it has length 1."""
    lengths = {axis: n for name, array in arrays.items() for axis, n in zip(axes[name], array.shape, strict=True)}
    for axis, length in lengths.items():
        for places in _parts(length) if axis != "C" else ():
            yield call.holding({name: _taken(array, axes[name], axis, places) for name, array in arrays.items()})
    last = next(reversed(lengths))
    if last not in ("N", "C") and lengths[last] == 1:
        yield call.holding({name: array[..., 0] if last in axes[name] else array for name, array in arrays.items()})


def _taken(array: Array, axes: tuple[str, ...], axis: str, places: Array) -> Array:
    return np.take(array, places, axes.index(axis)) if axis in axes else array


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


def _simpler_numbers(array: Array, is_classes: bool) -> Iterator[Array]:
    """Parts of the array replaced by 0, by ones, or by their own first digits."""
    if array.dtype.kind not in ("f", "V", "i", "u"):
        return
    size = array.size
    while size:
        for start in range(0, array.size, size):
            part = np.zeros(array.size, bool)
            part[start : start + size] = True
            for simpler in _simpler(array, is_classes):
                yield np.where(part.reshape(array.shape), simpler, array).astype(array.dtype)
        size = size // 2 if array.size // max(size // 2, 1) <= _SINGLY else 0


def _simpler(array: Array, is_classes: bool) -> Iterator[Any]:
    yield 0
    if is_classes:
        return
    with np.errstate(all="ignore"):
        wide = array.astype(np.float64)
        yield -1 if (wide < 0).sum() * 2 > wide.size else 1
        if array.dtype.kind in "fV":
            yield np.round(wide)
            mantissa, exponent = np.frexp(wide)
            yield np.where(np.isfinite(wide), np.ldexp(np.round(mantissa * 8) / 8, exponent), wide)
