"""The ports as users meet them: importable alone, and right on ONNX's own node cases."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")  # first of all: its OpenMP does not like to come after the others'

pytest.importorskip("onnx.backend.test.case.node", reason="onnx is a test dependency: [test]")

from lossparity.conformance.judging.judge import Traits, judge
from lossparity.conformance.mutants.nll_loss.rivals import onnx_case
from lossparity.conformance.mutants.rivals import onnx_cases
from lossparity.specs.call import Call, Returned
from lossparity.specs.case import Status
from lossparity.specs.nll_loss.generate import judged_calls
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.reductions import Arithmetic

FRAMEWORKS = ("numpy", "jax", "tensorflow")
NODES = onnx_cases("NegativeLogLikelihoodLoss")


def as_call(case: Any) -> tuple[Call, Any]:
    """An ONNX node case as a call, with the output that ONNX stores."""
    arguments, output = onnx_case(case)
    return NLL_LOSS.call(*arguments.arrays, **arguments.options), output


def test_there_are_eighteen() -> None:
    assert len(NODES) == 18


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("case", NODES, ids=lambda case: case.name)
def test_onnx_node_cases(case: Any, framework: str) -> None:
    """Judged by our exact answer; ONNX's stored output must stand in the same relation to it."""
    call, stored = as_call(case)
    nll_loss = importlib.import_module(f"lossparity.adapters.{framework}").nll_loss
    result = np.asarray(
        nll_loss(call["input"], call["target"], call["weight"], call["ignore_index"], call["reduction"])
    )
    (ours,) = judged_calls(call, (call["reduction"],), "value", 1, case.name)
    flushing = Traits(Arithmetic(flush=framework != "numpy"))
    assert judge(ours, Returned(result), flushing).status is Status.PASS
    # ONNX computes in float32 with NumPy, in an order of its own: the same bound holds for its output.
    assert judge(ours, Returned(stored.astype(np.float32).reshape(result.shape)), Traits()).status is Status.PASS


def test_the_comparison_can_fail() -> None:
    call, stored = as_call(NODES[0])
    (ours,) = judged_calls(call, (call["reduction"],), "value", 1, "onnx")
    assert judge(ours, Returned(stored * np.float32(1.001)), Traits()).status is Status.FAIL


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_port_imports_its_own_framework_only(framework: str) -> None:
    # TensorFlow itself looks for JAX, for its converter.
    ours = {"tensorflow": ("tensorflow", "jax")}.get(framework, (framework,))
    others = [name for name in ("torch", "jax", "tensorflow") if name not in ours]
    code = f"""
import sys
from lossparity.adapters.{framework} import nll_loss
loaded = [name for name in {others!r} if name in sys.modules]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def _eager(framework: str) -> Callable[..., Any]:
    return importlib.import_module(f"lossparity.adapters.{framework}").nll_loss


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"target": np.array([0, 3])}, IndexError, "3"),
        ({"target": np.array([0, -1])}, IndexError, "-1"),
        ({"target": np.array([0.0, 1.0], np.float32)}, TypeError, "float32"),
        ({"target": np.array([True, False])}, TypeError, "bool"),
        ({"target": np.array([0])}, ValueError, "(1,)"),
        ({"input": np.ones((2, 3), np.int64)}, TypeError, "int64"),
        ({"weight": np.ones(2, np.float32)}, ValueError, "(2,)"),
        ({"weight": np.ones(3, np.float64)}, TypeError, "float64"),
        ({"reduction": "avg"}, ValueError, "avg"),
        ({"reduction": None}, ValueError, "None"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_messages_name_what_is_wrong(
    framework: str, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    good = {"input": np.zeros((2, 3), np.float32), "target": np.array([0, 1]), "weight": None}
    with pytest.raises(error) as caught:
        _eager(framework)(**(good | arguments))
    assert words in str(caught.value)


def test_jax_poisons_under_jit() -> None:
    jax = pytest.importorskip("jax")
    jitted = jax.jit(partial(_eager("jax"), reduction="none"))
    x = np.zeros((3, 2), np.float32)
    assert np.isnan(np.asarray(jitted(x, np.array([0, 2, -1], np.int32)))).tolist() == [False, True, True]


def test_tensorflow_poisons_in_a_graph() -> None:
    tf = pytest.importorskip("tensorflow")
    for jit in (False, True):
        compiled = tf.function(_eager("tensorflow"), jit_compile=jit)
        assert np.isnan(compiled(tf.zeros((3, 2)), tf.constant([0, 2, 1])).numpy())


def test_autograph_can_read_the_port() -> None:
    """What it cannot, such as an assignment in an expression, it warns of in each user's log.

    Functions that the port shares with others are among them.
    """
    tf = pytest.importorskip("tensorflow")
    port = inspect.getmodule(_eager("tensorflow"))
    assert port is not None
    ports = port.__name__.rpartition(".")[0]
    functions = [one for _, one in inspect.getmembers(port, inspect.isfunction) if one.__module__.startswith(ports)]
    assert len(functions) > 4
    assert all(map(tf.autograph.to_graph, functions))
