"""What users would test with instead: each rival runs on the same implementations, in the same run, as our suite.

A rival is a list of checks, each a function of an implementation that takes and returns NumPy arrays. It notices a
fault if any of its checks fails or raises, as a test would.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....specs.call import Array

# (input, target, weight, ignore_index, reduction) -> (loss, gradient of its sum with respect to input, or None)
Implementation = Callable[..., tuple[Array, Array | None]]
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


def _run_numpy(function: Any, x: Array, t: Array, w: Array | None, ignore_index: int, reduction: str) -> Any:
    return np.asarray(function(x.copy(), t.copy(), w, ignore_index, reduction)), None


def _run_torch(function: Any, x: Array, t: Array, w: Array | None, ignore_index: int, reduction: str) -> Any:
    import torch

    leaf = torch.from_numpy(x.copy()).requires_grad_()
    weight = None if w is None else torch.from_numpy(w.copy())
    loss = function(leaf, torch.from_numpy(t.copy()), weight, ignore_index, reduction)
    loss.sum().backward()
    return loss.detach().numpy(), None if leaf.grad is None else leaf.grad.numpy()


def _run_jax(function: Any, x: Array, t: Array, w: Array | None, ignore_index: int, reduction: str) -> Any:
    import jax

    with jax.enable_x64(True):
        put = jax.numpy.asarray
        rest = put(t), None if w is None else put(w), ignore_index, reduction
        loss, pull = jax.vjp(lambda leaf: function(leaf, *rest), put(x))
        (gradient,) = pull(jax.numpy.ones_like(loss))
        return np.asarray(loss), np.asarray(gradient)


_RUN = {"numpy": _run_numpy, "torch": _run_torch, "jax": _run_jax}


def _against_torch(arguments: Sequence[Any], rtol: float, atol: float) -> Check:
    """A check that value and gradient are close to PyTorch's, which computes them now."""
    import torch

    x, t, w, ignore_index, reduction = arguments

    def nll_loss(*tensors: Any) -> Any:
        return torch.nn.functional.nll_loss(*tensors[:3], ignore_index=ignore_index, reduction=reduction)

    due = _run_torch(nll_loss, x, t, w, ignore_index, reduction)
    return functools.partial(_agree, arguments, due, rtol, atol)


def _agree(arguments: Sequence[Any], due: Any, rtol: float, atol: float, implementation: Implementation) -> None:
    loss, gradient = implementation(*arguments)
    np.testing.assert_allclose(loss, due[0], rtol, atol)
    if gradient is not None:
        np.testing.assert_allclose(gradient, due[1], rtol, atol)


# --- the rivals ------------------------------------------------------------------------------------------


def _random() -> Sequence[Check]:
    """What a careful user writes: random log-probabilities, every reduction, weights, some positions ignored."""
    numbers = np.random.default_rng(0)
    checks: list[Check] = []
    for shape in ((8, 5), (16, 10), (4, 6, 3), (2, 5, 4, 4)):
        for dtype, rtol, atol in ((np.float32, 1e-5, 1e-6), (np.float64, 1e-7, 1e-9)):
            for reduction in ("none", "sum", "mean"):
                for weighted in (False, True):
                    logits = numbers.normal(size=shape)
                    x = (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(dtype)
                    t = numbers.integers(0, shape[1], shape[:1] + shape[2:])
                    t[numbers.random(t.shape) < 0.2] = -100
                    w = numbers.uniform(0.5, 2, shape[1]).astype(dtype) if weighted else None
                    checks.append(_against_torch((x, t, w, -100, reduction), rtol, atol))
    return checks


def _operator_samples() -> Sequence[Check]:
    """PyTorch's own samples of the operator (OpInfo), with the tolerances of torch.testing.assert_close."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("torch.testing._internal.common_methods_invocations")
    (operator,) = (one for one in module.op_db if one.name == "nn.functional.nll_loss")
    checks: list[Check] = []
    for dtype, rtol, atol in ((torch.float32, 1.3e-6, 1e-5), (torch.float64, 1e-7, 1e-7)):
        torch.manual_seed(0)
        for sample in operator.sample_inputs("cpu", dtype, requires_grad=False):
            options = {"weight": None, "ignore_index": -100, "reduction": "mean"} | sample.kwargs
            weight = options["weight"]
            arguments = (
                sample.input.numpy(),
                sample.args[0].numpy(),
                None if weight is None else weight.numpy(),
                options["ignore_index"],
                options["reduction"],
            )
            checks.append(_against_torch(arguments, rtol, atol))
    return checks


def _onnx_nodes() -> Sequence[Check]:
    """The node cases of ONNX's backend tests with their stored outputs and its tolerances."""
    return [functools.partial(_stored, *onnx_case(case)) for case in onnx_cases()]


def onnx_cases() -> list[Any]:
    """ONNX's node cases of this loss, but for those that are the same with the operator expanded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node = importlib.import_module("onnx.backend.test.case.node")
        cases = node.collect_testcases("NegativeLogLikelihoodLoss")
    return [case for case in cases if "expanded" not in case.name]


def onnx_case(case: Any) -> tuple[tuple[Any, ...], Array]:
    """An ONNX node case as arguments of nll_loss, and the output that ONNX stores."""
    (inputs, outputs), node = case.data_sets[0], case.model.graph.node[0]
    attributes = {a.name: a.i if a.name == "ignore_index" else a.s.decode() for a in node.attribute}
    x, target, *weight = (np.asarray(value) for value in inputs)
    # Without the attribute nothing is ignored; no target of these cases is negative by itself.
    options = attributes.get("ignore_index", -(2**31)), attributes.get("reduction", "mean")
    return (x, target, weight[0] if weight else None, *options), np.asarray(outputs[0])


def _stored(arguments: Sequence[Any], output: Array, implementation: Implementation) -> None:
    loss, _ = implementation(*arguments)
    np.testing.assert_allclose(loss, output.reshape(np.shape(loss)), rtol=1e-3, atol=1e-7)


RIVALS = (
    Rival("assert_allclose", "random log-probabilities against PyTorch, value and gradient", ("torch",), _random),
    Rival("ONNX node cases", "the stored outputs of ONNX's backend tests, forward only", ("onnx",), _onnx_nodes),
    Rival(
        "PyTorch OpInfo samples",
        "PyTorch's own samples of the operator against PyTorch, value and gradient",
        ("torch", "expecttest"),
        _operator_samples,
    ),
)
