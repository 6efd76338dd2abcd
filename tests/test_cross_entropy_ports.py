"""The ports of cross_entropy: against exact references on hard numbers, against torch, and as users meet them."""

from __future__ import annotations

import importlib
import inspect
import itertools
from typing import Any

import mpmath
import numpy as np
import pytest

torch = pytest.importorskip("torch")  # first of all: its OpenMP does not like to come after the others'

from lossparity.specs.call import REDUCTIONS, Array, dtype_of  # noqa: E402

from .port_calls import due, port, require_close  # noqa: E402

FRAMEWORKS = ("numpy", "jax", "tensorflow")
DTYPES = ("float16", "bfloat16", "float32", "float64")
COMPILED = (("jax", "jit"), ("tensorflow", "function"), ("tensorflow", "xla"))
RNG = np.random.default_rng(13)

# Rows of logits: usual ones, far apart, close together, far away, a class that is not there, and an ignored row.
LOGITS = np.array(
    [
        [0.5, -1.25, 3.0, 0.0],
        [-800.0, 0.0, -1e-3, 7.0],
        [1e-3, -1e-3, 0.0, 1e-3],
        [60000.0, 60000.0, 60000.0, 60000.0],
        [1.0, -np.inf, 2.0, -0.5],
        [np.nan, np.inf, -np.inf, 1.0],
    ]
)
INDICES = np.array([2, 1, 3, 0, 2, -100])
PROBABILITIES = np.array(
    [[0.5, 0.25, 0.25, 0], [0, 0, 0, 1.0], [0.1, 0.2, 0.3, 0.1], [1.0, 1, 1, 1], [0.25, 0, 0.75, 0]]
)
WEIGHT = np.array([0.5, 2.0, 1.0, 0.0])


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["indices", "smoothed", "probabilities"])
def test_values_and_gradients_are_those_of_exact_arithmetic(framework: str, dtype: str, kind: str) -> None:
    mpmath.mp.prec = 200
    function, number = port(framework), dtype_of(dtype)
    x, target, e = LOGITS.astype(number), INDICES, 0.0
    if kind == "probabilities":
        x, target = x[:-1], PROBABILITIES.astype(number)
    if kind == "smoothed":  # a share of the class that is not there is infinite
        x, target, e = x[[0, 1, 2, 3, 5]], INDICES[[0, 1, 2, 3, 5]], 0.25
    weight = WEIGHT.astype(number)
    for reduction, w in (("none", None), ("mean", weight)):
        options: dict[str, Any] = {"weight": w, "reduction": reduction, "label_smoothing": e}
        value, gradient = function(x, target, 0.5, **options)
        assert value.dtype == gradient.dtype == number
        values, slopes = due(x, target, w, reduction, e, 0.5)
        require_close(value, values)
        require_close(gradient, slopes)


def test_the_reference_convicts_a_fault() -> None:
    """Smoothing that leaves the true class out, and a mean over positions."""
    mpmath.mp.prec = 200
    x, target, w = LOGITS[:3].astype(np.float32), INDICES[:3], WEIGHT.astype(np.float32)
    right = port("numpy")(x, target, 1.0, weight=w, reduction="mean", label_smoothing=0.25)[0]
    require_close(right, due(x, target, w, "mean", 0.25, 1.0)[0])
    for wrong in (due(x, target, w, "mean", 0.25 * 4 / 3, 1.0), due(x, target, w, "sum", 0.25, 1.0)):
        with pytest.raises(AssertionError):
            require_close(right, wrong[0])


def as_torch(array: Array | None) -> Any:
    return None if array is None else torch.from_numpy(array)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 4), (2, 3, 2, 2), (0, 3)])
def test_every_option_means_what_it_does_in_torch(framework: str, shape: tuple[int, ...]) -> None:
    """In float64, where both are off by a few ulps."""
    function, axis = port(framework), min(1, len(shape) - 1)
    x, positions, classes = RNG.normal(size=shape), shape[:axis] + shape[axis + 1 :], shape[axis]
    indices = RNG.integers(0, classes, size=positions)
    if indices.size > 1:
        indices.flat[0] = -100
    weights = RNG.random(classes)
    for target, (reduction, e, weight) in itertools.product(
        (indices, RNG.random(shape)), zip(REDUCTIONS, (0.0, 0.3, 1.0), (weights, None, weights), strict=True)
    ):
        options: dict[str, Any] = {"reduction": reduction, "label_smoothing": e}
        target = np.asarray(target)
        value, gradient = function(x, target, 0.5, weight=weight, **options)
        leaf = torch.from_numpy(x).requires_grad_()
        loss = torch.nn.functional.cross_entropy(leaf, as_torch(target), as_torch(weight), **options)
        (slope,) = torch.autograd.grad(loss, leaf, torch.full_like(loss, 0.5))
        assert value.shape == tuple(loss.shape)
        assert np.allclose(value, loss.detach().numpy(), rtol=1e-14, atol=1e-14, equal_nan=True)
        if x.size:  # of an empty mean the gradient is empty as well
            assert np.allclose(gradient, slope.numpy(), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("framework", "compiled"), COMPILED)
def test_compiled_is_as_eager_and_poisons_what_it_cannot_raise(framework: str, compiled: str) -> None:
    function, eager = port(framework, compiled), port(framework)
    x = LOGITS[:3].astype(np.float32)
    for target, e in ((INDICES[:3], 0.0), (PROBABILITIES[:3].astype(np.float32), 0.25)):
        options: dict[str, Any] = {"weight": WEIGHT.astype(np.float32), "reduction": "none", "label_smoothing": e}
        for one, other in zip(function(x, target, 1.0, **options), eager(x, target, 1.0, **options), strict=True):
            assert np.allclose(one, other, rtol=1e-5, atol=1e-6)
    value, gradient = function(x, np.array([4, 0, -1]), 1.0, reduction="none")
    assert np.isnan(value).tolist() == [True, False, True]
    assert not gradient[[0, 2]].any()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_is_not_asked_for_has_no_effect(framework: str) -> None:
    """Ignored rows, whatever they hold, weights of other classes, and a class without probability that is not there."""
    function = port(framework)
    x, weight = LOGITS.astype(np.float32), np.array([np.nan, 2, 1, np.inf], np.float32)
    value, gradient = function(x[[0, 5]], np.array([2, -100]), 1.0, weight=weight, reduction="none")
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    assert value[1] == 0
    assert not gradient[1].any()
    value, gradient = function(x[4:5], PROBABILITIES[4:].astype(np.float32), 1.0)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert gradient[0, 1] == 0


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_uint8_targets_are_compared_by_value(framework: str) -> None:
    x = np.zeros((2, 200), np.float32)
    value, _ = port(framework)(x, np.array([156, 1], np.uint8), 1.0, reduction="none")
    assert (value > 5).all()  # 156 is -100 cast to uint8, and no reason to ignore it


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"target": np.array([0, 3])}, IndexError, "3"),
        ({"target": np.array([0, -1])}, IndexError, "-1"),
        ({"target": np.array([0.5, 1.0], np.float32)}, ValueError, "(2,)"),
        ({"target": np.zeros((2, 3), np.int64)}, ValueError, "(2, 3)"),
        ({"target": np.zeros((2, 3))}, TypeError, "float64"),
        ({"target": np.array([True, False])}, TypeError, "bool"),
        ({"input": np.ones((2, 3), np.int64)}, TypeError, "int64"),
        ({"weight": np.ones(2, np.float32)}, ValueError, "(2,)"),
        ({"reduction": "avg"}, ValueError, "avg"),
        ({"label_smoothing": 1.5}, ValueError, "1.5"),
        ({"label_smoothing": -0.1}, ValueError, "-0.1"),
        ({"label_smoothing": float("nan")}, ValueError, "nan"),
        ({"target": np.ones((2, 3), np.float32), "ignore_index": 0}, ValueError, "ignore_index is 0"),
        ({"ignore_index": 1.5}, TypeError, "1.5"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_messages_name_what_is_wrong(
    framework: str, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    pytest.importorskip(framework)
    function = importlib.import_module(f"lossparity.adapters.{framework}").cross_entropy
    good = {"input": np.zeros((2, 3), np.float32), "target": np.array([0, 1])}
    with pytest.raises(error) as caught:
        function(**(good | arguments))
    assert words in str(caught.value)


@pytest.mark.parametrize("framework", ["jax", "tensorflow"])
def test_probabilities_have_a_gradient(framework: str) -> None:
    """-(1 - e) l, and no NaN where there is neither a class nor a probability."""
    pytest.importorskip(framework)
    function = importlib.import_module(f"lossparity.adapters.{framework}").cross_entropy
    x, p = LOGITS[3:5].astype(np.float32), PROBABILITIES[3:].astype(np.float32)
    options = {"reduction": "sum", "label_smoothing": 0.25}
    if framework == "jax":
        import jax

        slope = np.asarray(jax.grad(lambda p: function(x, p, **options))(p))
    else:
        import tensorflow as tf

        p = tf.constant(p)
        with tf.GradientTape() as tape:
            tape.watch(p)
            loss = function(tf.constant(x), p, **options)
        slope = tf.convert_to_tensor(tape.gradient(loss, p)).numpy()
    assert np.allclose(slope[0], 0.75 * np.log(4), rtol=1e-6)
    assert not np.isnan(slope).any()


def test_autograph_can_read_the_port() -> None:
    tf = pytest.importorskip("tensorflow")
    for name in ("cross_entropy", "classes"):
        module = importlib.import_module(f"lossparity.adapters.tensorflow.ports.{name}")
        functions = [
            one for _, one in inspect.getmembers(module, inspect.isfunction) if one.__module__ == module.__name__
        ]
        assert functions
        assert all(map(tf.autograph.to_graph, functions))
