"""What the machine itself takes for the bytes of a call: the limits that subjects are compared with.

Both move as many bytes as the call has to, in the same rounds, with one thread or all that the call may have, whichever
is faster: to wake a thread takes as long as to read a megabyte. `stream` reads and writes them in order, by the C
library: nothing that moves them can be faster. `gather`, of a loss that picks out some of its numbers, reads those from
where the call reads them, by NumPy's take: the best that can be hoped for without knowing which they will be.
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
from ...specs.speed import Traffic

_libc = ctypes.CDLL(None)
_libc.memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_libc.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
_TRIES = 5
_Part = Callable[[int, int], None]  # does one part, of so many


@contextlib.contextmanager
def references(
    call: Call, offsets: Array | None, moved: Traffic, work: str, threads: int
) -> Iterator[dict[str, Callable[[], Any]]]:
    """One step of the empty call and of each roof; the memory and the threads that they work with end with it.

    `offsets` are those of Speed.offsets; without any there is no gather.
    """
    room = np.ones(max(1, moved.written), np.uint8)  # written to, or all pages were one and the same
    parts = {STREAM: _stream(moved.read, room)}
    if offsets is not None:
        parts[GATHER] = _gather(call, offsets, work, room)
    with ThreadPoolExecutor(threads) as pool:  # ctypes and take let other threads run

        def together(roof: _Part) -> None:
            rest = [pool.submit(roof, part, threads) for part in range(1, threads)]
            roof(0, threads)
            for one in rest:
                one.result()

        def faster(roof: _Part) -> Callable[[], Any]:
            alone = functools.partial(roof, 0, 1)
            return min(alone, functools.partial(together, roof), key=_seconds) if threads > 1 else alone

        yield {EMPTY: lambda: None} | {name: faster(roof) for name, roof in parts.items()}


def _stream(read: int, room: Array) -> _Part:
    """Reads so many bytes in order, and writes all of the room."""
    halves = [np.ones(max(1, read // 2), np.uint8) for _ in range(2)]  # equal, so that memcmp reads all of both
    one, other, into = (array.ctypes.data for array in (*halves, room))

    def stream(part: int, count: int) -> None:
        (low, high), (first, last) = _share(halves[0].size, part, count), _share(room.size, part, count)
        _libc.memcmp(one + low, other + low, high - low)
        _libc.memset(into + first, 0, last - first)

    return stream


def _gather(call: Call, offsets: Array, work: str, room: Array) -> _Part:
    """Takes the numbers that the loss reads, unless only the gradient counts, which writes all of the room."""
    source, places = _flat(call, offsets)
    taken, into = np.empty(places.size, source.dtype), room.ctypes.data

    def gather(part: int, count: int) -> None:
        low, high = _share(places.size, part, count)
        if work != "backward":
            np.take(source, places[low:high], out=taken[low:high], mode="clip")
        if work != "forward":
            first, last = _share(room.size, part, count)
            _libc.memset(into + first, 0, last - first)

    return gather


def _seconds(step: Callable[[], Any]) -> float:
    """The least of several times."""
    return min(timeit.repeat(step, number=1, repeat=_TRIES))


def _share(size: int, part: int, count: int) -> tuple[int, int]:
    """Where the part of an array begins and ends."""
    return size * part // count, size * (part + 1) // count


def _flat(call: Call, offsets: Array) -> tuple[Array, Array]:
    """The memory that the main array lies in as integers of its width, and where in it each number to be read is."""
    array = call[call.signature.main]
    width = np.dtype(f"u{array.itemsize}")
    last = sum((length - 1) * step for length, step in zip(array.shape, array.strides, strict=True))
    flat = np.lib.stride_tricks.as_strided(array.view(width), (last // width.itemsize + 1,), (width.itemsize,))
    return flat, (offsets // width.itemsize).astype(np.intp)
