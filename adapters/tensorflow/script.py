"""TensorFlow's words for a call, in a script that runs alone."""

from __future__ import annotations

from ...specs.call import Array, Call
from ..base import Form
from ..binding import function_lines
from ..spelling import Spelling, names, words

_ZERO = "tf.UnconnectedGradients.ZERO"
_GRADIENT = (
    "def gradient({given}):",
    "    with tf.GradientTape() as tape:",
    "        tape.watch({by})",
    "        loss = {loss}",
    f"    return tape.gradient(loss, {{by}}, g, {_ZERO})",
)
_SECOND = (
    *_GRADIENT,
    "with tf.GradientTape() as tape:",
    "    tape.watch({of})",
    "    along = tf.reduce_sum(gradient({given}) * v)",
    f"return tape.gradient(along, {{of}}, unconnected_gradients={_ZERO})",
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
        f"tape.gradient(loss, {{by}}, g + g, {_ZERO})",
        _FIRST[-1],
    ),
    "gradient_between": (
        "def taped({required}):",
        *(f"    {line}" for line in _FIRST[:-1]),
        "    return loss, tape",
        "loss, tape = taped({required})",
        "taped({reversed})",
        _FIRST[-1],
    ),
    "value_in_training": (*_FIRST[:-1], "return loss"),
    "second": _SECOND,
    "second_upstream": _SECOND,
    "jvp": (
        "with tf.autodiff.ForwardAccumulator({by}, v) as accumulator:",
        "    loss = {loss}",
        f"return accumulator.jvp(loss, {_ZERO})",
    ),
    "vmap": ("def one({given}):", "    return {loss}", "{mapped}"),
    "vmap_gradient": (*_GRADIENT, "{mapped}"),
}


def spell(form: Form, subject: str, call: Call) -> Spelling:
    """The call of a form's function, or of a user's; in a tf.function a derivative is compiled as a whole."""
    compiler = {"tensorflow:function": "tf.function({})", "tensorflow:xla": "tf.function({}, jit_compile=True)"}
    compiled, everything = compiler.get(subject, ""), names(call)
    # Traced code gets numbers as tensors: as Python numbers each value would be a graph of its own.
    said = words(call, number="tf.constant({}, tf.int64)" if compiled else "{}", fixed=form.fixed)
    name, function = call.signature.loss, function_lines(form, call.signature)
    prepare: tuple[str, ...] = ()
    result = said["loss"]
    if call.transform is not None:
        prepare = (f"def asked({everything}):", *(f"    {line}" for line in _body(call, said)))
        result = f"asked({everything})"
        if compiled:
            prepare += (f"asked = {compiled.format('asked, autograph=False')}",)
    elif compiled:
        function += (f"{name} = {compiled.format(name)}",)
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


def _body(call: Call, said: dict[str, str]) -> list[str]:
    """The lines of a function that returns what is asked for."""
    assert call.transform is not None
    kind, batched = call.transform.kind, call.transform.batched
    letters = {name: call.signature.letters[name] for name in call.given}
    slices = ", ".join(f'moved["{x}"]' if name in batched else x for name, x in letters.items())
    stack = ", ".join(f'"{x}": {x}' for name, x in letters.items() if name in batched)
    one = "one" if kind == "vmap" else "gradient"
    mapped = f"return tf.vectorized_map(lambda moved: {one}({slices}), {{{stack}}})"
    of = "g" if kind == "second_upstream" else said["by"]
    *lines, last = (line.format(**said, of=of, mapped=mapped) for line in _ASKED[kind])
    if call.transform.wrt:  # of what is gathered from TensorFlow returns IndexedSlices
        last = f"return tf.convert_to_tensor({last.removeprefix('return ')})"
    return [*lines, last]


def _put(array: Array, laid: bool) -> tuple[Array, str]:
    return array, "tf.constant({})"
