"""Calls that must raise: one generator per way of getting the arguments wrong (ERR, IGN-9, DTYPE-4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..call import REDUCTIONS, Array, Call, dtype_of
from ..case import Case
from . import generate
from .generate import Structure

# Ranks in which the faults are planted; the first two are all that dear compilers see.
SHAPES = ((6, 5), (4, 3, 2), (5,), (3, 4, 2, 3), (2, 3, 2, 1, 3), (64, 3))


def fault_cases(dtype: str, seed: int) -> Iterator[Case]:
    """Every kind of fault in one dtype, each under the reductions, and after each batch a legal call (ERR-9)."""
    for number, shape in enumerate(SHAPES):
        weights = "dyadic" if shape == SHAPES[1] else "none"
        structure = Structure(shape, dtype, weights=weights, inputs="dyadic", mask="no", seed=seed)
        legal = generate.base(structure, "error")
        # A dear compiler's checks do not depend on the dtype: one is enough for it.
        tier = 3 if number > 1 else 1 if dtype == "float32" else 2
        origin = f"corpus error/{dtype}/{number}"
        for count, (fault_tier, call) in enumerate(_faulty(legal)):
            level = max(tier, fault_tier)
            # Dear compilers meet each structural fault under one reduction: they check before they look at it.
            cheap = 3 if level > 1 else 1
            kinds = (call.reduction,) if call.reduction not in REDUCTIONS else REDUCTIONS
            for turn in range(len(kinds)):
                once = turn == count % len(kinds) or _is_index_fault(call)
                yield from generate.judged_calls(
                    call, (kinds[turn],), "error", level if once else max(level, cheap), f"{origin}/{count}"
                )
        yield from generate.judged_calls(legal, REDUCTIONS, "error", tier, origin, also=("ERR-9",))


def _is_index_fault(call: Call) -> bool:
    return not generate.structural_faults(dataclasses.replace(call, reduction="mean"))


def _faulty(legal: Call) -> Iterator[tuple[int, Call]]:
    """(tier, call) for each fault, the reduction being wrong only where it is the fault."""
    yield from ((1, call) for call in _bad_targets(legal))
    for call in (*_bad_shapes(legal), *_bad_dtypes(legal)):
        yield 1, call
    for reduction in ("avg", "", None, "MEAN", "Mean", " mean"):
        yield 1, dataclasses.replace(legal, reduction=reduction)


def _bad_targets(legal: Call) -> Iterator[Call]:
    """Classes that do not exist, at the first, a middle and the last position."""
    classes = legal.input.shape[min(1, legal.input.ndim - 1)]
    size = legal.target.size
    for position in sorted({0, size // 2, size - 1}):
        for value in (classes, classes + 1, -1, -classes):
            yield _with_target(legal, position, value)
    for value in (255, 2**31, 2**32 + 1, 2**62, -2, -(2**31), -(2**62)):
        yield _with_target(legal, size // 2, value)
    # -100 is nothing special when another sentinel is chosen, nor is a neighbour of the sentinel ignored.
    yield dataclasses.replace(_with_target(legal, 0, -100), ignore_index=-1)
    yield dataclasses.replace(_with_target(legal, 0, -100), ignore_index=1)
    yield _with_target(legal, size - 1, -101)
    yield dataclasses.replace(_with_target(legal, 0, -1), ignore_index=255)


def _with_target(call: Call, position: int, value: int) -> Call:
    target = call.target.copy()
    target.reshape(-1)[position] = value
    return dataclasses.replace(call, target=target)


def _bad_shapes(legal: Call) -> Iterator[Call]:
    """ERR-3, ERR-4 and ERR-5."""
    x, target = legal.input, legal.target

    def to(array: Array) -> Call:
        return dataclasses.replace(legal, target=array)

    if x.ndim > 1:
        yield to(np.concatenate([target, target[:1]]))
        yield to(target[:-1])
        yield to(target[:1])
        yield to(target[:0])
        yield dataclasses.replace(legal, input=x[:1])
        yield to(np.array(0))
        one_hot = np.zeros(x.shape, np.int64)
        yield to(one_hot)
    else:
        yield to(np.zeros(1, np.int64))
        yield to(np.zeros(x.shape[0], np.int64))
    if x.ndim > 2:
        yield to(target[..., :1])
        yield to(np.concatenate([target, target], axis=-1))
    yield to(target[..., None])
    yield dataclasses.replace(legal, input=x.reshape(-1)[:1].reshape(()), target=np.array(0), weight=None)
    yield from (dataclasses.replace(legal, weight=weight) for weight in _bad_weights(legal))


def _bad_weights(legal: Call) -> Iterator[Array]:
    classes = legal.input.shape[min(1, legal.input.ndim - 1)]
    dtype = legal.input.dtype
    for shape in ((classes + 1,), (classes - 1,), (1,), (0,), (1, classes), (classes, 1), ()):
        if shape != (classes,):
            yield np.ones(shape, dtype)


def _bad_dtypes(legal: Call) -> Iterator[Call]:
    """ERR-7, ERR-8 and DTYPE-4."""
    classes = legal.input.shape[min(1, legal.input.ndim - 1)]
    for name in ("float32", "float64", "bool"):
        yield dataclasses.replace(legal, target=np.zeros(legal.target.shape, name))
    for name in ("int32", "int64", "uint8", "bool", "complex64"):
        yield dataclasses.replace(legal, input=np.ones(legal.input.shape, name), weight=None)
    other: Any = dtype_of("float64" if legal.dtype != "float64" else "float32")
    yield dataclasses.replace(legal, weight=np.ones(classes, other))
    yield dataclasses.replace(legal, weight=np.ones(classes, np.int64))
