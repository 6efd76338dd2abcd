"""Bridge to TensorFlow: our ports eager, in `tf.function`, and compiled by XLA."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

from ...specs.call import Signature
from ...specs.errors import UsageError
from ..base import Backend, Capabilities, Form, Forms, Subject, baselines_in, unwrapped
from ..user import returning
from .compiling import COMPILER, OneByOne
from .script import spell
from .subject import TensorflowSubject

_PORTS = f"{__package__}.ports"
FUNCTION, XLA = "tensorflow:function", "tensorflow:xla"

# Which ports are subjects of which loss.
FORMS: Forms = {
    "nll_loss": tuple(Form(f"{_PORTS}.nll_loss:nll_loss", name, "composed") for name in ("tensorflow", FUNCTION, XLA)),
}

_FLAT = "TensorFlow tensors have no strides: what is passed is copied into the usual order"
_WITHOUT = {
    "strides": _FLAT,
    "mutable arrays": "TensorFlow tensors are immutable, and arrays are copied into them",
    "autocast": "TensorFlow's mixed precision is a policy of Keras layers, which functions know nothing of",
}

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
    return [_subject(form, device) for form in FORMS.get(signature.loss, ())]


def _subject(form: Form, device: str) -> TensorflowSubject:
    import tensorflow as tf

    function, without = form.load(), {**form.without, **_WITHOUT}
    can = Capabilities(binding=form.binding, style="eager", without=without)
    if form.subject in (FUNCTION, XLA):
        style = "tf.function" + ", XLA" * (form.subject == XLA)
        can = dataclasses.replace(can, style=style, tier=2, traced=True)
        function = tf.function(function, jit_compile=True if form.subject == XLA else None)
    return TensorflowSubject(form.subject, function, device, can)


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
    spell=spell,
    baselines=baselines_in(f"{__package__}.baselines"),
    exponential="tensorflow:exp",
)
