"""Checks that a bridge hands over what it was given: the arrays of a call go in and come back bit for bit.

Whatever a bridge changes on the way in or out would otherwise be told as a fault of the framework. Each signature of a
call is looked at once; before it, each combination of dtypes is tried out on what bridges stumble over.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..specs.call import Array, Call, dtype_name
from ..specs.errors import AdapterUnavailable, BridgeError
from .base import Subject

_LARGEST = 1 << 20  # bytes of a call whose arrays are handed over once more; larger ones take the same way
_SIGNATURES = 1 << 16  # remembered of a subject, by their hashes
_MANTISSA = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}  # stored bits
_GUIDE = "docs/writing-an-adapter.md"

# subject -> hash of a signature -> why calls of it are unsupported, or nothing
_known: weakref.WeakKeyDictionary[Any, dict[int, str]] = weakref.WeakKeyDictionary()


def require_echo(subject: Subject) -> None:
    """Guard that a bridge can be checked; raises AdapterUnavailable otherwise."""
    if not callable(getattr(subject, "echo", None)):
        raise AdapterUnavailable(
            f"{subject.name}: {type(subject).__qualname__} has no method echo(call), by which its bridge is checked; "
            f"{_GUIDE} says what it returns"
        )


def checked(subject: Subject, call: Call) -> str:
    """Why calls of this signature are unsupported, empty if they are not; looked at once for each signature.

    Raises BridgeError for an array that is handed over or read back otherwise than it is, and for one that is not in
    C order although `call.layouts` does not name it.
    """
    known = _known.get(subject)
    if known is None or len(known) >= _SIGNATURES:
        known = _known[subject] = {}
    arrays = [(name, array.dtype, array.shape, array.strides) for name, array in call.arrays()]
    signature = hash((call.kind, call.layouts, *arrays))
    if signature not in known:
        known[signature] = _looked_at(subject, call, known)
    return known[signature]


def lacking(subject: Subject, call: Call, name: str, array: Array) -> str:
    """What the subject declares about not having this array's dtype; empty if it has it."""
    dtype = dtype_name(array.dtype)
    for what in (dtype, f"target {dtype}") if call.signature.holds_classes(name, array) else (dtype,):
        if what in subject.capabilities.without:
            return f"{what}: {subject.capabilities.without[what]}"
    return ""


def _looked_at(subject: Subject, call: Call, known: dict[int, str]) -> str:
    _require_order(subject, call)
    dtypes = hash(tuple(call[name].dtype for name in call.signature.required))
    if dtypes not in known:
        trials = (trial for trial in _trials(call) if not subject.capabilities.refuses(trial))
        known[dtypes] = next(filter(None, (_compared(subject, trial) for trial in trials)), "")
    if known[dtypes] or sum(array.nbytes for _, array in call.arrays()) > _LARGEST:
        return known[dtypes]
    return _compared(subject, call)


def _require_order(subject: Subject, call: Call) -> None:
    laid = dict(call.layouts)
    for name, array in call.arrays():
        if name not in laid and not array.flags.c_contiguous:
            raise BridgeError(
                f"{subject.name}: {name} of {call.describe()} is not in C order (strides {array.strides}), and the "
                "call does not say so: whoever made it has to make a copy, or to name the layout"
            )


def _compared(subject: Subject, call: Call) -> str:
    """Compare what comes back; where that is another array of a dtype that is declared missing, say so."""
    back = subject.echo(call)
    for name, array in call.arrays():
        if name not in back:
            raise BridgeError(
                f"{subject.name}: echo returns no {name} for {call.describe()}; {_GUIDE} says what is due"
            )
        if back[name] is array:
            continue
        found = _difference(array, back[name]) or _rearranged(subject, call, name, array, back[name])
        if not found:
            continue
        if reason := lacking(subject, call, name, array):
            return reason
        raise BridgeError(
            f"{subject.name}: its bridge changes {name}: {found}, handed over and read back for {call.describe()}; "
            f"mend how the adapter puts or reads arrays, or declare in `without` what the framework lacks ({_GUIDE})"
        )
    return ""


def _difference(given: Array, back: Any) -> str:
    """How an array differs from what came back of it, dtype, shape or bits; empty if it does not."""
    if not isinstance(back, np.ndarray):
        return f"{given.dtype.name}{list(given.shape)} came back as a {type(back).__qualname__}"
    if back.dtype != given.dtype:
        order = "" if back.dtype.name != given.dtype.name else f" in byte order {back.dtype.byteorder!r}"
        return f"{given.dtype.name} came back as {back.dtype.name}{order}"
    if back.shape != given.shape:
        return f"shape {list(given.shape)} came back as {list(back.shape)}"
    went, came = given.tobytes(), back.tobytes()
    if went == came:
        return ""
    size = given.dtype.itemsize
    at = next(place for place in range(0, len(went), size) if went[place : place + size] != came[place : place + size])
    element = [int(index) for index in np.unravel_index(at // size, given.shape)]
    was, now = (_bits(raw[at : at + size], given) for raw in (went, came))
    return f"element {element} was {was} and came back as {now}"


def _bits(raw: bytes, like: Array) -> str:
    """A number with its bits, most significant first."""
    return f"{np.frombuffer(raw, like.dtype)[0]} (0x{raw[::-1].hex()})"


def _rearranged(subject: Subject, call: Call, name: str, given: Array, back: Array) -> str:
    """Whether an array that shares its memory with the framework's lies otherwise than it did."""
    without = subject.capabilities.without
    if name not in dict(call.layouts) or "strides" in without or "mutable arrays" in without:
        return ""
    steps = [
        (was, now) for length, was, now in zip(given.shape, given.strides, back.strides, strict=True) if length > 1
    ]
    if not given.size or all(was == now for was, now in steps):
        return ""
    return f"strides {given.strides} came back as {back.strides}"


# --- what bridges stumble over -------------------------------------------------------------------------------------


def _trials(call: Call) -> Iterator[Call]:
    """Calls of the same dtypes: 0-d arrays, numbers of every kind, and the integers that a dtype ends with."""
    signature = call.signature
    dtypes = {name: call[name].dtype for name in signature.required}
    classes = {name for name in dtypes if signature.holds_classes(name, call[name])}
    reals = dtypes.keys() - classes
    ends = {name: _ends(dtypes[name]) for name in classes if dtypes[name].kind in "iu"}
    scalars: dict[str, Any] = {name: np.ones((), dtype) for name, dtype in dtypes.items()}
    numbers: dict[str, Any] = {name: _numbers(dtypes[name]) for name in reals}
    ones: dict[str, Any] = {name: np.ones(2, dtypes[name]) for name in reals}
    trials: list[dict[str, Any]] = [scalars, scalars | numbers, scalars | ones | ends]
    yield from (signature.call(**trial) for trial in (trials if ends else trials[:2]))


def _ends(dtype: np.dtype[Any]) -> Array:
    info = np.iinfo(dtype)
    return np.array([info.min, info.max], dtype)


def _numbers(dtype: np.dtype[Any]) -> Array:
    """Zeros, subnormal numbers, infinities and NaN of either sign, and NaN with something in it; plain ones else."""
    if dtype_name(dtype) not in _MANTISSA:
        return np.array([0, 1, 1, 0, 1], dtype)
    mantissa, bits = _MANTISSA[dtype_name(dtype)], dtype.itemsize * 8
    infinity = (1 << (bits - 1)) - (1 << mantissa)
    quiet = infinity | 1 << (mantissa - 1)
    halves = [0, 1, infinity - 1, infinity, quiet, quiet | 5, 1 << mantissa]
    return np.array([*halves, *(one | 1 << (bits - 1) for one in halves)], f"u{dtype.itemsize}").view(dtype)
