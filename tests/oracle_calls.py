"""Calls for tests of the oracle, generated and by hand, and what it expects of those."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import second_formats
from lossparity.specs.call import Array, Call, dtype_of
from lossparity.specs.case import Exactly, Limit, Returns
from lossparity.specs.nll_loss import oracle
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.reductions import Reduction

from .in_formats import cast

NAN, INF = math.nan, math.inf
VALUES = ("log_probabilities", "mixed", "bits", "pool", "subnormal", "huge", "wide")
WEIGHTS = (
    "none", "ones", "zeros", "negative", "cancelling", "tiny", "huge", "nan", "inf", "subnormal",
    "minus_zero", "random", "bits",
)  # fmt: skip
SENTINELS = (-100, -1, 255, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1, "first", "last", "C", "C+1")


def random_bits(rng: np.random.Generator, shape: tuple[int, ...], name: str) -> Array:
    """Any bit pattern: NaNs, infinities and subnormals as often as their share of the format."""
    dtype = dtype_of(name)
    return np.frombuffer(rng.bytes(math.prod(shape) * dtype.itemsize), dtype).reshape(shape).copy()


def pool(name: str) -> Array:
    """Numbers at the edges of a format."""
    tiny, mu = float(second_formats.smallest_normal(name)), float(second_formats.spacing(name))
    largest = float(second_formats.decode(second_formats.infinity_code(name) - 1, name))
    sizes = [0, 1, 3, mu, 3 * mu, tiny, tiny - mu, 1.5 * tiny, math.sqrt(tiny)]
    sizes += [largest, largest / 2, math.sqrt(largest)]
    return cast([*sizes, *(-size for size in sizes), NAN, INF, -INF], name)


def values(rng: np.random.Generator, kind: str, shape: tuple[int, ...], name: str) -> Array:
    """An input array of one kind."""
    edges = pool(name)
    tiny, largest = float(second_formats.smallest_normal(name)), float(np.nanmax(edges[np.isfinite(edges)]))
    match kind:
        case "log_probabilities":
            return cast(-rng.exponential(3, shape), name)
        case "mixed":
            return cast(rng.normal(size=shape), name)
        case "bits":
            return random_bits(rng, shape, name)
        case "pool":
            return rng.choice(edges.astype(np.float64), shape).astype(edges.dtype)
        case "subnormal":
            return cast(rng.uniform(-2, 2, shape) * tiny, name)
        case "huge":
            return cast(rng.uniform(-1, 1, shape) * largest, name)
        case _:  # a wide range that stays finite
            low, high = math.log2(tiny) - 8, math.log2(largest) - 1
            return cast(rng.choice([-1, 1], shape) * 2.0 ** rng.uniform(low, high, shape), name)


def weights(rng: np.random.Generator, kind: str, classes: int, name: str) -> Array | None:
    """A weight array of one kind, or None."""
    tiny = float(second_formats.smallest_normal(name))
    largest = float(second_formats.decode(second_formats.infinity_code(name) - 1, name))
    base = rng.integers(1, 9, classes) / 4
    match kind:
        case "none":
            return None
        case "ones":
            return cast(np.ones(classes), name)
        case "zeros":
            return cast(base * (rng.random(classes) < 0.3), name)
        case "negative":
            return cast(-base, name)
        case "cancelling":
            return cast(np.resize([1, -1], classes) * rng.choice([1, 0.75]), name)
        case "tiny":
            return cast(base * tiny * 4, name)
        case "huge":
            return cast(base / 2 * largest, name)
        case "nan" | "inf":
            base[rng.integers(classes) : classes] = NAN if kind == "nan" else rng.choice([INF, -INF])
            return cast(base, name)
        case "subnormal":
            return cast(base / 4 * tiny, name)
        case "minus_zero":
            return cast(np.where(rng.random(classes) < 0.6, -0.0, base * rng.choice([-1, 1], classes)), name)
        case "bits":
            return random_bits(rng, (classes,), name)
        case _:
            return cast(rng.normal(size=classes), name)


def targets(
    rng: np.random.Generator, shape: tuple[int, ...], classes: int, name: str, sentinel: int, stray: bool
) -> Array:
    """Targets in range, some of them the sentinel where its dtype holds it, one out of range when `stray`."""
    info = np.iinfo(name)
    array = rng.integers(0, max(min(classes, int(info.max) + 1), 1), shape, dtype=np.int64).astype(name)
    array = np.asarray(array)
    if info.min <= sentinel <= info.max:
        array[rng.random(shape) < rng.choice([0, 0.3, 0.9, 1])] = sentinel
    if classes == 0 and not info.min <= sentinel <= info.max:
        return array  # all of them are out of range
    if classes == 0:
        array[...] = sentinel
    outside = [label for label in (classes, -1, -100, -classes, int(info.max), int(info.min), 156, 2**32) if
               info.min <= label <= info.max and not 0 <= label < classes]  # fmt: skip
    if stray and array.size and outside:
        array.flat[rng.integers(array.size)] = outside[rng.integers(len(outside))]
    return array


def make_call(
    seed: int,
    dtype: str,
    target_dtype: str,
    shape: tuple[int, ...],
    kinds: tuple[str, str],
    sentinel: int | str,
    reduction: str,
    stray: bool = False,
) -> Call:
    """One call with legal shapes and dtypes; shape is the input's."""
    rng = np.random.default_rng(seed)
    classes = shape[1] if len(shape) > 1 else shape[0]
    named = {"first": 0, "last": classes - 1, "C": classes, "C+1": classes + 1}
    ignore_index = named[sentinel] if isinstance(sentinel, str) else sentinel
    positions = shape[:1] + shape[2:] if len(shape) > 1 else ()
    weight = weights(rng, kinds[1], classes, dtype) if classes else None
    return NLL_LOSS.call(
        values(rng, kinds[0], shape, dtype),
        targets(rng, positions, classes, target_dtype, ignore_index, stray),
        weight,
        ignore_index,
        reduction,
    )


GOOD = {
    "input": np.ones((4, 3), np.float32),
    "target": np.array([0, 1, 2, 0]),
    "weight": np.ones(3, np.float32),
}


def f32(*numbers: float) -> Array:
    """A float32 array."""
    return np.array(numbers, np.float32)


def per_position(x: Array, w: Array | None, reduction: str = "mean", **options: Any) -> Call:
    """A call in which position n selects x[n] and w[n]: class n at position n."""
    n = x.size
    rows = np.full((n, n), np.nan, x.dtype)
    np.fill_diagonal(rows, x)
    return NLL_LOSS.call(rows, np.arange(n), w, reduction=reduction, **options)


def limit_of(call: Call) -> Limit:
    expected = oracle.expect(call)
    assert isinstance(expected, Returns)
    assert expected.shape == ()
    assert isinstance(expected.value, Limit)
    return expected.value


def element_of(call: Call) -> Exactly:
    expected = oracle.expect(call)
    assert isinstance(expected, Returns)
    assert isinstance(expected.value, Exactly)
    return expected.value


def reduction_of(call: Call) -> Reduction:
    expected = oracle.expect(call)
    assert isinstance(expected, Returns)
    assert isinstance(expected.value, Reduction)
    return expected.value
