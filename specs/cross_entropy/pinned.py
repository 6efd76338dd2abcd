"""Structures that are always in the corpus: what no covering array would meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..call import REDUCTIONS, TARGET_DTYPES
from ..classes.corpus import MODES, SENTINELS
from ..classes.shapes import CORE, EDGES, HUGE_CLASSES, RANKS, Size, signature_of
from ..layouts import LAYOUTS
from ..log_softmax.values import INPUTS
from .generate import Structure

Structures = Iterator[tuple[int, Structure]]  # each with its tier
MAIN = "float32"  # the dtype that compilers see most of
PLAIN, WEIGHTED = CORE
LAYOUT_SHAPES = ((6,), (6, 5), (4, 3, 2), (2, 3, 4, 5))
_LONGEST_EDGE = 1025


def _shapes(dtype: str, size: Size) -> Structures:
    for shape in (*CORE, *RANKS):
        weighted, target_dtype = signature_of(shape)
        tier = 1 if shape in CORE else 2
        yield tier, Structure(shape, dtype, target_dtype, "dyadic" if weighted else "none", inputs="dyadic")
    yield 3, Structure((2, 3, 2, 1, 2, 2, 2), dtype, weights="dyadic", inputs="dyadic")
    for shape in ((3, 0), (0, 0), (2, 0, 3), (0,)):
        yield 3, Structure(shape, dtype, mask="all")
        yield 3, Structure(shape, dtype, probabilities="one_hot")


def _values(dtype: str, size: Size) -> Structures:
    for omitted in (("weight", "ignore_index", "reduction", "label_smoothing"), ("ignore_index",), ("reduction",)):
        yield 1, Structure(PLAIN, dtype, omitted=omitted, reductions=("mean",))
    for inputs in INPUTS:
        for shape in ((33, 7), (5, 1), (9, 2), (4, 1000)):
            yield 3, Structure(shape, dtype, inputs=inputs, mask="no")
    for n in sorted(EDGES):
        if n <= _LONGEST_EDGE:
            yield 3, Structure((n, 3), dtype, inputs="dyadic", mask="no", targets="sorted")
    for number, target_dtype in enumerate(TARGET_DTYPES):
        shape = HUGE_CLASSES[number % len(HUGE_CLASSES)]
        yield 3, Structure(shape, dtype, target_dtype, targets="extremes", mask="no", reductions=("none",))
    for inputs in ("ordinary", "equal", "swamped"):
        yield 3, Structure((2, 32000), dtype, inputs=inputs, mask="no", reductions=("none", "mean"))


def _probabilities(dtype: str, size: Size) -> Structures:
    for number, shape in enumerate((*CORE, *RANKS)):
        weights = "random" if number % 2 else "none"
        yield 1 if shape in CORE else 2, Structure(shape, dtype, weights=weights, probabilities="random")
    for probabilities in ("one_hot", "sparse"):
        for plant in ("impossible", "nan_probability"):
            structure = Structure(WEIGHTED, dtype, weights="random", probabilities=probabilities, plant=plant)
            yield 2, replace(structure, unweighted_too=True)
    yield 3, Structure((2, 32000), dtype, probabilities="random", reductions=("none", "mean"))


def _smoothing(dtype: str, size: Size) -> Structures:
    for smoothing in (0.1, 1.0):
        for plant in ("masked_others", "masked_target"):
            structure = Structure(WEIGHTED, dtype, weights="some_zero", smoothing=smoothing, plant=plant)
            yield 2, replace(structure, unweighted_too=True)
    for weights in ("cancelling", "all_zero", "negative"):
        yield 3, Structure((8, 4), dtype, weights=weights, smoothing=0.1, targets="sorted", mask="no")
    yield 3, Structure((2, 32000), dtype, smoothing=0.1, reductions=("none", "mean"))


def _ignoring(dtype: str, size: Size) -> Structures:
    for sentinel in SENTINELS:
        yield 2, Structure((33, 7), dtype, "int32", "dyadic", sentinel, inputs="dyadic")
        yield 3, Structure((12, 5), dtype, sentinel=sentinel, weights="dyadic", smoothing=0.1)
    for target_dtype, sentinel in (("uint8", -100), ("uint8", -1), ("int8", 156), ("uint16", -100), ("uint8", 256 + 3)):
        yield 3, Structure((40, 300), dtype, target_dtype, "dyadic", sentinel, targets="extremes")


def _weights(dtype: str, size: Size) -> Structures:
    """S/0 with S not 0: weights 1 and -1 cancel where both classes are met equally often."""
    for seed in range(2):
        yield 2, Structure((8, 4), dtype, weights="cancelling", targets="sorted", mask="no", seed=seed)


def _special(dtype: str, size: Size) -> Structures:
    for shape in CORE:
        weights = "ones" if shape == WEIGHTED else "none"
        for inputs in ("near_overflow", "subnormal", "very_negative"):
            yield 1, Structure(shape, dtype, weights=weights, inputs=inputs, mask="no")
        for plant in ("masked", "masked_others", "masked_target", "masked_rows", "nan", "infinity"):
            yield 1, Structure(shape, dtype, weights=weights, plant=plant, mask="some")


def _accuracy(dtype: str, size: Size) -> Structures:
    for inputs in ("ordinary", "equal", "normalised"):
        yield 3, Structure((size.longest, 2), dtype, inputs=inputs, reductions=("sum", "mean"), mask="no")
        yield 3, Structure((8, 1000), dtype, inputs=inputs, mask="no")


def _gradients(dtype: str, size: Size) -> Structures:
    for number, shape in enumerate(((5,), (1, 4), (3, 3, 3), (2, 3, 4, 5), (2, 2, 1, 3, 2), (2, 3, 0))):
        structure = Structure(shape, dtype, weights="random", upstream="random", asks="gradient")
        yield 2, replace(structure, reductions=(REDUCTIONS[number % 3],))
        yield 3, replace(structure, unweighted_too=True, smoothing=0.1)
        yield 3, replace(structure, unweighted_too=True, probabilities="random")
    yield from _second_order(dtype)
    yield from _batches(dtype)
    for asks in MODES if dtype == MAIN else MODES[:-1]:
        structure = Structure(WEIGHTED, dtype, weights="random", upstream="random", asks=asks)
        yield 1 if dtype == MAIN else 3, replace(structure, reductions=("mean",))
        yield 3, replace(structure, smoothing=0.1, unweighted_too=True)
        yield 3, replace(structure, probabilities="random", unweighted_too=True)
    for weights in ("all_zero", "cancelling", "tiny", "negative"):
        yield 3, Structure((8, 4), dtype, weights=weights, targets="sorted", mask="no", asks="gradient")
    for number, classes in enumerate(size.classes):
        structure = Structure((2, classes), dtype, targets="blocks", mask="no", upstream="random", asks="gradient")
        yield 3, replace(structure, reductions=(REDUCTIONS[number % 3],))


def _second_order(dtype: str) -> Structures:
    """Second derivatives, forward mode, and derivatives by probabilities (GRAD-6, GRAD-7, GRAD-15)."""
    for number, asks in enumerate(("second", "second_upstream", "jvp")):
        structure = Structure(WEIGHTED, dtype, weights="random", upstream="random", asks=asks)
        yield 2, replace(structure, reductions=(REDUCTIONS[number],))
        yield 3, replace(structure, shape=PLAIN, sentinel=2, plant="ignored_rows", unweighted_too=True)
        yield 3, replace(structure, smoothing=0.1)
        yield 3, replace(structure, probabilities="random", plant="impossible")
        yield 3, replace(structure, probabilities="random", asks=f"target_{asks}", smoothing=0.1)
    for number, shape in enumerate((PLAIN, WEIGHTED, (5,), (2, 3, 2, 2))):
        structure = Structure(shape, dtype, weights="random", upstream="random", probabilities="random")
        tier = 2 if number < 2 and dtype == MAIN else 3
        yield tier, replace(structure, asks="target_gradient", smoothing=0.1 * (number % 2), unweighted_too=tier == 3)


def _batches(dtype: str) -> Structures:
    """What is mapped over under vmap (GRAD-8)."""
    for number, batched in enumerate((("input",), ("target",), ("input", "target"), ("input", "target", "weight"))):
        structure = Structure(WEIGHTED, dtype, weights="random", upstream="random", batched=batched)
        structure = replace(structure, reductions=(REDUCTIONS[number % 3],))
        yield 2 if number == 2 else 3, replace(structure, asks="vmap")
        yield 3, replace(structure, asks="vmap", smoothing=0.1)
        yield 3, replace(structure, asks="vmap", probabilities="random")
        yield 3, replace(structure, asks="vmap_gradient")


def _layouts(dtype: str, size: Size) -> Structures:
    if dtype == MAIN:  # a compiler compiles anew for each set of strides
        for layout, asks in (("channels_last", ""), ("transposed", "gradient")):
            yield 1, Structure(WEIGHTED, dtype, weights="random", asks=asks, layouts=(("input", layout),))
    arrays = ("input", "target", "weight", "upstream")
    for shape in LAYOUT_SHAPES:
        for layout in LAYOUTS:
            for asks in ("", "gradient"):
                plain = Structure(shape, dtype, weights="random", upstream="random", asks=asks)
                every = tuple((name, layout) for name in arrays)
                yield 3, replace(plain, layouts=every)
                yield 3, replace(plain, layouts=every, probabilities="random", smoothing=0.1)
                for name in arrays if asks else arrays[:3]:
                    yield 3, replace(plain, layouts=((name, layout),), reductions=("mean",))


PINNED: dict[str, Callable[[str, Size], Structures]] = {
    "shape": _shapes,
    "value": _values,
    "probabilities": _probabilities,
    "smoothing": _smoothing,
    "ignore": _ignoring,
    "weight": _weights,
    "special": _special,
    "accuracy": _accuracy,
    "gradient": _gradients,
    "layout": _layouts,
}
