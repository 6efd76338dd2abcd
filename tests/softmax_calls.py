"""Calls of log_softmax and cross_entropy that were put together by hand: each planted fault shows in one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from lossparity.specs.call import FLOAT_DTYPES, Call, Transform, dtype_of
from lossparity.specs.cross_entropy.signature import CROSS_ENTROPY
from lossparity.specs.layouts import lay
from lossparity.specs.log_softmax.signature import LOG_SOFTMAX

SIGNATURES = {"log_softmax": LOG_SOFTMAX, "cross_entropy": CROSS_ENTROPY}
DERIVATIVES = ("gradient", "gradient_again", "gradient_between", "second", "second_upstream", "jvp")
NAN, INF = float("nan"), float("inf")


def calls(loss: str, framework: str) -> Iterator[Call]:
    """All of a loss; for torch and JAX derivatives and modes as well."""
    if framework == "numpy":
        yield from {"log_softmax": _log_softmaxes, "cross_entropy": _cross_entropies}[loss]()
        return
    for call in _differentiated(loss):
        yield call
        yield from _derived(call)
    if loss == "log_softmax":
        yield LOG_SOFTMAX.call(reals((3, 4)), dim=7)
    else:
        yield _mapped(CROSS_ENTROPY.call(reals((2, 3)), np.array([0, 3]), reduction="none"))


def reals(shape: Any, dtype: str = "float32", seed: int = 0, size: float = 2.0) -> Any:
    """Normally distributed numbers."""
    return np.asarray(np.random.default_rng(seed).normal(size=shape) * size, dtype_of(dtype))


def row(*numbers: float, dtype: str = "float32") -> Any:
    """One row, and an ordinary one below it."""
    return np.array([numbers, np.linspace(-1, 1, len(numbers))], dtype_of(dtype))


# --- log_softmax -----------------------------------------------------------------------------------------


def _log_softmaxes() -> Iterator[Call]:
    call = LOG_SOFTMAX.call
    for dtype in FLOAT_DTYPES:
        yield call(reals((4, 9), dtype), dim=1)
        yield call(reals((4, 9), dtype) * dtype_of(dtype).type(1), dim=1)
        yield call(reals((3, 300), dtype), dim=1)
    for shape, dim in (((5,), 0), ((3, 3, 3), 0), ((3, 3, 3), 1), ((2, 3, 4), -2), ((2, 3, 4, 5), 1), ((2,) * 5, 1)):
        yield call(reals(shape), dim=dim)
    for shape in ((1, 4), (3, 1), (0, 3), (2, 0), (33, 4), (2, 15), (2, 17), (2, 31), (2, 70_000)):
        yield call(reals(shape), dim=1)
    for numbers in (
        (1e4, 1e4 + 1), (1e30, 1e30, 2e30), (-3e38, 3e38, 0), (800, 0, 1), (0, -20, -120), (NAN, 1, 2), (INF, 1, 2),
        (-INF, 1, 2), (-INF, -INF, -INF), (INF, INF, 0), (0, 1e-7, 3e-7), (100, 100, -INF), (20, 0, 0),
    ):  # fmt: skip
        yield call(row(*numbers), dim=1)
    for dim in (2, -3, 7):
        yield call(reals((3, 4)), dim=dim)
        yield call(reals((3, 4), seed=1), dim=1)  # as the call after an error
    yield call(np.arange(6).reshape(2, 3), dim=1)
    yield call(np.zeros((0, 3), np.int64), dim=1)
    for layout in ("fortran", "negative", "read_only"):
        yield call(reals((3, 4)), dim=1).laid([("input", layout)])


# --- cross_entropy ---------------------------------------------------------------------------------------


def labels(shape: Any, classes: int, dtype: str = "int64", ignored: int | None = -100, seed: int = 3) -> Any:
    """Labels of which about a third are ignored, if any are to be."""
    numbers = np.random.default_rng(seed)
    found = numbers.integers(0, classes, shape).astype(dtype)
    return found if ignored is None else np.where(numbers.random(shape) < 0.3, ignored, found).astype(dtype)


def probabilities(shape: Any, dtype: str = "float32") -> Any:
    """Positive numbers that do not add up to 1."""
    return np.random.default_rng(5).uniform(0.05, 0.9, shape).astype(dtype_of(dtype))


def weights(classes: int, dtype: str = "float32") -> Any:
    """Weights between 1/2 and 2."""
    return np.random.default_rng(6).uniform(0.5, 2, classes).astype(dtype_of(dtype))


def _cross_entropies() -> Iterator[Call]:
    yield from plain_cross_entropies()
    yield from _of_labels()
    yield from _of_probabilities()
    yield from _of_sentinels()
    yield from _of_special_values()
    yield from _of_errors()
    yield from _of_layouts()


def plain_cross_entropies() -> Iterator[Call]:
    """Ordinary numbers in every dtype, kind of target, reduction and rank, with and without weights and smoothing."""
    for dtype in FLOAT_DTYPES:
        for shape in ((6, 5), (2, 3, 4), (5,)):
            classes, x = shape[min(1, len(shape) - 1)], reals(shape, dtype)
            positions = shape[:1] + shape[2:] if len(shape) > 1 else ()
            indices = labels(positions, classes, ignored=-100 if positions else None)
            for target in (indices, probabilities(shape, dtype)):
                for w in (None, weights(classes, dtype)):
                    for e in (0.0, 0.1, 1.0):
                        for reduction in ("none", "sum", "mean"):
                            yield CROSS_ENTROPY.call(x, target, w, reduction=reduction, label_smoothing=e)


def _of_labels() -> Iterator[Call]:
    call = CROSS_ENTROPY.call
    for shape in ((3, 3), (3, 3, 3), (2, 3, 2, 2), (1, 3, 1), (2, 3, 2, 3, 2), (2, 3, 1, 2, 1, 2), (0, 3), (2, 3, 0)):
        for w in (None, weights(3)):
            for reduction in ("none", "sum", "mean"):
                yield call(reals(shape), labels(shape[:1] + shape[2:], 3), w, reduction=reduction, label_smoothing=0.1)
                yield call(reals(shape), labels(shape[:1] + shape[2:], 3, ignored=None), w, reduction=reduction)
    for n in (7, 64, 65, 129, 1025, 5001):
        for dtype in ("float32", "float16"):
            yield call(reals((n, 2), dtype), labels((n,), 2, ignored=None), reduction="sum")
            yield call(reals((n, 2), dtype), labels((n,), 2, ignored=None), reduction="mean")
            yield call(reals((n, 2), dtype) * dtype_of(dtype).type(4), labels((n,), 2), weights(2, dtype))
    for classes in (9, 17, 31, 200, 300, 3000, 40_000, 70_000):
        high = np.array([classes - 1, classes // 2])
        yield call(reals((2, classes)), high, reduction="none")
        yield call(reals((2, classes)), high, weights(classes), reduction="none", label_smoothing=0.2)
    x = reals((4, 300), "float32")
    for dtype in ("int8", "uint8", "int16", "int32", "uint64"):
        yield call(x, np.array([0, 100, 90, 100 if dtype == "int8" else 200], dtype), reduction="none")
    yield call(x, np.array([299, 256, 0, 1], "int16"), reduction="none")
    yield call(reals((4, 3)), labels((4,), 3), omitted=("ignore_index", "reduction", "label_smoothing", "weight"))
    yield call(reals((4, 3)), np.array([0, 1, 2, 0]), label_smoothing=0.004)
    for w in (
        [0, 0, 0],
        [0, 1, 2],
        [-1, 1, 0.5],
        [1e-3, 1e-3, 1e-3],
        [-1, 1, 1],
        [NAN, 1, 1],
        [1, 1, NAN],
        [1, INF, 1],
    ):
        for target in (np.array([1, 0, 1]), np.array([0, 1, 2])):
            yield call(reals((3, 3)), target, np.array(w, np.float32))
            yield call(reals((3, 3)), target, np.array(w, np.float32), ignore_index=0, reduction="sum")
    half = np.array([0.001, 60_000], np.float16)
    yield call(np.array([[0, 0.5], [3, 1]], np.float16), np.array([1, 1]), half)
    yield call(np.full((9, 2), [0, 60_000], np.float16), np.zeros(9, int))
    yield call(reals((12, 3), "float64"), labels((12,), 3), weights(3, "float64") / 1e4)


def _of_probabilities() -> Iterator[Call]:
    call = CROSS_ENTROPY.call
    for shape in ((3, 3), (3, 3, 3), (2, 3, 2, 2), (1, 3, 1), (0, 3), (2, 3, 0)):
        for reduction in ("none", "sum", "mean"):
            yield call(reals(shape), probabilities(shape), weights(3), reduction=reduction, label_smoothing=0.1)
    for p in ([1, 0, 0], [0.95, 0.05, 0], [2, -1, 0.5], [0, 0, 0], [1e-9, 0.5, 0], [0, NAN, 0], [-100, -100, -100]):
        for e in (0.0, 0.25):
            for x in (reals((2, 3)), row(1, -INF, 3), row(NAN, 0, 1), row(0, -300, 200)):
                yield call(x, np.array([p, [0.2, 0.3, 0.5]], np.float32), reduction="none", label_smoothing=e)
                yield call(x, np.array([p, [0.2, 0.3, 0.5]], np.float32), label_smoothing=e)
    for sentinel in (-1, -2, -100):
        yield call(reals((3, 3)), probabilities((3, 3)), ignore_index=sentinel, reduction="none")
        yield call(reals((3, 3)), np.eye(3, dtype=np.float32), ignore_index=sentinel, reduction="none")


def _of_sentinels() -> Iterator[Call]:
    call = CROSS_ENTROPY.call
    target = np.array([0, 1, 2, 2])
    for sentinel in (0, 1, 2, 3, -1, -3, 255, 2**31 + 1, -(2**63)):
        for w in (None, weights(3)):
            for e in (0.0, 0.1):
                there = np.where(np.array([True, False, False, False]), sentinel, target)
                for reduction in ("none", "sum", "mean"):
                    options: dict[str, Any] = {"ignore_index": sentinel, "reduction": reduction, "label_smoothing": e}
                    yield call(reals((4, 3)), there, w, **options)
                    yield call(reals((4, 3)), target, w, **options)
    for reduction in ("none", "sum", "mean"):
        yield call(reals((3, 3)), np.full(3, -100), weights(3), reduction=reduction)
        for value in (NAN, INF, -INF):
            x = row(value, 1, 2)
            yield call(x, np.array([-100, 1]), reduction=reduction, label_smoothing=0.1)
            yield call(x, np.array([-100, 1]), np.array([1, 2, value], np.float32), reduction=reduction)
            yield call(x, np.array([2, 1]), np.array([1, 2, value], np.float32), ignore_index=2, reduction=reduction)
    yield call(reals((4, 200)), np.array([156, 255, 1, 2], np.uint8) % 200, reduction="none")
    yield call(reals((2, 200)), np.array([156, 1], np.uint8), reduction="none")


def _of_special_values() -> Iterator[Call]:
    call = CROSS_ENTROPY.call
    for numbers in (
        (1e4, 1e4 + 1, 1e4), (1e30, 1e30, 2e30), (800, 0, 1), (0, -20, -120), (NAN, 1, 2), (1, NAN, 2), (INF, 1, 2),
        (1, INF, INF), (-INF, 1, 2), (1, 2, -INF), (-INF, -INF, -INF), (0, 1e-7, 3e-7), (30, 0, 0), (0, 30, 3e38),
    ):  # fmt: skip
        for e, w in ((0.0, None), (0.1, None), (0.1, [1, 2, 0]), (0.0, [0, 1, 1])):
            weight = None if w is None else np.array(w, np.float32)
            for reduction in ("none", "sum", "mean"):
                yield call(row(*numbers), np.array([0, 1]), weight, reduction=reduction, label_smoothing=e)
    yield call(reals((3, 1)), np.zeros(3, int), reduction="none")
    yield call(np.array([[30, 0], [0, 1]], np.float64), np.array([0, 1]), reduction="none")
    yield call(np.array([[60, 0, 0]], np.float32), np.array([0]), reduction="none")


def _of_errors() -> Iterator[Call]:
    call, x, good = CROSS_ENTROPY.call, reals((4, 3)), np.array([0, 1, 2, 1])
    one_hot = np.eye(3, dtype=np.float32)[good]
    for reduction in ("none", "sum", "mean", "middle"):
        for bad in (3, -1, -3, -100, 77):
            for place in (0, 1, 3):
                target = good.copy()
                target[place] = bad
                options: dict[str, Any] = {"ignore_index": -7, "reduction": reduction}
                yield call(x, target, **options)
                yield call(x, good, **options)
                yield call(x, target, label_smoothing=0.1, **options)
    for target in (
        good[:1], good[:, None], np.arange(5) % 3, np.ones((4, 3), int), good.astype(np.float32), good > 0, one_hot[:1],
        one_hot.astype(np.float64), one_hot.astype(int), good.astype(complex), np.array(1), one_hot[:, :1].copy(),
    ):  # fmt: skip
        yield call(x, target)
    for w in (weights(4), weights(2), weights(3, "float64"), np.array(2, np.float32), weights(3)[None]):
        yield call(x, good, w)
    for e in (-0.1, 1.5, NAN, INF):
        yield call(x, good, label_smoothing=e)
        yield call(x, one_hot, label_smoothing=e)
    for sentinel in (0, 2, 5):
        yield call(x, one_hot, ignore_index=sentinel)
    yield call(x.astype(int), good)
    yield call(np.array(1.0), np.array(0))


def _of_layouts() -> Iterator[Call]:
    x, w = reals((3, 4, 2)), weights(4)
    for target in (labels((3, 2), 4), probabilities((3, 4, 2))):
        call = CROSS_ENTROPY.call(x, target, w, reduction="none")
        for layout in ("fortran", "negative", "read_only"):
            yield call.laid([("input", layout)])
            yield call.laid([("target", layout)])
            yield call.laid([("weight", layout)])


# --- derivatives -----------------------------------------------------------------------------------------


def _differentiated(loss: str) -> Iterator[Call]:
    """Calls that derivatives are asked of; a compiler needs its time for each."""
    if loss == "log_softmax":
        for dtype in FLOAT_DTYPES:
            yield LOG_SOFTMAX.call(reals((4, 9), dtype), dim=1)
        for shape, dim in (((5,), 0), ((3, 3, 3), 1), ((1, 4), 1), ((3, 1), 1), ((2, 70_000), 1)):
            yield LOG_SOFTMAX.call(reals(shape), dim=dim)
        for numbers in ((-INF, 1, 2), (NAN, 1, 2), (30, 0, 0)):
            yield LOG_SOFTMAX.call(row(*numbers), dim=1)
        yield LOG_SOFTMAX.call(reals((4, 9)), dim=1).laid([("input", "negative")])
        return
    call, w = CROSS_ENTROPY.call, weights(5)
    for reduction in ("none", "sum", "mean"):
        for e in (0.0, 0.1):
            yield call(reals((6, 5)), labels((6,), 5), w, reduction=reduction, label_smoothing=e)
            yield call(reals((6, 5)), probabilities((6, 5)) - 0.2, w, reduction=reduction, label_smoothing=e)
    for dtype in FLOAT_DTYPES:
        yield call(reals((6, 5), dtype), labels((6,), 5), weights(5, dtype))
        yield call(reals((6, 5), dtype), probabilities((6, 5), dtype))
    for shape in ((5,), (5, 5, 5), (1, 5, 1)):
        yield call(
            reals(shape), labels(shape[:1] + shape[2:] if shape[1:] else (), 5, ignored=None), w, reduction="sum"
        )
    for numbers in ((1e4, 1, 1e4), (-INF, 1, 2), (NAN, 1, 2), (30, 0, 0), (0, -300, 0)):
        for target in (np.array([1, 0]), np.array([-100, 1]), np.array([[0, 0.5, 0.5], [0.2, 0.3, 0.4]], np.float32)):
            yield call(row(*numbers), target, label_smoothing=0.0)
    for w3 in ([-1, 0.2, 0.5], [1e-9, 2e-9, 1e-9]):
        yield call(reals((3, 3), "float64"), np.array([0, 1, 2]), np.array(w3))
    yield call(reals((1025, 2)), labels((1025,), 2, ignored=None))
    yield call(reals((2, 70_000)), np.array([69_999, 40_000]), reduction="sum")
    x = reals((3, 4, 2))
    laid = call(x, labels((3, 2), 4), reduction="none")
    yield laid.laid([("input", "negative")])
    yield laid.laid([("input", "channels_last")])


def _derived(call: Call) -> Iterator[Call]:
    """The same call, asked for derivatives by each array that has some, and for modes of execution."""
    x = call["input"]
    shape = x.shape if call.signature is LOG_SOFTMAX else _shape(call)
    upstream, direction = reals(shape, x.dtype.name, 7), reals(x.shape, x.dtype.name, 8)
    for kind in DERIVATIVES:
        yield call.replace(transform=Transform(kind, upstream, direction))
    for g in (-np.abs(upstream), (upstream * 1e-13).astype(x.dtype), np.ones(shape, x.dtype), np.zeros(shape, x.dtype)):
        yield call.replace(transform=Transform("gradient", np.asarray(g)))
    if shape[1:]:
        laid = lay(upstream, "fortran")
        yield call.replace(transform=Transform("gradient", laid), layouts=(*call.layouts, ("upstream", "fortran")))
    if "target" in call.given and call["target"].dtype == x.dtype:
        for kind in ("gradient", "jvp"):
            yield call.replace(transform=Transform(kind, upstream, direction, wrt="target"))
    yield call.replace(transform=Transform("value_in_training"))
    if x.dtype == np.float32:
        yield call.replace(transform=Transform("autocast"))
    if x.ndim > 1 and len(x) > 1 and not call.layouts:
        yield _mapped(call)


def _shape(call: Call) -> tuple[int, ...]:
    x = call["input"]
    return () if call["reduction"] != "none" else x.shape[:1] + x.shape[2:]


def _mapped(call: Call) -> Call:
    """The call and the same with its arrays in reverse, mapped over as a batch."""
    batched = tuple(call.given)
    pairs = {name: np.stack([array, array[::-1]]) for name, array in call.given.items()}
    return call.replace(**pairs, transform=Transform("vmap", batched=batched))
