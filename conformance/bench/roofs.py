"""What the machine itself takes for the bytes of a call: the limits that subjects are compared with.

Both move as many bytes as the call has to, in the same rounds, with one thread or all that the call may have, whichever
is faster: to wake a thread takes as long as to read a megabyte. `stream` reads and writes them in order, by the C
library: nothing that moves them can be faster. `gather` reads one number per kept position from where the call reads
it, by NumPy's take: the best that can be hoped for without knowing the targets.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import timeit
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ...reports.bench import EMPTY, GATHER, STREAM
from ...specs.call import Array, Call
from ...specs.nll_loss.traffic import Traffic, selected_offsets

_libc = ctypes.CDLL(None)
_libc.memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_libc.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
_TRIES = 5


@contextlib.contextmanager
def references(call: Call, moved: Traffic, work: str, threads: int) -> Iterator[dict[str, Callable[[], Any]]]:
    """One step of the empty call and of each roof; the memory and the threads that they work with end with it."""
    # In two halves that are equal, so that memcmp reads all of both; written to, or all pages were one and the same.
    halves = [np.ones(max(1, moved.read // 2), np.uint8) for _ in range(2)]
    room = np.ones(max(1, moved.written), np.uint8)
    one, other, into = (array.ctypes.data for array in (*halves, room))

    def stream(part: int, count: int) -> None:
        (low, high), (first, last) = _share(halves[0].size, part, count), _share(room.size, part, count)
        _libc.memcmp(one + low, other + low, high - low)
        _libc.memset(into + first, 0, last - first)

    source, places = _flat(call)
    taken = np.empty(places.size, source.dtype)

    def gather(part: int, count: int) -> None:
        low, high = _share(places.size, part, count)
        if work != "backward":
            np.take(source, places[low:high], out=taken[low:high], mode="clip")
        if work != "forward":
            first, last = _share(room.size, part, count)
            _libc.memset(into + first, 0, last - first)

    with ThreadPoolExecutor(threads) as pool:  # ctypes and take let other threads run

        def together(roof: Callable[[int, int], None]) -> None:
            rest = [pool.submit(roof, part, threads) for part in range(1, threads)]
            roof(0, threads)
            for one in rest:
                one.result()

        def faster(roof: Callable[[int, int], None]) -> Callable[[], Any]:
            alone = functools.partial(roof, 0, 1)
            return min(alone, functools.partial(together, roof), key=_seconds) if threads > 1 else alone

        yield {EMPTY: lambda: None, STREAM: faster(stream), GATHER: faster(gather)}


def _seconds(step: Callable[[], Any]) -> float:
    """The least of several times."""
    return min(timeit.repeat(step, number=1, repeat=_TRIES))


def _share(size: int, part: int, count: int) -> tuple[int, int]:
    """Where the part of an array begins and ends."""
    return size * part // count, size * (part + 1) // count


def _flat(call: Call) -> tuple[Array, Array]:
    """The memory that input lies in as integers of its width, and where in it each kept position's number is."""
    width = np.dtype(f"u{call['input'].itemsize}")
    offsets = selected_offsets(call) // call["input"].itemsize
    last = sum((length - 1) * step for length, step in zip(call["input"].shape, call["input"].strides, strict=True))
    flat = np.lib.stride_tricks.as_strided(call["input"].view(width), (last // width.itemsize + 1,), (width.itemsize,))
    return flat, offsets.astype(np.intp)
