"""How a call is written down as Python text, for scripts that run without this suite.

In such a script the function has the loss's name, and each array its letter: x (input), t (target), g (the upstream
gradient), v (the direction). Each framework's words for the rest are in its folder, in script.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from ..specs.call import Array, Call
from .arguments import arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """One framework's words for one call, as lines and expressions of Python.

    `put` takes an array, and whether it is laid out in memory in some order of its own; it returns the array that
    NumPy is to hold (bfloat16 may need another dtype) and the expression that makes the framework's array of it. In
    that and in `take`, which is the way back to NumPy, {} stands for what is converted.
    """

    imports: tuple[str, ...]
    function: tuple[str, ...]  # lines that define the function
    put: Callable[[Array, bool], tuple[Array, str]]
    prepare: tuple[str, ...] = ()  # lines before the call
    result: str  # the expression that is the call
    take: str
    dtype: str  # the expression that names the dtype of `result`
    array: str  # the type of the framework's arrays


def names(call: Call) -> str:
    """The script's names of all arrays that are present: `x, t, w, g`."""
    return ", ".join(call.signature.letters[name] for name, _ in call.arrays())


def words(
    call: Call, reverse: str = "{}[::-1]", number: str = "{}", built: str = "", fixed: tuple[str, ...] = ()
) -> dict[str, str]:
    """What the lines of `asked` may be made of.

    `loss` is the call of the function with the arguments that an adapter passes, numbers spelt by `number`, but for
    those that are `fixed`; of a class called `built` it builds the function with all but the required arrays, which
    that is called with. `given` are the names of the arrays that are its arguments, `by` the one that is differentiated
    by, `required` those that no call is without, `reversed` the same, each from its end by `reverse`. `axes` is vmap's
    `in_axes`: `(0, None)`.
    """
    signature, letters = call.signature, call.signature.letters
    batched = call.transform.batched if call.transform is not None else ()
    required = {name: letters[name] for name in signature.required}
    turned = [reverse.format(letter) if call[name].ndim else letter for name, letter in required.items()]
    return {
        "loss": _invocation(call, number, built, fixed),
        "given": ", ".join(letters[name] for name in call.given),
        "by": letters.get(call.wrt, ""),
        "required": ", ".join(required.values()),
        "reversed": ", ".join(turned),
        "axes": f"({', '.join('0' if name in batched else 'None' for name in call.given)})",
    }


def _invocation(call: Call, number: str, built: str, fixed: tuple[str, ...]) -> str:
    signature, letters = call.signature, call.signature.letters
    arrays, options = arguments(call, lambda name, array: letters[name])
    required = [arrays.pop(name) for name in signature.required]
    named = {name: letter or "None" for name, letter in arrays.items()}
    for name, value in options.items():
        is_number = name in signature.numbers and name not in fixed
        named[name] = number.format(value) if is_number else literal(value)
    keywords = [f"{name}={text}" for name, text in named.items()]
    if built:
        return f"{built}({', '.join(keywords)})({', '.join(required)})"
    return f"{signature.loss}({', '.join([*required, *keywords])})"


def literal(value: object) -> str:
    """A plain value as Python text, strings in double quotes."""
    return json.dumps(value) if isinstance(value, str) else repr(value)
