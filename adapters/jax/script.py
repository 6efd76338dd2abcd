"""JAX's words for a call, in a script that runs alone."""

from __future__ import annotations

from ...specs.call import Array, Call
from ..spelling import Spelling, axes, invocation, names

_VJP = "jax.vjp(lambda x: {loss}, x)[1](g)[0]"
# kind -> the body of a function of all arrays, its last line an expression
_ASKED = {
    "gradient": (_VJP,),
    "gradient_again": ("pull = jax.vjp(lambda x: {loss}, x)[1]", "pull(g + g)", "pull(g)[0]"),
    "gradient_between": (
        "pull_back = lambda x, t: jax.vjp(lambda x: {loss}, x)[1]",
        "pull = pull_back(x, t)",
        "pull_back(x[::-1], {reversed})",
        "pull(g)[0]",
    ),
    "value_in_training": ("jax.vjp(lambda x: {loss}, x)[0]",),
    "weight_gradient": ("jax.vjp(lambda w: {loss}, w)[1](g)[0]",),
    "second": (f"along = lambda x: ({_VJP} * v).sum()", "jax.grad(along)(x)"),
    "second_upstream": (
        f"along = lambda g: ({_VJP} * v).sum()",
        "jax.vjp(along, g)[1](jax.numpy.ones((), x.dtype))[0]",
    ),
    "jvp": ("jax.jvp(lambda x: {loss}, (x,), (v,))[1]",),
    "vmap": ("jax.vmap(lambda {moving}: {loss}, {axes})({moving})",),
    "vmap_gradient": (f"jax.vmap(lambda {{moving}}: {_VJP}, {{axes}})({{moving}})",),
}


def spell(subject: str, call: Call) -> Spelling:
    """The port's call, or a user's; under jax.jit a derivative is compiled as a whole.

    A user's function gets what JAX makes of all arrays, without 64-bit types too.
    """
    jitted, x64 = subject == "jax:jit", not subject.endswith(":x32")
    loss, everything = invocation(call), names(call)
    prepare: tuple[str, ...] = ()
    result = loss
    if call.transform is not None:
        words = {"loss": loss, "moving": names(call, "input", "target", "weight"), "axes": axes(call)}
        words["reversed"] = "t[::-1]" if call.target.ndim else "t"
        *before, asked = (line.format(**words) for line in _ASKED[call.kind])
        body = (*(f"    {line}" for line in before), f"    return {asked}")
        prepare = ("@jax.jit",) * jitted + (f"def asked({everything}):", *body)
        result = f"asked({everything})"
    mode = ('jax.config.update("jax_enable_x64", True)',) * x64
    compiled = ('nll_loss = jax.jit(nll_loss, static_argnames=("reduction",))',)
    return Spelling(
        imports=("import jax", *mode),
        function=("from lossparity.adapters.jax import nll_loss", *compiled * (jitted and call.transform is None)),
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
