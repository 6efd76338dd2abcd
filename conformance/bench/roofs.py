"""What the machine itself takes for the bytes of a call: the limits that subjects are compared with.

Both move as many bytes as the call has to, in the same rounds, with the same threads. `stream` reads and writes
them in order, by the C library: nothing that moves them can be faster. `gather` reads one number per kept position
from where the call reads it, by NumPy's take: the best that can be hoped for without knowing the targets.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
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
# Below so many bytes to a thread, starting threads costs more than they save.
_WORTH_A_THREAD = 1 << 20


@contextlib.contextmanager
def references(call: Call, moved: Traffic, work: str, threads: int) -> Iterator[dict[str, Callable[[], Any]]]:
    """One step of the empty call and of each roof; the memory and the threads that they work with end with it."""
    # In two halves that are equal, so that memcmp reads all of both; written to, or all pages were one and the same.
    halves = [np.ones(max(1, moved.read // 2), np.uint8) for _ in range(2)]
    room = np.ones(max(1, moved.written), np.uint8)
    one, other, into = (array.ctypes.data for array in (*halves, room))
    count = max(1, min(threads, (moved.read + moved.written) // _WORTH_A_THREAD))
    pool = ThreadPoolExecutor(count) if count > 1 else None  # ctypes and take let other threads run
    shares = [(_share(halves[0].size, part, count), _share(room.size, part, count)) for part in range(count)]

    def stream_part(part: int) -> None:
        (low, high), (first, last) = shares[part]
        _libc.memcmp(one + low, other + low, high - low)
        _libc.memset(into + first, 0, last - first)

    source, places = _flat(call)
    taken = np.empty(places.size, source.dtype)

    def gather_part(part: int) -> None:
        low, high = _share(places.size, part, count)
        if work != "backward":
            np.take(source, places[low:high], out=taken[low:high], mode="clip")
        if work != "forward":
            _, (first, last) = shares[part]
            _libc.memset(into + first, 0, last - first)

    def whole(part: Callable[[int], None]) -> Callable[[], Any]:
        if pool is None:
            return functools.partial(part, 0)
        many = pool.map
        return lambda: list(many(part, range(count)))

    yield {EMPTY: lambda: None, STREAM: whole(stream_part), GATHER: whole(gather_part)}
    if pool is not None:
        pool.shutdown()


def _share(size: int, part: int, count: int) -> tuple[int, int]:
    """Where the part of an array begins and ends."""
    return size * part // count, size * (part + 1) // count


def _flat(call: Call) -> tuple[Array, Array]:
    """The memory that input lies in as integers of its width, and where in it each kept position's number is."""
    width = np.dtype(f"u{call.input.itemsize}")
    offsets = selected_offsets(call) // call.input.itemsize
    last = sum((length - 1) * step for length, step in zip(call.input.shape, call.input.strides, strict=True))
    flat = np.lib.stride_tricks.as_strided(call.input.view(width), (last // width.itemsize + 1,), (width.itemsize,))
    return flat, offsets.astype(np.intp)
