"""Backends that misbehave, for tests of the engine: `-b tests.bad_adapters:NAME`."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from lossparity.adapters.base import Backend, Subject
from lossparity.adapters.numpy.adapter import NumpySubject
from lossparity.adapters.numpy.port import nll_loss
from lossparity.specs.call import Call


def _is_the_one(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """A legal call of family shape in float16: all other items have nothing to fear."""
    return args[0].dtype == "float16" and args[0].shape == (2, 3, 4, 5) and kwargs.get("reduction") == "mean"


def _segfault(*args: Any, **kwargs: Any) -> Any:
    if _is_the_one(args, kwargs):
        ctypes.string_at(0)
    return nll_loss(*args, **kwargs)


def _hang(*args: Any, **kwargs: Any) -> Any:
    if _is_the_one(args, kwargs):
        time.sleep(3600)
    return nll_loss(*args, **kwargs)


def _on_cubes(fault: Callable[[], Any]) -> Callable[..., Any]:
    """A function that commits a fault after each legal call with four axes in float16."""

    def function(*args: Any, **kwargs: Any) -> Any:
        result = nll_loss(*args, **kwargs)
        if args[0].dtype == "float16" and args[0].ndim == 4:
            fault()
        return result

    return function


class _Corrupts:
    """Dies two calls after one on four axes in float16, whatever those two are."""

    def __init__(self) -> None:
        self.left = -1

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.left -= self.left > 0
        if self.left == 0:
            ctypes.string_at(0)
        if self.left < 0 and args[0].dtype == "float16" and args[0].shape == (2, 3, 4, 5):
            self.left = 2
        return nll_loss(*args, **kwargs)


def _wrong(*args: Any, **kwargs: Any) -> Any:
    return np.multiply(nll_loss(*args, **kwargs), 2)


class _BrokenBridge(NumpySubject):
    def prepare(self, call: Call) -> Callable[[], Any]:
        if call.input.shape == (2, 3, 4, 5):
            raise RuntimeError("the bridge is out")
        return super().prepare(call)


def _backend(name: str, make: Callable[[], Subject]) -> Backend:
    return Backend(
        name=name,
        module="numpy",
        install="pip install numpy",
        subjects=lambda device: [make()],
        version=lambda: "1.0",
        devices=lambda: ["cpu"],
    )


SEGFAULT = _backend("segfault", lambda: NumpySubject(_segfault, "segfault"))
ABORTS_ON_CUBES = _backend("aborts_on_cubes", lambda: NumpySubject(_on_cubes(os.abort), "aborts_on_cubes"))
HANGS_ON_CUBES = _backend("hangs_on_cubes", lambda: NumpySubject(_on_cubes(lambda: time.sleep(3600)), "hangs_on_cubes"))
PASSES_ON_CUBES = _backend("passes_on_cubes", lambda: NumpySubject(nll_loss, "passes_on_cubes"))
CORRUPTS = _backend("corrupts", lambda: NumpySubject(_Corrupts(), "corrupts"))
HANG = _backend("hang", lambda: NumpySubject(_hang, "hang"))
WRONG = _backend("wrong", lambda: NumpySubject(_wrong, "wrong"))
BROKEN = _backend("broken", lambda: _BrokenBridge(nll_loss, "broken"))
MISSING = Backend(
    name="missing",
    module="a_framework_that_is_not_there",
    install="pip install a-framework-that-is-not-there",
    subjects=lambda device: [],
    version=lambda: "1.0",
    devices=lambda: ["cpu"],
)
NOT_A_BACKEND = 1
