"""NumPy's words for a call, in a script that runs alone."""

from __future__ import annotations

from ...specs.call import Array, Call
from ..spelling import Spelling, invocation


def spell(subject: str, call: Call) -> Spelling:
    """The port's call; its gradient is a function of its own."""
    name = "nll_loss" if call.transform is None else "nll_loss_gradient"
    asked = invocation(call) if call.transform is None else invocation(call)[:-1] + ", upstream=g)"
    return Spelling(
        imports=(),
        function=(f"from lossparity.adapters.numpy import {name}" + " as nll_loss" * (name != "nll_loss"),),
        put=_put,
        result=asked,
        take="np.asarray({})",
        dtype="result.dtype.name",
        array="np.ndarray | np.generic",
    )


def _put(array: Array, laid: bool) -> tuple[Array, str]:
    return array, "{}"
