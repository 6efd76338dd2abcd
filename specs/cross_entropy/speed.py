"""How `cross_entropy` is timed: points, the most telling ones first, and their calls."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from ..call import Call, dtype_of
from ..speed import Point, Speed, dense
from .selection import is_soft, positions_of
from .signature import CROSS_ENTROPY

ROWS = (1, 16, 256, 4096, 65536)
CLASSES = (2, 16, 256, 1024, 32000, 128000)
DTYPES = ("float32", "bfloat16", "float16", "float64")
_DRAWN = 1024  # rows that are drawn; further ones repeat them, which costs no time to draw
_LARGEST = 1 << 25  # elements


def point(
    *,
    n: int,
    classes: int,
    spatial: int = 0,
    dtype: str = "float32",
    work: str = "forward",
    reduction: str = "mean",
    weighted: bool = False,
    ignored: float = 0.0,
    smoothing: float = 0.0,
    soft: bool = False,
) -> Point:
    """A point of so many samples and classes, and of images of so many pixels where `spatial` is not 0.

    `ignored` is a share of the positions; `soft` points have probabilities.
    """
    sizes = {"N": n, "C": classes} | ({"d1": spatial} if spatial else {})
    choices = {"reduction": reduction, "weighted": weighted, "ignored": ignored, "smoothing": smoothing, "soft": soft}
    parts = [work, *(f"{name}={size}" for name, size in sizes.items()), dtype, reduction]
    parts += ["weights"] if weighted else []
    parts += [f"{ignored:.0%} ignored"] if ignored else []
    parts += [f"smoothing {smoothing:g}"] if smoothing else []
    parts += ["probabilities"] if soft else []
    return Point(
        loss=CROSS_ENTROPY.loss, sizes=sizes, dtype=dtype, work=work, choices=choices, name=" ".join(parts)
    )  # fmt: skip


def points() -> Iterator[Point]:
    """The whole sweep, in the order in which it is worth its time; some come twice."""
    but = functools.partial(point, n=4096, classes=256)
    yield but()
    yield but(work="both")
    yield but(n=16)
    yield but(n=256, classes=32000)
    yield but(n=256, classes=32000, work="both")
    yield but(weighted=True, ignored=0.1)
    yield but(smoothing=0.1)
    yield but(soft=True)
    yield but(soft=True, work="both")
    yield but(n=65536, classes=16)
    yield but(dtype="bfloat16")
    yield but(n=16, classes=64, spatial=3136)
    yield but(work="backward")
    yield but(smoothing=0.1, work="both")
    yield but(dtype="float16")
    yield but(dtype="float64")
    yield but(reduction="none")
    for work, dtype in itertools.product(("forward", "both", "backward"), DTYPES):
        for n, classes in itertools.product(ROWS, CLASSES):
            if n * classes <= _LARGEST:
                yield but(n=n, classes=classes, work=work, dtype=dtype)


def call_of(point: Point, seed: int) -> Call:
    """The call of a point: normal logits, random indices or equal probabilities."""
    (n, classes, *spatial), dtype = point.sizes.values(), dtype_of(point.dtype)
    rng = np.random.default_rng([seed, n, classes])
    drawn = rng.standard_normal((min(n, _DRAWN), classes, *spatial), np.float32)
    x = np.resize(drawn.astype(dtype), (n, classes, *spatial))
    weight = rng.uniform(0.25, 2.0, classes).astype(dtype) if point.choices["weighted"] else None
    reduction, smoothing = point.choices["reduction"], point.choices["smoothing"]
    if point.choices["soft"]:
        target = np.full(x.shape, 1 / classes).astype(dtype)
    else:
        target = rng.integers(classes, size=(n, *spatial))
        target[rng.random(target.shape) < float(point.choices["ignored"])] = -100
    return CROSS_ENTROPY.call(x, target, weight, reduction=reduction, label_smoothing=smoothing)


def asks(point: Point) -> list[str]:
    """What a point has of what some baselines cannot do."""
    asked = {
        "weight": point.choices["weighted"],
        "ignored positions": point.choices["ignored"],
        "label_smoothing": point.choices["smoothing"],
        "probability targets": point.choices["soft"],
        "class targets": not point.choices["soft"],
        "spatial axes": len(point.sizes) > 2,
    }
    return [name for name, is_asked in asked.items() if is_asked]


def shape(call: Call) -> tuple[int, ...]:
    """That of the loss."""
    if call["reduction"] != "none":
        return ()
    return positions_of(call) if is_soft(call) else tuple(call["target"].shape)


SPEED = Speed(points=points, call_of=call_of, traffic=dense(shape), cold=point(n=4096, classes=256), asks=asks)
