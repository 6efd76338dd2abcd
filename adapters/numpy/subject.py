"""The bridge to NumPy: the arguments are NumPy arrays already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ...specs.call import Array, Call
from ...specs.domain import EVERYTHING, Domain
from ...specs.errors import BridgeError
from ..arguments import Applied, arguments
from ..base import Capabilities, require_type

_WITHOUT = {
    "training": "NumPy has no graph: the port's gradient is a function of its own",
    "second backward": "NumPy has no graph: the port's gradient is a function of its own",
    "autocast": "NumPy has no automatic mixed precision",
    "second order": "NumPy does not differentiate; the port offers the gradient only",
    "jvp": "NumPy does not differentiate",
    "vmap": "NumPy has no vmap",
    "siblings": "NumPy executes the port in one way only",
}


class NumpySubject:
    """A function on NumPy arrays, with its gradient by the main array if there is a function for that."""

    device = "cpu"

    def __init__(
        self,
        function: Callable[..., Any],
        name: str = "numpy",
        binding: str = "composed",
        gradient: Callable[..., Any] | None = None,
        without: Mapping[str, str] = MappingProxyType({}),
        domain: Domain = EVERYTHING,
    ) -> None:
        self.name = name
        self.function = function
        self.gradient = gradient
        none = {} if gradient is not None else {"gradient": "a NumPy function has none"}
        without = {**without, **_WITHOUT, **none}
        self.capabilities = Capabilities(binding=binding, style="eager", without=without, domain=domain)

    def prepare(self, call: Call) -> Callable[[], Any]:
        """Bind the arguments; they are passed as they are."""
        arrays, options = arguments(call, lambda name, array: array)
        function: Any = self.function
        if call.transform is not None:
            if call.wrt != call.signature.main:
                declare = f"declare in `without` that there is no '{call.wrt} gradient'"
                raise BridgeError(f"{self.name}: its gradient is by {call.signature.main}; {declare}")
            function, options["upstream"] = self.gradient, call.transform.upstream
        invoke = Applied(function, call.signature.required, options)
        return lambda: invoke(arrays)

    def read(self, result: Any) -> Array:
        """An array or NumPy scalar, as an array."""
        require_type(result, np.ndarray | np.generic, self.name)
        return np.asarray(result)

    def echo(self, call: Call) -> dict[str, Array]:
        """The arrays as they are, read like a result."""
        return {name: self.read(array) for name, array in call.arrays()}

    def compilations(self) -> int:
        """NumPy compiles nothing."""
        return 0
