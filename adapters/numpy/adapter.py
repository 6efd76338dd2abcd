"""Bridge to NumPy: the arguments are NumPy arrays already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...specs.call import Array, Call
from ..base import Backend, Capabilities, Subject, require_type


class NumpySubject:
    """A function on NumPy arrays; the port unless told otherwise."""

    device = "cpu"

    def __init__(self, function: Callable[..., Any], name: str = "numpy", binding: str = "composed") -> None:
        self.name = name
        self.function = function
        self.capabilities = Capabilities(binding=binding, style="eager")

    def prepare(self, call: Call) -> Callable[[], Any]:
        """Bind the arguments; they are passed as they are."""
        options = call.options()
        if "weight" not in call.omitted:
            options["weight"] = call.weight
        return lambda: self.function(call.input, call.target, **options)

    def read(self, result: Any) -> Array:
        """An array or NumPy scalar, as an array."""
        require_type(result, np.ndarray | np.generic, self.name)
        return np.asarray(result)

    def compilations(self) -> int:
        """NumPy compiles nothing."""
        return 0


def _subjects(device: str) -> list[Subject]:
    from .port import nll_loss

    return [NumpySubject(nll_loss)]


BACKEND = Backend(
    name="numpy",
    module="numpy",
    install="pip install numpy",
    subjects=_subjects,
    version=lambda: np.__version__,
    devices=lambda: ["cpu"],
)
