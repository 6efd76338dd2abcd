"""What goes into an implementation and what comes out of it.

A `Call` holds the arguments of one invocation as NumPy arrays, bit for bit; an `Outcome` is what an
implementation did with them. Neither knows what the right answer is.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from .errors import VectorError, nearest
from .layouts import Array as Array  # what adapters import from here
from .layouts import lay

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")
TARGET_DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
REDUCTIONS = ("none", "sum", "mean")
OPTIONS = ("weight", "ignore_index", "reduction")  # arguments that a caller may leave out
ARRAYS = ("input", "target", "weight", "upstream", "direction")

# What a call may ask of an implementation besides its value.
TRANSFORMS = {
    "gradient": "the gradient of <upstream, loss> with respect to input",
    "gradient_again": "the gradient, by a second backward pass through one graph; the first had twice the upstream",
    "gradient_between": "the gradient, the loss of input and target in reverse having been taken in between",
    "weight_gradient": "the gradient of <upstream, loss> with respect to weight",
    "second": "the derivative of <gradient, direction> with respect to input",
    "second_upstream": "the derivative of <gradient, direction> with respect to upstream",
    "jvp": "the derivative of the loss along direction, in forward mode",
    "vmap": "the loss, mapped over a leading axis of `batched` arguments",
    "vmap_gradient": "the gradient, mapped over a leading axis of `batched` arguments",
    "value_in_training": "the loss, while its gradient with respect to input is to be taken later",
    "autocast": "the loss, under automatic mixed precision in bfloat16",
}
GRADIENTS = ("gradient", "gradient_again", "gradient_between")  # which are one and the same
VALUES = ("value", "value_in_training", "autocast")  # likewise

# Up to this many elements an array is written as readable hexadecimal floats, above it as compressed bytes.
READABLE_ELEMENTS = 64
# Above so many bytes only the elements that are not 0 are written, at most so many of them.
SPARSE_BYTES, SPARSE_ELEMENTS = 1 << 28, 10_000


@functools.cache
def dtype_of(name: str) -> np.dtype[Any]:
    """The NumPy dtype called `name`, bfloat16 included; raises TypeError when there is none."""
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)


@functools.cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """`dtype.name`, remembered: NumPy puts it together anew each time."""
    return str(dtype.name)


@functools.cache
def range_of(dtype: np.dtype[Any]) -> tuple[int, int]:
    """The smallest and the largest integer that an integer dtype holds, remembered as well."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """What is asked for instead of the value: `kind` is one of TRANSFORMS.

    `upstream` has the loss's shape and input's dtype, `direction` input's shape and dtype. `batched` names the
    arguments (input, target, weight) that carry a leading axis to map over.
    """

    kind: str
    upstream: Array | None = None
    direction: Array | None = None
    batched: tuple[str, ...] = ()

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """The arrays that are present, with their names."""
        if self.upstream is not None:
            yield "upstream", self.upstream
        if self.direction is not None:
            yield "direction", self.direction


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """The arguments of one `nll_loss` invocation.

    `input` is `(C,)` or `(N, C, d1..dK)`, `target` `()` or `(N, d1..dK)`, `weight` `(C,)` or None. Illegal
    calls are Calls too, so nothing is validated here and `reduction` may be any object. `omitted` names
    arguments the caller leaves out, to exercise an implementation's own defaults; their fields then hold the
    specified default. `transform` asks for a derivative, or for a batch at once. `layouts` names, per array, the
    arrangement in memory that the array has (lossparity.specs.layouts); what is not named is in C order.
    """

    input: Array
    target: Array
    weight: Array | None = None
    ignore_index: int = -100
    reduction: Any = "mean"
    omitted: tuple[str, ...] = ()
    transform: Transform | None = None
    layouts: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> str:
        """What is asked for: "value", or the transform's kind."""
        return "value" if self.transform is None else self.transform.kind

    @property
    def dtype(self) -> str:
        """Name of the input's dtype."""
        return dtype_name(self.input.dtype)

    def options(self) -> dict[str, Any]:
        """Keyword arguments besides the arrays, without those that are omitted."""
        given = {"ignore_index": self.ignore_index, "reduction": self.reduction}
        return {name: value for name, value in given.items() if name not in self.omitted}

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """The array arguments that are present, with their names."""
        yield "input", self.input
        yield "target", self.target
        if self.weight is not None:
            yield "weight", self.weight
        if self.transform is not None:
            yield from self.transform.arrays()

    def digest(self) -> str:
        """Sixteen hexadecimal digits that identify the call's content, the same on every machine."""
        options = (self.ignore_index, self.reduction, self.omitted)
        batched = self.transform.batched if self.transform is not None else ()
        content = hashlib.sha256(repr((*options, self.kind, batched, self.layouts)).encode())
        for name, array in self.arrays():
            content.update(f"{name}{array.dtype.name}{array.shape}".encode())
            if array.nbytes > SPARSE_BYTES:
                content.update(repr(_sparse(array)).encode())
            else:
                content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()[:16]

    def describe(self) -> str:
        """One line that shows the call's structure."""
        weight = "None" if self.weight is None else f"{self.weight.dtype.name}{list(self.weight.shape)}"
        said = (
            f"input={self.dtype}{list(self.input.shape)}, target={self.target.dtype.name}{list(self.target.shape)}, "
            f"weight={weight}, ignore_index={self.ignore_index}, reduction={self.reduction!r}"
        )
        batched = f" over {'+'.join(self.transform.batched)}" if self.transform and self.transform.batched else ""
        said += f", {self.kind}{batched}" if self.transform is not None else ""
        laid = ", ".join(f"{name} {layout}" for name, layout in self.layouts)
        return said + (f", in memory: {laid}" if laid else "")


@dataclass(frozen=True, slots=True, eq=False)
class Returned:
    """The implementation returned a value, read back bit-exactly into NumPy."""

    value: Array


@dataclass(frozen=True, slots=True)
class Raised:
    """The implementation raised a Python exception of this type, with this message."""

    type: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Earlier:
    """A call that ran before another in the same process, and the clause whose experiment began with it, if any."""

    subject: str
    call: Call
    experiment: str = ""


@dataclass(frozen=True, slots=True)
class Crashed:
    """The process died while the implementation ran.

    `before` are calls that ran earlier in the same process, newest first, where one of them may be to blame: of the
    call alone no process died.
    """

    how: str
    before: tuple[Earlier, ...] = ()


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The implementation did not come back within so many seconds; `before` as in Crashed."""

    seconds: float
    before: tuple[Earlier, ...] = ()


@dataclass(frozen=True, slots=True)
class Unsupported:
    """The subject declares that it does not do this; it was not called."""

    reason: str


Outcome = Returned | Raised | Crashed | TimedOut | Unsupported


# --- JSON form -------------------------------------------------------------------------------------------


def encode_array(array: Array) -> dict[str, Any]:
    """An array as JSON: hexadecimal floats or integers when small, else zlib-compressed little-endian bytes.

    `values` shorter than the array repeat in order until the shape is filled. Of very large arrays only elements that
    are not 0 are written, with their places `at`.
    """
    head = {"dtype": array.dtype.name, "shape": list(array.shape)}
    if array.nbytes > SPARSE_BYTES:
        at, values = _sparse(array)
        return head | {"at": at, "values": values}
    flat = np.ascontiguousarray(array).reshape(-1)
    if array.dtype.kind == "c":
        return head | {"zlib": _pack(flat)}
    period = period_of(flat)
    if period is None:
        return head | {"zlib": _pack(flat)}
    return head | {"values": [_number(value) for value in flat[:period].tolist()]}


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
    """A call as JSON."""
    data: dict[str, Any] = {name: encode_array(array) for name, array in call.arrays()}
    data |= {"ignore_index": call.ignore_index, "reduction": call.reduction}
    if call.omitted:
        data["omitted"] = list(call.omitted)
    if call.transform is not None:
        data["transform"] = call.kind
        if call.transform.batched:
            data["batched"] = list(call.transform.batched)
    if call.layouts:
        data["layouts"] = dict(call.layouts)
    return data


def decode_call(data: Any, where: str = "call") -> Call:
    """The call that `encode_call` wrote; raises VectorError naming `where` and what is wrong."""
    try:
        arrays = {name: _decode_laid(data, name, where) for name in ARRAYS if data.get(name) is not None}
        transform = None
        if "transform" in data:
            if data["transform"] not in TRANSFORMS:
                raise ValueError(f"no transform {data['transform']!r}; {nearest(data['transform'], TRANSFORMS)}")
            batched = tuple(data.get("batched", ()))
            transform = Transform(data["transform"], arrays.get("upstream"), arrays.get("direction"), batched)
        return Call(
            arrays["input"],
            arrays["target"],
            arrays.get("weight"),
            data["ignore_index"],
            data["reduction"],
            tuple(data.get("omitted", ())),
            transform,
            tuple(data.get("layouts", {}).items()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VectorError(f"{where}: {type(error).__name__}: {error}") from error


def _decode_laid(data: Any, name: str, where: str) -> Array:
    array = decode_array(data[name], f"{where}.{name}")
    layout = data.get("layouts", {}).get(name)
    return array if layout is None else lay(array, layout)


def _sparse(array: Array) -> tuple[list[int], list[Any]]:
    """Places and values of the elements that are not 0, the first of them, looked for block by block."""
    if not any(array.strides):
        return [], []
    flat, block = array.reshape(-1), 1 << 22
    at: list[int] = []
    for start in range(0, flat.size, block):
        at += (start + np.flatnonzero(flat[start : start + block])).tolist()
        if len(at) >= SPARSE_ELEMENTS:
            break
    at = at[:SPARSE_ELEMENTS]
    return at, [_number(value) for value in flat[at].tolist()]


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


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return value.hex() if math.isfinite(value) else repr(value)
    return value


def _parse(value: Any) -> Any:
    return float.fromhex(value) if isinstance(value, str) else value
