"""The bridge to torch: tensors of the same bits, what autograd and torch.func make of a function, and timing."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...specs.call import BFLOAT16, Array, Call
from ...specs.layouts import extent
from ..arguments import Applied, arguments
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
        loss, arrays = self._bound(call)
        if call.transform is None:
            return lambda: self._synchronised(loss(arrays))
        asked = {name: self._put(call, name, array) for name, array in call.transform.arrays()}
        derive, by, batched = _DERIVE[call.transform.kind], call.wrt, call.transform.batched
        g, v = asked.get("upstream"), asked.get("direction")
        return lambda: self._synchronised(derive(loss, arrays, by, g, v, batched))

    @contextlib.contextmanager
    def loop(self, call: Call, work: str) -> Iterator[Callable[[int], Any]]:
        """The loss, the backward pass over a graph that is kept, or both, as often as asked; then wait."""
        import torch
        import torch._functorch.config as functorch

        loss, arrays = self._bound(call)
        if work == "forward":
            yield repeated(lambda: loss(arrays), self._synchronised)
            return
        assert call.transform is not None
        assert call.transform.upstream is not None
        g = self._put(call, "upstream", call.transform.upstream)
        leaf, arrays = _leaf(arrays, call.wrt)
        if work == "both":

            def step() -> Any:
                value = loss(arrays)
                return value, torch.autograd.grad(value, leaf, g)[0]

            yield repeated(step, self._synchronised)
            return
        patch: Any = functorch.patch
        with patch(donated_buffer=False):  # a compiled backward pass would reuse what the next one needs
            value = loss(arrays)
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
        return {name: self.read(self._put(call, name, array)) for name, array in call.arrays()}

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

    def _bound(self, call: Call) -> tuple[Applied, dict[str, Any]]:
        """The function with the call's options, and the tensors that it is a function of."""
        arrays, options = arguments(call, functools.partial(self._put, call))
        return Applied(self.function, call.signature.required, options), arrays

    def _put(self, call: Call, name: str, array: Array) -> Any:
        tensor = to_tensor(array)
        if on_cpu(self.device):
            return tensor
        return laid_on(self._device, array, tensor) if name in dict(call.layouts) else tensor.to(self._device)

    def _synchronised(self, result: Any) -> Any:
        """Wait for an accelerator, so that its time counts and what it raises is raised here."""
        if self._device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._device)
        return result


def built(function: Any) -> Callable[..., Any]:
    """A function; of a module's class one that builds it anew with all but the arrays that it is then called with."""
    if not isinstance(function, type):
        return function
    return lambda *arrays, **rest: function(**rest)(*arrays)


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


# --- what torch makes of a loss of arrays by name, by one of them: g is the upstream gradient, v a direction --------


def _leaf(arrays: Any, by: str) -> tuple[Any, Any]:
    """The array to differentiate by as a leaf of a new graph, and all arrays with it."""
    leaf = arrays[by].detach().requires_grad_()
    return leaf, arrays | {by: leaf}


def _gradient(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import torch

    leaf, arrays = _leaf(arrays, by)
    return torch.autograd.grad(loss(arrays), leaf, g)[0]


def _gradient_again(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import torch

    leaf, arrays = _leaf(arrays, by)
    value = loss(arrays)
    torch.autograd.grad(value, leaf, g + g, retain_graph=True)
    return torch.autograd.grad(value, leaf, g)[0]


def _gradient_between(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import torch

    leaf, graph = _leaf(arrays, by)
    value = loss(graph)
    reverse = {name: arrays[name].flip(0) for name in loss.required if arrays[name].ndim}
    loss(_leaf(arrays | reverse, by)[1])
    return torch.autograd.grad(value, leaf, g)[0]


def _value_in_training(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return loss(_leaf(arrays, by)[1])


def _autocast(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import torch

    with torch.autocast(arrays[by].device.type, torch.bfloat16):
        return loss(arrays)


def _second(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return _second_by(loss, arrays, by, g, v, by_upstream=False)


def _second_upstream(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    return _second_by(loss, arrays, by, g, v, by_upstream=True)


def _second_by(loss: Any, arrays: Any, by: str, g: Any, v: Any, *, by_upstream: bool) -> Any:
    """The derivative of <gradient, v>; what is unconnected is zero, as torch's own documentation has it.

    A gradient that does not depend on the array depends on g, which requires one too: there would be no graph else.
    """
    import torch

    leaf, arrays = _leaf(arrays, by)
    g = g.detach().requires_grad_()
    gradient = torch.autograd.grad(loss(arrays), leaf, g, create_graph=True)[0]
    return torch.autograd.grad((gradient * v).sum(), g if by_upstream else leaf, materialize_grads=True)[0]


def _jvp(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import torch

    return torch.func.jvp(lambda array: loss(arrays | {by: array}), (arrays[by],), (v,))[1]


def _vmap(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import torch

    def one(*slices: Any) -> Any:
        return loss(dict(zip(arrays, slices, strict=True)))

    return torch.func.vmap(one, _axes(arrays, batched))(*arrays.values())


def _vmap_gradient(loss: Any, arrays: Any, by: str, g: Any, v: Any, batched: Any) -> Any:
    import torch

    def gradient(*slices: Any) -> Any:
        one = dict(zip(arrays, slices, strict=True))
        return torch.func.vjp(lambda array: loss(one | {by: array}), one[by])[1](g)[0]

    return torch.func.vmap(gradient, _axes(arrays, batched))(*arrays.values())


def _axes(arrays: Any, batched: tuple[str, ...]) -> tuple[int | None, ...]:
    return tuple(0 if name in batched else None for name in arrays)


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
    "autocast": _autocast,
}


def device_of(name: str) -> Any:
    """A torch device by the names that `--device` uses; cuda is the first one, as tensors on it will say."""
    import torch

    kind, _, number = name.partition(":")
    return torch.device(kind) if kind == "cpu" else torch.device(kind, int(number or 0))
