"""NumPy's words for a call, in a script that runs alone."""

from __future__ import annotations

from ...specs.call import Array, Call
from ..spelling import Spelling, words


def spell(subject: str, call: Call) -> Spelling:
    """The port's call; its gradient is a function of its own."""
    loss, asked = call.signature.loss, words(call)["loss"]
    name = loss
    if call.transform is not None:
        name, asked = f"{loss}_gradient as {loss}", f"{asked[:-1]}, upstream=g)"
    return Spelling(
        imports=(),
        function=(f"from lossparity.adapters.numpy import {name}",),
        put=_put,
        result=asked,
        take="np.asarray({})",
        dtype="result.dtype.name",
        array="np.ndarray | np.generic",
    )


def _put(array: Array, laid: bool) -> tuple[Array, str]:
    return array, "{}"
