"""What users would test a log_softmax with instead."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from ..rivals import Arguments, Check, Rival, against_torch, onnx_cases, operator_samples, stored

LOSS = "log_softmax"


def _random() -> Sequence[Check]:
    """What a careful user writes: random logits of several ranks, along each axis."""
    numbers = np.random.default_rng(0)
    return [
        against_torch(LOSS, Arguments((numbers.normal(size=shape).astype(dtype),), {"dim": dim}), rtol, atol)
        for shape in ((5,), (8, 5), (16, 10), (4, 6, 3), (2, 5, 4, 4))
        for dtype, rtol, atol in ((np.float32, 1e-5, 1e-6), (np.float64, 1e-7, 1e-9))
        for dim in range(-1, len(shape))
    ]


def _operator_samples() -> Sequence[Check]:
    return [
        against_torch(LOSS, Arguments((sample.input.numpy(),), {"dim": sample.args[0]}), *tolerances)
        for sample, tolerances in operator_samples(LOSS)
        if sample.input.ndim  # a number is nothing that the specification asks for
    ]


def _onnx_nodes() -> Sequence[Check]:
    checks: list[Check] = []
    for case in onnx_cases("LogSoftmax"):
        ((x,), (output,)), node = case.data_sets[0], case.model.graph.node[0]
        dim = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1)
        checks.append(functools.partial(stored, Arguments((np.asarray(x),), {"dim": dim}), np.asarray(output)))
    return checks


RIVALS = (
    Rival("assert_allclose", "random logits against PyTorch, value and gradient", ("torch",), _random),
    Rival("ONNX node cases", "the stored outputs of ONNX's backend tests, forward only", ("onnx",), _onnx_nodes),
    Rival(
        "PyTorch OpInfo samples",
        "PyTorch's own samples of the operator against PyTorch, value and gradient",
        ("torch", "expecttest"),
        _operator_samples,
    ),
)
