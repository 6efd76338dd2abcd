"""How `log_softmax` is timed: points, the most telling ones first, their calls, and what a call takes at least."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np

from ..call import Call, dtype_of
from ..speed import Point, Speed, dense
from .signature import LOG_SOFTMAX

SIZES = (1, 16, 256, 4096, 65536)
CLASSES = (2, 10, 64, 256, 1000, 4096, 32000, 128000)
DTYPES = ("float32", "bfloat16", "float16", "float64")
_ENTRIES = 1 << 22  # that a call of the grid has at most: the exact answer comes first, a microsecond for each
_DRAWN = 1 << 20  # numbers that are drawn; the others repeat them, which costs no time to draw


def point(
    *, n: int, classes: int, pixels: int = 0, dim: int = 1, dtype: str = "float32", work: str = "forward"
) -> Point:
    """A point with so many samples and classes, and of images where there are pixels, normalised along an axis."""
    sizes = {"N": n, "C": classes} | ({"d1": pixels} if pixels else {})
    return Point(loss=LOG_SOFTMAX.loss, sizes=sizes, dtype=dtype, work=work, choices={"dim": dim})


def points() -> Iterator[Point]:
    """The whole sweep, in the order in which it is worth its time; some come twice."""
    but = functools.partial(point, n=1024, classes=1000)
    yield but()
    yield but(work="both")
    yield but(n=4, classes=128000)
    yield but(n=256, classes=10)
    yield but(n=65536, classes=10)
    yield but(dtype="bfloat16", work="both")
    yield but(n=65536, classes=2)
    yield but(work="backward")
    yield but(n=16)
    yield but(n=16, classes=32000, work="both")
    yield but(dtype="bfloat16")
    yield but(dtype="float64")
    yield but(classes=64)
    yield but(classes=256)
    yield but(n=256, classes=4096)
    yield but(n=1, classes=128000)
    yield but(dim=0)
    yield but(n=16, classes=64, pixels=56 * 56)
    for work, dtype in itertools.product(("forward", "both", "backward"), DTYPES):
        for n, classes in itertools.product(SIZES, CLASSES):
            if n * classes <= _ENTRIES:
                yield but(n=n, classes=classes, work=work, dtype=dtype)


def call_of(point: Point, seed: int) -> Call:
    """Ordinary logits."""
    sizes, dtype = tuple(point.sizes.values()), dtype_of(point.dtype)
    drawn = np.random.default_rng([seed, *sizes]).standard_normal(min(math.prod(sizes), _DRAWN), np.float32)
    x = np.resize(drawn.astype(dtype), sizes)
    return LOG_SOFTMAX.call(x, point.choices["dim"])


def shape(call: Call) -> tuple[int, ...]:
    """That of the result."""
    return call["input"].shape


def exponentials(call: Call) -> int:
    """One for each number but the largest ones of its row, which are 1 after the shift."""
    x = call["input"]
    return x.size - x.size // x.shape[call["dim"]]


SPEED = Speed(
    points=points,
    call_of=call_of,
    traffic=dense(shape, exponentials),
    cold=point(n=4096, classes=256),
    memory=tuple(point(n=16384, classes=1000, work=work) for work in ("forward", "both")),
    asks=lambda point: ["spatial axes"] if len(point.sizes) > 2 else [],
)
