"""Bridge to PyTorch's own `torch.nn.functional.nll_loss`, untouched, eager and compiled."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from ...specs.call import BFLOAT16, TARGET_DTYPES, Array, Call
from ..base import Backend, Capabilities, Subject, require_type

_NOT_LONG = "the native op takes int64 and, up to two axes of input, uint8 targets only"
_EAGER_WITHOUT = dict.fromkeys(
    (f"target {t}" for t in ("int8", "int16", "int32", "uint16", "uint32", "uint64")), _NOT_LONG
)
_NOT_GATHERED = "the compiled gather takes int64 and int32 targets only"
_COMPILED_WITHOUT = dict.fromkeys((f"target {t}" for t in TARGET_DTYPES if t not in ("int64", "int32")), _NOT_GATHERED)

# Far above the number of signatures of any profile: a recompilation too many is an error, never a silent fall
# back to eager.
_RECOMPILE_LIMIT = 1 << 14


class TorchSubject:
    """A function on torch tensors."""

    def __init__(self, name: str, function: Callable[..., Any], device: str, capabilities: Capabilities) -> None:
        self.name = name
        self.function = function
        self.device = device
        self.capabilities = capabilities

    def prepare(self, call: Call) -> Callable[[], Any]:
        """Wrap the arrays as tensors: on the CPU they share their memory."""
        options = call.options()
        if "weight" not in call.omitted:
            options["weight"] = None if call.weight is None else to_tensor(call.weight, self.device)
        arguments = to_tensor(call.input, self.device), to_tensor(call.target, self.device)
        return lambda: _synchronised(self.function(*arguments, **options))

    def read(self, result: Any) -> Array:
        """A tensor as an array, bfloat16 by its bits."""
        import torch

        require_type(result, torch.Tensor, self.name)
        tensor = result.detach().cpu()
        if tensor.dtype == torch.bfloat16:
            return np.asarray(tensor.view(torch.int16).numpy().view(BFLOAT16))
        return np.asarray(tensor.numpy())

    def compilations(self) -> int:
        """Graphs that dynamo captured in this process, for the compiled subject."""
        if self.capabilities.style == "eager":
            return 0
        from torch._dynamo.utils import counters

        return int(counters["stats"]["unique_graphs"])


def to_tensor(array: Array, device: str) -> Any:
    """An array as a tensor of the same bits."""
    import torch

    if array.dtype == BFLOAT16:
        tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(array)
    return tensor if device == "cpu" else tensor.to(device)


def _synchronised(result: Any) -> Any:
    """Wait for an accelerator, so that what it raises is raised here."""
    if getattr(result, "is_cuda", False):
        import torch

        torch.cuda.synchronize(result.device)
    return result


@functools.cache
def _compiled() -> Callable[..., Any]:
    """The native op under torch.compile: one whole graph, no dynamic shapes, no fall back to eager."""
    import torch
    import torch._dynamo

    # Calls that must fail do so while a graph is made, and dynamo would log each at length.
    for name in ("torch._subclasses.fake_tensor", "torch._dynamo"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    config: Any = torch._dynamo.config
    config.recompile_limit = config.accumulated_recompile_limit = _RECOMPILE_LIMIT
    config.fail_on_recompile_limit_hit = True

    def nll_loss(input: Any, target: Any, **options: Any) -> Any:
        return torch.nn.functional.nll_loss(input, target, **options)

    return torch.compile(nll_loss, fullgraph=True, dynamic=False)


def _subjects(device: str) -> list[Subject]:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    eager = Capabilities(binding="native", style="eager", without=_EAGER_WITHOUT)
    compiled = Capabilities(
        binding="native", style="compiled", tier=1, isolate=True, traced=True, without=_COMPILED_WITHOUT
    )
    return [
        TorchSubject("torch", torch.nn.functional.nll_loss, device, eager),
        TorchSubject("torch:compile", _compiled(), device, compiled),
    ]


def _version() -> str:
    import torch

    return str(torch.__version__)


def _devices() -> list[str]:
    import torch

    return ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]


BACKEND = Backend(
    name="torch",
    module="torch",
    install="pip install 'lossparity[torch]'",
    subjects=_subjects,
    version=_version,
    devices=_devices,
)
