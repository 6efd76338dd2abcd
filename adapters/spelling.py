"""How a call is written down as Python text, for scripts that run without this suite.

In such a script `nll_loss` is the function, and the arrays are x (input), t (target), w (weight), g (the upstream
gradient) and v (the direction). Each framework's words for the rest are in its folder, in script.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from ..specs.call import Array, Call

NAMES = {"input": "x", "target": "t", "weight": "w", "upstream": "g", "direction": "v"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """One framework's words for one call, as lines and expressions of Python.

    `put` takes an array, and whether it is laid out in memory in some order of its own; it returns the array that
    NumPy is to hold (bfloat16 may need another dtype) and the expression that makes the framework's array of it. In
    that and in `take`, which is the way back to NumPy, {} stands for what is converted.
    """

    imports: tuple[str, ...]
    function: tuple[str, ...]  # lines that define nll_loss
    put: Callable[[Array, bool], tuple[Array, str]]
    prepare: tuple[str, ...] = ()  # lines before the call
    result: str  # the expression that is the call
    take: str
    dtype: str  # the expression that names the dtype of `result`
    array: str  # the type of the framework's arrays


def names(call: Call, *among: str) -> str:
    """The script's names of the arrays that are present, of these if any are given: `x, t, w`."""
    present = [name for name, _ in call.arrays() if not among or name in among]
    return ", ".join(NAMES[name] for name in present)


def invocation(call: Call, ignore_index: str = "") -> str:
    """`nll_loss(x, t, weight=w, ...)` with the arguments that an adapter passes; `ignore_index` spelt otherwise."""
    given = {name: literal(value) for name, value in call.options().items()}
    if ignore_index and "ignore_index" in given:
        given["ignore_index"] = ignore_index
    weight = {"weight": "None" if call.weight is None else "w"}
    if "weight" not in call.omitted or call.transform is not None:
        given = weight | given
    return f"nll_loss({', '.join(('x', 't', *(f'{name}={text}' for name, text in given.items())))})"


def axes(call: Call) -> str:
    """Which of the present arguments are mapped over, as vmap's `in_axes`: `(0, None)`."""
    batched = call.transform.batched if call.transform is not None else ()
    present = [name for name, _ in call.arrays() if name in ("input", "target", "weight")]
    return f"({', '.join('0' if name in batched else 'None' for name in present)})"


def literal(value: object) -> str:
    """A plain value as Python text, strings in double quotes."""
    return json.dumps(value) if isinstance(value, str) else repr(value)
