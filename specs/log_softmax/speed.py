"""How `log_softmax` is timed: points, the most telling ones first, and their calls."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from ..call import Call, dtype_of
from ..speed import Point, Speed, dense
from .signature import LOG_SOFTMAX

ROWS = (1, 16, 256, 4096, 65536)
CLASSES = (2, 16, 256, 1024, 32000)
DTYPES = ("float32", "bfloat16", "float16", "float64")
_DRAWN = 1024  # rows that are drawn; further ones repeat them, which costs no time to draw
_LARGEST = 1 << 25  # elements


def point(
    *, n: int, classes: int, spatial: int = 0, dim: int = 1, dtype: str = "float32", work: str = "forward"
) -> Point:
    """A point of so many samples and classes, and of images of so many pixels where `spatial` is not 0."""
    sizes = {"N": n, "C": classes} | ({"d1": spatial} if spatial else {})
    return Point(loss=LOG_SOFTMAX.loss, sizes=sizes, dtype=dtype, work=work, choices={"dim": dim})


def points() -> Iterator[Point]:
    """The whole sweep, in the order in which it is worth its time; some come twice."""
    but = functools.partial(point, n=4096, classes=256)
    yield but()
    yield but(n=16)
    yield but(n=256, classes=32000)
    yield but(work="both")
    yield but(n=65536, classes=16)
    yield but(dtype="bfloat16")
    yield but(n=16, classes=64, spatial=3136)
    yield but(dim=0)
    yield but(work="backward")
    yield but(n=256, classes=32000, work="both")
    yield but(dtype="float16")
    yield but(dtype="float64")
    for work, dtype in itertools.product(("forward", "both", "backward"), DTYPES):
        for n, classes in itertools.product(ROWS, CLASSES):
            if n * classes <= _LARGEST:
                yield but(n=n, classes=classes, work=work, dtype=dtype)


def call_of(point: Point, seed: int) -> Call:
    """The call of a point: normal logits."""
    n, classes, *spatial = point.sizes.values()
    drawn = np.random.default_rng([seed, n, classes]).standard_normal((min(n, _DRAWN), classes, *spatial), np.float32)
    x = np.resize(drawn.astype(dtype_of(point.dtype)), (n, classes, *spatial))
    return LOG_SOFTMAX.call(x, point.choices["dim"])


def shape(call: Call) -> tuple[int, ...]:
    """That of the result."""
    return tuple(call["input"].shape)


SPEED = Speed(
    points=points,
    call_of=call_of,
    traffic=dense(shape),
    cold=point(n=4096, classes=256),
    asks=lambda point: ["spatial axes"] if len(point.sizes) > 2 else [],
)
