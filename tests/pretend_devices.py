"""Backends that pretend to compute on accelerators, for test_devices: `-b tests.pretend_devices:NAME`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
from lossparity.adapters.base import Backend, Subject
from lossparity.adapters.numpy.ports.nll_loss import nll_loss
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.specs.call import Call, Signature

_spoiled = [False]  # as a CUDA context is after an assertion on the device, until the process ends


def _assertion() -> RuntimeError:
    _spoiled[0] = True
    return RuntimeError("CUDA error: device-side assert triggered")


class _Pretend(NumpySubject):
    """NumPy, under the name of another device."""

    def __init__(self, name: str, function: Callable[..., Any], device: str) -> None:
        super().__init__(function, name)
        self.device = device

    def prepare(self, call: Call) -> Callable[[], Any]:
        if _spoiled[0]:
            raise _assertion()
        return super().prepare(call)


def _only_in_children(*args: Any, **kwargs: Any) -> Any:
    """Raises for a bad target as it should, but in a worker of pytest, which is no child of multiprocessing."""
    try:
        return nll_loss(*args, **kwargs)
    except IndexError:
        if multiprocessing.parent_process() is None:
            return np.float32(0)
        raise


def _asserting(*args: Any, **kwargs: Any) -> Any:
    """Asserts on the device for a bad target."""
    try:
        return nll_loss(*args, **kwargs)
    except IndexError:
        raise _assertion() from None


def _spoiling(*args: Any, **kwargs: Any) -> Any:
    """Asserts on the device for a legal call of family shape in float16."""
    if args[0].dtype == "float16" and args[0].shape == (2, 3, 4, 5) and kwargs.get("reduction") == "mean":
        raise _assertion()
    return nll_loss(*args, **kwargs)


def _backend(name: str, function: Callable[..., Any]) -> Backend:
    def subjects(signature: Signature, device: str) -> list[Subject]:
        return [_Pretend(name, function, device)]

    return Backend(
        name=name,
        module="numpy",
        install="pip install numpy",
        subjects=subjects,
        version=lambda: "1.0",
        devices=lambda: ["cpu", "cuda:0", "cuda:1"],
    )


CHILDREN = _backend("children", _only_in_children)
ASSERTING = _backend("asserting", _asserting)
SPOILING = _backend("spoiling", _spoiling)
