"""Bridge to JAX: our port, eager with and without 64-bit types, and under `jax.jit`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...specs.call import Array, Call
from ...specs.errors import BridgeError
from ..base import Backend, Capabilities, Subject, require_type

_X32 = {"float64": "jax_enable_x64 is off, as it is unless a user switches it on"}
_COMPILATIONS = [0]  # counted by JAX's own monitoring, which knows no way to unsubscribe


class JaxSubject:
    """A function on JAX arrays, run with 64-bit types on or off."""

    def __init__(
        self, name: str, function: Callable[..., Any], device: Any, capabilities: Capabilities, *, x64: bool = True
    ) -> None:
        import jax

        self.name = name
        self.function = function
        self.device = f"{device.platform}:{device.id}" if device.platform != "cpu" or device.id else "cpu"
        self.capabilities = capabilities
        self._device = device
        self._mode = functools.partial(jax.enable_x64, x64)
        self._x64 = x64

    def prepare(self, call: Call) -> Callable[[], Any]:
        """Put the arrays on the device; without 64-bit types wide ones stay NumPy's, as the port accepts them."""
        options = call.options()
        with self._mode():
            arguments = self._put(call.input), self._put(call.target)
            if "weight" not in call.omitted:
                options["weight"] = None if call.weight is None else self._put(call.weight)
        return lambda: self._run(arguments, options)

    def read(self, result: Any) -> Array:
        """A JAX array as a NumPy array."""
        import jax

        require_type(result, jax.Array, self.name)
        return np.asarray(result)

    def compilations(self) -> int:
        """Programs that XLA compiled in this process."""
        return _COMPILATIONS[0]

    def _put(self, array: Array) -> Any:
        import jax

        if not self._x64 and jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
            return array
        put = jax.device_put(array, self._device)
        if put.dtype != array.dtype:
            raise BridgeError(f"{self.name}: {array.dtype} became {put.dtype} on the way in")
        return put

    def _run(self, arguments: tuple[Any, Any], options: dict[str, Any]) -> Any:
        with self._mode():
            return self.function(*arguments, **options).block_until_ready()


def _count(event: str, duration_secs: float, **kwargs: Any) -> None:
    if event.endswith("backend_compile_duration"):
        _COMPILATIONS[0] += 1


@functools.cache
def _start_counting() -> None:
    import jax

    jax.monitoring.register_event_duration_secs_listener(_count)


def _subjects(device: str) -> list[Subject]:
    import jax

    from .port import nll_loss

    _start_counting()
    chosen = _device(device)
    eager = Capabilities(binding="composed", style="eager", tier=2)
    x32 = Capabilities(binding="composed", style="eager, 64-bit types off", tier=2, without=_X32)
    traced = Capabilities(binding="composed", style="jit", tier=2, traced=True)
    jitted = jax.jit(nll_loss, static_argnames=("reduction",))
    return [
        JaxSubject("jax", nll_loss, chosen, eager),
        JaxSubject("jax:x32", nll_loss, chosen, x32, x64=False),
        JaxSubject("jax:jit", jitted, chosen, traced),
    ]


def _device(name: str) -> Any:
    """A JAX device by the names that `--device` uses: cpu, cuda, cuda:1."""
    import jax

    platform, _, number = name.partition(":")
    return jax.devices(platform)[int(number or 0)]


def _devices() -> list[str]:
    import jax

    return sorted({"cpu", *(f"{device.platform}:{device.id}" for device in jax.devices())})


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
)
