"""Structures that are always in the corpus: what no covering array would meet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from ..call import TARGET_DTYPES
from ..classes.corpus import SENTINELS
from ..classes.shapes import CORE, EDGES, HUGE_CLASSES, LONG, LONG_COMPILED, RANKS, Size, signature_of
from ..classes.structure import Structure
from ..layouts import LAYOUTS
from .pinned_gradients import pinned_gradients

Pinned = Callable[[str, Size], Iterator[tuple[int, Structure]]]  # of a dtype: a tier, and what it is for

LAYOUT_SHAPES = ((6,), (6, 5), (4, 3, 2), (2, 3, 4, 5), (2, 3, 2, 4, 2))


def _shapes(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    for shape in (*CORE, *RANKS):
        weighted, target_dtype = signature_of(shape)
        tier = 1 if shape in CORE else 2
        yield tier, Structure(shape, dtype, target_dtype, "dyadic" if weighted else "none", inputs="dyadic")
    if dtype == "float32":  # one dtype is enough for compilers to which a signature is dear
        for shape in ((5,), (1, 3, 1, 1), (0, 4), (2, 3, 0)):
            yield 1, Structure(shape, dtype, inputs="dyadic")
    yield 3, Structure((2, 3, 2, 1, 2, 2, 2), dtype, weights="dyadic", inputs="dyadic")
    for shape in ((3, 0), (0, 0), (2, 0, 3), (0,)):
        yield 3, Structure(shape, dtype, mask="all")


def _values(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    for omitted in (("weight", "ignore_index", "reduction"), ("ignore_index",), ("reduction",)):
        yield 1, Structure(CORE[0], dtype, omitted=omitted, reductions=("mean",))
    if dtype == "float32":
        yield 1, Structure((3, 300), dtype, targets="extremes", inputs="dyadic")
    for shape, target_dtype in (
        ((3, 129), "uint8"),
        ((3, 300), "int16"),
        ((2, 32769), "uint16"),
        ((2, 65537), "int32"),
    ):
        yield 2, Structure(shape, dtype, target_dtype, targets="extremes", mask="no", inputs="dyadic")
    for n in sorted(EDGES):
        yield 3, Structure((n, 3), dtype, inputs="dyadic", mask="no")
        yield 3, Structure((n, 2), dtype, inputs="constant", mask="no", weights="random")
    for shape in HUGE_CLASSES:
        for target_dtype in TARGET_DTYPES:
            yield 3, Structure(shape, dtype, target_dtype, targets="extremes", mask="no", inputs="dyadic")


def _ignoring(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    if dtype == "float32":
        for seed in range(4):
            yield 1, Structure(CORE[0], dtype, "int32", sentinel=2**40 + 1, inputs="dyadic", seed=seed)
    for sentinel in SENTINELS:
        yield 2, Structure((33, 7), dtype, "int32", "dyadic", sentinel, inputs="dyadic")
        yield 3, Structure((12, 5), dtype, sentinel=sentinel, inputs="dyadic", weights="dyadic")
    for target_dtype, sentinel in (
        ("uint8", -100),
        ("uint8", -1),
        ("int8", 156),
        ("int8", 256 + 3),
        ("uint16", -100),
        ("uint8", 256 + 3),
        ("uint32", 2**31),
    ):
        for weights in ("none", "dyadic"):
            yield 3, Structure((40, 300), dtype, target_dtype, weights, sentinel, inputs="dyadic", targets="extremes")
            yield 3, Structure((600, 260), dtype, target_dtype, weights, sentinel, inputs="dyadic", targets="sorted")
    for shape in ((4096, 2), (4096, 3, 2), (16, 2, 256), (2, 2, 64, 64)):
        for mask in ("every", "all_but_every", "prefix", "all_but_one", "all"):
            yield 3, Structure(shape, dtype, inputs="log_probabilities", mask=mask)


def _accuracy(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    for inputs in ("log_probabilities", "dyadic", "constant"):
        yield 1, Structure(LONG_COMPILED, dtype, inputs=inputs, reductions=("sum", "mean"))
    longer = ((2**20, 2),) if size.longest >= 2**20 else ()
    for shape in (*LONG, *longer):
        for inputs in ("log_probabilities", "constant", "swamped", "positive"):
            yield 3, Structure(shape, dtype, inputs=inputs, mask="no")
        for mask in ("some", "every", "every", "all_but_every"):
            yield 3, Structure(shape, dtype, mask=mask)
        yield 3, Structure(shape, dtype, inputs="dyadic", mask="some", weights="dyadic")
        yield 3, Structure(shape, dtype, inputs="wide", mask="no")


def _special(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    for shape in (*CORE, (33, 7)):
        weighted, target_dtype = signature_of(shape)
        weights = "ones" if weighted else "none"
        tier = 1 if shape in CORE else 2
        for inputs in ("near_overflow", "subnormal"):
            yield tier, Structure(shape, dtype, target_dtype, weights, inputs=inputs, mask="no")
    for n in (40, 3000, 65537):
        yield 3, Structure((n, 2), dtype, inputs="very_negative", mask="no")
        yield 3, Structure((n, 2), dtype, inputs="near_overflow", mask="no")


def _weights(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    """S/0 with S not 0, of either sign: weights 1 and -1 cancel where both classes are met equally often."""
    for seed in range(4):
        structure = Structure((8, 4), dtype, weights="cancelling", inputs="dyadic", targets="sorted", mask="no")
        yield 2, dataclasses.replace(structure, seed=seed)


def _layouts(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    if dtype == "float32":  # a compiler compiles anew for each set of strides
        for layout, asks in (("channels_last", ""), ("transposed", "gradient")):
            yield 1, Structure(CORE[1], dtype, weights="random", asks=asks, layouts=(("input", layout),))
    arrays = ("input", "target", "weight", "upstream")
    for shape in LAYOUT_SHAPES:
        for layout in LAYOUTS:
            for asks in ("", "gradient"):
                plain = Structure(shape, dtype, weights="random", upstream="random", asks=asks)
                for name in arrays if asks else arrays[:3]:
                    yield 3, dataclasses.replace(plain, layouts=((name, layout),), unweighted_too=name != "weight")
                both = tuple((name, layout) for name in arrays)
                yield 3, dataclasses.replace(plain, layouts=both, target_dtype="uint8" if len(shape) < 3 else "int64")


PINNED: dict[str, Pinned] = {
    "shape": _shapes,
    "value": _values,
    "ignore": _ignoring,
    "weight": _weights,
    "special": _special,
    "accuracy": _accuracy,
    "gradient": pinned_gradients,
    "layout": _layouts,
}
