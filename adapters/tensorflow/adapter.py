"""Bridge to TensorFlow: our port eager, in `tf.function`, and compiled by XLA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...specs.call import Array, Call
from ...specs.errors import BridgeError
from ..base import Backend, Capabilities, Subject, require_type


class TensorflowSubject:
    """A function on TensorFlow tensors."""

    def __init__(self, name: str, function: Callable[..., Any], device: str, capabilities: Capabilities) -> None:
        self.name = name
        self.function = function
        self.device = device
        self.capabilities = capabilities

    def prepare(self, call: Call) -> Callable[[], Any]:
        """Copy the arrays into tensors on the device."""
        import tensorflow as tf

        options = call.options()
        with tf.device(self.device):
            arguments = self._put(call.input), self._put(call.target)
            if "weight" not in call.omitted:
                options["weight"] = None if call.weight is None else self._put(call.weight)
            if self.capabilities.traced and "ignore_index" in options:
                # As a tensor it is traced; as a Python number each value would be a graph of its own.
                options["ignore_index"] = tf.constant(call.ignore_index, tf.int64)
        return lambda: self._run(arguments, options)

    def read(self, result: Any) -> Array:
        """An eager tensor as an array."""
        import tensorflow as tf

        require_type(result, tf.Tensor, self.name)
        return np.asarray(result.numpy())

    def compilations(self) -> int:
        """Graphs traced by this subject's tf.function."""
        count = getattr(self.function, "experimental_get_tracing_count", None)
        return int(count()) if count else 0

    def _put(self, array: Array) -> Any:
        import tensorflow as tf

        tensor = tf.constant(array)
        if tensor.dtype.name != array.dtype.name:
            raise BridgeError(f"{self.name}: {array.dtype} became {tensor.dtype.name} on the way in")
        return tensor

    def _run(self, arguments: tuple[Any, Any], options: dict[str, Any]) -> Any:
        import tensorflow as tf

        with tf.device(self.device):
            result = self.function(*arguments, **options)
        tf.test.experimental.sync_devices()
        return result


def _subjects(device: str) -> list[Subject]:
    import tensorflow as tf

    from .port import nll_loss

    where = _device(device)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    eager = Capabilities(binding="composed", style="eager")
    function = Capabilities(binding="composed", style="tf.function", tier=2, traced=True)
    xla = Capabilities(binding="composed", style="tf.function, XLA", tier=2, traced=True)
    return [
        TensorflowSubject("tensorflow", nll_loss, where, eager),
        TensorflowSubject("tensorflow:function", tf.function(nll_loss), where, function),
        TensorflowSubject("tensorflow:xla", tf.function(nll_loss, jit_compile=True), where, xla),
    ]


def _device(name: str) -> str:
    """A TensorFlow device by the names that `--device` uses: cpu, cuda, cuda:1."""
    kind, _, number = name.partition(":")
    return f"/device:{ {'cuda': 'GPU', 'cpu': 'CPU'}[kind] }:{number or 0}"


def _devices() -> list[str]:
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    return ["cpu", *(f"cuda:{number}" for number in range(len(gpus)))]


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
)
