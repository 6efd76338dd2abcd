"""Bridge to JAX: our ports, eager with and without 64-bit types, and under `jax.jit`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

from ...specs.call import Signature
from ..base import Backend, Capabilities, Form, Forms, Subject, baselines_in, on_cpu
from ..user import returning
from .compiling import COMPILER, chosen
from .script import spell
from .subject import JaxSubject, count_compilations

_PORTS = f"{__package__}.ports"
X32, JIT = "jax:x32", "jax:jit"

# Which ports are subjects of which loss.
FORMS: Forms = {
    "nll_loss": tuple(Form(f"{_PORTS}.nll_loss:nll_loss", name, "composed") for name in ("jax", X32, JIT)),
}

_X32 = {"float64": "jax_enable_x64 is off, as it is unless a user switches it on"}
_NARROW = {
    "complex128": _X32["float64"],
    "wide targets": "without 64-bit types JAX makes 32-bit targets of int64 and uint64 ones, and these do not fit",
}
_AS_JAX_DOES = "int64 and uint64 targets arrive as int32 and uint32, which JAX makes of them without 64-bit types"
_FLAT = "JAX arrays have no strides: what is passed is laid out anew by the framework"
_WITHOUT = {
    "strides": _FLAT,
    "mutable arrays": "JAX arrays are immutable",
    "autocast": "JAX has no automatic mixed precision: a program says which dtypes it computes in",
}
_KINDS = ("cpu", "cuda", "rocm", "tpu")  # of devices; JAX calls cuda and rocm gpu too, but takes these names


def _start(device: str) -> None:
    """Count compilations, and multiply matrices in full precision, which accelerators do not unless told to."""
    import jax

    count_compilations()
    if not on_cpu(device):
        jax.config.update("jax_default_matmul_precision", "highest")


def _subjects(signature: Signature, device: str) -> list[Subject]:
    _start(device)
    return [_subject(form, signature, device) for form in FORMS.get(signature.loss, ())]


def _subject(form: Form, signature: Signature, device: str) -> JaxSubject:
    import jax

    function, name = form.load(), form.subject
    can = Capabilities(binding=form.binding, style="eager", tier=2, without={**form.without, **_WITHOUT})
    if name == X32:
        can = dataclasses.replace(can, style="eager, 64-bit types off", without={**form.without, **_X32, **_WITHOUT})
    elif name == JIT:
        can = dataclasses.replace(can, style="jit", traced=True)
        function = jax.jit(function, static_argnames=chosen(signature))
    return JaxSubject(name, function, device, can, x64=name != X32)


def _wrap(signature: Signature, function: Callable[..., Any], name: str, device: str) -> list[Subject]:
    """A user's own function, with 64-bit types on, and off as they are unless a user switches them on."""
    import jax

    _start(device)
    by, returned = COMPILER.made(function), returning(function, jax.Array)
    can = Capabilities(binding="user", style=by or "eager", tier=2, traced=bool(by), without=_WITHOUT)
    narrow = dataclasses.replace(
        can, style=f"{can.style}, 64-bit types off", without=_X32 | _NARROW | _WITHOUT, notes=(_AS_JAX_DOES,)
    )
    wide = JaxSubject(name, returned, device, can, fixes_all=True)
    return [wide, JaxSubject(f"{name}:x32", returned, device, narrow, x64=False, narrows=True, fixes_all=True)]


def _devices() -> list[str]:
    """Every device of every kind; jax.devices() alone leaves out the CPU where there is a GPU."""
    import jax

    found: list[str] = []
    for kind in _KINDS:
        with contextlib.suppress(RuntimeError):  # none of this kind
            found += [kind if kind == "cpu" and not n else f"{kind}:{n}" for n in range(len(jax.devices(kind)))]
    return found


def _version() -> str:
    import jax

    return str(jax.__version__)


BACKEND = Backend(
    name="jax",
    module="jax",
    install="pip install 'lossparity[jax]'",
    subjects=_subjects,
    version=_version,
    devices=_devices,
    wrap=_wrap,
    modes=("", ":x32"),
    targets=("int64", "int32"),
    compiler=COMPILER,
    spell=spell,
    baselines=baselines_in(f"{__package__}.baselines"),
    exponential="jax.numpy:exp",
)
