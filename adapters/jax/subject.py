"""The bridge to JAX: arrays of the same bits, what its transforms make of a function, and timing."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...specs.call import Array, Call
from ...specs.errors import BridgeError
from ..base import Capabilities, repeated, require_device, require_type
from .compiling import require_jit

_COMPILATIONS = [0]  # counted by JAX's own monitoring, which knows no way to unsubscribe


class JaxSubject:
    """A function on JAX arrays, run on one device with 64-bit types on or off.

    Without them it `narrows` integers that fit, as JAX itself does, or leaves wide arrays as NumPy's. Where a
    derivative is compiled, the options named by `fixed` are part of the program.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        device: str,
        capabilities: Capabilities,
        *,
        x64: bool = True,
        narrows: bool = False,
        fixed: tuple[str, ...] = ("reduction",),
    ) -> None:
        import jax

        self.name = name
        self.function = function
        self.device = device
        self.capabilities = capabilities
        self._device = device_of(device)
        self._mode = functools.partial(jax.enable_x64, x64)
        # Arrays that the function makes itself would lie on the first device otherwise.
        is_first = self._device == jax.devices()[0]
        self._home = contextlib.nullcontext if is_first else functools.partial(jax.default_device, self._device)
        self._x64, self._narrows, self._fixed = x64, narrows, fixed

    def prepare(self, call: Call) -> Callable[[], Any]:
        """Put the arrays on the device; without 64-bit types wide ones stay NumPy's, as the port accepts them."""
        if self.capabilities.traced:
            require_jit(self.name)
        with self._mode():
            arguments, options = self._arguments(call)
            if call.transform is None:
                return lambda: self._run(self.function, arguments, options)
            asked = {name: self._put(array) for name, array in call.transform.arrays()}
        asked |= {"kind": call.kind, "batched": call.transform.batched}
        return lambda: self._run(self._derive, arguments, options | asked)

    @contextlib.contextmanager
    def loop(self, call: Call, work: str) -> Iterator[Callable[[int], Any]]:
        """The loss, the pull-back of a loss that is there already, or both, as often as asked; then wait.

        A traced subject compiles each of them as a whole.
        """
        import jax

        compiled = jax.jit if self.capabilities.traced else lambda function: function
        with self._mode(), self._home():
            (x, t), options = self._arguments(call)
            reduction = {name: options.pop(name) for name in ("reduction",) if name in options}  # not to be traced
            loss = functools.partial(self.function, **reduction)
            jax.block_until_ready((x, t, options))
            if work == "forward":
                yield repeated(lambda: loss(x, t, **options), jax.block_until_ready)
                return
            assert call.transform is not None
            g = self._put(call.transform.upstream) if call.transform.upstream is not None else None

            def both(x: Any, t: Any, g: Any, options: dict[str, Any]) -> Any:
                value, pull = jax.vjp(lambda x: loss(x, t, **options), x)
                return value, pull(g)[0]

            if work == "both":
                step = compiled(both)
                yield repeated(lambda: step(x, t, g, options), jax.block_until_ready)
                return
            _, pull = jax.vjp(lambda x: loss(x, t, **options), x)
            back = compiled(lambda pull, g: pull(g)[0])
            yield repeated(lambda: back(pull, g), jax.block_until_ready)

    def read(self, result: Any) -> Array:
        """A JAX array as a NumPy array."""
        import jax

        require_type(result, jax.Array, self.name)
        require_device(result.devices(), {self._device}, self.name)
        return np.asarray(result)

    def echo(self, call: Call) -> dict[str, Array]:
        """The arrays on the device, read like results; what stays NumPy's is handed over as it is.

        Integers that were narrowed without loss, which capabilities tell of, are widened again.
        """
        import jax

        def there_and_back(array: Array) -> Array:
            put = self._put(array)
            back = self.read(put) if isinstance(put, jax.Array) else put
            narrowed = self._narrows and array.dtype.kind in "iu" and back.dtype == _narrow(array)
            return back.astype(array.dtype) if narrowed else back

        with self._mode():
            return {name: there_and_back(array) for name, array in call.arrays()}

    def scrub(self, size: int) -> None:
        """Write so many bytes on the device, which empties its cache of everything else."""
        import jax

        with self._home():
            jax.block_until_ready(jax.numpy.zeros(size, "int8") + 1)

    def stream(self, read: int, written: int) -> Callable[[int], Any]:
        """A function that so many times reads and writes so many bytes of the device in order, its memory's limit."""
        import jax

        with self._home():
            source = jax.numpy.zeros(max(1, read // 2), "int8")
        both = jax.jit(lambda x: (x + 1, jax.numpy.zeros(max(1, written), "int8")))  # + 1, or nothing would be copied
        return repeated(lambda: both(source), jax.block_until_ready)

    def compilations(self) -> int:
        """Programs that XLA compiled in this process."""
        return _COMPILATIONS[0]

    def _arguments(self, call: Call) -> tuple[tuple[Any, Any], dict[str, Any]]:
        """Input and target, and the options with the weight, on the device."""
        options = call.options()
        if "weight" not in call.omitted:
            options["weight"] = None if call.weight is None else self._put(call.weight)
        return (self._put(call.input), self._put(call.target)), options

    def _put(self, array: Array) -> Any:
        import jax

        if not self._x64 and not self._narrows and _narrow(array) != array.dtype:
            return array
        put = jax.device_put(array, self._device)
        if put.dtype != array.dtype and not (self._narrows and _fits(array, put.dtype)):
            raise BridgeError(f"{self.name}: {array.dtype} became {put.dtype} on the way in")
        return put

    @functools.cached_property
    def _derive(self) -> Callable[..., Any]:
        """`derive` of the function; a traced subject compiles it as a whole, as a training step is."""
        import jax

        if not self.capabilities.traced:
            return functools.partial(derive, self.function)
        return jax.jit(functools.partial(derive, self.function), static_argnames=(*self._fixed, "kind", "batched"))

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, Any], options: dict[str, Any]) -> Any:
        with self._mode(), self._home():
            return function(*arguments, **options).block_until_ready()


def _narrow(array: Array) -> np.dtype[Any]:
    """The dtype that JAX makes of an array's, 64-bit types being as they are now."""
    import jax

    return np.dtype(jax.dtypes.canonicalize_dtype(array.dtype))


def _fits(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether an integer dtype holds every number of an array of integers."""
    if array.dtype.kind not in "iu" or dtype.kind != array.dtype.kind:
        return False
    info = np.iinfo(dtype)
    return not array.size or bool(info.min <= array.min() and array.max() <= info.max)


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
    """What `kind` (one of TRANSFORMS) says, by JAX's own means."""
    import jax

    def loss(x: Any, t: Any, w: Any) -> Any:
        return function(x, t, weight=w, **options)

    def pull_back(x: Any, t: Any, w: Any = weight) -> Any:
        return jax.vjp(lambda x: loss(x, t, w), x)[1]

    def gradient(x: Any, t: Any, w: Any, g: Any = upstream) -> Any:
        return pull_back(x, t, w)(g)[0]

    def along(x: Any, g: Any) -> Any:
        return (gradient(x, target, weight, g) * direction).sum()

    axes = tuple(0 if name in batched else None for name in ("input", "target", "weight"))
    match kind:
        case "gradient":
            return gradient(input, target, weight)
        case "gradient_again":
            pull = pull_back(input, target)
            pull(upstream + upstream)
            return pull(upstream)[0]
        case "gradient_between":
            pull = pull_back(input, target)
            pull_back(input[::-1], target[::-1] if target.ndim else target)
            return pull(upstream)[0]
        case "value_in_training":
            return jax.vjp(lambda x: loss(x, target, weight), input)[0]
        case "weight_gradient":
            return jax.vjp(lambda w: loss(input, target, w), weight)[1](upstream)[0]
        case "second":
            return jax.grad(along, 0)(input, upstream)
        case "second_upstream":
            return jax.vjp(lambda g: along(input, g), upstream)[1](jax.numpy.ones((), input.dtype))[0]
        case "jvp":
            return jax.jvp(lambda x: loss(x, target, weight), (input,), (direction,))[1]
        case "vmap":
            return jax.vmap(loss, axes)(input, target, weight)
        case _:
            return jax.vmap(gradient, axes)(input, target, weight)


def _count(event: str, duration_secs: float, **kwargs: Any) -> None:
    if event.endswith("backend_compile_duration"):
        _COMPILATIONS[0] += 1


@functools.cache
def count_compilations() -> None:
    """Count the programs that JAX compiles, from now on."""
    import jax

    jax.monitoring.register_event_duration_secs_listener(_count)


def device_of(name: str) -> Any:
    """A JAX device by the names that `--device` uses: cpu, cuda, cuda:1."""
    import jax

    kind, _, number = name.partition(":")
    return jax.devices(kind)[int(number or 0)]
