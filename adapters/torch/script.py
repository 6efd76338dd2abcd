"""PyTorch's words for a call, in a script that runs alone."""

from __future__ import annotations

import numpy as np

from ...specs.call import BFLOAT16, Array, Call
from ..spelling import Spelling, axes, invocation, names

_EAGER = ("from torch.nn.functional import nll_loss",)
_COMPILED = (
    "import torch.nn.functional as F",
    "nll_loss = torch.compile(F.nll_loss, fullgraph=True, dynamic=False)",
)
_GRADIENT = "torch.autograd.grad({loss}, x, g, create_graph=True)[0]"
_ALONG = "torch.autograd.grad(({gradient} * v).sum(), {by}, materialize_grads=True)[0]"
# kind -> lines before the call, and the call
_ASKED = {
    "value": ((), "{loss}"),
    "gradient": (("x.requires_grad_()",), "torch.autograd.grad({loss}, x, g)[0]"),
    "gradient_again": (
        (
            "def asked():",
            "    x.requires_grad_()",
            "    loss = {loss}",
            "    torch.autograd.grad(loss, x, g + g, retain_graph=True)",
            "    return torch.autograd.grad(loss, x, g)[0]",
        ),
        "asked()",
    ),
    "gradient_between": (
        (
            "def nll(x, t):",
            "    return {loss}",
            "def asked():",
            "    x.requires_grad_()",
            "    loss = nll(x, t)",
            "    nll(x.detach().flip(0).requires_grad_(), {reversed})",
            "    return torch.autograd.grad(loss, x, g)[0]",
        ),
        "asked()",
    ),
    "value_in_training": (("x.requires_grad_()",), "{loss}"),
    "autocast": (
        ("def asked():", "    with torch.autocast(x.device.type, torch.bfloat16):", "        return {loss}"),
        "asked()",
    ),
    "weight_gradient": (("w.requires_grad_()",), "torch.autograd.grad({loss}, w, g)[0]"),
    "second": (("x.requires_grad_(), g.requires_grad_()",), _ALONG.format(gradient=_GRADIENT, by="x")),
    "second_upstream": (("x.requires_grad_(), g.requires_grad_()",), _ALONG.format(gradient=_GRADIENT, by="g")),
    "jvp": ((), "torch.func.jvp(lambda x: {loss}, (x,), (v,))[1]"),
    "vmap": ((), "torch.func.vmap(lambda {names}: {loss}, {axes})({names})"),
    "vmap_gradient": (
        ("def gradient({names}):", "    return torch.func.vjp(lambda x: {loss}, x)[1](g)[0]"),
        "torch.func.vmap(gradient, {axes})({names})",
    ),
}


def spell(subject: str, call: Call) -> Spelling:
    """The native function's call, compiled if the subject is."""
    prepare, asked = _ASKED[call.kind]
    words = {"loss": invocation(call), "names": names(call, "input", "target", "weight"), "axes": axes(call)}
    words["reversed"] = "t.flip(0)" if call.target.ndim else "t"
    wide = call.input.dtype == BFLOAT16  # NumPy alone has no bfloat16
    return Spelling(
        imports=("import torch",),
        function=_COMPILED if subject == "torch:compile" else _EAGER,
        put=_put,
        prepare=tuple(line.format(**words) for line in prepare),
        result=asked.format(**words),
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
