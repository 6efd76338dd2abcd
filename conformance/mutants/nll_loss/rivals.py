"""What users would test an nll_loss with instead."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....specs.call import Array
from ..rivals import Arguments, Check, Rival, against_torch, onnx_cases, operator_samples, stored

LOSS = "nll_loss"


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
                    arguments = Arguments((x, t, w), {"reduction": reduction})
                    checks.append(against_torch(LOSS, arguments, rtol, atol))
    return checks


def _operator_samples() -> Sequence[Check]:
    checks: list[Check] = []
    for sample, tolerances in operator_samples(f"nn.functional.{LOSS}"):
        options = dict(sample.kwargs)
        weight = options.pop("weight", None)
        arrays = sample.input.numpy(), sample.args[0].numpy(), None if weight is None else weight.numpy()
        checks.append(against_torch(LOSS, Arguments(arrays, options), *tolerances))
    return checks


def _onnx_nodes() -> Sequence[Check]:
    return [functools.partial(stored, *onnx_case(case)) for case in onnx_cases("NegativeLogLikelihoodLoss")]


def onnx_case(case: Any) -> tuple[Arguments, Array]:
    """An ONNX node case as arguments of nll_loss, and the output that ONNX stores."""
    (inputs, outputs), node = case.data_sets[0], case.model.graph.node[0]
    attributes = {a.name: a.i if a.name == "ignore_index" else a.s.decode() for a in node.attribute}
    x, target, *weight = (np.asarray(value) for value in inputs)
    # Without the attribute nothing is ignored; no target of these cases is negative by itself.
    options = {
        "ignore_index": attributes.get("ignore_index", -(2**31)),
        "reduction": attributes.get("reduction", "mean"),
    }
    return Arguments((x, target, weight[0] if weight else None), options), np.asarray(outputs[0])


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
