"""How `nll_loss` is timed: points, the most telling ones first, their calls, and what a call has to move.

Memory moves in lines: a gather of single numbers costs a line for each line that holds one of them, counted here from
the targets themselves, not estimated. What a cache saves when lines are met again is in that count; what it saves
between two calls is not.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from ..call import Array, Call, dtype_of
from ..classes.structure import DEFAULT
from ..classes.targets import class_axis
from ..layouts import lay
from ..speed import Point, Speed, Traffic
from .oracle import select
from .signature import NLL_LOSS

SIZES = (1, 16, 256, 4096, 65536, 1 << 20)
CLASSES = (2, 16, 64, 256, 1024, 32000)
PIXELS = (7, 56, 224)
DTYPES = ("float32", "bfloat16", "float16", "float64")
_ROWS = 1024  # rows of log-probabilities that are drawn; further ones repeat them, which costs no time to draw


# --- points ----------------------------------------------------------------------------------------------


def point(
    *,
    n: int,
    classes: int,
    spatial: tuple[int, ...] = (),
    dtype: str = "float32",
    work: str = "forward",
    reduction: str = "mean",
    weighted: bool = False,
    ignored: float = 0.0,
    order: str = "random",
    layout: str = "c",
) -> Point:
    """A point with so many samples and classes, its name saying only what is unusual.

    `ignored` is a share of the positions, `order` that of the targets: random, sorted or constant.
    """
    parts = [work, f"N={n}", f"C={classes}", dtype, reduction]
    parts += [f"D={'x'.join(map(str, spatial))}"] if spatial else []
    parts += ["weights"] if weighted else []
    parts += [f"{ignored:.0%} ignored"] if ignored else []
    parts += [f"{order} targets"] if order != "random" else []
    parts += [layout] if layout != "c" else []
    return Point(
        loss=NLL_LOSS.loss,
        sizes={"N": n, "C": classes} | {f"d{number}": length for number, length in enumerate(spatial, 1)},
        dtype=dtype,
        work=work,
        choices={"reduction": reduction, "weighted": weighted, "ignored": ignored, "order": order, "layout": layout},
        name=" ".join(parts),
    )


def points() -> Iterator[Point]:
    """The whole sweep, in the order in which it is worth its time; some come twice."""
    but = functools.partial(point, n=65536, classes=256)
    yield but()
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


def asks(point: Point) -> list[str]:
    """What a point has of what some baselines cannot do."""
    asked = {
        "weight": point.choices["weighted"],
        "ignored positions": point.choices["ignored"],
        "spatial axes": len(point.sizes) > 2,
    }
    return [what for what, is_asked in asked.items() if is_asked]


# --- calls -----------------------------------------------------------------------------------------------


def call_of(point: Point, seed: int) -> Call:
    """The call of a point: log-probabilities."""
    n, classes, *spatial = point.sizes.values()
    rng = np.random.default_rng([seed, n, classes])
    dtype = dtype_of(point.dtype)
    rows = min(n, _ROWS)
    drawn = rng.standard_normal((rows, classes, *spatial), np.float32)
    drawn -= np.log(np.exp(drawn).sum(1, keepdims=True))
    x = np.resize(drawn.astype(dtype), (n, *drawn.shape[1:])) if rows < n else drawn.astype(dtype)
    target = _targets(point, rng, (n, *spatial))
    weight = rng.uniform(0.5, 2, classes).astype(dtype) if point.choices["weighted"] else None
    omitted = ("ignore_index",) if weight is not None else ("weight", "ignore_index")
    call = NLL_LOSS.call(x, target, weight, DEFAULT, point.choices["reduction"], omitted=omitted)
    layout = point.choices["layout"]
    return call if layout == "c" else call.replace(input=lay(x, str(layout)))


def _targets(point: Point, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    classes, ignored = point.sizes["C"], float(point.choices["ignored"])
    match point.choices["order"]:
        case "constant":
            target = np.full(shape, classes // 2)
        case "sorted":
            target = np.sort(rng.integers(classes, size=shape), axis=None).reshape(shape)
        case _:
            target = rng.integers(classes, size=shape)
    if ignored:
        target[rng.random(shape) < ignored] = DEFAULT
    return target


# --- what a call has to move -----------------------------------------------------------------------------


def traffic(call: Call, work: str, line: int) -> Traffic:
    """What a legal call has to move: for the loss ("forward"), its gradient ("backward") or both.

    The loss reads the targets and each line of input and weight that holds a selected number, and writes its result.
    The gradient reads targets, weights and the upstream gradient, and writes an array as large as the input.
    """
    selection = select(call)
    result = call["target"].size if call["reduction"] == "none" else 1
    size, labels = call["input"].itemsize, call["target"][selection.kept & selection.valid]
    read, written, lines = call["target"].nbytes, 0, 0
    if call["weight"] is not None:
        read += _lines(call["weight"], labels.astype(np.int64) * call["weight"].strides[0], line) * line
    if work != "backward":
        lines = _lines(call["input"], selected_offsets(call), line)
        read += lines * line
        written += result * size
    if work != "forward":
        read += result * size
        written += call["input"].size * size
    return Traffic(read, written, lines)


def selected_offsets(call: Call) -> Array:
    """Bytes from the input's first element to each number that a kept target selects, in the order of the targets."""
    selection, strides = select(call), call["input"].strides
    axis = class_axis(call["input"])
    offsets = np.zeros(call["target"].shape, np.int64)
    for dimension, step in enumerate(strides[:axis] + strides[axis + 1 :]):
        shape = [-1 if place == dimension else 1 for place in range(call["target"].ndim)]
        offsets = offsets + np.arange(call["target"].shape[dimension]).reshape(shape) * step
    chosen = selection.kept & selection.valid
    return offsets[chosen] + call["target"][chosen].astype(np.int64) * strides[axis]


def _lines(array: Array, offsets: Array, line: int) -> int:
    """Distinct lines among these bytes of an array, as it lies in memory."""
    if not offsets.size:
        return 0
    start = array.__array_interface__["data"][0]
    places = (start + offsets) // line
    first = int(places.min())
    met = np.zeros(int(places.max()) - first + 1, bool)
    met[places - first] = True
    return int(np.count_nonzero(met))


SPEED = Speed(
    points=points,
    call_of=call_of,
    traffic=traffic,
    cold=point(n=4096, classes=256),
    memory=tuple(point(n=65536, classes=256, work=work) for work in ("forward", "both")),
    asks=asks,
    offsets=selected_offsets,
)
