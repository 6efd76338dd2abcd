"""Bridges that are wrong on purpose: what they change is our error, and never a failure of the framework."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossparity.adapters import execution, handover, registry
from lossparity.adapters.base import Subject
from lossparity.adapters.execution import execute
from lossparity.adapters.numpy.ports.nll_loss import nll_loss
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.judging.judge import Traits
from lossparity.conformance.planning import plan
from lossparity.specs.call import BFLOAT16, FLOAT_DTYPES, Array, Call, Returned, Transform, Unsupported
from lossparity.specs.errors import BridgeError
from lossparity.specs.layouts import LAYOUTS
from lossparity.specs.nll_loss.signature import NLL_LOSS

from . import engine
from .test_cli import lossparity


class Bridge(NumpySubject):
    """NumPy behind a bridge that changes arrays on their way in, or results on their way out."""

    def __init__(
        self, put: Callable[[Array], Array] = lambda array: array, take: Callable[[Array], Array] = lambda array: array
    ) -> None:
        super().__init__(nll_loss, "mine")
        self._into, self._out = put, take

    def prepare(self, call: Call) -> Callable[[], Any]:
        changed = {name: self._into(array) for name, array in call.arrays()}
        mine = {name: changed.pop(name) for name in ("upstream", "direction") if name in changed}
        transform = dataclasses.replace(call.transform, **mine) if call.transform else None
        return super().prepare(call.replace(**changed, transform=transform))

    def read(self, result: Any) -> Array:
        return self._out(super().read(result))

    def echo(self, call: Call) -> dict[str, Array]:
        return {name: self.read(self._into(array)) for name, array in call.arrays()}


def call(dtype: Any = np.float32, target: Any = np.int64, **more: Any) -> Call:
    return NLL_LOSS.call(np.array([[-1, -2, -3], [-4, -5, -6]], dtype), np.array([1, 0], target), **more)


def quieted(array: Array) -> Array:
    """NaN without what was in it, as a conversion to another dtype and back leaves it."""
    return np.where(np.isnan(array), np.array(np.nan, array.dtype), array) if array.dtype.kind == "f" else array


def swapped(array: Array) -> Array:
    return array.byteswap() if array.dtype.itemsize > 1 else array


def as_if_in_order(array: Array) -> Array:
    """Takes memory as it comes, whatever the strides say."""
    if array.flags.c_contiguous or not array.ndim:
        return array
    return np.lib.stride_tricks.as_strided(array, strides=np.zeros(array.shape, array.dtype).strides)


def widened(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype == np.float32 else array


@pytest.mark.parametrize(
    ("bridge", "words"),
    [
        (Bridge(put=np.ascontiguousarray), ("input", r"shape \[\] came back as \[1\]")),
        (Bridge(take=np.ascontiguousarray), ("input", r"shape \[\] came back as \[1\]")),
        (Bridge(put=quieted), ("input", r"element \[5\] was nan \(0x7fc00005\) and came back as nan \(0x7fc00000\)")),
        (Bridge(take=quieted), ("input", r"was nan \(0x7fc00005\) and came back as nan \(0x7fc00000\)")),
        (Bridge(put=widened), ("input", "float32 came back as float64")),
        (Bridge(put=swapped), ("input", r"was 1.0 \(0x3f800000\) and came back as .* \(0x0000803f\)")),
        (Bridge(take=lambda array: array.astype(array.dtype.newbyteorder(">"))), ("input", "in byte order '>'")),
        (Bridge(put=lambda array: array.astype(np.int32) if array.dtype == np.int64 else array), ("target", "int32")),
        (Bridge(put=lambda array: np.abs(array) if array.dtype.kind == "f" else array), ("input", "0x80000000")),
        (Bridge(take=lambda array: array.tolist()), ("input", "came back as a float")),
    ],
    ids=["0-d in", "0-d out", "NaN in", "NaN out", "widened", "swapped", "order", "narrowed", "sign", "list"],
)
def test_what_a_bridge_changes_is_its_error(bridge: Subject, words: tuple[str, str]) -> None:
    name, changed = words
    with pytest.raises(BridgeError, match=rf"mine: its bridge changes {name}: .*{changed}"):
        execute(bridge, call())


@pytest.mark.parametrize(
    ("put", "words"),
    [
        (as_if_in_order, "and came back as"),
        (lambda array: np.array(array, order="C"), r"strides \(.*\) came back as"),
    ],
    ids=["misread", "copied"],
)
def test_strides_that_are_lost_are_the_bridges_error(put: Callable[[Array], Array], words: str) -> None:
    given = call().laid([("input", "fortran")])
    assert isinstance(execute(Bridge(), given)[0], Returned)
    with pytest.raises(BridgeError, match=f"changes input: .*{words}"):
        execute(Bridge(put), given)
    copying = Bridge(put=lambda array: np.array(array, order="C"))
    copying.capabilities = dataclasses.replace(
        copying.capabilities, without={**copying.capabilities.without, "mutable arrays": "copied on their way in"}
    )
    assert isinstance(execute(copying, given)[0], Returned)


def test_an_upstream_gradient_goes_over_the_bridge_too() -> None:
    asked = call(transform=Transform("gradient", np.float32(2) * np.ones((), np.float32)))
    spoilt = Bridge(
        put=lambda array: array + 1 if array.dtype == np.float32 and array.size == 1 and array == 2 else array
    )
    del spoilt.capabilities.without["gradient"]  # pyright: ignore[reportIndexIssue] -- a dict
    with pytest.raises(BridgeError, match=r"changes upstream: element \[\] was 2.0 .* came back as 3.0"):
        execute(spoilt, asked)


def test_a_bridge_that_breaks_0d_arrays_is_an_error_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it would be otherwise, of each call under sum and mean."""
    flattening = Bridge(take=np.ascontiguousarray)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "probe", lambda *_: Traits())
        item, _, message = engine.run(flattening, "shape", "float32", tmp_path)
        assert set(item.statuses) <= {"error", "unsupported"}
        assert item.statuses["error"] > 100
        assert "came back as [1]" in message
        patch.setattr(execution, "checked", lambda *_: "")
        item, _, message = engine.run(flattening, "shape", "float32", tmp_path)
        assert item.statuses["fail"] > 100
        assert "error" not in item.statuses


def test_such_a_run_ends_with_3(tmp_path: Path) -> None:
    arguments = ("run", "-b", "tests.bad_adapters:FLATTENING", "--family", "shape", "--out", str(tmp_path))
    done = lossparity(*arguments)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "its bridge changes input: shape [] came back as [1]" in done.stdout + done.stderr


def test_without_echo_there_is_no_run(tmp_path: Path) -> None:
    done = lossparity("run", "-b", "tests.bad_adapters:ECHOLESS", "--out", str(tmp_path))
    assert done.returncode == 6, done.stdout + done.stderr
    for words in ("without_echo: _WithoutEcho has no method echo(call)", "docs/writing-an-adapter.md"):
        assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_each_signature_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    echoed: list[str] = []

    class Counted(Bridge):
        def echo(self, call: Call) -> dict[str, Array]:
            echoed.append(call.describe())
            return super().echo(call)

    subject = Counted()
    for _ in range(3):
        execute(subject, call())
    trials = 3  # 0-d arrays, numbers of every kind, the ends of the target's dtype
    assert len(echoed) == trials + 1
    execute(subject, call(ignore_index=1, reduction="none"))
    assert len(echoed) == trials + 1
    execute(subject, call().laid([("input", "fortran")]))
    execute(subject, call(weight=np.ones(3, np.float32)))
    execute(subject, call().replace(target=np.array([1, 2])[:1]))
    assert len(echoed) == trials + 4
    execute(subject, call(target=np.int8))
    assert len(echoed) == 2 * (trials + 1) + 3
    monkeypatch.setattr(handover, "_LARGEST", 10)
    execute(subject, call(weight=np.zeros(4, np.float32)))
    assert len(echoed) == 2 * (trials + 1) + 3


# --- calls that are not what they say -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["input", "target"])
def test_an_array_that_is_not_in_c_order_must_say_so(name: str) -> None:
    square = NLL_LOSS.call(np.arange(12, dtype=np.float32).reshape(2, 3, 2), np.array([[0, 1], [2, 0]]))
    other = square.replace(**{name: np.asfortranarray(square[name])})
    assert isinstance(execute(Bridge(), square)[0], Returned)
    with pytest.raises(BridgeError, match=rf"{name} of .* is not in C order \(strides .*name the layout"):
        execute(Bridge(), other)
    assert isinstance(execute(Bridge(), other.replace(layouts=((name, "fortran"),)))[0], Returned)


# --- dtypes that a framework lacks --------------------------------------------------------------------------------


class Poor(Bridge):
    """A framework that has neither complex numbers nor bfloat16, and says so, unless told otherwise."""

    def __init__(self, *undeclared: str) -> None:
        super().__init__(self._converted)
        lacks = dict.fromkeys(("complex64", "complex128"), "mylib has no complex numbers")
        lacks["bfloat16"] = "mylib has no bfloat16"
        declared = {name: why for name, why in lacks.items() if name not in undeclared}
        self.capabilities = dataclasses.replace(self.capabilities, without={**self.capabilities.without, **declared})

    def _converted(self, array: Array) -> Array:
        if array.dtype.kind == "c" or array.dtype == BFLOAT16:
            raise KeyError(array.dtype.name)
        return array


COMPLEX, BRAIN = np.dtype(np.complex64), BFLOAT16


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (call(COMPLEX), "complex64"),
        (call(target=COMPLEX), "complex64"),
        (call(weight=np.ones(3, BRAIN)), "bfloat16"),
        (call(BRAIN), "bfloat16"),
    ],
    ids=["complex input", "complex target", "bfloat16 weight", "bfloat16 input"],
)
def test_a_dtype_that_is_declared_missing_is_unsupported(given: Call, dtype: str) -> None:
    (outcome, _) = execute(Poor(), given)
    assert isinstance(outcome, Unsupported)
    assert outcome.reason.startswith(f"{dtype}: mylib has no ")
    with pytest.raises(BridgeError, match=rf"KeyError\('{dtype}'\).*{dtype}.*declare that in Capabilities.without"):
        execute(Poor(dtype), given)


def test_a_bridge_that_narrows_a_missing_dtype_does_not_make_the_framework_guilty() -> None:
    """The function would be handed weights of the right dtype, and be accused of taking wrong ones."""
    narrowing = Bridge(put=lambda array: array.astype(np.float32) if array.dtype == np.float64 else array)
    with pytest.raises(BridgeError, match="float64 came back as float32"):
        execute(narrowing, call(weight=np.ones(3)))
    without = {**narrowing.capabilities.without, "float64": "mylib has no float64"}
    narrowing.capabilities = dataclasses.replace(narrowing.capabilities, without=without)
    for _ in range(2):
        assert execute(narrowing, call(weight=np.ones(3)))[0] == Unsupported("float64: mylib has no float64")
    assert isinstance(execute(narrowing, call(weight=np.ones(3, np.float32)))[0], Returned)


@pytest.mark.parametrize("family", ["error", "dtype"])
def test_a_poor_framework_gets_through_the_faults(family: str, tmp_path: Path) -> None:
    item, _, message = engine.run(Poor(), family, "float32", tmp_path)
    assert (item.unexpected, message) == (0, "")
    assert "error" not in item.statuses
    assert item.statuses["pass"] > 0.8 * item.planned
    if family == "error":
        assert item.statuses["unsupported"] > 3
        assert engine.run(Poor("complex64"), family, "float32", tmp_path)[0].statuses["error"] > 3


def test_targets_beyond_32_bits_can_be_declared_missing() -> None:
    subject = Bridge()
    subject.capabilities = dataclasses.replace(
        subject.capabilities, without={**subject.capabilities.without, "wide targets": "mylib has 32 bits"}
    )
    wide = call().replace(target=np.array([1, 2**31]), ignore_index=2**31)
    assert execute(subject, wide)[0] == Unsupported("wide targets: mylib has 32 bits")
    for given in (call(), call(target=np.uint64), call(target=np.int64, ignore_index=2**40), call(target=np.uint32)):
        assert isinstance(execute(subject, given)[0], Returned)


# --- the bridges of this package ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["torch", "numpy", "jax", "tensorflow", "lossparity.adapters.template.adapter:BACKEND"]
)
def test_our_own_bridges_hand_over_every_dtype_and_layout(name: str) -> None:
    backend = registry.backend(name)
    pytest.importorskip(backend.module)
    for subject in plan.start(backend, NLL_LOSS, "cpu"):
        for dtype in (*FLOAT_DTYPES, "int8", "bool", "complex64"):
            given = call(np.dtype(BRAIN) if dtype == "bfloat16" else dtype, weight=np.ones(3, np.float32))
            given = given.replace(transform=Transform("gradient", np.ones((), np.float32)))
            for layout in ("", *LAYOUTS):
                one = given.laid([("input", layout)]) if layout else given
                if not subject.capabilities.refuses(one.replace(transform=None)):
                    assert handover.checked(subject, one) == ""


def test_the_template_says_what_echo_is() -> None:
    template = importlib.import_module("lossparity.adapters.template.adapter")
    (subject,) = template.BACKEND.subjects(NLL_LOSS, "cpu")
    assert subject.echo(call())["target"].tolist() == [1, 0]
