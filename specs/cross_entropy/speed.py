"""How `cross_entropy` is timed: points, the most telling ones first, their calls, and what a call takes at least."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np

from ..call import Array, Call, dtype_of
from ..speed import Point, Speed, Traffic, dense
from .signature import CROSS_ENTROPY

SIZES = (1, 16, 256, 4096, 65536)
CLASSES = (2, 10, 64, 256, 1000, 4096, 32000, 128000)
PIXELS = (7, 56, 224)
DTYPES = ("float32", "bfloat16", "float16", "float64")
IGNORED = -100
_ENTRIES = 1 << 22  # that a call of the grid has at most: the exact answer comes first, a microsecond for each
_DRAWN = 1 << 20  # numbers that are drawn; the others repeat them, which costs no time to draw


# --- points ----------------------------------------------------------------------------------------------


def point(
    *,
    n: int,
    classes: int,
    spatial: tuple[int, ...] = (),
    dtype: str = "float32",
    work: str = "forward",
    reduction: str = "mean",
    targets: str = "indices",
    weights: bool = False,
    ignored: float = 0.0,
    smoothing: float = 0.0,
) -> Point:
    """A point with so many samples and classes, its name saying only what is unusual.

    `targets` are indices or probabilities, `ignored` is a share of the positions.
    """
    parts = [work, f"N={n}", f"C={classes}", dtype, reduction]
    parts += [f"D={'x'.join(map(str, spatial))}"] if spatial else []
    parts += [targets] if targets != "indices" else []
    parts += ["weights"] if weights else []
    parts += [f"{ignored:.0%} ignored"] if ignored else []
    parts += [f"smoothing {smoothing:g}"] if smoothing else []
    return Point(
        loss=CROSS_ENTROPY.loss,
        sizes={"N": n, "C": classes} | {f"d{number}": length for number, length in enumerate(spatial, 1)},
        dtype=dtype,
        work=work,
        choices={
            "reduction": reduction,
            "targets": targets,
            "weights": weights,
            "ignored": ignored,
            "smoothing": smoothing,
        },
        name=" ".join(parts),
    )


def points() -> Iterator[Point]:
    """The whole sweep, in the order in which it is worth its time; some come twice."""
    but = functools.partial(point, n=1024, classes=1000)
    yield but()
    yield but(work="both")
    yield but(n=4, classes=128000, work="both")
    yield but(n=256, classes=10)
    yield but(n=65536, classes=10, work="both")
    yield but(dtype="bfloat16", work="both")
    yield but(n=4, classes=128000)
    yield but(weights=True, ignored=0.1)
    yield but(smoothing=0.1, work="both")
    yield but(targets="probabilities", work="both")
    yield but(n=16, classes=64, spatial=(56, 56), work="both")
    yield but(n=65536, classes=2)
    yield but(work="backward")
    yield but(n=16)
    yield but(n=16, classes=32000, work="both")
    yield but(dtype="bfloat16")
    yield but(dtype="float16")
    yield but(dtype="float64")
    yield but(reduction="none")
    yield but(classes=64)
    yield but(classes=256)
    yield but(n=256, classes=4096)
    yield but(smoothing=0.1)
    yield but(targets="probabilities")
    yield but(n=1, classes=128000)
    yield but(ignored=0.9)
    for side, work in itertools.product(PIXELS, ("forward", "both")):
        yield but(n=16, classes=20, spatial=(side, side), work=work)
        yield but(n=16, classes=20, spatial=(side, side), work=work, weights=True, ignored=0.1)
    for work, dtype in itertools.product(("forward", "both", "backward"), DTYPES):
        for n, classes in itertools.product(SIZES, CLASSES):
            if n * classes <= _ENTRIES:
                yield but(n=n, classes=classes, work=work, dtype=dtype)


def asks(point: Point) -> list[str]:
    """What a point has of what some baselines cannot do."""
    asked = {
        "weight": point.choices["weights"],
        "ignored positions": point.choices["ignored"],
        "spatial axes": len(point.sizes) > 2,
        "label smoothing": point.choices["smoothing"],
        "probabilities": point.choices["targets"] == "probabilities",
        "indices": point.choices["targets"] == "indices",
    }
    return [what for what, is_asked in asked.items() if is_asked]


# --- calls -----------------------------------------------------------------------------------------------


def call_of(point: Point, seed: int) -> Call:
    """Ordinary logits, and targets of the kind that the point has."""
    n, classes, *spatial = point.sizes.values()
    rng = np.random.default_rng([seed, n, classes])
    dtype = dtype_of(point.dtype)
    drawn = rng.standard_normal(min(math.prod(point.sizes.values()), _DRAWN), np.float32)
    x = np.resize(drawn.astype(dtype), (n, classes, *spatial))
    target = _probabilities(x) if point.choices["targets"] == "probabilities" else _indices(point, rng)
    weight = rng.uniform(0.5, 2, classes).astype(dtype) if point.choices["weights"] else None
    smoothing = point.choices["smoothing"]
    omitted = [name for name, is_out in (("weight", weight is None), ("label_smoothing", not smoothing)) if is_out]
    return CROSS_ENTROPY.call(
        x, target, weight, IGNORED, point.choices["reduction"], smoothing, omitted=("ignore_index", *omitted)
    )


def _indices(point: Point, rng: np.random.Generator) -> Array:
    n, classes, *spatial = point.sizes.values()
    target = rng.integers(classes, size=(n, *spatial))
    target[rng.random(target.shape) < float(point.choices["ignored"])] = IGNORED
    return target


def _probabilities(x: Array) -> Array:
    """As large as the logits, and positive; nobody asks that they sum to 1."""
    return (np.abs(x[::-1]) * x.dtype.type(2 / x.shape[1])).astype(x.dtype)


# --- what a call takes -----------------------------------------------------------------------------------


def _positions(call: Call) -> tuple[int, ...]:
    x = call["input"].shape
    return x[:1] + x[2:]


def shape(call: Call) -> tuple[int, ...]:
    """That of the value."""
    return _positions(call) if call["reduction"] == "none" else ()


def _exponentials(call: Call) -> int:
    """One for each number but the largest ones of each position, which are 1 after the shift."""
    return call["input"].size - math.prod(_positions(call))


_without_ignoring = dense(shape, _exponentials)


def traffic(call: Call, work: str, line: int) -> Traffic:
    """All arrays once, but for the logits of ignored positions, of which nothing is needed."""
    found, target = _without_ignoring(call, work, line), call["target"]
    if target.dtype.kind not in "iu":
        return found
    ignored = int(np.count_nonzero(target == call["ignore_index"]))
    classes = call["input"].shape[1]
    return dataclasses.replace(
        found,
        read=found.read - ignored * classes * call["input"].itemsize,
        exponentials=max(0, found.exponentials - ignored * (classes - 1)),
    )


SPEED = Speed(
    points=points,
    call_of=call_of,
    traffic=traffic,
    cold=point(n=4096, classes=256),
    memory=tuple(
        point(n=16384, classes=1000, work=work, targets=targets)
        for targets in ("indices", "probabilities")
        for work in ("forward", "both")
    ),
    asks=asks,
)
