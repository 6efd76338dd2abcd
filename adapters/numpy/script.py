"""NumPy's words for a call, in a script that runs alone."""

from __future__ import annotations

import dataclasses

from ...specs.call import Array, Call
from ..base import Form
from ..binding import function_lines
from ..spelling import Spelling, words


def spell(form: Form, call: Call) -> Spelling:
    """The call of a form's function; its gradient is a function of its own, `<name>_gradient`."""
    asked = words(call)["loss"]
    if call.transform is not None:
        form, asked = dataclasses.replace(form, function=f"{form.function}_gradient"), f"{asked[:-1]}, upstream=g)"
    return Spelling(
        imports=(),
        function=function_lines(form, call.signature),
        put=_put,
        result=asked,
        take="np.asarray({})",
        dtype="result.dtype.name",
        array="np.ndarray | np.generic",
    )


def _put(array: Array, laid: bool) -> tuple[Array, str]:
    return array, "{}"
