"""Bridge to PyTorch's own `torch.nn.functional.nll_loss`, untouched, eager and compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ...specs.call import TARGET_DTYPES
from ..base import Backend, Baseline, Capabilities, Subject
from ..user import returning
from .compiling import COMPILE, COMPILER, SCRIPT, never_eager
from .script import spell
from .subject import TorchSubject

_NOT_LONG = "the native op takes int64 and, up to two axes of input, uint8 targets only"
_EAGER_WITHOUT = dict.fromkeys(
    (f"target {t}" for t in ("int8", "int16", "int32", "uint16", "uint32", "uint64")), _NOT_LONG
)
_NOT_GATHERED = "the compiled gather takes int64 and int32 targets only"
_COMPILED_WITHOUT = dict.fromkeys((f"target {t}" for t in TARGET_DTYPES if t not in ("int64", "int32")), _NOT_GATHERED)

_STRIDES = {
    "negative strides": "torch tensors have none",
    "read-only arrays": "torch tensors are always writable",
    "weight gradient": "the native op has no derivative with respect to weight",
}
_EAGER_WITHOUT |= _STRIDES
_AROUND = "torch.func's transforms go around what torch.compile captures, not through it"
_AROUND_COMPILED = {
    "second backward": "a compiled backward pass reuses the memory of what forward saved, and refuses retain_graph",
    "second order": "torch.compile does not support double backward (pytorch#91469, #183603)",
    "jvp": _AROUND,
    "vmap": _AROUND,
}
_COMPILED_WITHOUT |= _STRIDES | _AROUND_COMPILED


@functools.cache
def _compiled() -> Callable[..., Any]:
    """The native op under torch.compile: one whole graph, no dynamic shapes, no fall back to eager."""
    import torch

    def nll_loss(input: Any, target: Any, **options: Any) -> Any:
        return torch.nn.functional.nll_loss(input, target, **options)

    return never_eager(COMPILER.compile(nll_loss), "torch:compile")


def _without_tf32() -> None:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def _subjects(device: str) -> list[Subject]:
    import torch

    _without_tf32()
    eager = Capabilities(binding="native", style="eager", without=_EAGER_WITHOUT)
    compiled = Capabilities(
        binding="native", style="compiled", tier=1, isolate=True, traced=True, without=_COMPILED_WITHOUT
    )
    return [
        TorchSubject("torch", torch.nn.functional.nll_loss, device, eager),
        TorchSubject("torch:compile", _compiled(), device, compiled, compiled=True),
    ]


def _wrap(function: Callable[..., Any], name: str, device: str) -> list[Subject]:
    """A user's own function."""
    import torch

    _without_tf32()
    by = COMPILER.made(function)
    without = {name: _STRIDES[name] for name in ("negative strides", "read-only arrays")}
    if by == COMPILE:
        function, without = never_eager(function, name), without | _AROUND_COMPILED
    can = Capabilities(
        binding="user",
        style=by or "eager",
        tier={COMPILE: 1, SCRIPT: 2}.get(by, 3),
        isolate=by == COMPILE,
        traced=bool(by),
        without=without,
    )
    return [TorchSubject(name, returning(function, torch.Tensor), device, can, compiled=by == COMPILE)]


def _version() -> str:
    import torch

    return str(torch.__version__)


def _devices() -> list[str]:
    import torch

    return ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]


def _baselines(device: str) -> list[Baseline]:
    from .baselines import baselines

    return baselines(device)


BACKEND = Backend(
    name="torch",
    module="torch",
    install="pip install 'lossparity[torch]'",
    subjects=_subjects,
    version=_version,
    devices=_devices,
    wrap=_wrap,
    compiler=COMPILER,
    spell=spell,
    baselines=_baselines,
)
