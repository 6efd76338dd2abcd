"""Bridge to PyTorch's own losses, untouched: functions and modules, eager and compiled."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from ...specs.call import TARGET_DTYPES, Call, Signature
from ...specs.domain import Domain
from ...specs.errors import AdapterUnavailable
from ..base import Backend, Capabilities, Form, Forms, Subject, baselines_in, form_of
from ..binding import binding_of
from ..spelling import Spelling
from ..user import returning
from .compiling import COMPILE, COMPILER, SCRIPT, compiled_whole, never_eager, without_compiler
from .script import spell
from .subject import TorchSubject, built

COMPILED = "torch:compile"

# --- which functions are subjects of which loss: torch:module is the class that users build it with -----------------

_SLOPELESS = {"weight gradient": "the native op has no derivative with respect to weight"}
_NOT_LONG = "the native op takes int64 and, up to two axes of input, uint8 targets only"
_NOT_GATHERED = "the compiled gather takes int64 and int32 targets only"
_EAGER = {f"target {name}": _NOT_LONG for name in TARGET_DTYPES if name not in ("int64", "uint8")} | _SLOPELESS
_GATHERED = {f"target {name}": _NOT_GATHERED for name in TARGET_DTYPES if name not in ("int64", "int32")} | _SLOPELESS

FORMS: Forms = {
    "nll_loss": (
        Form("torch.nn.functional:nll_loss", "torch", without=_EAGER),
        Form("torch.nn.functional:nll_loss", COMPILED, without=_GATHERED),
        Form("torch.nn:NLLLoss", "torch:module", without=_EAGER),
    ),
    "log_softmax": (
        Form("torch.nn.functional:log_softmax", "torch"),
        Form("torch.nn.functional:log_softmax", COMPILED),
        Form("torch.nn:LogSoftmax", "torch:module"),
    ),
    "cross_entropy": (
        Form("torch.nn.functional:cross_entropy", "torch", without=_EAGER),
        Form("torch.nn.functional:cross_entropy", COMPILED, without=_GATHERED),
        Form("torch.nn:CrossEntropyLoss", "torch:module", without=_EAGER),
        Form(
            f"{__package__}.composed:cross_entropy",
            "torch:composed",
            "composed",
            without=_EAGER | {"probability targets": "nll_loss takes indices only"},
            domain=Domain(absent=("label_smoothing",)),
        ),
    ),
}

# --- how they are executed ------------------------------------------------------------------------------------------

_STRIDES = {"negative strides": "torch tensors have none", "read-only arrays": "torch tensors are always writable"}
_AROUND = "torch.func's transforms go around what torch.compile captures, not through it"
_AROUND_COMPILED = {
    "second backward": "a compiled backward pass reuses the memory of what forward saved, and refuses retain_graph",
    "second order": "torch.compile does not support double backward (pytorch#91469, #183603)",
    "jvp": _AROUND,
    "vmap": _AROUND,
}


@functools.cache
def _compiled(function: Callable[..., Any], subject: str) -> Callable[..., Any]:
    """The native op under torch.compile: one whole graph, no dynamic shapes, no fall back to eager."""

    def loss(*arrays: Any, **options: Any) -> Any:
        return function(*arrays, **options)

    loss.__code__ = loss.__code__.replace(co_name=function.__name__)  # dynamo keeps graphs by code, so each has its own
    return never_eager(compiled_whole(loss), subject)


def _without_tf32() -> None:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def _subjects(signature: Signature, device: str) -> list[Subject]:
    _without_tf32()
    return [_subject(form, signature, device) for form in FORMS.get(signature.loss, ())]


def _subject(form: Form, signature: Signature, device: str) -> TorchSubject:
    function = binding_of(form, signature).bound(built(form.load()))
    without = {**form.without, **_STRIDES}
    can = Capabilities(binding=form.binding, style="eager", without=without, domain=form.domain)
    if form.subject == COMPILED:
        without |= _AROUND_COMPILED
        can = dataclasses.replace(can, style="compiled", tier=1, isolate=True, traced=True, without=without)
        return TorchSubject(form.subject, _compiled(function, form.subject), device, can, compiled=True)
    return TorchSubject(form.subject, function, device, can)


def _spell(subject: str, call: Call) -> Spelling:
    """A call of a subject's own function, which a user's takes the place of."""
    loss = call.signature.loss
    return spell(form_of(FORMS, loss, subject, f"torch.nn.functional:{loss}"), call, subject == COMPILED)


def _wrap(signature: Signature, function: Callable[..., Any], name: str, device: str) -> list[Subject]:
    """A user's own function."""
    import torch

    _without_tf32()
    by = COMPILER.made(function)
    without = dict(_STRIDES)
    if by == COMPILE and (missing := without_compiler()):
        raise AdapterUnavailable(f"{name}: {missing}")
    if by == COMPILE:
        function, without = never_eager(function, name), without | _AROUND_COMPILED
    can = Capabilities(
        binding="user",
        style=by or "eager",
        tier={COMPILE: 1, SCRIPT: 2}.get(by, 3),
        isolate=by == COMPILE,
        traced=bool(by),
        without=without,
    )
    return [TorchSubject(name, returning(function, torch.Tensor), device, can, compiled=by == COMPILE)]


def _lacking(signature: Signature) -> dict[str, str]:
    is_compiled = any(form.subject == COMPILED for form in FORMS.get(signature.loss, ()))
    missing = without_compiler() if is_compiled else ""
    return {COMPILED: missing} if missing else {}


def _version() -> str:
    import torch

    return str(torch.__version__)


def _devices() -> list[str]:
    import torch

    return ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]


BACKEND = Backend(
    name="torch",
    module="torch",
    install="pip install 'lossparity[torch]'",
    subjects=_subjects,
    version=_version,
    devices=_devices,
    wrap=_wrap,
    compiler=COMPILER,
    lacking=_lacking,
    spell=_spell,
    baselines=baselines_in(f"{__package__}.baselines"),
    exponential="torch:exp",
)
