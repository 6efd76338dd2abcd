"""Calls and arrays as JSON, bit for bit."""

from __future__ import annotations

import base64
import dataclasses
import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from .call import ASKED, SPARSE_BYTES, Call, Signature, dtype_of, is_sparse, number, sparse
from .errors import VectorError, nearest
from .layouts import Array, lay

# Up to this many elements an array is written as readable hexadecimal floats, above it as compressed bytes.
READABLE_ELEMENTS = 64
_LARGEST = 3 << 30  # elements of an array of which only those are written that are not 0
_PIECE = 1 << 20  # bytes that are unpacked at once
_DAMAGE = (LookupError, TypeError, ValueError, OverflowError, MemoryError, zlib.error)


def encode_array(array: Array) -> dict[str, Any]:
    """An array as JSON: hexadecimal floats or integers when small, else zlib-compressed little-endian bytes.

    `values` shorter than the array repeat in order until the shape is filled. Of very large arrays only elements that
    are not 0 are written, with their places `at`.
    """
    head = {"dtype": array.dtype.name, "shape": list(array.shape)}
    if is_sparse(array):
        at, values = sparse(array)
        return head | {"at": at, "values": values}
    flat = np.ascontiguousarray(array).reshape(-1)
    if array.dtype.kind == "c":
        return head | {"zlib": _pack(flat)}
    period = period_of(flat)
    if period is None:
        return head | {"zlib": _pack(flat)}
    return head | {"values": [number(value) for value in flat[:period].tolist()]}


def decode_array(data: Any, where: str = "array") -> Array:
    """The array that `encode_array` wrote; raises VectorError naming `where` and what is wrong."""
    try:
        dtype, shape, size = _measured(data)
        if "zlib" in data:
            raw = b"".join(_unpacked(data["zlib"], size * dtype.itemsize))
            return np.frombuffer(raw, dtype=dtype).reshape(shape).copy()  # may be written to, as other arrays
        values = [_parse(value) for value in data["values"]]
        if "at" in data:
            sparse = np.zeros(shape, dtype)
            sparse.reshape(-1)[data["at"]] = values
            return sparse
        if size and not values:
            raise ValueError("no values for a shape that is not empty")
        array = np.array(values, dtype=np.float64 if dtype.kind in "fV" else dtype).astype(dtype)
        return np.resize(array, shape)
    except _DAMAGE as error:
        raise VectorError(f"{where}: {type(error).__name__}: {error}") from error


def check_call(data: Any, where: str = "call") -> None:
    """Raise VectorError where an array of an encoded call is not as large as it says, or larger than any that we write.

    Takes no memory, and little time.
    """
    arrays = {name: one for name, one in data.items() if isinstance(one, dict) and "shape" in one}
    for name, one in arrays.items():
        try:
            dtype, _, size = _measured(one)
            if "zlib" in one:
                for _ in _unpacked(one["zlib"], size * dtype.itemsize):
                    pass
        except _DAMAGE as error:
            raise VectorError(f"{where}.{name}: {type(error).__name__}: {error}") from error


def _measured(data: Any) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """The dtype, the shape and the number of elements; raises ValueError for what was never written."""
    dtype, shape = dtype_of(data["dtype"]), tuple(int(length) for length in data["shape"])
    size = math.prod(shape)
    most = _LARGEST if "at" in data else max(SPARSE_BYTES // dtype.itemsize, 1)
    if min(shape, default=0) < 0 or size > most:
        raise ValueError(f"a shape of {list(shape)}, {size:,} elements; such arrays have up to {most:,}")
    return dtype, shape, size


def _unpacked(text: str, size: int) -> Iterator[bytes]:
    """Compressed bytes, in pieces; raises ValueError as soon as they are more than that, or fewer in the end."""
    packed = zlib.decompressobj()
    rest, left = base64.b64decode(text), size
    while not packed.eof:
        piece = packed.decompress(rest, _PIECE)
        rest, left = packed.unconsumed_tail, left - len(piece)
        if left < 0 or not (piece or packed.eof):
            break
        yield piece
    if left or not packed.eof:
        raise ValueError(f"{'more' if left < 0 else 'fewer'} compressed bytes than the {size:,} of its shape")


def encode_call(call: Call) -> dict[str, Any]:
    """A call as JSON; the loss is not in it."""
    data: dict[str, Any] = {name: encode_array(array) for name, array in call.arrays()}
    data |= call.options
    if call.omitted:
        data["omitted"] = list(call.omitted)
    if call.transform is not None:
        data["transform"] = call.kind
        if call.transform.batched:
            data["batched"] = list(call.transform.batched)
    if call.layouts:
        data["layouts"] = dict(call.layouts)
    return data


def decode_call(data: Any, signature: Signature, where: str = "call") -> Call:
    """The call of this signature that `encode_call` wrote; raises VectorError naming `where` and what is wrong."""
    try:
        arrays = {name: _decode_laid(data, name, where) for name in signature.letters if data.get(name) is not None}
        asked = {name: arrays.pop(name, None) for name in ASKED}
        missing = [name for name in signature.required if name not in arrays]
        if missing := [*missing, *(name for name in signature.defaults if name not in data)]:
            raise ValueError(f"no {missing[0]}")
        transform = None
        if "transform" in data:
            if data["transform"] not in signature.kinds:
                known = nearest(data["transform"], signature.kinds)
                raise ValueError(f"no transform {data['transform']!r}; {known}")
            kind = signature.kinds[data["transform"]]
            transform = dataclasses.replace(kind, **asked, batched=tuple(data.get("batched", ())))
        return signature.call(
            **arrays,
            **{name: data[name] for name in signature.defaults},
            omitted=tuple(data.get("omitted", ())),
            transform=transform,
            layouts=tuple(data.get("layouts", {}).items()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VectorError(f"{where}: {type(error).__name__}: {error}") from error


def _decode_laid(data: Any, name: str, where: str) -> Array:
    array = decode_array(data[name], f"{where}.{name}")
    layout = data.get("layouts", {}).get(name)
    return array if layout is None else lay(array, layout)


def period_of(flat: Array) -> int | None:
    """The shortest readable run whose repetition is `flat`, or None when there is none."""
    if flat.size <= READABLE_ELEMENTS:
        return flat.size
    for period in (1, 2, 4, 8, 16, 32, 64):
        if flat[period:].tobytes() == flat[:-period].tobytes():
            return period
    return None


def _pack(flat: Array) -> str:
    return base64.b64encode(zlib.compress(flat.tobytes(), 1)).decode()


def _parse(value: Any) -> Any:
    return float.fromhex(value) if isinstance(value, str) else value
