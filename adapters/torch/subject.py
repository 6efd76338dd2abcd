"""The bridge to torch: tensors of the same bits, what autograd and torch.func make of a function, and timing."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...specs.call import BFLOAT16, Array, Call, Transform
from ...specs.layouts import extent
from ..base import Capabilities, on_cpu, repeated, require_device, require_type
from .compiling import require_compiling

_ELSEWHERE = {"mutable arrays": "arrays are copied to the device, and results back: none share memory"}


class TorchSubject:
    """A function on torch tensors of one device; `compiled` says that torch.compile made it."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        device: str,
        capabilities: Capabilities,
        *,
        compiled: bool = False,
    ) -> None:
        self._compiled = compiled
        self.name = name
        self.function = function
        self.device = device
        self.capabilities = capabilities
        self._device = device_of(device)
        if not on_cpu(device):
            self.capabilities = dataclasses.replace(capabilities, without={**capabilities.without, **_ELSEWHERE})

    def prepare(self, call: Call) -> Callable[[], Any]:
        """Wrap the arrays as tensors: on the CPU they share their memory."""
        if self._compiled:
            require_compiling(self.name)
        tensors, options = self._arguments(call)
        input, target, weight = tensors["input"], tensors["target"], tensors.get("weight")
        if call.transform is None:
            return lambda: self._synchronised(self.function(input, target, **options))
        options.pop("weight", None)
        asked = tensors.get("upstream"), tensors.get("direction")

        def loss(x: Any, t: Any, w: Any) -> Any:
            return self.function(x, t, weight=w, **options)

        return lambda: self._synchronised(_DERIVE[call.kind](loss, (input, target, weight), *asked, call.transform))

    @contextlib.contextmanager
    def loop(self, call: Call, work: str) -> Iterator[Callable[[int], Any]]:
        """The loss, the backward pass over a graph that is kept, or both, as often as asked; then wait."""
        import torch
        import torch._functorch.config as functorch

        tensors, options = self._arguments(call)
        x, target, g = tensors["input"], tensors["target"], tensors.get("upstream")
        if work == "forward":
            yield repeated(lambda: self.function(x, target, **options), self._synchronised)
            return
        leaf = x.detach().requires_grad_()
        if work == "both":

            def step() -> Any:
                value = self.function(leaf, target, **options)
                return value, torch.autograd.grad(value, leaf, g)[0]

            yield repeated(step, self._synchronised)
            return
        patch: Any = functorch.patch
        with patch(donated_buffer=False):  # a compiled backward pass would reuse what the next one needs
            value = self.function(leaf, target, **options)
            yield repeated(lambda: torch.autograd.grad(value, leaf, g, retain_graph=True)[0], self._synchronised)

    def read(self, result: Any) -> Array:
        """A tensor as an array, bfloat16 by its bits."""
        import torch

        require_type(result, torch.Tensor, self.name)
        require_device(result.device, self._device, self.name)
        tensor = result.detach().cpu()
        if tensor.dtype == torch.bfloat16:
            return np.asarray(tensor.view(torch.int16).numpy().view(BFLOAT16))
        return np.asarray(tensor.numpy())

    def echo(self, call: Call) -> dict[str, Array]:
        """The arrays as tensors, read like results."""
        return {name: self.read(tensor) for name, tensor in self._arguments(call)[0].items()}

    def event_seconds(self, run: Callable[[int], Any], times: int) -> float:
        """Seconds that an accelerator itself was busy with so many calls, by its events."""
        import torch

        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.cuda.device(self._device):
            start.record()
            run(times)
            end.record()
            end.synchronize()
        return start.elapsed_time(end) / 1e3

    def scrub(self, size: int) -> None:
        """Write so many bytes on the device, which empties its cache of everything else."""
        import torch

        torch.empty(size, dtype=torch.int8, device=self._device).zero_()
        self._synchronised(None)

    def stream(self, read: int, written: int) -> Callable[[int], Any]:
        """A function that so many times reads and writes so many bytes of the device in order, its memory's limit."""
        import torch

        source, copy = (torch.zeros(max(1, read // 2), dtype=torch.int8, device=self._device) for _ in range(2))
        room = torch.empty(max(1, written), dtype=torch.int8, device=self._device)

        def step() -> None:
            copy.copy_(source)
            room.zero_()

        return repeated(step, self._synchronised)

    def random_state(self) -> bytes:
        """The state of torch's global generators, of the CPU and of the device."""
        import torch

        cuda = [torch.cuda.get_rng_state(self._device)] if self._device.type == "cuda" else []
        return b"".join(state.numpy().tobytes() for state in (torch.get_rng_state(), *cuda))

    def compilations(self) -> int:
        """Graphs that dynamo captured in this process, for the compiled subject."""
        if not self._compiled:
            return 0
        from torch._dynamo.utils import counters

        return int(counters["stats"]["unique_graphs"])

    def _arguments(self, call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
        """All arrays as tensors by name, and the options with the weight."""
        options, laid = call.options(), {name for name, _ in call.layouts}
        tensors = {name: self._put(array, name in laid) for name, array in call.arrays()}
        if "weight" not in call.omitted:
            options["weight"] = tensors.get("weight")
        return tensors, options

    def _put(self, array: Array, laid: bool) -> Any:
        tensor = to_tensor(array)
        if on_cpu(self.device):
            return tensor
        return laid_on(self._device, array, tensor) if laid else tensor.to(self._device)

    def _synchronised(self, result: Any) -> Any:
        """Wait for an accelerator, so that its time counts and what it raises is raised here."""
        if self._device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._device)
        return result


def to_tensor(array: Array) -> Any:
    """An array as a tensor of the same bits, in the same memory."""
    import torch

    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def laid_on(device: Any, array: Array, tensor: Any) -> Any:
    """The array on a device, in its arrangement and among its neighbours, which `.to` alone would not keep."""
    import torch

    whole = extent(array)
    offset = (array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]) // array.itemsize
    moved = torch.from_numpy(whole).to(device).view(tensor.dtype)
    return moved.as_strided(tensor.shape, tensor.stride(), offset)


# --- what torch makes of a loss: loss(x, t, w), its arguments, the upstream gradient g, a direction v ---------------


def _gradient(loss: Any, arguments: Any, g: Any, v: Any, transform: Transform) -> Any:
    import torch

    x, t, w = arguments
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(loss(leaf, t, w), leaf, g)[0]


def _gradient_again(loss: Any, arguments: Any, g: Any, v: Any, transform: Transform) -> Any:
    import torch

    x, t, w = arguments
    leaf = x.detach().requires_grad_()
    value = loss(leaf, t, w)
    torch.autograd.grad(value, leaf, g + g, retain_graph=True)
    return torch.autograd.grad(value, leaf, g)[0]


def _gradient_between(loss: Any, arguments: Any, g: Any, v: Any, transform: Transform) -> Any:
    import torch

    x, t, w = arguments
    leaf = x.detach().requires_grad_()
    value = loss(leaf, t, w)
    loss(x.detach().flip(0).requires_grad_(), t.flip(0) if t.ndim else t, w)
    return torch.autograd.grad(value, leaf, g)[0]


def _value_in_training(loss: Any, arguments: Any, g: Any, v: Any, transform: Transform) -> Any:
    x, t, w = arguments
    return loss(x.detach().requires_grad_(), t, w)


def _autocast(loss: Any, arguments: Any, g: Any, v: Any, transform: Transform) -> Any:
    import torch

    with torch.autocast(arguments[0].device.type, torch.bfloat16):
        return loss(*arguments)


def _weight_gradient(loss: Any, arguments: Any, g: Any, v: Any, transform: Transform) -> Any:
    import torch

    x, t, w = arguments
    leaf = w.detach().requires_grad_()
    return torch.autograd.grad(loss(x, t, leaf), leaf, g)[0]


def _second(loss: Any, arguments: Any, g: Any, v: Any, transform: Transform) -> Any:
    """The derivative of <gradient, v>; what is unconnected is zero, as torch's own documentation has it."""
    import torch

    x, t, w = arguments
    x, g = x.detach().requires_grad_(), g.detach().requires_grad_()
    gradient = torch.autograd.grad(loss(x, t, w), x, g, create_graph=True)[0]
    by = x if transform.kind == "second" else g
    return torch.autograd.grad((gradient * v).sum(), by, materialize_grads=True)[0]


def _jvp(loss: Any, arguments: Any, g: Any, v: Any, transform: Transform) -> Any:
    import torch

    x, t, w = arguments
    return torch.func.jvp(lambda x: loss(x, t, w), (x,), (v,))[1]


def _vmap(loss: Any, arguments: Any, g: Any, v: Any, transform: Transform) -> Any:
    import torch

    return torch.func.vmap(loss, _axes(transform))(*arguments)


def _vmap_gradient(loss: Any, arguments: Any, g: Any, v: Any, transform: Transform) -> Any:
    import torch

    def gradient(x: Any, t: Any, w: Any) -> Any:
        return torch.func.vjp(lambda x: loss(x, t, w), x)[1](g)[0]

    return torch.func.vmap(gradient, _axes(transform))(*arguments)


def _axes(transform: Transform) -> tuple[int | None, ...]:
    return tuple(0 if name in transform.batched else None for name in ("input", "target", "weight"))


_DERIVE: dict[str, Callable[..., Any]] = {
    "gradient": _gradient,
    "gradient_again": _gradient_again,
    "gradient_between": _gradient_between,
    "weight_gradient": _weight_gradient,
    "second": _second,
    "second_upstream": _second,
    "jvp": _jvp,
    "vmap": _vmap,
    "vmap_gradient": _vmap_gradient,
    "value_in_training": _value_in_training,
    "autocast": _autocast,
}


def device_of(name: str) -> Any:
    """A torch device by the names that `--device` uses; cuda is the first one, as tensors on it will say."""
    import torch

    kind, _, number = name.partition(":")
    return torch.device(kind) if kind == "cpu" else torch.device(kind, int(number or 0))
