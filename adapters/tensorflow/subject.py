"""The bridge to TensorFlow: tensors of the same bits, what tapes make of a function, and timing."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from ...specs.call import Array, Call
from ...specs.errors import BridgeError
from ..arguments import Applied, arguments
from ..base import Capabilities, repeated, require_device, require_type
from .compiling import require_graphs


class TensorflowSubject:
    """A function on TensorFlow tensors of one device.

    `graph` is the tf.function behind a function of a user, which is called as a user's training step would. Where it is
    traced, numbers are tensors, but for options that are `fixed`.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        device: str,
        capabilities: Capabilities,
        graph: Any = None,
        fixed: Collection[str] = (),
    ) -> None:
        self.name = name
        self.function = function
        self.graph = graph
        self._fixed = fixed
        self.device = device
        self._where = device_of(device)
        self.capabilities = capabilities
        self._steps: list[Any] = []  # what loops have compiled

    def prepare(self, call: Call) -> Callable[[], Any]:
        """Copy the arrays into tensors on the device."""
        import tensorflow as tf

        if self.capabilities.traced:
            require_graphs(self.name)
        with tf.device(self._where):
            arrays, options = arguments(call, self._put)
            if self.capabilities.traced and self.graph is None:
                # As tensors they are traced; as Python numbers each value would be a graph of its own.
                numbers = [name for name in call.signature.numbers if name in options and name not in self._fixed]
                options |= {name: tf.constant(options[name], tf.int64) for name in numbers}
            required, transform = call.signature.required, call.transform
            if transform is None:
                loss = Applied(self.function, required, options)
                return lambda: self._run(lambda: loss(arrays))
            asked = {name: self._put(name, array) for name, array in transform.arrays()}
        program: dict[str, Any] = {
            "required": required,
            "kind": transform.kind,
            "by": call.wrt,
            "batched": transform.batched,
        }
        # Forward mode of a tf.function inside of another one ends in a SystemError where it gathers from a weight.
        is_outside = self.graph is not None and transform.kind == "jvp"
        function = functools.partial(derive, self.function) if is_outside else self._derive
        return lambda: self._run(lambda: function(arrays, asked, options, **program))

    @contextlib.contextmanager
    def loop(self, call: Call, work: str) -> Iterator[Callable[[int], Any]]:
        """The loss, its gradient, or both, as often as asked; then wait.

        What is compiled is compiled with its options fixed, as inside of a user's own tf.function: to look defaults up
        takes tf.function longer than many a loss. An eager subject's gradient is taken of a tape that is kept; a graph
        drops what nothing needs of the loss.
        """
        import tensorflow as tf

        python = getattr(self.function, "python_function", None)
        with tf.device(self._where):
            arrays, options = arguments(call, self._put)
            arrays = {name: array for name, array in arrays.items() if array is not None}
            loss, by, zero = (
                Applied(python or self.function, call.signature.required, options),
                call.wrt,
                tf.UnconnectedGradients.ZERO,
            )

            def both(arrays: Any, g: Any) -> Any:
                with tf.GradientTape() as tape:
                    tape.watch(arrays[by])
                    value = loss(arrays)
                return value, tape.gradient(value, arrays[by], g, zero)

            def forward(arrays: Any) -> Any:  # tf.function takes functions only
                return loss(arrays)

            given: tuple[Any, ...] = (arrays,)
            step: Callable[..., Any] = forward
            if work != "forward":
                assert call.transform is not None
                assert call.transform.upstream is not None
                given = (arrays, self._put("upstream", call.transform.upstream))
                step = both if work == "both" else lambda arrays, g: both(arrays, g)[1]
            if python is not None:
                step = tf.function(step, jit_compile=self._is_whole, autograph=False)
                self._steps.append(step)
            elif work == "backward":
                with tf.GradientTape(persistent=True) as tape:
                    tape.watch(arrays[by])
                    value = loss(arrays)
                step, given = functools.partial(tape.gradient, value, arrays[by], given[1], zero), ()
            yield repeated(lambda: step(*given), lambda _: tf.test.experimental.sync_devices())

    def read(self, result: Any) -> Array:
        """An eager tensor as an array."""
        import tensorflow as tf

        require_type(result, tf.Tensor, self.name)
        require_device(f"/device:{result.device.rpartition('/device:')[2]}", self._where, self.name)
        return np.asarray(result.numpy())

    def echo(self, call: Call) -> dict[str, Array]:
        """The arrays as tensors on the device, read like results."""
        import tensorflow as tf

        with tf.device(self._where):
            return {name: self.read(self._put(name, array)) for name, array in call.arrays()}

    def scrub(self, size: int) -> None:
        """Write so many bytes on the device, which empties its cache of everything else."""
        import tensorflow as tf

        with tf.device(self._where):
            tf.ones([size], tf.int8)
        tf.test.experimental.sync_devices()

    def stream(self, read: int, written: int) -> Callable[[int], Any]:
        """A function that so many times reads and writes so many bytes of the device in order, its memory's limit."""
        import tensorflow as tf

        with tf.device(self._where):
            source = tf.zeros([max(1, read // 2)], tf.int8)
            one = tf.ones([], tf.int8)

        def step() -> Any:
            with tf.device(self._where):
                return source + one, tf.zeros([max(1, written)], tf.int8)

        return repeated(step, lambda _: tf.test.experimental.sync_devices())

    def compilations(self) -> int:
        """Graphs traced by this subject's tf.function."""
        functions = (self.graph or self.function, self._derive, *self._steps)
        counts = (getattr(function, "experimental_get_tracing_count", None) for function in functions)
        return sum(int(count()) for count in counts if count)

    @functools.cached_property
    def _derive(self) -> Callable[..., Any]:
        """`derive` of the function, compiled as a whole where the function is, as a training step is."""
        import tensorflow as tf

        python = getattr(self.function, "python_function", None)
        if python is None and self.graph is None:
            return functools.partial(derive, self.function)
        asked = functools.partial(derive, python or self.function)
        return tf.function(asked, jit_compile=self._is_whole, autograph=False)

    @property
    def _is_whole(self) -> bool:
        """Whether XLA compiles the function as a whole."""
        graph: Any = self.graph or self.function
        return bool(graph._jit_compile)

    def _put(self, name: str, array: Array) -> Any:
        import tensorflow as tf

        tensor = tf.constant(array)
        if tensor.dtype.name != array.dtype.name:
            raise BridgeError(f"{self.name}: {array.dtype} became {tensor.dtype.name} on the way in")
        return tensor

    def _run(self, asked: Callable[[], Any]) -> Any:
        import tensorflow as tf

        with tf.device(self._where):
            result = asked()
        tf.test.experimental.sync_devices()
        return result


# --- what tapes make of a loss of arrays by name, by one of them: g is the upstream gradient, v a direction ---------


def derive(
    function: Callable[..., Any],
    arrays: dict[str, Any],
    asked: dict[str, Any],
    options: dict[str, Any],
    *,
    required: tuple[str, ...],
    kind: str,
    by: str,
    batched: tuple[str, ...],
) -> Any:
    """What `kind` (one of TRANSFORMS) says of a function, by one of its arrays, by TensorFlow's own means.

    `asked` has upstream and direction. What is unconnected is zero.
    """
    loss = Applied(function, required, options)
    return _DERIVE[kind](loss, arrays, by, asked.get("upstream"), asked.get("direction"), batched)


def _taped(loss: Any, arrays: Any, by: str, *, persistent: bool = False) -> tuple[Any, Callable[[Any], Any]]:
    """The loss, and what makes a gradient of an upstream one."""
    import tensorflow as tf

    with tf.GradientTape(persistent) as tape:
        tape.watch(arrays[by])
        value = loss(arrays)
    return value, lambda g: tape.gradient(value, arrays[by], g, tf.UnconnectedGradients.ZERO)


def _gradient(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import tensorflow as tf

    return tf.convert_to_tensor(_taped(loss, arrays, by)[1](g))  # may be IndexedSlices


def _gradient_again(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    _, pull = _taped(loss, arrays, by, persistent=True)
    pull(g + g)
    return pull(g)


def _gradient_between(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    _, pull = _taped(loss, arrays, by)
    _taped(loss, arrays | {name: arrays[name][::-1] for name in loss.required if arrays[name].shape.rank}, by)
    return pull(g)


def _value_in_training(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return _taped(loss, arrays, by)[0]


def _second(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return _second_by(arrays[by], loss, arrays, by, g, v)


def _second_upstream(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return _second_by(g, loss, arrays, by, g, v)


def _second_by(of: Any, loss: Any, arrays: Any, by: str, g: Any, v: Any) -> Any:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(of)
        along = tf.reduce_sum(_gradient(loss, arrays, by, g, v, ()) * v)
    return tape.gradient(along, of, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _jvp(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import tensorflow as tf

    with tf.autodiff.ForwardAccumulator(arrays[by], v) as accumulator:
        value = loss(arrays)
    return accumulator.jvp(value, tf.UnconnectedGradients.ZERO)


def _vmap(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return _mapped(loss, arrays, batched)


def _vmap_gradient(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return _mapped(lambda one: _gradient(loss, one, by, g, v, ()), arrays, batched)


def _mapped(function: Callable[[Any], Any], arrays: Any, batched: tuple[str, ...]) -> Any:
    import tensorflow as tf

    return tf.vectorized_map(lambda slices: function(arrays | slices), {name: arrays[name] for name in batched})


_DERIVE: dict[str, Callable[..., Any]] = {
    "gradient": _gradient,
    "gradient_again": _gradient_again,
    "gradient_between": _gradient_between,
    "second": _second,
    "second_upstream": _second_upstream,
    "jvp": _jvp,
    "vmap": _vmap,
    "vmap_gradient": _vmap_gradient,
    "value_in_training": _value_in_training,
}


def device_of(name: str) -> str:
    """A TensorFlow device by the names that `--device` uses: cpu, cuda, cuda:1."""
    kind, _, number = name.partition(":")
    return f"/device:{ {'cuda': 'GPU', 'cpu': 'CPU'}[kind] }:{number or 0}"
