"""A bridge to copy: replace `mylib` by your framework, then work through the marks 1 to 5.

It runs as it stands, against a small stand-in written with NumPy:

    lossparity run -b lossparity.adapters.template.adapter:BACKEND

Imports of the suite are absolute, so that this file works wherever it is copied to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lossparity.adapters.arguments import Applied, arguments
from lossparity.adapters.base import Backend, Capabilities, Form, Subject, require_type
from lossparity.specs.call import Array, Call, Signature


# 1. The implementation under test, and of which loss it is a subject. Yours is named by its place, "mylib.nn:nll_loss",
#    and imported when it is needed: this module must import without your framework.
def mylib_nll_loss(
    x: Array, t: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """A small nll_loss with one fault, which divergences/nll_loss.toml records: it takes bool targets."""
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"unknown reduction {reduction!r}")
    if x.dtype.name not in ("float32", "float64") or not np.can_cast(t.dtype, np.int64, "same_kind"):
        raise TypeError(f"input {x.dtype} with target {t.dtype}")
    if x.ndim == 0 or t.shape != x.shape[: x.ndim > 1] + x.shape[2:]:
        raise ValueError(f"input {x.shape} with target {t.shape}")
    rows = np.moveaxis(x, min(1, x.ndim - 1), -1)
    classes = rows.shape[-1]
    if weight is not None and (weight.shape != (classes,) or weight.dtype != x.dtype):
        raise ValueError(f"weight {weight.dtype}{weight.shape} for {classes} classes of {x.dtype}")
    kept = np.asarray(t != ignore_index)
    labels = t[kept].astype(np.int64)
    if ((labels < 0) | (labels >= classes)).any():
        raise IndexError("a target is not a class")
    with np.errstate(all="ignore"):
        scale = np.ones(labels.size, x.dtype) if weight is None else weight[labels]
        losses = -rows[kept, labels] * scale
        if reduction == "none":
            full = np.zeros(t.shape, x.dtype)
            full[kept] = losses
            return full
        return losses.sum() if reduction == "sum" else losses.sum() / scale.sum()


# Write Form(..., "mylib", "composed") if you wrote the loss out of the framework's operations, and behind that
# without={"weight gradient": "why"} for what this function is without, where the framework (mark 4) is not.
FORMS = {
    "nll_loss": (Form(f"{__name__}:mylib_nll_loss", "mylib"),),
}


class MylibSubject:
    """One way of executing a loss: eager, compiled, on another device. Make one class for all losses if you can."""

    def __init__(self, name: str, function: Callable[..., Any], device: str, capabilities: Capabilities) -> None:
        self.name = name
        self.function = function
        self.device = device
        self.capabilities = capabilities

    # 2. In: the same bits in your framework's arrays. Do not cast, do not fix anything up. What fails here is
    #    counted as an error of the bridge, never as a failure of the framework.
    def prepare(self, call: Call) -> Callable[[], Any]:
        """Convert the arguments and return the invocation; arguments in `call.omitted` are left out."""
        arrays, options = arguments(call, self._put)
        loss = Applied(self.function, call.signature.required, options)
        # Gradients go here. Mark 4 declines all that is more than the value, so no such call arrives yet. Take
        # "gradient" out of `without`, and calls with `call.kind == "gradient"` come, `call.transform.upstream` being
        # the gradient with respect to the loss. Let the framework itself differentiate, inside what is returned:
        #     if call.kind == "gradient":
        #         g, x = self._put("upstream", call.transform.upstream), arrays[call.wrt]
        #         return lambda: mylib.vjp(lambda x: loss(arrays | {call.wrt: x}), x)(g)
        # Wait for asynchronous devices inside the lambda, so that what they raise is raised there.
        return lambda: loss(arrays)

    # 3. Out: the same bits as a NumPy array, and proof that your framework made them.
    def read(self, result: Any) -> Array:
        """Bring a result back."""
        require_type(result, np.ndarray | np.generic, self.name)
        return np.asarray(result)

    # There and back: the suite compares the bits, once for each signature, before it believes your bridge.
    def echo(self, call: Call) -> dict[str, Array]:
        """The call's arrays, put in and read like results."""
        return {name: self.read(self._put(name, array)) for name, array in call.arrays()}

    def compilations(self) -> int:
        """Programs compiled so far, 0 for a framework that compiles nothing."""
        return 0

    def _put(self, name: str, array: Array) -> Array:
        # Share the memory and keep the strides where your framework can; where it cannot, mark 4 says so.
        return array


# 4. What each subject can do. Only what `without` explains may be unsupported; all else must work.
_UNDIFFERENTIATED = "mylib does not differentiate"
_WITHOUT = {
    "float16": "mylib has no half precision",  # also "target uint16": "..."
    "bfloat16": "mylib has no half precision",
    # Other dtypes that your framework does not have, so that calls with them, which must fail, are unsupported and no
    # errors of the bridge: "complex64": "mylib has no complex numbers",
    "gradient": _UNDIFFERENTIATED,
    "training": _UNDIFFERENTIATED,
    "second backward": _UNDIFFERENTIATED,
    "autocast": "mylib has no automatic mixed precision",
    "second order": _UNDIFFERENTIATED,
    "jvp": _UNDIFFERENTIATED,
    "vmap": "mylib has no vmap",
    "siblings": "mylib executes the loss in one way only",
    # Not here, as NumPy has them: "strides", "negative strides", "read-only arrays", "mutable arrays".
}


def _subjects(signature: Signature, device: str) -> list[Subject]:
    return [_subject(form, device) for form in FORMS.get(signature.loss, ())]


def _subject(form: Form, device: str) -> MylibSubject:
    eager = Capabilities(
        binding=form.binding,
        style="eager",
        tier=3,  # cost of a new shape: 3 nothing, 2 a tenth of a second, 1 a second of compilation
        traced=False,  # True if Python cannot see target values when it validates: then NaN may replace an error
        isolate=False,  # True if a bad target may end the process
        without={**form.without, **_WITHOUT},
    )
    return MylibSubject(form.subject, form.load(), device, eager)


# 5. How the backend is found, named and installed. Register it as an entry point in the group
#    `lossparity.adapters`, or name it with -b package.module:BACKEND.
BACKEND = Backend(
    name="mylib",
    module="numpy",  # the import that must succeed: "mylib"
    install="pip install mylib",
    subjects=_subjects,
    version=lambda: np.__version__,
    devices=lambda: ["cpu"],
    # spell=spell, so that `lossparity replay` can write a failing call down as a script: see docs/writing-an-adapter.md
)
