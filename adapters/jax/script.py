"""JAX's words for a call, in a script that runs alone."""

from __future__ import annotations

import json

from ...specs.call import Array, Call
from ..base import Form
from ..binding import function_lines
from ..spelling import Spelling, names, words
from .compiling import chosen

_VJP = "jax.vjp(lambda {by}: {loss}, {by})[1](g)[0]"
# kind -> the body of a function of all arrays, its last line an expression
_ASKED = {
    "gradient": (_VJP,),
    "gradient_again": ("pull = jax.vjp(lambda {by}: {loss}, {by})[1]", "pull(g + g)", "pull(g)[0]"),
    "gradient_between": (
        "pull_back = lambda {required}: jax.vjp(lambda {by}: {loss}, {by})[1]",
        "pull = pull_back({required})",
        "pull_back({reversed})",
        "pull(g)[0]",
    ),
    "value_in_training": ("jax.vjp(lambda {by}: {loss}, {by})[0]",),
    "second": (f"along = lambda {{by}}: ({_VJP} * v).sum()", "jax.grad(along)({by})"),
    "second_upstream": (
        f"along = lambda g: ({_VJP} * v).sum()",
        "jax.vjp(along, g)[1](jax.numpy.ones((), {by}.dtype))[0]",
    ),
    "jvp": ("jax.jvp(lambda {by}: {loss}, ({by},), (v,))[1]",),
    "vmap": ("jax.vmap(lambda {given}: {loss}, {axes})({given})",),
    "vmap_gradient": (f"jax.vmap(lambda {{given}}: {_VJP}, {{axes}})({{given}})",),
}


def spell(form: Form, subject: str, call: Call) -> Spelling:
    """The call of a form's function, or of a user's; under jax.jit a derivative is compiled as a whole.

    A user's function gets what JAX makes of all arrays, without 64-bit types too.
    """
    jitted, x64 = subject == "jax:jit", not subject.endswith(":x32")
    said, everything, name = words(call), names(call), call.signature.loss
    prepare: tuple[str, ...] = ()
    result = said["loss"]
    if call.transform is not None:
        *before, asked = (line.format(**said) for line in _ASKED[call.transform.kind])
        body = (*(f"    {line}" for line in before), f"    return {asked}")
        prepare = ("@jax.jit",) * jitted + (f"def asked({everything}):", *body)
        result = f"asked({everything})"
    mode = ('jax.config.update("jax_enable_x64", True)',) * x64
    fixed = json.dumps(chosen(call.signature) + form.fixed)
    compiled = (f"{name} = jax.jit({name}, static_argnames={fixed})",)
    return Spelling(
        imports=("import jax", *mode),
        function=(*function_lines(form, call.signature), *compiled * (jitted and call.transform is None)),
        put=_put_narrow if subject == "jax:x32" else _put,
        prepare=prepare,
        result=result,
        take="np.asarray({})",
        dtype="result.dtype.name",
        array="jax.Array",
    )


def _put(array: Array, laid: bool) -> tuple[Array, str]:
    return array, "jax.device_put({})"


def _put_narrow(array: Array, laid: bool) -> tuple[Array, str]:
    """Without 64-bit types, wide arrays are handed over as NumPy's."""
    return array, "{}" if array.dtype.name in ("float64", "int64", "uint64", "complex128") else "jax.device_put({})"
