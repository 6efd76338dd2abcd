"""Calls that must raise: what is wrong with indices, and what only probabilities and smoothing can have wrong."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np

from ..call import REDUCTIONS, Call, dtype_of
from ..case import Case
from ..classes.faults import SHAPES, faulty, nearly_sentinels, with_target
from ..classes.narrow import used_by
from ..classes.targets import class_axis
from ..domain import Domain
from ..loss import Draw
from .faults import structural_faults
from .generate import Structure, asking, base, batch, case_of


def fault_cases(draw: Draw) -> Iterator[Case]:
    """Every kind of fault in one dtype, each under a reduction, and after each batch a legal call (ERR-9)."""
    for number, shape in enumerate(SHAPES):
        if not draw.domain.takes_shape(shape):
            continue
        weights = "dyadic" if shape == SHAPES[1] and "weight" not in draw.domain.absent else "none"
        legal = base(Structure(shape, draw.dtype, weights=weights, inputs="dyadic", mask="no", seed=draw.seed), "error")
        tier = 3 if number > 1 else 1 if draw.dtype == "float32" else 2
        origin = f"corpus error/{draw.dtype}/{number}"
        for count, call in enumerate(_faulty(legal, draw)):
            turns = _reductions(call, count)
            yield from (case_of(call.replace(reduction=turn), "error", tier, f"{origin}/{count}") for turn in turns)
        if _asks(draw.domain, legal):
            yield case_of(legal, "error", tier, origin, also=("ERR-9",))
    yield from _in_batches(draw)


def _reductions(call: Call, count: int) -> tuple[object, ...]:
    """An index that does not exist is tried under each reduction, what else is wrong under one of them."""
    if call["reduction"] not in REDUCTIONS:
        return (call["reduction"],)
    return (REDUCTIONS[count % 3],) if structural_faults(call) else REDUCTIONS


def _asks(domain: Domain, call: Call) -> bool:
    return domain.holds(call, used=used_by)


def _faulty(legal: Call, draw: Draw) -> Iterator[Call]:
    """Illegal calls within the domain; what is legal here is left out."""
    calls = (*(call for _, call in faulty(legal)), *nearly_sentinels(legal), *_of_smoothing(legal), *_soft(legal))
    asked = functools.partial(_asks, draw.domain)
    return (call for call in calls if asked(call))


def _of_smoothing(legal: Call) -> Iterator[Call]:
    """ERR-11."""
    for smoothing in (-0.1, 1.5, math.nan, math.inf, math.nextafter(1.0, 2.0)):
        yield legal.replace(label_smoothing=smoothing)


def _soft(legal: Call) -> Iterator[Call]:
    """ERR-12, ERR-13, and probabilities of another dtype (DTYPE-4)."""
    x = legal["input"]
    axis = class_axis(x)
    p = np.full(x.shape, 1 / x.shape[axis]).astype(x.dtype)
    soft = legal.replace(target=p)
    for sentinel in (0, 1, x.shape[axis], 255):
        yield soft.replace(ignore_index=sentinel)
    for wrong in (p[..., :1], np.take(p, [0], axis), np.concatenate([p, p], axis), p[None], p[..., None]):
        if wrong.shape != x.shape:
            yield soft.replace(target=np.ascontiguousarray(wrong))
    yield soft.replace(target=p.astype(dtype_of("float64" if legal.dtype != "float64" else "float32")))
    yield soft.replace(label_smoothing=-0.1)
    yield soft.replace(reduction="avg")
    yield soft.replace(weight=np.ones(x.shape[axis] + 1, x.dtype))


def _in_batches(draw: Draw) -> Iterator[Case]:
    """Indices that do not exist in one call of a batch, which the others must not be told of."""
    for shape, batched in (((6, 5), ("input", "target")), ((4, 3, 2), ("target",))):
        structure = Structure(shape, draw.dtype, inputs="dyadic", seed=draw.seed, asks="vmap", batched=batched)
        if not draw.domain.takes_shape(shape) or draw.lacks("vmap"):
            continue
        legal = batch(structure, "error")
        for value, reduction in ((structure.classes, "none"), (-1, "mean")):
            call = with_target(legal, legal["target"].size // 2, value).replace(reduction=reduction)
            if _asks(draw.domain, call):
                yield case_of(asking(call, structure, "error"), "error", 3, f"corpus error/{draw.dtype}/batch")
