"""Calls and arrays as JSON, bit for bit."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import math
import zlib
from typing import Any

import numpy as np

from .call import ASKED, Call, Signature, dtype_of, is_sparse, number, sparse
from .errors import VectorError, nearest
from .layouts import Array, lay

# Up to this many elements an array is written as readable hexadecimal floats, above it as compressed bytes.
READABLE_ELEMENTS = 64


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
        dtype, shape = dtype_of(data["dtype"]), tuple(int(length) for length in data["shape"])
        size = math.prod(shape)
        if "zlib" in data:
            raw = zlib.decompress(base64.b64decode(data["zlib"]))
            return np.frombuffer(raw, dtype=dtype).reshape(shape).copy()  # may be written to, as other arrays
        values = [_parse(value) for value in data["values"]]
        if "at" in data:
            sparse = np.zeros(shape, dtype)
            sparse.reshape(-1)[data["at"]] = values
            return sparse
        if size and not values:
            raise ValueError("no values for a shape that is not empty")
        filled = list(itertools.islice(itertools.cycle(values), size)) if size else []
        array = np.array(filled, dtype=np.float64 if dtype.kind in "fV" else dtype)
        return array.astype(dtype).reshape(shape)
    except (KeyError, TypeError, ValueError, OverflowError, zlib.error) as error:
        raise VectorError(f"{where}: {type(error).__name__}: {error}") from error


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
