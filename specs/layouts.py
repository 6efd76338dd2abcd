"""Arrangements of an array in memory: equal values, other strides, among neighbours that must not be read.

Every arrangement lies in a guarded buffer: what surrounds the array, and fills its gaps, is NaN, or the largest
number of an integer dtype, which is no class of any call that is laid out. So code that ignores strides, or reads
past an end, computes something visibly wrong; and `page` ends where reading further ends the process.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_GUARD = 64  # elements before and after
_NO_ACCESS = 0  # PROT_NONE


def fortran(array: Array) -> Array:
    """First axis fastest."""
    return _in_memory_order(array, tuple(reversed(range(array.ndim))))


def channels_last(array: Array) -> Array:
    """The second axis fastest, as image libraries keep classes: (N, d1..dK, C) in memory."""
    order = (*range(array.ndim),) if array.ndim < 3 else (0, *range(2, array.ndim), 1)
    return _in_memory_order(array, order)


def class_first(array: Array) -> Array:
    """The second axis slowest: (C, N, d1..dK) in memory."""
    return _in_memory_order(array, (1, 0, *range(2, array.ndim)) if array.ndim > 1 else (0,))


def transposed(array: Array) -> Array:
    """The last two axes exchanged in memory."""
    order = list(range(array.ndim))
    order[-2:] = reversed(order[-2:])
    return _in_memory_order(array, tuple(order))


def strided(array: Array) -> Array:
    """Every second element along the last axis."""
    shape = (*array.shape[:-1], 2 * array.shape[-1])
    return _fill(_guarded(shape, array.dtype)[..., ::2], array)


def sliced(array: Array) -> Array:
    """Rows and columns cut out of a larger array."""
    whole = _guarded(tuple(length + 3 for length in array.shape), array.dtype)
    return _fill(whole[tuple(slice(1, 1 + length) for length in array.shape)], array)


def negative(array: Array) -> Array:
    """All axes backwards."""
    return _fill(_guarded(array.shape, array.dtype)[(slice(None, None, -1),) * array.ndim], array)


def broadcast(array: Array) -> Array:
    """One row, repeated with stride 0 along the first axis: the values of the first row count."""
    row = _fill(_guarded((1, *array.shape[1:]), array.dtype), array[:1])
    return np.lib.stride_tricks.as_strided(row, array.shape, (0, *row.strides[1:]))


def offset(array: Array) -> Array:
    """In C order, somewhere inside a larger buffer."""
    return _in_memory_order(array, tuple(range(array.ndim)))


def read_only(array: Array) -> Array:
    """In C order, and not to be written to."""
    laid = offset(array)
    laid.flags.writeable = False
    return laid


def page(array: Array) -> Array:
    """In C order, the last element at the end of a page; touching the next one ends the process."""
    size = max(array.nbytes, 1)
    pages = -(-size // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    if protect(ctypes.c_void_p(address + pages * mmap.PAGESIZE), mmap.PAGESIZE, _NO_ACCESS) != 0:
        raise OSError(ctypes.get_errno(), "mprotect failed")
    np.frombuffer(memory, np.uint8, pages * mmap.PAGESIZE)[:] = 0xFF  # NaN, and -1 or the largest integer
    start = pages * mmap.PAGESIZE - array.nbytes
    return _fill(np.frombuffer(memory, array.dtype, array.size, start).reshape(array.shape), array)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    function.__name__: function
    for function in (fortran, channels_last, class_first, transposed, strided, sliced, negative, broadcast, offset)
} | {function.__name__: function for function in (read_only, page)}


def lay(array: Array, layout: str) -> Array:
    """A copy of `array` in this arrangement; raises KeyError for an unknown one.

    Scalars and empty arrays have no arrangement but C order and are copied as they are.
    """
    return LAYOUTS[layout](array) if array.size and array.ndim else array.copy()


def extent(array: Array) -> Array:
    """The bytes of the whole buffer that an array was laid into, neighbours included."""
    owner = array
    while (base := _base(owner)) is not None:
        owner = base
    return owner.ravel(order="K").view(np.uint8)  # no copy, whichever axis is fastest


def _base(array: Array) -> Array | None:
    """The array that this one is a view of; NumPy puts a stand-in between where strides were set by hand."""
    base: Any = array.base
    if not isinstance(base, np.ndarray):
        base = getattr(base, "base", None)
    return base if isinstance(base, np.ndarray) else None


def _in_memory_order(array: Array, order: tuple[int, ...]) -> Array:
    """A view that has the array's shape, and whose axes lie in memory in this order, slowest first."""
    buffer = _guarded(tuple(array.shape[axis] for axis in order), array.dtype)
    return _fill(buffer.transpose(np.argsort(order)), array)


def _guarded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Room for an array, poisoned, between poisoned neighbours."""
    size = int(np.prod(shape))
    poison = np.iinfo(dtype).max if dtype.kind in "iu" else np.nan
    buffer = np.full(size + 2 * _GUARD, poison, dtype)
    return buffer[_GUARD : _GUARD + size].reshape(shape)


def _fill(view: Array, array: Array) -> Array:
    view[...] = array
    return view
