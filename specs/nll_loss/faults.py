"""Calls that must raise: one generator per way of getting the arguments wrong (ERR, IGN-9, DTYPE-4)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..call import FLOAT_DTYPES, REDUCTIONS, Array, Call, dtype_of
from ..case import Case
from ..loss import Draw
from . import generate
from .generate import Structure
from .narrow import narrowed, used_by
from .oracle import structural_faults

# Ranks in which the faults are planted; the first two are all that dear compilers see.
SHAPES = ((6, 5), (4, 3, 2), (5,), (3, 4, 2, 3), (2, 3, 2, 1, 3), (64, 3))


def fault_cases(draw: Draw) -> Iterator[Case]:
    """Every kind of fault in one dtype, each under the reductions, and after each batch a legal call (ERR-9)."""
    dtype, seed = draw.dtype, draw.seed
    asks = functools.partial(draw.domain.holds, used=used_by)
    for number, shape in enumerate(SHAPES):
        weights = "dyadic" if shape == SHAPES[1] and "weight" not in draw.domain.absent else "none"
        structure = Structure(shape, dtype, weights=weights, inputs="dyadic", mask="no", seed=seed)
        if not draw.domain.takes_shape(shape):
            continue
        legal = generate.base(structure, "error")
        # A dear compiler's checks do not depend on the dtype: one is enough for it.
        tier = 3 if number > 1 else 1 if dtype == "float32" else 2
        origin = f"corpus error/{dtype}/{number}"
        for count, (fault_tier, call) in enumerate(_faulty(legal)):
            level = max(tier, fault_tier)
            # Dear compilers meet each structural fault under one reduction: they check before they look at it.
            cheap = min(level + 1, 3)
            kinds = (call["reduction"],) if call["reduction"] not in REDUCTIONS else REDUCTIONS
            for turn in range(len(kinds)):
                once = turn == count % len(kinds) or _is_index_fault(call) and call["ignore_index"] == generate.DEFAULT
                yield from generate.judged_calls(
                    call, (kinds[turn],), "error", level if once else max(level, cheap), f"{origin}/{count}", asks=asks
                )
        yield from generate.judged_calls(legal, REDUCTIONS, "error", tier, origin, also=("ERR-9",), asks=asks)
    for count, (tier, call) in enumerate(_in_corners(dtype, seed)):
        turn = (REDUCTIONS[count % len(REDUCTIONS)],) if call["reduction"] in REDUCTIONS else (call["reduction"],)
        yield from generate.judged_calls(call, turn, "error", tier, f"corpus error/{dtype}/corner {count}", asks=asks)
    yield from _in_batches(draw)


def _in_batches(draw: Draw) -> Iterator[Case]:
    """Classes that do not exist in one call of a batch, which the others must not be told of, or in all of them."""
    dtype = draw.dtype
    for shape, weights, batched in (
        ((6, 5), "none", ("input", "target")),
        ((4, 3, 2), "dyadic", ("target",)),
        ((5,), "none", ("input", "target")),
        ((6, 5), "dyadic", ("input",)),
    ):
        whole = Structure(shape, dtype, "int64", weights, inputs="dyadic", seed=draw.seed, asks="vmap", batched=batched)
        structure = narrowed(whole, "error", draw)
        if structure is None:
            continue
        legal = generate.batch(structure, "error")
        for value in (structure.classes, -1):
            call = _with_target(legal, legal["target"].size // 2, value)
            tier = 2 if dtype == "float32" and shape == (6, 5) else 3
            for reduction in structure.reductions:
                wanted = call.replace(reduction=reduction)
                yield generate.asking(wanted, structure, "error", tier, f"corpus error/{dtype}/batch")


def _is_index_fault(call: Call) -> bool:
    return not structural_faults(call.replace(reduction="mean"))


def _faulty(legal: Call) -> Iterator[tuple[int, Call]]:
    """(tier, call) for each fault, the reduction being wrong only where it is the fault."""
    yield from ((1, call) for call in _bad_targets(legal))
    for call in (*_bad_shapes(legal), *_bad_dtypes(legal)):
        yield 1, call
    for reduction in ("avg", "", None, "MEAN", "Mean", " mean"):
        yield 1, legal.replace(reduction=reduction)


def _in_corners(dtype: str, seed: int) -> Iterator[tuple[int, Call]]:
    """(tier, call) for faults where a check is easily forgotten: other ranks, target dtypes, empty batches."""
    yield from ((3, call) for call in _bad_targets_everywhere(dtype, seed))
    plain = generate.base(Structure((6, 5), dtype, inputs="dyadic", mask="no", seed=seed), "error")
    yield from ((2, call) for call in _nearly_sentinels(plain))
    for structure in (Structure((0, 5), dtype), Structure((6, 5), dtype, mask="all", seed=seed)):
        empty = generate.base(structure, "error")
        for shape in ((4,), (1, 5), (6,)):
            yield 2, empty.replace(weight=np.ones(shape, plain["input"].dtype))
    for reduction in ("batchmean", "elementwise_mean", 0, 1, 2, True):
        if reduction != "elementwise_mean":  # PyTorch's own, deprecated name for mean
            yield 2, plain.replace(reduction=reduction)
    for name in ("float16", "complex64"):
        yield 2, plain.replace(target=plain["target"].astype(name))
    for name in ("int8", "int16", "complex128"):
        yield 2, plain.replace(input=np.ones(plain["input"].shape, name))
    yield 2, plain.replace(input=np.ones((6, 5), np.int64), weight=np.ones(5, plain["input"].dtype))
    for name in FLOAT_DTYPES:
        if name != dtype:
            yield 2, plain.replace(weight=np.ones(5, dtype_of(name)))


def _bad_targets_everywhere(dtype: str, seed: int) -> Iterator[Call]:
    """One class too many and one too few, at both ends, for every rank, weighted or not, in several integer dtypes."""
    shapes = (*SHAPES[:5], (2, 3, 2, 2, 1, 2), (1, 1), (2, 200), (1100, 3))
    for number, (shape, weights, name) in enumerate(
        itertools.product(shapes, ("none", "dyadic"), ("int64", "int32", "uint8", "int8", "uint64"))
    ):
        sentinel = generate.DEFAULT if number % 2 else 1
        structure = Structure(shape, dtype, name, weights, sentinel, "dyadic", mask="some", seed=seed + number)
        legal = generate.base(structure, "error")
        info = np.iinfo(legal["target"].dtype)
        for position in (0, legal["target"].size - 1):
            for value in (structure.classes, -1):
                if info.min <= value <= info.max:
                    yield _with_target(legal, position, value)


def _nearly_sentinels(plain: Call) -> Iterator[Call]:
    """Targets that equal ignore_index only to a comparison in floating point, or after a wrapping cast."""
    for sentinel, target in ((2**53 + 1, 2**53), (2**24 + 1, 2**24), (2**32 - 100, -100), (-100, 2**32 - 100)):
        yield _with_target(plain, 0, target).replace(ignore_index=sentinel)
    unsigned = plain.replace(target=plain["target"].astype(np.uint64))
    yield _with_target(unsigned, 0, 2**64 - 100)


def _bad_targets(legal: Call) -> Iterator[Call]:
    """Classes that do not exist, at the first, a middle and the last position."""
    classes = legal["input"].shape[min(1, legal["input"].ndim - 1)]
    size = legal["target"].size
    for position in sorted({0, size // 2, size - 1}):
        for value in (classes, classes + 1, -1, -classes):
            yield _with_target(legal, position, value)
    for value in (255, 2**31, 2**32 + 1, 2**62, -2, -(2**31), -(2**62)):
        yield _with_target(legal, size // 2, value)
    # -100 is nothing special when another sentinel is chosen, nor is a neighbour of the sentinel ignored.
    yield _with_target(legal, 0, -100).replace(ignore_index=-1)
    yield _with_target(legal, 0, -100).replace(ignore_index=1)
    yield _with_target(legal, size - 1, -101)
    yield _with_target(legal, 0, -1).replace(ignore_index=255)


def _with_target(call: Call, position: int, value: int) -> Call:
    target = call["target"].copy()
    target.reshape(-1)[position] = value
    return call.replace(target=target)


def _bad_shapes(legal: Call) -> Iterator[Call]:
    """ERR-3, ERR-4 and ERR-5."""
    x, target = legal["input"], legal["target"]

    def to(array: Array) -> Call:
        return legal.replace(target=array)

    if x.ndim > 1:
        yield to(np.concatenate([target, target[:1]]))
        yield to(target[:-1])
        yield to(target[:1])
        yield to(target[:0])
        yield legal.replace(input=x[:1])
        yield to(np.array(0))
        one_hot = np.zeros(x.shape, np.int64)
        yield to(one_hot)
        yield to(np.expand_dims(target, 1))
    else:
        yield to(np.zeros(1, np.int64))
        yield to(np.zeros(x.shape[0], np.int64))
    if x.ndim > 2:
        yield to(np.ascontiguousarray(target[..., :1]))
        yield to(target.reshape(-1))
        yield to(np.ascontiguousarray(target.T))
        yield to(target.reshape(target.shape[0], 1, -1) if x.ndim == 4 else target.reshape(1, -1))
        yield to(np.concatenate([target, target], axis=-1))
    yield to(target[..., None])
    yield legal.replace(input=x.reshape(-1)[:1].reshape(()), target=np.array(0), weight=None)
    yield from (legal.replace(weight=weight) for weight in _bad_weights(legal))


def _bad_weights(legal: Call) -> Iterator[Array]:
    classes = legal["input"].shape[min(1, legal["input"].ndim - 1)]
    dtype = legal["input"].dtype
    for shape in ((classes + 1,), (classes - 1,), (1,), (0,), (1, classes), (classes, 1), ()):
        if shape != (classes,):
            yield np.ones(shape, dtype)


def _bad_dtypes(legal: Call) -> Iterator[Call]:
    """ERR-7, ERR-8 and DTYPE-4."""
    classes = legal["input"].shape[min(1, legal["input"].ndim - 1)]
    for name in ("float32", "float64", "bool"):
        yield legal.replace(target=np.zeros(legal["target"].shape, name))
    for name in ("int32", "int64", "uint8", "bool", "complex64"):
        yield legal.replace(input=np.ones(legal["input"].shape, name), weight=None)
    other: Any = dtype_of("float64" if legal.dtype != "float64" else "float32")
    yield legal.replace(weight=np.ones(classes, other))
    yield legal.replace(weight=np.ones(classes, np.int64))
