"""What is timed: points, the most telling ones first, and the arrays that a point stands for."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from ...reports.bench import Point
from ...specs.call import Array, Call, Transform, dtype_of
from ...specs.layouts import lay
from ...specs.nll_loss.generate import DEFAULT
from ...specs.nll_loss.signature import NLL_LOSS

SIZES = (1, 16, 256, 4096, 65536, 1 << 20)
CLASSES = (2, 16, 64, 256, 1024, 32000)
PIXELS = (7, 56, 224)
DTYPES = ("float32", "bfloat16", "float16", "float64")
# Copies of input that live at once: one per framework, and what a dense baseline makes of it.
_COPIES = 6
_ROWS = 1024  # rows of log-probabilities that are drawn; further ones repeat them, which costs no time to draw


def points(memory: int) -> list[Point]:
    """The whole sweep, in the order in which it is worth its time, without what does not fit into memory (bytes)."""
    return [one for one in dict.fromkeys(_points()) if _COPIES * _bytes(one) <= memory]


def _points() -> Iterator[Point]:
    core = Point(n=65536, classes=256)

    def but(**fields: Any) -> Point:
        return msgspec.structs.replace(core, **fields)

    yield core
    yield but(n=16)
    yield but(n=256, work="both")
    yield but(classes=16)
    yield but(n=4096)
    yield but(n=256, classes=32000)
    yield but(weighted=True, ignored=0.1)
    yield but(n=16, classes=64, spatial=(56, 56))
    yield but(work="both")  # a gradient of 64 MB: several times as dear as the points before
    yield but(classes=1024)
    yield but(dtype="bfloat16")
    yield but(n=4096, work="backward")
    yield but(work="backward")
    yield but(reduction="none")
    yield but(order="sorted")
    yield but(n=16, work="both")
    yield but(classes=64)
    yield but(classes=2)
    yield but(n=1)
    yield but(n=256)
    yield but(dtype="float16")
    yield but(dtype="float64")
    yield but(n=1 << 20, classes=16)
    yield but(ignored=1.0)
    yield but(order="constant")
    yield but(reduction="sum")
    yield but(layout="transposed")
    for side, work in itertools.product(PIXELS, ("forward", "both")):
        yield but(n=16, classes=64, spatial=(side, side), work=work)
        yield but(n=16, classes=64, spatial=(side, side), work=work, weighted=True, ignored=0.1)
    for work, dtype in itertools.product(("forward", "both", "backward"), DTYPES):
        for n, classes in itertools.product(SIZES, CLASSES):
            yield but(n=n, classes=classes, work=work, dtype=dtype)


def _bytes(point: Point) -> int:
    return math.prod(point.shape) * dtype_of(point.dtype).itemsize


def memory_cap() -> int:
    """Bytes that one point may take: a quarter of the machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4


def call_of(point: Point, seed: int) -> Call:
    """The call that a point stands for: log-probabilities, and the upstream gradient 1 unless only the loss counts."""
    rng = np.random.default_rng([seed, point.n, point.classes])
    dtype = dtype_of(point.dtype)
    rows = min(point.n, _ROWS)
    drawn = rng.standard_normal((rows, *point.shape[1:]), np.float32)
    drawn -= np.log(np.exp(drawn).sum(1, keepdims=True))
    x = np.resize(drawn.astype(dtype), point.shape) if rows < point.n else drawn.astype(dtype)
    shape = (point.n, *point.spatial)
    target = _targets(point, rng, shape)
    weight = rng.uniform(0.5, 2, point.classes).astype(dtype) if point.weighted else None
    omitted = ("ignore_index",) if weight is not None else ("weight", "ignore_index")
    call = NLL_LOSS.call(x, target, weight, DEFAULT, point.reduction, omitted=omitted)
    if point.layout != "c":
        call = call.replace(input=lay(x, point.layout))
    if point.work == "forward":
        return call
    upstream = np.ones(shape if point.reduction == "none" else (), dtype)
    return call.replace(transform=Transform("gradient", upstream))


def _targets(point: Point, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    match point.order:
        case "constant":
            target = np.full(shape, point.classes // 2)
        case "sorted":
            target = np.sort(rng.integers(point.classes, size=shape), axis=None).reshape(shape)
        case _:
            target = rng.integers(point.classes, size=shape)
    if point.ignored:
        target[rng.random(shape) < point.ignored] = DEFAULT
    return target
