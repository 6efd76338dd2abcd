"""Structures of derivatives, and of values in training, that are always in the corpus.

To a compiler each kind of derivative is a program of its own, in each rank, weighted or not, under each reduction. So
few of them are in its tiers, and most of those in one dtype: what compilers make of other dtypes differs in the numbers
alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..call import REDUCTIONS, TARGET_DTYPES
from ..classes.corpus import MODES
from ..classes.shapes import CORE, Size
from ..classes.structure import DEFAULT, Structure

Structures = Iterator[tuple[int, Structure]]  # each with its tier

MAIN = "float32"  # the dtype that compilers see most of
PLAIN, WEIGHTED = CORE
BATCHES = (("input",), ("target",), ("input", "target"), ("weight",), ("input", "target", "weight"))
RANKS = ((5,), (1, 4), (3, 3, 3), (2, 3, 4, 5), (2, 2, 1, 3, 2), (2, 3, 0))  # in which compilers see gradients


def pinned_gradients(dtype: str, size: Size) -> Structures:
    """All of them, in one dtype."""
    yield from _ranks(dtype)
    yield from _second_order(dtype)
    yield from _batches(dtype)
    yield from _batches_of_few(dtype)
    yield from _programs(dtype)
    yield from _non_finite(dtype)
    yield from _weights(dtype)
    yield from _many(dtype)
    yield from _modes(dtype)
    yield from _blocks(dtype, size)


def _ranks(dtype: str) -> Structures:
    for number, shape in enumerate(RANKS):
        weights = "random" if number % 2 else "none"
        structure = Structure(shape, dtype, weights=weights, upstream="random", asks="gradient")
        if dtype == MAIN:
            yield 2, replace(structure, reductions=(REDUCTIONS[number % 3],))
        yield 3, replace(structure, unweighted_too=weights != "none")


def _second_order(dtype: str) -> Structures:
    """Second derivatives and forward mode (GRAD-6, GRAD-7)."""
    for number, asks in enumerate(("second", "second_upstream", "jvp")):
        structure = Structure(WEIGHTED, dtype, weights="random", upstream="random", asks=asks)
        yield 2, replace(structure, reductions=(REDUCTIONS[number],) if dtype == MAIN else ("mean",))
        yield 3, replace(structure, shape=PLAIN, sentinel=2, plant="ignored_rows", unweighted_too=True)
    jvp = Structure(WEIGHTED, dtype, weights="random", upstream="random", asks="jvp")
    yield 3, replace(jvp, plant="targets", unweighted_too=True)
    if dtype == MAIN:  # under each reduction
        yield 2, replace(jvp, reductions=REDUCTIONS[:2], seed=1)


def _batches(dtype: str) -> Structures:
    """What is mapped over under vmap (GRAD-8)."""
    for number, batched in enumerate(BATCHES):
        structure = Structure(WEIGHTED, dtype, weights="random", upstream="random", asks="vmap", batched=batched)
        structure = replace(structure, reductions=(REDUCTIONS[number % 3],))
        if dtype == MAIN or number == 2:
            yield 2, structure
        if number == 2:
            yield 2, replace(structure, asks="vmap_gradient")
        if dtype == MAIN:
            yield 3, replace(structure, asks="vmap_gradient", reductions=(REDUCTIONS[(number + 1) % 3],))


def _batches_of_few(dtype: str) -> Structures:
    for shape, target_dtype, sentinel in (((5,), "int64", DEFAULT), (PLAIN, "int32", 2), (PLAIN, "uint8", 256 + 2)):
        for batched in (("input",), ("input", "target")):
            structure = Structure(shape, dtype, target_dtype, "random", sentinel, upstream="random", batched=batched)
            for asks in ("vmap", "vmap_gradient"):
                yield 3, replace(structure, asks=asks, unweighted_too=True)


def _programs(dtype: str) -> Structures:
    """Single programs that compilers see besides: many classes, many rows, weights that cancel."""
    if dtype != MAIN:
        return
    yield 2, Structure(WEIGHTED, dtype, weights="random", asks="weight_gradient", reductions=("mean",))
    yield 2, Structure((1, 4), dtype, asks="gradient", upstream="random", reductions=("none",))
    yield 2, Structure((3, 300), dtype, asks="gradient", targets="extremes", mask="no", reductions=("sum",))
    yield 2, Structure((1025, 3), dtype, asks="gradient", upstream="random", mask="no", reductions=("none",))
    for weights in ("all_zero", "cancelling", "tiny"):  # no new program
        structure = Structure(WEIGHTED, dtype, weights=weights, inputs="dyadic", targets="sorted", mask="no")
        yield 2, replace(structure, asks="gradient", reductions=("mean",))


def _non_finite(dtype: str) -> Structures:
    """NaN and infinities: what is ignored may hold them, upstream may, and the mean of nothing is NaN."""
    for plant in ("ignored_weight", "ignored_rows"):
        structure = Structure((12, 5), dtype, weights="random", sentinel=2, plant=plant, upstream="mixed")
        yield 3, replace(structure, asks="gradient")
    for shape, weights in ((PLAIN, "none"), (WEIGHTED, "random")):
        tier = 2 if dtype == MAIN else 3
        yield tier, Structure(shape, dtype, weights=weights, asks="gradient", upstream="nonfinite")
    yield 3, Structure(PLAIN, dtype, mask="all", asks="gradient")


def _weights(dtype: str) -> Structures:
    for weights in ("all_zero", "cancelling", "tiny", "huge", "subnormal", "negative"):
        for upstream in ("ones", "mixed"):
            structure = Structure((8, 4), dtype, weights=weights, inputs="dyadic", targets="sorted", mask="no")
            yield 3, replace(structure, asks="gradient", upstream=upstream)
    for plant in ("selected_weight", "other_weights", "negative_zero_weights"):
        yield 3, Structure((12, 5), dtype, weights="random", plant=plant, asks="gradient", upstream="random")


def _many(dtype: str) -> Structures:
    """Many rows, and many classes for each integer dtype."""
    for n in (1025, 16385, 65537):  # float16 holds 1/n as a subnormal number beyond 16,384
        yield 3, Structure((n, 3), dtype, asks="gradient", upstream="random", weights="random", unweighted_too=True)
    for target_dtype in TARGET_DTYPES:
        yield 3, Structure((40, 120), dtype, target_dtype, "random", asks="gradient", upstream="random")


def _modes(dtype: str) -> Structures:
    """The gradient and the value in other circumstances (GRAD-10, GRAD-11, VALUE-10, VALUE-11).

    To a compiler each of them is one more program, unless it compiles the loss apart from what is asked of it.
    """
    main = dtype == MAIN
    for asks in MODES if main else MODES[:-1]:
        structure = Structure(WEIGHTED, dtype, weights="random", upstream="random", asks=asks)
        if main:
            yield 1, replace(structure, reductions=("mean",))
            yield 2, Structure(PLAIN, dtype, upstream="random", asks=asks, reductions=("none",))
        for shape, plant in ((WEIGHTED, ""), ((12, 5), "ignored_rows"), ((5,), ""), ((33, 7), "targets")):
            yield 3, replace(structure, shape=shape, sentinel=2, plant=plant, unweighted_too=True)
        yield 3, replace(structure, shape=(257, 3), weights="none", mask="runs")


def _blocks(dtype: str, size: Size) -> Structures:
    """Gradients, jvp and vmap of more classes than a kernel keeps in a block (GRAD-12)."""
    for number, classes in enumerate(size.classes):
        structure = Structure((4, classes), dtype, weights="random", targets="blocks", mask="no", upstream="random")
        if dtype == MAIN and number == 1:
            yield 2, replace(structure, weights="none", asks="gradient", reductions=("sum",))
        yield 3, replace(structure, asks="gradient", unweighted_too=True)
        for asks, batched in (("jvp", ()), ("vmap", ("input", "target")), ("vmap_gradient", ("input", "target"))):
            one = (REDUCTIONS[number % 3],)
            yield 3, replace(structure, asks=asks, batched=batched, reductions=one, unweighted_too=True)
