"""The bridge to JAX: arrays of the same bits, what its transforms make of a function, and timing."""

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
from .compiling import require_jit

_COMPILATIONS = [0]  # counted by JAX's own monitoring, which knows no way to unsubscribe


class JaxSubject:
    """A function on JAX arrays, run on one device with 64-bit types on or off.

    Without them it `narrows` integers that fit, as JAX itself does, or leaves wide arrays as NumPy's. Where a
    derivative is compiled, options that are `fixed` are part of the program.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        device: str,
        capabilities: Capabilities,
        fixed: Collection[str],
        *,
        x64: bool = True,
        narrows: bool = False,
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
        self._x64, self._narrows, self._fixed = x64, narrows, frozenset(fixed)

    def prepare(self, call: Call) -> Callable[[], Any]:
        """Put the arrays on the device; without 64-bit types wide ones stay NumPy's, as the port accepts them."""
        if self.capabilities.traced:
            require_jit(self.name)
        with self._mode():
            arrays, options = arguments(call, self._put)
            required, transform = call.signature.required, call.transform
            if transform is None:
                loss = Applied(self.function, required, options)
                return lambda: self._run(lambda: loss(arrays))
            asked = {name: self._put(name, array) for name, array in transform.arrays()}
        traced = {name: value for name, value in options.items() if name not in self._fixed}
        program = {
            "fixed": tuple((name, value) for name, value in options.items() if name in self._fixed),
            "required": required,
            "kind": transform.kind,
            "by": call.wrt,
            "batched": transform.batched,
        }
        return lambda: self._run(lambda: self._derive(arrays, asked, traced, **program))

    @contextlib.contextmanager
    def loop(self, call: Call, work: str) -> Iterator[Callable[[int], Any]]:
        """The loss, the pull-back of a loss that is there already, or both, as often as asked; then wait.

        A traced subject compiles each of them as a whole.
        """
        import jax

        compiled = jax.jit if self.capabilities.traced else lambda function: function
        with self._mode(), self._home():
            arrays, options = arguments(call, self._put)
            fixed = {name: options.pop(name) for name in self._fixed & options.keys()}  # not traced
            by, function = call.wrt, functools.partial(self.function, **fixed)
            jax.block_until_ready((arrays, options))

            def loss(x: Any, arrays: dict[str, Any], options: dict[str, Any]) -> Any:
                return Applied(function, call.signature.required, options)(arrays | {by: x})

            if work == "forward":
                yield repeated(lambda: loss(arrays[by], arrays, options), jax.block_until_ready)
                return
            assert call.transform is not None
            assert call.transform.upstream is not None
            g = self._put("upstream", call.transform.upstream)

            def both(arrays: dict[str, Any], g: Any, options: dict[str, Any]) -> Any:
                value, pull = jax.vjp(lambda x: loss(x, arrays, options), arrays[by])
                return value, pull(g)[0]

            if work == "both":
                step = compiled(both)
                yield repeated(lambda: step(arrays, g, options), jax.block_until_ready)
                return
            _, pull = jax.vjp(lambda x: loss(x, arrays, options), arrays[by])
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

        def there_and_back(name: str, array: Array) -> Array:
            put = self._put(name, array)
            back = self.read(put) if isinstance(put, jax.Array) else put
            narrowed = self._narrows and array.dtype.kind in "iu" and back.dtype == _narrow(array)
            return back.astype(array.dtype) if narrowed else back

        with self._mode():
            return {name: there_and_back(name, array) for name, array in call.arrays()}

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

    def _put(self, name: str, array: Array) -> Any:
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
        static = ("fixed", "required", "kind", "by", "batched")
        return jax.jit(functools.partial(derive, self.function), static_argnames=static)

    def _run(self, asked: Callable[[], Any]) -> Any:
        with self._mode(), self._home():
            return asked().block_until_ready()


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


# --- what JAX makes of a loss of arrays by name, by one of them: g is the upstream gradient, v a direction ----------


def derive(
    function: Callable[..., Any],
    arrays: dict[str, Any],
    asked: dict[str, Any],
    options: dict[str, Any],
    *,
    fixed: tuple[tuple[str, Any], ...],
    required: tuple[str, ...],
    kind: str,
    by: str,
    batched: tuple[str, ...],
) -> Any:
    """What `kind` (one of TRANSFORMS) says of a function, by one of its arrays, by JAX's own means.

    `asked` has upstream and direction, `fixed` options that are part of the program.
    """
    loss = Applied(function, required, {**options, **dict(fixed)})
    return _DERIVE[kind](loss, arrays, by, asked.get("upstream"), asked.get("direction"), batched)


def _pull_back(loss: Any, arrays: Any, by: str) -> tuple[Any, Callable[[Any], Any]]:
    """The loss, and what makes a gradient of an upstream one."""
    import jax

    return jax.vjp(lambda array: loss(arrays | {by: array}), arrays[by])


def _gradient(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return _pull_back(loss, arrays, by)[1](g)[0]


def _gradient_again(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    _, pull = _pull_back(loss, arrays, by)
    pull(g + g)
    return pull(g)[0]


def _gradient_between(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    _, pull = _pull_back(loss, arrays, by)
    _pull_back(loss, arrays | {name: arrays[name][::-1] for name in loss.required if arrays[name].ndim}, by)
    return pull(g)[0]


def _value_in_training(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return _pull_back(loss, arrays, by)[0]


def _along(loss: Any, arrays: Any, by: str, v: Any) -> Callable[[Any, Any], Any]:
    """<gradient, v>, as a function of the array and of the upstream gradient."""
    return lambda array, g: (_gradient(loss, arrays | {by: array}, by, g, v, ()) * v).sum()


def _second(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import jax

    return jax.grad(_along(loss, arrays, by, v), 0)(arrays[by], g)


def _second_upstream(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import jax

    along, x = _along(loss, arrays, by, v), arrays[by]
    return jax.vjp(lambda g: along(x, g), g)[1](jax.numpy.ones((), x.dtype))[0]


def _jvp(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import jax

    return jax.jvp(lambda array: loss(arrays | {by: array}), (arrays[by],), (v,))[1]


def _vmap(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return _mapped(loss, arrays, batched)


def _vmap_gradient(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return _mapped(lambda one: _gradient(loss, one, by, g, v, ()), arrays, batched)


def _mapped(function: Callable[[Any], Any], arrays: Any, batched: tuple[str, ...]) -> Any:
    import jax

    axes = tuple(0 if name in batched else None for name in arrays)
    return jax.vmap(lambda *slices: function(dict(zip(arrays, slices, strict=True))), axes)(*arrays.values())


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
