"""What goes into an implementation and what comes out of it.

A `Call` holds the arguments of one invocation as NumPy arrays, bit for bit; an `Outcome` is what an
implementation did with them. Neither knows what the right answer is.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from .errors import nearest
from .layouts import Array as Array  # what adapters import from here
from .layouts import lay

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")
TARGET_DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
REDUCTIONS = ("none", "sum", "mean")

# What a call may ask of an implementation besides its value; {wrt} is the array that it is differentiated by.
TRANSFORMS = {
    "gradient": "the gradient of <upstream, loss> with respect to {wrt}",
    "gradient_again": "the gradient, by a second backward pass through one graph; the first had twice the upstream",
    "gradient_between": "the gradient, the loss of the same arrays in reverse having been taken in between",
    "second": "the derivative of <gradient, direction> with respect to {wrt}",
    "second_upstream": "the derivative of <gradient, direction> with respect to upstream",
    "jvp": "the derivative of the loss along direction, in forward mode",
    "vmap": "the loss, mapped over a leading axis of `batched` arguments",
    "vmap_gradient": "the gradient, mapped over a leading axis of `batched` arguments",
    "value_in_training": "the loss, while its gradient with respect to {wrt} is to be taken later",
    "autocast": "the loss, under automatic mixed precision in bfloat16",
}
GRADIENTS = ("gradient", "gradient_again", "gradient_between")  # which are one and the same
VALUES = ("value", "value_in_training", "autocast")  # likewise
ASKED = {"upstream": "g", "direction": "v"}  # arrays that a Transform brings, with their letters

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


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument that is an array.

    `letter` is its name in scripts, `holds` "reals", "classes" (indices of classes) or "either", by its dtype.
    """

    name: str
    letter: str
    holds: str = "reals"
    optional: bool = False
    differentiable: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """An argument that is no array, with its default; one of `choices`, if there are any."""

    name: str
    default: Any
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Signature:
    """How a loss is called: its arrays, the first of those that can be differentiated being the main one, and options.

    An implementation takes arrays that are not optional by position, and everything else by name.
    """

    loss: str
    arrays: tuple[Parameter, ...]
    options: tuple[Option, ...] = ()

    def call(
        self,
        *arguments: Any,
        omitted: tuple[str, ...] = (),
        transform: Transform | None = None,
        layouts: tuple[tuple[str, str], ...] = (),
        **named: Any,
    ) -> Call:
        """A Call with these arguments, arrays before options and defaults for what is missing.

        Raises TypeError for more arguments than there are, and for unknown ones.
        """
        if len(arguments) > len(self.names):
            raise TypeError(f"{self.loss} takes {len(self.names)} arguments, not {len(arguments)}")
        named |= zip(self.names, arguments, strict=False)
        given = {one.name: named.pop(one.name, None) for one in self.arrays}
        options = {name: named.pop(name, default) for name, default in self.defaults.items()}
        if named:
            raise TypeError(
                f"{self.loss} has no argument {next(iter(named))!r}; {nearest(next(iter(named)), self.names)}"
            )
        present = {name: array for name, array in given.items() if array is not None}
        return Call(self, present, options, omitted, transform, layouts)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without what is cached."""
        return type(self), (self.loss, self.arrays, self.options)

    def holds_classes(self, name: str, array: Array) -> bool:
        """Whether an array, given by this name, holds indices of classes."""
        holds = self._holds.get(name, "reals")
        return holds == "classes" or (holds == "either" and array.dtype.kind in "iu")

    @functools.cached_property
    def _holds(self) -> dict[str, str]:
        return {one.name: one.holds for one in self.arrays}

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """All arguments, in order."""
        return tuple(one.name for one in (*self.arrays, *self.options))

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """Options with their defaults."""
        return {one.name: one.default for one in self.options}

    @functools.cached_property
    def numbers(self) -> tuple[str, ...]:
        """Options that are whole numbers, whichever."""
        return tuple(one.name for one in self.options if not one.choices and isinstance(one.default, int))

    @functools.cached_property
    def omissible(self) -> tuple[str, ...]:
        """Arguments that a caller may leave out."""
        return tuple(name for name in self.names if name not in self.required)

    @functools.cached_property
    def required(self) -> tuple[str, ...]:
        """Arrays that no call is without."""
        return tuple(one.name for one in self.arrays if not one.optional)

    @functools.cached_property
    def main(self) -> str:
        """The array that is differentiated by unless another one is named."""
        return next((one.name for one in self.arrays if one.differentiable), "")

    @functools.cached_property
    def letters(self) -> dict[str, str]:
        """Names in scripts, of all arrays that a call may hold."""
        return {one.name: one.letter for one in self.arrays} | ASKED

    @functools.cached_property
    def kinds(self) -> dict[str, Transform]:
        """What a call may ask for besides its value, without arrays, by the words for it: `weight_gradient`."""
        others = [one.name for one in self.arrays if one.differentiable and one.name != self.main]
        by_others = {f"{name}_{kind}": Transform(kind, wrt=name) for name in others for kind in TRANSFORMS}
        return {kind: Transform(kind) for kind in TRANSFORMS} | by_others


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """What is asked for instead of the value: `kind` is one of TRANSFORMS.

    `upstream` has the loss's shape and input's dtype, `direction` shape and dtype of the array that is differentiated
    by: `wrt`, or the signature's main one if that is empty. `batched` names the arguments that carry a leading axis to
    map over.
    """

    kind: str
    upstream: Array | None = None
    direction: Array | None = None
    batched: tuple[str, ...] = ()
    wrt: str = ""

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """The arrays that are present, with their names."""
        if self.upstream is not None:
            yield "upstream", self.upstream
        if self.direction is not None:
            yield "direction", self.direction


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """The arguments of one invocation of a loss.

    `given` holds the arrays that are present and `options` every option, in the signature's order; `call["weight"]` is
    either's, None for an array that is missing. Illegal calls are Calls too, so nothing is validated here, and options
    may be any objects. `omitted` names arguments the caller leaves out, to exercise an implementation's own defaults;
    here they have the specified default. `transform` asks for a derivative, or for a batch at once. `layouts` names,
    per array, the arrangement in memory that the array has (lossparity.specs.layouts); what is not named is in C order.
    """

    signature: Signature
    given: Mapping[str, Array]
    options: Mapping[str, Any]
    omitted: tuple[str, ...] = ()
    transform: Transform | None = None
    layouts: tuple[tuple[str, str], ...] = ()

    def __getitem__(self, name: str) -> Any:
        """An argument; raises KeyError where the signature has none of this name."""
        array = self.given.get(name)
        if array is not None:
            return array
        if name in self.options:
            return self.options[name]
        if name in self.signature.names:
            return None
        raise KeyError(f"{self.signature.loss} has no argument {name!r}")

    def replace(self, **changes: Any) -> Call:
        """The same call but for some arguments, `omitted`, `transform` or `layouts`."""
        fields: dict[str, Any] = {"omitted": self.omitted, "transform": self.transform, "layouts": self.layouts}
        arguments: dict[str, Any] = {**self.given, **self.options, **fields, **changes}
        return self.signature.call(**arguments)

    def holding(self, arrays: Mapping[str, Array], **changes: Any) -> Call:
        """The call with these arrays and no others, upstream and direction among them, and what else `replace` changes.

        Those that have an arrangement in memory are put into it again.
        """
        wanted = dict(changes.pop("layouts", self.layouts))
        able = {name: wanted[name] for name, array in arrays.items() if name in wanted and array.ndim and array.size}
        held: dict[str, Any] = {
            name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()
        }
        held |= {name: lay(arrays[name], layout) for name, layout in able.items()}
        transform, asked = self.transform, {name: held.pop(name, None) for name in ASKED}
        if transform is not None:
            transform = dataclasses.replace(transform, **asked)
        own = {one.name: held.get(one.name) for one in self.signature.arrays}
        return self.replace(**own, transform=transform, layouts=tuple(able.items()), **changes)

    def laid(self, layouts: Sequence[tuple[str, str]]) -> Call:
        """The call with its arrays in these arrangements, where they can have one."""
        arrays = {name: array for name, array in self.given.items() if array.ndim and array.size}
        able = tuple((name, layout) for name, layout in layouts if name in arrays)
        return self.replace(layouts=able, **{name: lay(arrays[name], layout) for name, layout in able})

    @property
    def kind(self) -> str:
        """What is asked for: "value", or the transform's kind, after the name of an array that is not the main one."""
        if self.transform is None:
            return "value"
        return f"{self.transform.wrt}_{self.transform.kind}" if self.transform.wrt else self.transform.kind

    @property
    def wrt(self) -> str:
        """The array that is differentiated by, if any is."""
        return self.transform.wrt if self.transform is not None and self.transform.wrt else self.signature.main

    @property
    def dtype(self) -> str:
        """Name of the first array's dtype."""
        return dtype_name(next(iter(self.given.values())).dtype)

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """The array arguments that are present, with their names."""
        yield from self.given.items()
        if self.transform is not None:
            yield from self.transform.arrays()

    def classes(self) -> Iterator[Array]:
        """The arrays that hold indices of classes."""
        return (array for name, array in self.given.items() if self.signature.holds_classes(name, array))

    def digest(self) -> str:
        """Sixteen hexadecimal digits that identify the call's content, the same on every machine."""
        batched = self.transform.batched if self.transform is not None else ()
        options = (*self.options.values(), self.omitted, self.kind, batched, self.layouts)
        content = hashlib.sha256(repr(options).encode())
        for name, array in self.arrays():
            content.update(f"{name}{array.dtype.name}{array.shape}".encode())
            if is_sparse(array):
                content.update(repr(sparse(array)).encode())
            else:
                content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()[:16]

    def describe(self) -> str:
        """One line that shows the call's structure."""

        def structure(name: str) -> str:
            array = self.given.get(name)
            return "None" if array is None else f"{array.dtype.name}{list(array.shape)}"

        said = ", ".join(
            (
                *(f"{one.name}={structure(one.name)}" for one in self.signature.arrays),
                *(f"{name}={value!r}" for name, value in self.options.items()),
            )
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
    """The subject does not do this: it declares so and was not called, or a user's function said so when it was."""

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
