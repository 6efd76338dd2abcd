"""What stands in the arrays of a generated call besides its input: weights, upstream gradients, targets, masks.

Each function fills from a `Stream` and rounds into a format.
"""

from __future__ import annotations

import math

import numpy as np

from ..call import Array, dtype_of
from ..exact import FORMATS, Format
from ..stream import Stream

# --- weights ---------------------------------------------------------------------------------------------

WEIGHTS = (
    "ones",
    "random",
    "dyadic",
    "some_zero",
    "all_zero",
    "negative",
    "mixed_signs",
    "cancelling",
    "tiny",
    "huge",
    "subnormal",
)


def weights(kind: str, stream: Stream, classes: int, dtype: str) -> Array | None:
    """Per-class weights of one kind, or None for `none`."""
    if kind == "none":
        return None
    return _weights(kind, stream, classes, FORMATS[dtype]).astype(dtype_of(dtype))


def _weights(kind: str, stream: Stream, classes: int, fmt: Format) -> Array:
    match kind:
        case "ones":
            return np.ones(classes)
        case "all_zero":
            return np.zeros(classes)
        case "cancelling":
            return np.where(np.arange(classes) % 2, -1.0, 1.0)
        case "random":
            return 0.25 + 1.75 * stream.uniform(classes)
        case "negative":
            return -0.25 - 1.75 * stream.uniform(classes)
        case "tiny":
            return (0.25 + 1.75 * stream.uniform(classes)) * 2.0 ** (fmt.emin // 4)
        case "huge":
            return (0.25 + 1.75 * stream.uniform(classes)) * 2.0 ** (fmt.emax // 4)
    quarters = stream.integers(1, 9, classes) / 4.0
    match kind:
        case "dyadic":
            return quarters
        case "some_zero":
            return np.where(stream.integers(0, 2, classes) > 0, quarters, 0.0)
        case "mixed_signs":
            return quarters * stream.signs(classes)
        case "subnormal":
            return quarters * 2.0 ** (fmt.emin - 3)
    raise ValueError(f"no kind of weights {kind!r}")


# --- upstream gradients ----------------------------------------------------------------------------------

UPSTREAMS = ("ones", "random", "negative", "dyadic", "zero", "mixed", "tiny", "huge", "nonfinite")


def upstream(kind: str, stream: Stream, shape: tuple[int, ...], dtype: str) -> Array:
    """An upstream gradient of one kind: of one sign but for `mixed`, which holds zeros too, and `nonfinite`."""
    size, fmt = math.prod(shape), FORMATS[dtype]
    return _upstream(kind, stream, size, fmt).astype(dtype_of(dtype)).reshape(shape)


def _upstream(kind: str, stream: Stream, size: int, fmt: Format) -> Array:
    some = 0.25 + 1.75 * stream.uniform(size)
    match kind:
        case "ones":
            return np.ones(size)
        case "zero":
            return np.zeros(size)
        case "random":
            return some
        case "negative":
            return -some
        case "dyadic":
            return stream.integers(1, 33, size) / 8.0
        case "mixed":
            return stream.integers(-2, 3, size) * some
        case "tiny":
            return some * 2.0 ** (fmt.emin // 2)
        case "huge":
            return some * 2.0 ** (fmt.emax // 2)
        case "nonfinite":
            special = np.array([np.inf, np.nan, -np.inf])[stream.integers(0, 3, size)]
            return np.where(stream.uniform(size) < 0.5, special, some) if size > 1 else special
    raise ValueError(f"no kind of upstream gradient {kind!r}")


# --- targets ---------------------------------------------------------------------------------------------

TARGETS = ("random", "sorted", "constant", "runs", "periodic", "absent", "extremes")


def targets(pattern: str, stream: Stream, size: int, classes: int) -> Array:
    """Class indices in one pattern, int64, flat."""
    if classes == 0 or size == 0:
        return np.zeros(size, np.int64)
    position = np.arange(size)
    match pattern:
        case "sorted":
            return position * classes // size
        case "constant":
            return np.full(size, stream.integer(0, classes))
        case "runs":
            return (position // max(1, stream.integer(1, 9))) % classes
        case "periodic":
            return (position * (1 + stream.integer(0, classes))) % classes
        case "absent":  # only even classes occur
            return stream.integers(0, (classes + 1) // 2, size) * 2
        case "extremes":
            return np.where(stream.integers(0, 2, size) > 0, classes - 1, 0)
        case "blocks":
            return np.resize(_ends_of_blocks(stream, classes), size)
        case _:
            return stream.integers(0, classes, size)


def _ends_of_blocks(stream: Stream, classes: int, block: int = 2**15) -> list[int]:
    """Of each block of classes, from the last one back: its last class, one inside of it, and its first."""
    found: list[int] = []
    for first in range((classes - 1) // block * block, -1, -block):
        last = min(first + block, classes) - 1
        inside = first + stream.integer(1, block - 1) if last == first + block - 1 else last
        found += [last, inside, first]
    return list(dict.fromkeys(found))


# --- ignored positions -----------------------------------------------------------------------------------

MASKS = ("no", "some", "runs", "prefix", "suffix", "every", "all_but_every", "all", "all_but_one")


def ignored(mask: str, stream: Stream, size: int) -> Array:
    """Which positions are to be ignored, as booleans, flat.

    `every` ignores each k-th position, k a power of two or next to one, at any phase: block-wise sums that skip
    their bookkeeping on ignored positions show only there.
    """
    position = np.arange(size)
    period = stream.choose([p for p in (2, 3, 4, 5, 8, 16, 17, 32, 64, 128, 256) if p <= max(size, 2)])
    phase = stream.choose([0, period - 1, stream.integer(0, period)])
    cut = stream.integer(0, size + 1) if size else 0
    match mask:
        case "some":
            return stream.integers(0, 4, size) == 0
        case "runs":
            return (position // max(1, stream.integer(1, 17))) % 2 == 1
        case "prefix":
            return position < cut
        case "suffix":
            return position >= cut
        case "every":
            return position % period == phase
        case "all_but_every":
            return position % period != phase
        case "all":
            return np.ones(size, bool)
        case "all_but_one":
            return position != (stream.integer(0, size) if size else 0)
        case _:
            return np.zeros(size, bool)
