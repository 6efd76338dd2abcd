"""TensorFlow's words for a call, in a script that runs alone."""

from __future__ import annotations

from ...specs.call import Array, Call
from ..spelling import NAMES, Spelling, invocation, names

_ZERO = "tf.UnconnectedGradients.ZERO"
_GRADIENT = (
    "def gradient({moving}):",
    "    with tf.GradientTape() as tape:",
    "        tape.watch(x)",
    "        loss = {loss}",
    f"    return tape.gradient(loss, x, g, {_ZERO})",
)
_SECOND = (
    *_GRADIENT,
    "with tf.GradientTape() as tape:",
    "    tape.watch({by})",
    "    along = tf.reduce_sum(gradient({moving}) * v)",
    f"return tape.gradient(along, {{by}}, unconnected_gradients={_ZERO})",
)
_FIRST = (
    "with tf.GradientTape() as tape:",
    "    tape.watch({by})",
    "    loss = {loss}",
    f"return tape.gradient(loss, {{by}}, g, {_ZERO})",
)
# kind -> the body of a function of all arrays
_ASKED = {
    "gradient": _FIRST,
    "gradient_again": (
        "with tf.GradientTape(persistent=True) as tape:",
        *_FIRST[1:-1],
        f"tape.gradient(loss, x, g + g, {_ZERO})",
        _FIRST[-1],
    ),
    "gradient_between": (
        "def taped(x, t):",
        *(f"    {line}" for line in _FIRST[:-1]),
        "    return loss, tape",
        "loss, tape = taped(x, t)",
        "taped(x[::-1], {reversed})",
        _FIRST[-1],
    ),
    "value_in_training": (*_FIRST[:-1], "return loss"),
    "weight_gradient": (*_FIRST[:-1], f"return tf.convert_to_tensor(tape.gradient(loss, w, g, {_ZERO}))"),
    "second": _SECOND,
    "second_upstream": _SECOND,
    "jvp": (
        "with tf.autodiff.ForwardAccumulator(x, v) as accumulator:",
        "    loss = {loss}",
        f"return accumulator.jvp(loss, {_ZERO})",
    ),
    "vmap": ("def one({moving}):", "    return {loss}", "{mapped}"),
    "vmap_gradient": (*_GRADIENT, "{mapped}"),
}
_BY = {"weight_gradient": "w", "second_upstream": "g"}


def spell(subject: str, call: Call) -> Spelling:
    """The port's call, or a user's; in a tf.function a derivative is compiled as a whole."""
    compiler = {"tensorflow:function": "tf.function({})", "tensorflow:xla": "tf.function({}, jit_compile=True)"}
    compiled, everything = compiler.get(subject, ""), names(call)
    # Traced code gets it as a tensor: a Python number would make each value a graph of its own.
    loss = invocation(call, f"tf.constant({call.ignore_index}, tf.int64)" if compiled else "")
    function = ("from lossparity.adapters.tensorflow import nll_loss",)
    prepare: tuple[str, ...] = ()
    result = loss
    if call.transform is not None:
        prepare = (f"def asked({everything}):", *(f"    {line}" for line in _body(call, loss)))
        result = f"asked({everything})"
        if compiled:
            prepare += (f"asked = {compiled.format('asked, autograph=False')}",)
    elif compiled:
        function += (f"nll_loss = {compiled.format('nll_loss')}",)
    return Spelling(
        imports=("import tensorflow as tf",),
        function=function,
        put=_put,
        prepare=prepare,
        result=result,
        take="{}.numpy()",
        dtype="result.dtype.name",
        array="tf.Tensor",
    )


def _body(call: Call, loss: str) -> list[str]:
    """The lines of a function that returns what is asked for."""
    moving = names(call, "input", "target", "weight")
    one = "one" if call.kind == "vmap" else "gradient"
    batched = call.transform.batched if call.transform is not None else ()
    letters = {given: NAMES[given] for given, _ in call.arrays() if given in ("input", "target", "weight")}
    arguments = ", ".join(f'moved["{x}"]' if given in batched else x for given, x in letters.items())
    stack = ", ".join(f'"{x}": {x}' for given, x in letters.items() if given in batched)
    mapped = f"return tf.vectorized_map(lambda moved: {one}({arguments}), {{{stack}}})"
    words = {"loss": loss, "moving": moving, "by": _BY.get(call.kind, "x"), "mapped": mapped}
    words["reversed"] = "t[::-1]" if call.target.ndim else "t"
    return [line.format(**words) for line in _ASKED[call.kind]]


def _put(array: Array, laid: bool) -> tuple[Array, str]:
    return array, "tf.constant({})"
