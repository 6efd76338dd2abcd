"""What users would test with instead: each rival runs on the same implementations, in the same run, as our suite.

A rival is a list of checks, each a function of an implementation that takes and returns NumPy arrays. It notices a
fault if any of its checks fails or raises, as a test would. Which there are of a loss stands in LOSS/rivals.py.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...specs.call import Array


@dataclass(frozen=True)
class Arguments:
    """What a loss is called with: arrays by position, None where one is missing, and options by name."""

    arrays: tuple[Array | None, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


# -> (loss, gradient of its sum with respect to the first array, or None)
Implementation = Callable[[Arguments], tuple[Array, Array | None]]
Check = Callable[[Implementation], None]  # raises AssertionError, or what the implementation raises


@dataclass(frozen=True)
class Rival:
    """A test set, as others have it: `needs` are the modules that it takes."""

    name: str
    says: str
    needs: tuple[str, ...]
    make: Callable[[], Sequence[Check]]

    @property
    def absent(self) -> str:
        """What is missing to run it; empty when nothing is."""
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        return f"needs {' and '.join(missing)}, not installed" if missing else ""


def rivals_of(loss: str) -> tuple[Rival, ...]:
    """The rivals of a loss that has variants."""
    found: tuple[Rival, ...] = importlib.import_module(f".{loss}.rivals", __package__).RIVALS
    return found


def notices(implementation: Implementation, checks: Sequence[Check]) -> bool:
    """Whether any check fails."""
    for check in checks:
        try:
            check(implementation)
        except Exception:
            return True
    return False


def implementation(framework: str, function: Callable[..., Any]) -> Implementation:
    """A function on arrays of a framework as one on NumPy arrays."""
    return functools.partial(_RUN[framework], function)


# --- running them ----------------------------------------------------------------------------------------


def _run_numpy(function: Any, arguments: Arguments) -> Any:
    copies = [None if array is None else array.copy() for array in arguments.arrays]
    return np.asarray(function(*copies, **arguments.options)), None


def _run_torch(function: Any, arguments: Arguments) -> Any:
    import torch

    leaf, *rest = (None if array is None else torch.from_numpy(array.copy()) for array in arguments.arrays)
    assert leaf is not None
    loss = function(leaf.requires_grad_(), *rest, **arguments.options)
    loss.sum().backward()
    return loss.detach().numpy(), None if leaf.grad is None else leaf.grad.numpy()


def _run_jax(function: Any, arguments: Arguments) -> Any:
    import jax

    with jax.enable_x64(True):
        put = jax.numpy.asarray
        leaf, *rest = (None if array is None else put(array) for array in arguments.arrays)
        loss, pull = jax.vjp(lambda moved: function(moved, *rest, **arguments.options), leaf)
        (gradient,) = pull(jax.numpy.ones_like(loss))
        return np.asarray(loss), np.asarray(gradient)


_RUN = {"numpy": _run_numpy, "torch": _run_torch, "jax": _run_jax}


# --- their checks ----------------------------------------------------------------------------------------


def against_torch(loss: str, arguments: Arguments, rtol: float, atol: float) -> Check:
    """A check that value and gradient are close to those of `torch.nn.functional`, which computes them now."""
    import torch

    due = _run_torch(getattr(torch.nn.functional, loss), arguments)
    return functools.partial(_agree, arguments, due, rtol, atol)


def _agree(arguments: Arguments, due: Any, rtol: float, atol: float, implementation: Implementation) -> None:
    loss, gradient = implementation(arguments)
    np.testing.assert_allclose(loss, due[0], rtol, atol)
    if gradient is not None:
        np.testing.assert_allclose(gradient, due[1], rtol, atol)


def operator_samples(operator: str) -> Iterator[tuple[Any, tuple[float, float]]]:
    """PyTorch's own samples of an operator (OpInfo), with the tolerances of torch.testing.assert_close."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("torch.testing._internal.common_methods_invocations")
    found = next(one for one in module.op_db if one.name == operator)
    for dtype, rtol, atol in ((torch.float32, 1.3e-6, 1e-5), (torch.float64, 1e-7, 1e-7)):
        torch.manual_seed(0)
        for sample in found.sample_inputs("cpu", dtype, requires_grad=False):
            yield sample, (rtol, atol)


def stored(arguments: Arguments, output: Array, implementation: Implementation) -> None:
    """A check that the value is what ONNX stores, within the tolerances of its backend tests."""
    loss, _ = implementation(arguments)
    np.testing.assert_allclose(loss, output.reshape(np.shape(loss)), rtol=1e-3, atol=1e-7)


def onnx_cases(operator: str) -> list[Any]:
    """ONNX's node cases of an operator, but for those that are the same with the operator expanded.

    Raises RuntimeError when a process asks for a second operator: ONNX collects those of the first one only.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node = importlib.import_module("onnx.backend.test.case.node")
        cases = node.collect_testcases(operator)
    found = [one for one in cases if "expanded" not in one.name and one.model.graph.node[0].op_type == operator]
    if not found:
        raise RuntimeError(f"ONNX has collected the cases of another operator in this process, and none of {operator}")
    return found
