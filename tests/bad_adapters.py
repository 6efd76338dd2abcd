"""Backends that misbehave, for tests of the engine: `-b tests.bad_adapters:NAME`."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any, cast

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


def _wrong(*args: Any, **kwargs: Any) -> Any:
    return np.multiply(nll_loss(*args, **kwargs), 2)


class _BrokenBridge(NumpySubject):
    def prepare(self, call: Call) -> Callable[[], Any]:
        if call.input.shape == (2, 3, 4, 5):
            raise RuntimeError("the bridge is out")
        return super().prepare(call)


class _WithoutEcho:
    """A subject as adapters were before bridges were checked."""

    def __init__(self) -> None:
        self._inner = NumpySubject(nll_loss, "without_echo")
        self.name, self.device, self.capabilities = self._inner.name, "cpu", self._inner.capabilities
        self.prepare, self.read, self.compilations = self._inner.prepare, self._inner.read, self._inner.compilations


class _Flattening(NumpySubject):
    """Reads 0-d results with np.ascontiguousarray, which makes arrays of one element of them."""

    def read(self, result: Any) -> Any:
        return np.ascontiguousarray(super().read(result))


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
HANG = _backend("hang", lambda: NumpySubject(_hang, "hang"))
WRONG = _backend("wrong", lambda: NumpySubject(_wrong, "wrong"))
BROKEN = _backend("broken", lambda: _BrokenBridge(nll_loss, "broken"))
FLATTENING = _backend("flattening", lambda: _Flattening(nll_loss, "flattening"))
ECHOLESS = _backend("echoless", lambda: cast(Subject, _WithoutEcho()))
MISSING = Backend(
    name="missing",
    module="a_framework_that_is_not_there",
    install="pip install a-framework-that-is-not-there",
    subjects=lambda device: [],
    version=lambda: "1.0",
    devices=lambda: ["cpu"],
)
NOT_A_BACKEND = 1
