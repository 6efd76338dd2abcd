"""Backends that misbehave, for tests of the engine: `-b tests.bad_adapters:NAME`."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from lossparity.adapters.base import Backend, Subject
from lossparity.adapters.numpy.ports.nll_loss import nll_loss
from lossparity.adapters.numpy.subject import NumpySubject
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


def _on_subnormals(fault: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function that commits a fault on its result where float16 input is subnormal."""

    def function(*args: Any, **kwargs: Any) -> Any:
        result, x = nll_loss(*args, **kwargs), args[0]
        small = x.dtype == "float16" and ((x != 0) & (abs(x) < np.finfo("float16").tiny)).any()
        return fault(result) if small else result

    return function


def _flush(result: Any) -> Any:
    return np.where(abs(result) < np.finfo(result.dtype).tiny, result.dtype.type(0), result)[()]


def _sleep(result: Any) -> Any:
    time.sleep(3600)


def _abort(result: Any) -> Any:
    os.abort()


def _three(fault: Callable[[Any], Any]) -> list[Subject]:
    """Subjects of which the second one is bad, and the others flush subnormal numbers in float16."""
    faults = {"first": _flush, "bad": fault, "last": _flush}
    return [NumpySubject(_on_subnormals(fault), name) for name, fault in faults.items()]


def _never_starts() -> list[Subject]:
    print("the licence server is down", file=sys.stderr, flush=True)
    os.abort()


def _in_a_worker() -> bool:
    """Whether this is a worker of a run, and not a process that multiprocessing started, as the survey's are."""
    return multiprocessing.parent_process() is None


def _never_works() -> list[Subject]:
    if _in_a_worker():
        os.abort()
    return [NumpySubject(nll_loss, "never_works")]


def _works_at_second_try(path: str) -> list[Subject]:
    """Dies once, in the first worker; the file remembers."""
    if _in_a_worker() and not os.path.exists(path):
        open(path, "x").close()
        os.abort()
    return [NumpySubject(nll_loss, "works_at_second_try")]


def _waits_to_be_killed(path: str) -> Callable[..., Any]:
    """A correct function that, at the one call, writes down its process and waits to be killed, once."""

    def function(*args: Any, **kwargs: Any) -> Any:
        if _is_the_one(args, kwargs) and not os.path.exists(path):
            with open(f"{path}.new", "x") as file:
                file.write(str(os.getpid()))
            os.rename(f"{path}.new", path)
            time.sleep(3600)
        return nll_loss(*args, **kwargs)

    return function


def _kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kills_itself_once() -> None:
    """The file remembers."""
    path = os.environ["LOSSPARITY_TEST_FILE"]
    if not os.path.exists(path):
        open(path, "x").close()
        _kills_itself()


def _is_hunted() -> Callable[..., Any]:
    """A function that is killed in each process at another call: at the first, the second, and so on."""
    path = os.environ["LOSSPARITY_TEST_FILE"]
    count = 0

    def function(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += _in_a_worker()
        killed = os.path.getsize(path) if os.path.exists(path) else 0
        if count > killed:
            with open(path, "a") as file:
                file.write("x")
            _kills_itself()
        return nll_loss(*args, **kwargs)

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
        if call["input"].shape == (2, 3, 4, 5):
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
    return _backend_of(name, lambda: [make()])


def _backend_of(name: str, make: Callable[[], list[Subject]]) -> Backend:
    return Backend(
        name=name,
        module="numpy",
        install="pip install numpy",
        subjects=lambda signature, device: make(),
        version=lambda: "1.0",
        devices=lambda: ["cpu"],
    )


SEGFAULT = _backend("segfault", lambda: NumpySubject(_segfault, "segfault"))
ABORTS_ON_CUBES = _backend("aborts_on_cubes", lambda: NumpySubject(_on_cubes(os.abort), "aborts_on_cubes"))
HANGS_ON_CUBES = _backend("hangs_on_cubes", lambda: NumpySubject(_on_cubes(lambda: time.sleep(3600)), "hangs_on_cubes"))
PASSES_ON_CUBES = _backend("passes_on_cubes", lambda: NumpySubject(nll_loss, "passes_on_cubes"))
PROBED_TO_DEATH = _backend_of("probed_to_death", lambda: _three(_abort))
PROBED_FOR_EVER = _backend_of("probed_for_ever", lambda: _three(_sleep))
NEVER_STARTS = _backend_of("never_starts", _never_starts)
NEVER_WORKS = _backend_of("never_works", _never_works)
WORKS_AT_SECOND_TRY = _backend_of(
    "works_at_second_try", lambda: _works_at_second_try(os.environ["LOSSPARITY_TEST_FILE"])
)
WAITS_TO_BE_KILLED = _backend(
    "waits_to_be_killed",
    lambda: NumpySubject(_waits_to_be_killed(os.environ["LOSSPARITY_TEST_FILE"]), "waits_to_be_killed"),
)
KILLS_ITSELF = _backend("kills_itself", lambda: NumpySubject(_on_cubes(_kills_itself), "kills_itself"))
KILLED_ONCE = _backend("killed_once", lambda: NumpySubject(_on_cubes(_kills_itself_once), "killed_once"))
HUNTED = _backend("hunted", lambda: NumpySubject(_is_hunted(), "hunted"))
CORRUPTS = _backend("corrupts", lambda: NumpySubject(_Corrupts(), "corrupts"))
HANG = _backend("hang", lambda: NumpySubject(_hang, "hang"))
WRONG = _backend("wrong", lambda: NumpySubject(_wrong, "wrong"))
BROKEN = _backend("broken", lambda: _BrokenBridge(nll_loss, "broken"))
FLATTENING = _backend("flattening", lambda: _Flattening(nll_loss, "flattening"))
ECHOLESS = _backend("echoless", lambda: cast(Subject, _WithoutEcho()))
MISSING = Backend(
    name="missing",
    module="a_framework_that_is_not_there",
    install="pip install a-framework-that-is-not-there",
    subjects=lambda signature, device: [],
    version=lambda: "1.0",
    devices=lambda: ["cpu"],
)
NOT_A_BACKEND = 1
