"""Calls that must raise: one generator per way of getting the arguments wrong (ERR, IGN-9, DTYPE-4)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from ..call import FLOAT_DTYPES, REDUCTIONS, Call, dtype_of
from ..case import Case
from ..classes.faults import SHAPES, faulty, nearly_sentinels, with_target
from ..classes.narrow import narrowed, used_by
from ..classes.structure import DEFAULT, Structure
from ..classes.targets import structural_faults
from ..loss import Draw
from . import generate


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
        for count, (fault_tier, call) in enumerate(faulty(legal)):
            level = max(tier, fault_tier)
            # Dear compilers meet each structural fault under one reduction: they check before they look at it.
            cheap = min(level + 1, 3)
            kinds = (call["reduction"],) if call["reduction"] not in REDUCTIONS else REDUCTIONS
            for turn in range(len(kinds)):
                once = turn == count % len(kinds) or _is_index_fault(call) and call["ignore_index"] == DEFAULT
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
            call = with_target(legal, legal["target"].size // 2, value)
            tier = 2 if dtype == "float32" and shape == (6, 5) else 3
            for reduction in structure.reductions:
                wanted = call.replace(reduction=reduction)
                yield generate.asking(wanted, structure, "error", tier, f"corpus error/{dtype}/batch")


def _is_index_fault(call: Call) -> bool:
    return not structural_faults(call.replace(reduction="mean"))


def _in_corners(dtype: str, seed: int) -> Iterator[tuple[int, Call]]:
    """(tier, call) for faults where a check is easily forgotten: other ranks, target dtypes, empty batches."""
    yield from ((3, call) for call in _bad_targets_everywhere(dtype, seed))
    plain = generate.base(Structure((6, 5), dtype, inputs="dyadic", mask="no", seed=seed), "error")
    yield from ((2, call) for call in nearly_sentinels(plain))
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
        sentinel = DEFAULT if number % 2 else 1
        structure = Structure(shape, dtype, name, weights, sentinel, "dyadic", mask="some", seed=seed + number)
        legal = generate.base(structure, "error")
        info = np.iinfo(legal["target"].dtype)
        for position in (0, legal["target"].size - 1):
            for value in (structure.classes, -1):
                if info.min <= value <= info.max:
                    yield with_target(legal, position, value)
