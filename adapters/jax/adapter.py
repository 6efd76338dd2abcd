"""Bridge to JAX: our ports, eager with and without 64-bit types, and under `jax.jit`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from ...specs.call import Call, Signature
from ...specs.domain import Domain
from ..base import Backend, Capabilities, Form, Forms, Subject, baselines_in, form_of, not_installed, on_cpu
from ..binding import binding_of
from ..spelling import Spelling
from ..user import returning
from .compiling import COMPILER, chosen
from .script import spell
from .subject import JaxSubject, count_compilations

X32, JIT = "jax:x32", "jax:jit"

# --- which functions are subjects of which loss ----------------------------------------------------------------------

# Of losses that know logits and labels only, with classes on the last axis, and are reduced by whoever calls them.
_LOGITS = Domain(
    ranks=(1, 2), choices=(("reduction", ("none",)),), absent=("weight", "ignore_index", "label_smoothing")
)
_NO_CLASSES = {"class targets": "it takes probabilities only"}
_NO_PROBABILITIES = {"probability targets": "it takes indices only"}


def _optax(name: str, subject: str, without: Mapping[str, str]) -> Form:
    return Form(
        f"optax:{name}",
        subject,
        without=without,
        domain=_LOGITS,
        names={"input": "logits", "target": "labels"},
        needs="optax",
    )


FORMS: Forms = {
    "nll_loss": tuple(Form(f"{__package__}:nll_loss", name, "composed") for name in ("jax", X32, JIT)),
    "log_softmax": tuple(
        Form("jax.nn:log_softmax", name, names={"input": "x", "dim": "axis"}, fixed=("dim",))
        for name in ("jax", X32, JIT)
    ),
    "cross_entropy": (
        *(
            Form(f"{__package__}:cross_entropy", name, "composed", fixed=("label_smoothing",))
            for name in ("jax", X32, JIT)
        ),
        _optax("softmax_cross_entropy_with_integer_labels", "jax:optax-integer", _NO_PROBABILITIES),
        _optax("softmax_cross_entropy", "jax:optax", _NO_CLASSES),
        _optax("safe_softmax_cross_entropy", "jax:optax-safe", _NO_CLASSES),
    ),
}

# --- how they are executed -------------------------------------------------------------------------------------------

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


_lacking = functools.partial(not_installed, FORMS)


def _start(device: str) -> None:
    """Count compilations, and multiply matrices in full precision, which accelerators do not unless told to."""
    import jax

    count_compilations()
    if not on_cpu(device):
        jax.config.update("jax_default_matmul_precision", "highest")


def _subjects(signature: Signature, device: str) -> list[Subject]:
    _start(device)
    forms, lacking = FORMS.get(signature.loss, ()), _lacking(signature)
    return [_subject(form, signature, device) for form in forms if form.subject not in lacking]


def _subject(form: Form, signature: Signature, device: str) -> JaxSubject:
    import jax

    function, name, fixed = binding_of(form, signature).bound(form.load()), form.subject, chosen(signature) + form.fixed
    without = {**form.without, **_WITHOUT}
    can = Capabilities(binding=form.binding, style="eager", tier=2, without=without, domain=form.domain)
    if name == X32:
        can = dataclasses.replace(can, style="eager, 64-bit types off", without=without | _X32)
    elif name == JIT:
        can = dataclasses.replace(can, style="jit", traced=True)
        function = jax.jit(function, static_argnames=fixed)
    return JaxSubject(name, function, device, can, fixed, x64=name != X32)


def _spell(subject: str, call: Call) -> Spelling:
    """A call of a subject's own function, which a user's takes the place of."""
    loss = call.signature.loss
    return spell(form_of(FORMS, loss, subject, f"{__package__}:{loss}"), subject, call)


def _wrap(signature: Signature, function: Callable[..., Any], name: str, device: str) -> list[Subject]:
    """A user's own function, with 64-bit types on, and off as they are unless a user switches them on."""
    import jax

    _start(device)
    by, returned = COMPILER.made(function), returning(function, jax.Array)
    can = Capabilities(binding="user", style=by or "eager", tier=2, traced=bool(by), without=_WITHOUT)
    narrow = dataclasses.replace(
        can, style=f"{can.style}, 64-bit types off", without=_X32 | _NARROW | _WITHOUT, notes=(_AS_JAX_DOES,)
    )
    fixed = tuple(signature.defaults)
    wide = JaxSubject(name, returned, device, can, fixed)
    return [wide, JaxSubject(f"{name}:x32", returned, device, narrow, fixed, x64=False, narrows=True)]


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
    spell=_spell,
    lacking=_lacking,
    baselines=baselines_in(f"{__package__}.baselines"),
    exponential="jax.numpy:exp",
)
