"""What goes into an implementation and what comes out of it.

A `Call` holds the arguments of one invocation as NumPy arrays, bit for bit; an `Outcome` is what an
implementation did with them. Neither knows what the right answer is.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from .layouts import Array as Array  # what adapters import from here

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
            if is_sparse(array):
                content.update(repr(sparse(array)).encode())
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


def is_sparse(array: Array) -> bool:
    """Whether an array is so large that only its elements that are not 0 are written, and told apart by."""
    return array.nbytes > SPARSE_BYTES


def sparse(array: Array) -> tuple[list[int], list[Any]]:
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
    return at, [number(value) for value in flat[at].tolist()]


def number(value: Any) -> Any:
    """A number as JSON holds it without loss: floats in hexadecimal."""
    if isinstance(value, float):
        return value.hex() if math.isfinite(value) else repr(value)
    return value
