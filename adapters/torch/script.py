"""PyTorch's words for a call, in a script that runs alone."""

from __future__ import annotations

import numpy as np

from ...specs.call import BFLOAT16, Array, Call
from ..base import Form
from ..binding import function_lines
from ..spelling import Spelling, words

_GRADIENT = "torch.autograd.grad({loss}, {by}, g, create_graph=True)[0]"
_ALONG = "torch.autograd.grad(({gradient} * v).sum(), {by}, materialize_grads=True)[0]"
# kind -> lines before the call, and the call
_ASKED = {
    "value": ((), "{loss}"),
    "gradient": (("{by}.requires_grad_()",), "torch.autograd.grad({loss}, {by}, g)[0]"),
    "gradient_again": (
        (
            "def asked():",
            "    {by}.requires_grad_()",
            "    loss = {loss}",
            "    torch.autograd.grad(loss, {by}, g + g, retain_graph=True)",
            "    return torch.autograd.grad(loss, {by}, g)[0]",
        ),
        "asked()",
    ),
    "gradient_between": (
        (
            "def loss_of({required}):",
            "    return {loss}",
            "def asked():",
            "    {by}.requires_grad_()",
            "    loss = loss_of({required})",
            "    loss_of({reversed})",
            "    return torch.autograd.grad(loss, {by}, g)[0]",
        ),
        "asked()",
    ),
    "value_in_training": (("{by}.requires_grad_()",), "{loss}"),
    "autocast": (
        ("def asked():", "    with torch.autocast({by}.device.type, torch.bfloat16):", "        return {loss}"),
        "asked()",
    ),
    "second": (("{by}.requires_grad_(), g.requires_grad_()",), _ALONG.format(gradient=_GRADIENT, by="{by}")),
    "second_upstream": (("{by}.requires_grad_(), g.requires_grad_()",), _ALONG.format(gradient=_GRADIENT, by="g")),
    "jvp": ((), "torch.func.jvp(lambda {by}: {loss}, ({by},), (v,))[1]"),
    "vmap": ((), "torch.func.vmap(lambda {given}: {loss}, {axes})({given})"),
    "vmap_gradient": (
        ("def gradient({given}):", "    return torch.func.vjp(lambda {by}: {loss}, {by})[1](g)[0]"),
        "torch.func.vmap(gradient, {axes})({given})",
    ),
}


def spell(form: Form, call: Call, compiled: bool) -> Spelling:
    """The call of a native function, or of a module of a class."""
    module, _, name = form.function.partition(":")
    loss, is_class = call.signature.loss, name[0].isupper()
    lines = (f"from {module} import {name}",) if is_class else function_lines(form, call.signature)
    if compiled:
        lines += (f"{loss} = torch.compile({loss}, fullgraph=True, dynamic=False)",)
    prepare, asked = _ASKED["value" if call.transform is None else call.transform.kind]
    said = words(call, reverse="{}.flip(0)", built=name if is_class else "")
    leaf = f"{said['by']}.detach().flip(0).requires_grad_()"
    said["reversed"] = said["reversed"].replace(f"{said['by']}.flip(0)", leaf)
    wide = any(array.dtype == BFLOAT16 for array in call.given.values())  # NumPy alone has no bfloat16
    return Spelling(
        imports=("import torch",),
        function=lines,
        put=_put,
        prepare=tuple(line.format(**said) for line in prepare),
        result=asked.format(**said),
        take="{}.detach().float().numpy()" if wide else "{}.detach().numpy()",
        dtype='str(result.dtype).removeprefix("torch.")',
        array="torch.Tensor",
    )


def _put(array: Array, laid: bool) -> tuple[Array, str]:
    """`from_numpy` keeps strides and shares memory; bfloat16 goes in as float32, or as bits where strides matter."""
    if array.dtype != BFLOAT16:
        return array, "torch.from_numpy({})"
    if laid:
        return array.view(np.int16), "torch.from_numpy({}).view(torch.bfloat16)"
    return array.astype(np.float32), "torch.from_numpy({}).bfloat16()"
