"""The bridge to TensorFlow: tensors of the same bits, what tapes make of a function, and timing."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...specs.call import Array, Call
from ...specs.errors import BridgeError
from ..base import Capabilities, repeated, require_device, require_type
from .compiling import require_graphs


class TensorflowSubject:
    """A function on TensorFlow tensors of one device.

    `graph` is the tf.function behind a function of a user, which is called as a user's training step would.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], device: str, capabilities: Capabilities, graph: Any = None
    ) -> None:
        self.name = name
        self.function = function
        self.graph = graph
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
            arguments, options = self._arguments(call)
            if self.capabilities.traced and self.graph is None and "ignore_index" in options:
                # As a tensor it is traced; as a Python number each value would be a graph of its own.
                options["ignore_index"] = tf.constant(call.ignore_index, tf.int64)
            if call.transform is None:
                return lambda: self._run(self.function, arguments, options)
            asked = {name: self._put(array) for name, array in call.transform.arrays()}
        asked |= {"kind": call.kind, "batched": call.transform.batched}
        # Forward mode of a tf.function inside of another one ends in a SystemError where it gathers from a weight.
        is_outside = self.graph is not None and call.kind == "jvp"
        function = functools.partial(derive, self.function) if is_outside else self._derive
        return lambda: self._run(function, arguments, options | asked)

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
            (x, t), options = self._arguments(call)
            w = options.pop("weight", None)

            def loss(x: Any, t: Any, w: Any) -> Any:
                weight = {} if w is None else {"weight": w}
                return (python or self.function)(x, t, **weight, **options)

            def both(x: Any, t: Any, w: Any, g: Any) -> Any:
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    value = loss(x, t, w)
                return value, tape.gradient(value, x, g, tf.UnconnectedGradients.ZERO)

            arguments, g = (x, t, w), None
            step: Callable[..., Any] = loss
            if work != "forward":
                assert call.transform is not None
                assert call.transform.upstream is not None
                g = self._put(call.transform.upstream)
                arguments = (x, t, w, g)
                step = both if work == "both" else lambda *arguments: both(*arguments)[1]
            if python is not None:
                step = tf.function(step, jit_compile=self._is_whole, autograph=False)
                self._steps.append(step)
            elif work == "backward":
                with tf.GradientTape(persistent=True) as tape:
                    tape.watch(x)
                    value = loss(x, t, w)
                step, arguments = functools.partial(tape.gradient, value, x, g, tf.UnconnectedGradients.ZERO), ()
            yield repeated(lambda: step(*arguments), lambda _: tf.test.experimental.sync_devices())

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
            return {name: self.read(self._put(array)) for name, array in call.arrays()}

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

    def _arguments(self, call: Call) -> tuple[tuple[Any, Any], dict[str, Any]]:
        """Input and target, and the options with the weight, as tensors."""
        options = call.options()
        if "weight" not in call.omitted:
            options["weight"] = None if call.weight is None else self._put(call.weight)
        return (self._put(call.input), self._put(call.target)), options

    def _put(self, array: Array) -> Any:
        import tensorflow as tf

        tensor = tf.constant(array)
        if tensor.dtype.name != array.dtype.name:
            raise BridgeError(f"{self.name}: {array.dtype} became {tensor.dtype.name} on the way in")
        return tensor

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, Any], options: dict[str, Any]) -> Any:
        import tensorflow as tf

        with tf.device(self._where):
            result = function(*arguments, **options)
        tf.test.experimental.sync_devices()
        return result


def derive(
    function: Callable[..., Any],
    input: Any,
    target: Any,
    weight: Any = None,
    upstream: Any = None,
    direction: Any = None,
    *,
    kind: str,
    batched: tuple[str, ...],
    **options: Any,
) -> Any:
    """What `kind` (one of TRANSFORMS) says, by TensorFlow's own means; what is unconnected is zero."""
    import tensorflow as tf

    zero = tf.UnconnectedGradients.ZERO

    def loss(x: Any, t: Any, w: Any) -> Any:
        return function(x, t, weight=w, **options)

    def taped(x: Any, t: Any, w: Any, by: Any, persistent: bool = False) -> tuple[Any, Any]:
        with tf.GradientTape(persistent) as tape:
            tape.watch(by)
            return loss(x, t, w), tape

    def gradient(x: Any, t: Any, w: Any, by: Any = None) -> Any:
        by = x if by is None else by
        value, tape = taped(x, t, w, by)
        return tape.gradient(value, by, upstream, zero)

    def second(by: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(by)
            along = tf.reduce_sum(gradient(input, target, weight) * direction)
        return tape.gradient(along, by, unconnected_gradients=zero)

    match kind:
        case "gradient":
            return gradient(input, target, weight)
        case "gradient_again":
            value, tape = taped(input, target, weight, input, persistent=True)
            tape.gradient(value, input, upstream + upstream, zero)
            return tape.gradient(value, input, upstream, zero)
        case "gradient_between":
            value, tape = taped(input, target, weight, input)
            reverse = input[::-1]
            taped(reverse, target[::-1] if target.shape.rank else target, weight, reverse)
            return tape.gradient(value, input, upstream, zero)
        case "value_in_training":
            return taped(input, target, weight, input)[0]
        case "weight_gradient":
            return tf.convert_to_tensor(gradient(input, target, weight, by=weight))
        case "second":
            return second(input)
        case "second_upstream":
            return second(upstream)
        case "jvp":
            with tf.autodiff.ForwardAccumulator(input, direction) as accumulator:
                value = loss(input, target, weight)
            return accumulator.jvp(value, zero)
        case _:
            return _mapped(loss if kind == "vmap" else gradient, (input, target, weight), batched)


def _mapped(function: Callable[..., Any], arguments: tuple[Any, ...], batched: tuple[str, ...]) -> Any:
    """`function` under tf.vectorized_map, over the arguments that are batched."""
    import tensorflow as tf

    names: tuple[str, ...] = ("input", "target", "weight")
    fixed: dict[str, Any] = dict(zip(names, arguments, strict=True))
    moving = {name: fixed[name] for name in batched}

    def one(slices: dict[str, Any]) -> Any:
        return function(*((fixed | slices)[name] for name in names))

    return tf.vectorized_map(one, moving)


def device_of(name: str) -> str:
    """A TensorFlow device by the names that `--device` uses: cpu, cuda, cuda:1."""
    kind, _, number = name.partition(":")
    return f"/device:{ {'cuda': 'GPU', 'cpu': 'CPU'}[kind] }:{number or 0}"
