"""Arrays as Python text: NumPy expressions that give back every bit, as short as what they hold allows."""

from __future__ import annotations

import base64
import math
import textwrap
import zlib
from typing import Any

import numpy as np

from ...specs.call import Array
from ...specs.encoding import READABLE_ELEMENTS, period_of

_EXCEPTIONS = 8  # elements that may differ from all others and still be written one by one
_SHORT = 14  # characters of a decimal that is nicer to read than a hexadecimal float
_WIDTH = 100

# layout -> what makes the arrangement out of an array in C order; {fill} is what no call may read.
_LAYOUTS = {
    "fortran": "{name}.T.copy().T",
    "channels_last": "np.moveaxis(np.moveaxis({name}, {second}, -1).copy(), -1, {second})",
    "class_first": "{name}.swapaxes(0, {second}).copy().swapaxes(0, {second})",
    "transposed": "{name}.swapaxes({last}, -1).copy().swapaxes({last}, -1)",
    "strided": "np.stack([{name}, np.full_like({name}, {fill})], -1).reshape(*{name}.shape[:-1], -1)[..., ::2]",
    "sliced": "np.pad({name}, (1, 2), constant_values={fill})[(slice(1, -2),) * {name}.ndim]",
    "negative": "np.flip(np.flip({name}).copy())",
    "broadcast": "np.lib.stride_tricks.as_strided({name}, {name}.shape, (0, *{name}.strides[1:]))",
    "offset": "np.pad({name}.ravel(), 64, constant_values={fill})[64:-64].reshape({name}.shape)",
}


def definition(name: str, array: Array, layout: str = "") -> list[str] | None:
    """Lines that bind `name` to the array, in this arrangement in memory; None where a line cannot spell that."""
    lines = _lines(name, array)
    if not layout or not (array.ndim and array.size):
        return lines
    if layout == "read_only":
        return [*lines, f"{name}.flags.writeable = False"]
    if layout not in _LAYOUTS:
        return None
    fill = "np.nan" if array.dtype.kind in "fV" else str(np.iinfo(array.dtype).max)
    words = {"name": name, "fill": fill, "second": min(1, array.ndim - 1), "last": max(-2, -array.ndim)}
    return [*lines, f"{name} = {_LAYOUTS[layout].format(**words)}"]


def _lines(name: str, array: Array) -> list[str]:
    flat = np.ascontiguousarray(array).reshape(-1)
    if array.ndim == 0 or not array.size:
        return [f"{name} = {_small(array)}"]
    values, counts = np.unique(flat.view(f"V{flat.itemsize}"), return_counts=True)
    usual = values[counts.argmax()].view(flat.dtype)
    others = np.flatnonzero(flat.view(f"V{flat.itemsize}") != values[counts.argmax()])
    if others.size <= _EXCEPTIONS and others.size * 3 < flat.size and flat.size > 3:
        lines = [f"{name} = {_full(array, usual)}"]
        if others.size:
            changed = [_number(flat[place].item()) for place in others]
            places, numbers = str(others.tolist()), f"[{', '.join(changed)}]"
            lines.append(
                f"{name}.flat[{places[1:-1] if others.size == 1 else places}] = "
                f"{numbers[1:-1] if others.size == 1 else numbers}"
            )
        return lines
    if array.size <= READABLE_ELEMENTS:
        return [f"{name} = {_small(array)}"]
    return [f"{name} = {_long(array, flat)}"]


def _small(array: Array) -> str:
    """Every element, in decimal where that is short; hexadecimal floats otherwise."""
    if not array.size:
        return f"np.zeros({array.shape}, {dtype(array)})"
    numbers = [_number(value) for value in array.reshape(-1).tolist()]
    if all(len(number) <= _SHORT for number in numbers) or array.dtype.kind not in "fV":
        return f"np.array({_nested(array, iter(numbers))}, {dtype(array)})"
    text = _broken(" ".join(_hexadecimal(value) for value in array.reshape(-1).tolist()))
    shape = f".reshape({array.shape})" if array.ndim != 1 else ""
    return f"np.array([float.fromhex(a) for a in {text}.split()], {dtype(array)}){shape}"


def _broken(text: str) -> str:
    """A string literal, of several lines in brackets where it is long."""
    if len(text) <= _WIDTH:
        return f'"{text}"'
    lines = textwrap.wrap(text, _WIDTH, drop_whitespace=False, break_on_hyphens=False)
    return "(\n" + "\n".join(f'    "{line}"' for line in lines) + "\n)"


def _long(array: Array, flat: Array) -> str:
    """A run that repeats, or compressed bytes."""
    if period := period_of(flat):
        return f"np.resize({_small(flat[:period])}, {array.shape})"
    packed = _broken(base64.b64encode(zlib.compress(flat.tobytes(), 9)).decode())
    return f"np.frombuffer(zlib.decompress(base64.b64decode({packed})), {dtype(array)}).reshape({array.shape}).copy()"


def _full(array: Array, value: Any) -> str:
    number = _number(value.item())
    if number in ("0", "0.0", "1", "1.0"):
        return f"np.{'ones' if number[0] == '1' else 'zeros'}({array.shape}, {dtype(array)})"
    return f"np.full({array.shape}, {number}, {dtype(array)})"


def dtype(array: Array) -> str:
    """The name of an array's dtype in a script."""
    name = array.dtype.name
    return "ml_dtypes.bfloat16" if name == "bfloat16" else "np.bool_" if name == "bool" else f"np.{name}"


def _nested(array: Array, numbers: Any) -> str:
    if array.ndim == 0:
        return next(numbers)
    return f"[{', '.join(_nested(part, numbers) for part in array)}]"


def _number(value: Any) -> str:
    """One element; decimals of Python read back to the same bits."""
    if not isinstance(value, float):
        return repr(value)
    if not math.isfinite(value):
        return {"nan": "np.nan", "inf": "np.inf", "-inf": "-np.inf"}[repr(value)]
    decimal = repr(value)
    return decimal if len(decimal) <= _SHORT else f'float.fromhex("{_hexadecimal(value)}")'


def _hexadecimal(value: float) -> str:
    """`value.hex()` without the zeros at its end."""
    mantissa, mark, exponent = value.hex().partition("p")
    return f"{mantissa.rstrip('0').rstrip('.')}{mark}{exponent}" if mark else value.hex()
