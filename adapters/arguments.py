"""How the functions of a framework are called with a Call's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..specs.call import Array, Call


def arguments(call: Call, put: Callable[[str, Array], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A call's arrays as `put` makes them, None where one is missing, and its options, without what is omitted.

    Calls that ask for more than the value omit no array.
    """
    parameters = call.signature.arrays
    passed = [one.name for one in parameters if one.name not in call.omitted or call.transform is not None]
    arrays = {name: put(name, call.given[name]) if name in call.given else None for name in passed}
    return arrays, {name: value for name, value in call.options.items() if name not in call.omitted}


@dataclass(frozen=True, slots=True)
class Applied:
    """A function of arrays by name: it calls another as users do, required arrays by position, all else by name."""

    function: Callable[..., Any]
    required: tuple[str, ...]
    options: Mapping[str, Any]

    def __call__(self, arrays: Mapping[str, Any]) -> Any:
        """The other function's result."""
        named = {name: array for name, array in arrays.items() if name not in self.required}
        return self.function(*(arrays[name] for name in self.required), **named, **self.options)
