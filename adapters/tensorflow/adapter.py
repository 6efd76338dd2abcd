"""Bridge to TensorFlow: our ports eager, in `tf.function`, and compiled by XLA."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

from ...specs.call import TARGET_DTYPES, Call, Signature
from ...specs.domain import Domain
from ...specs.errors import UsageError
from ..base import Backend, Capabilities, Form, Forms, Subject, baselines_in, form_of, not_installed, unwrapped
from ..binding import binding_of
from ..spelling import Spelling
from ..user import returning
from .compiling import COMPILER, OneByOne
from .script import spell
from .subject import TensorflowSubject

FUNCTION, XLA = "tensorflow:function", "tensorflow:xla"

# --- which functions are subjects of which loss ----------------------------------------------------------------------

# Of losses that know logits and labels only, with classes on the last axis, and are reduced by whoever calls them.
_LOGITS = Domain(
    ranks=(1, 2), choices=(("reduction", ("none",)),), absent=("weight", "ignore_index", "label_smoothing")
)
_NO_CLASSES = {"class targets": "it takes probabilities only"}
_NO_PROBABILITIES = {"probability targets": "it takes indices only"}
_SPARSE = {
    f"target {name}": "it takes int32 and int64 targets only"
    for name in TARGET_DTYPES
    if name not in ("int32", "int64")
}


def _logits(name: str, subject: str, without: Mapping[str, str]) -> Form:
    """One of TensorFlow's own."""
    return Form(
        f"tensorflow.nn:{name}", subject, without=without, domain=_LOGITS, names={"input": "logits", "target": "labels"}
    )


FORMS: Forms = {
    "nll_loss": tuple(Form(f"{__package__}:nll_loss", name, "composed") for name in ("tensorflow", FUNCTION, XLA)),
    "log_softmax": tuple(
        Form("tensorflow.nn:log_softmax", name, names={"input": "logits", "dim": "axis"}, fixed=("dim",))
        for name in ("tensorflow", FUNCTION, XLA)
    ),
    "cross_entropy": (
        *(Form(f"{__package__}:cross_entropy", name, "composed") for name in ("tensorflow", FUNCTION, XLA)),
        _logits("sparse_softmax_cross_entropy_with_logits", "tensorflow:sparse", _NO_PROBABILITIES | _SPARSE),
        _logits("softmax_cross_entropy_with_logits", "tensorflow:dense", _NO_CLASSES),
        Form(
            f"{__package__}.keras_losses:sparse_cross_entropy",
            "tensorflow:keras-sparse",
            without=_NO_PROBABILITIES,
            domain=Domain(ranks=(1, 2), absent=("weight", "label_smoothing")),
            needs="keras",
        ),
        Form(
            f"{__package__}.keras_losses:cross_entropy",
            "tensorflow:keras",
            without=_NO_CLASSES,
            domain=Domain(absent=("weight", "ignore_index")),
            needs="keras",
        ),
    ),
}

# --- how they are executed -------------------------------------------------------------------------------------------

_FLAT = "TensorFlow tensors have no strides: what is passed is copied into the usual order"
_WITHOUT = {
    "strides": _FLAT,
    "mutable arrays": "TensorFlow tensors are immutable, and arrays are copied into them",
    "autocast": "TensorFlow's mixed precision is a policy of Keras layers, which functions know nothing of",
}

_lacking = functools.partial(not_installed, FORMS)

CPUS = "LOSSPARITY_TENSORFLOW_CPUS"  # into so many devices the CPU is divided: cpu, cpu:1, ...


@functools.cache
def _divide_cpu() -> None:
    """Make as many devices of the CPU as the environment asks for, which only a program can tell TensorFlow."""
    import tensorflow as tf

    text = os.environ.get(CPUS, "1")
    if not text.isdecimal() or not int(text):
        raise UsageError(f"{CPUS} is {text!r}; set it to the number of devices that the CPU is to be divided into")
    if int(text) > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(text))


def _subjects(signature: Signature, device: str) -> list[Subject]:
    import tensorflow as tf

    _divide_cpu()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    forms, lacking = FORMS.get(signature.loss, ()), _lacking(signature)
    return [_subject(form, signature, device) for form in forms if form.subject not in lacking]


def _subject(form: Form, signature: Signature, device: str) -> TensorflowSubject:
    import tensorflow as tf

    function, without = binding_of(form, signature).bound(form.load()), {**form.without, **_WITHOUT}
    can = Capabilities(binding=form.binding, style="eager", without=without, domain=form.domain)
    if form.subject in (FUNCTION, XLA):
        style = "tf.function" + ", XLA" * (form.subject == XLA)
        can = dataclasses.replace(can, style=style, tier=2, traced=True)
        function = tf.function(function, jit_compile=True if form.subject == XLA else None)
    return TensorflowSubject(form.subject, function, device, can, fixed=form.fixed)


def _spell(subject: str, call: Call) -> Spelling:
    """A call of a subject's own function, which a user's takes the place of."""
    loss = call.signature.loss
    return spell(form_of(FORMS, loss, subject, f"{__package__}:{loss}"), subject, call)


def _wrap(signature: Signature, function: Callable[..., Any], name: str, device: str) -> list[Subject]:
    """A user's own function."""
    import tensorflow as tf

    _divide_cpu()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    by = COMPILER.made(function)
    if by and getattr(function, "_reduce_retracing", False):
        function = OneByOne(function)
    style, tier = by or "eager", 2 if by else 3
    can = Capabilities(binding="user", style=style, tier=tier, traced=bool(by), without=_WITHOUT)
    graph = unwrapped(function) if by else None
    return [TensorflowSubject(name, returning(function, tf.Tensor), device, can, graph=graph)]


def _devices() -> list[str]:
    import tensorflow as tf

    _divide_cpu()
    cpus, gpus = (len(tf.config.list_logical_devices(kind)) for kind in ("CPU", "GPU"))
    return ["cpu", *(f"cpu:{number}" for number in range(1, cpus)), *(f"cuda:{number}" for number in range(gpus))]


def _version() -> str:
    import tensorflow as tf

    return str(tf.__version__)


BACKEND = Backend(
    name="tensorflow",
    module="tensorflow",
    install="pip install 'lossparity[tensorflow]'",
    subjects=_subjects,
    version=_version,
    devices=_devices,
    wrap=_wrap,
    targets=("int64", "int32"),
    compiler=COMPILER,
    spell=_spell,
    lacking=_lacking,
    baselines=baselines_in(f"{__package__}.baselines"),
    exponential="tensorflow:exp",
)
