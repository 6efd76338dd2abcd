"""Structures of derivatives, and of values in training.

To a compiler each kind of derivative is a program of its own, in each shape. So few of them are in its tiers, and most
of those in one dtype: what compilers make of other dtypes differs in the numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..call import GRADIENTS
from .generate import Structure
from .shapes import BLOCKS, CORE, ORDINARY
from .values import UPSTREAMS

MAIN = "float32"
# Other circumstances that the gradient and the value are asked for in; autocast is about float32 alone.
MODES = ("gradient_again", "gradient_between", "value_in_training", "autocast")
SECOND = ("second", "second_upstream", "jvp")
MAPPED = ("input",)

Structures = Iterator[tuple[int, Structure]]  # each with its tier


def gradients(dtype: str) -> Structures:
    """All of them, in one dtype."""
    yield from _upstreams(dtype)
    yield from _inputs(dtype)
    yield from _ranks(dtype)
    yield from _second_order(dtype)
    yield from _batches(dtype)
    yield from _modes(dtype)
    yield from _blocks(dtype)


def _upstreams(dtype: str) -> Structures:
    for upstream in UPSTREAMS:
        for inputs in ("ordinary", "dominant"):
            yield from ((1, Structure(*place, dtype, inputs, "", "gradient", upstream)) for place in CORE)
            yield from ((3, Structure(*place, dtype, inputs, "", "gradient", upstream)) for place in ORDINARY)
    yield 3, Structure((5, 1), 1, dtype, asks="gradient", upstream="random")
    yield 3, Structure((2, 300), 1, dtype, asks="gradient", upstream="one_hot")


def _inputs(dtype: str) -> Structures:
    for inputs in ("equal", "offset", "close", "near_overflow", "swamped", "subnormal"):
        for upstream in ("random", "one_hot"):
            yield 2, Structure(*CORE[0], dtype, inputs, "", "gradient", upstream)
            yield 3, Structure((12, 5), 0, dtype, inputs, "", "gradient", upstream)
            yield 3, Structure((3, 40), 1, dtype, inputs, "", "gradient", upstream)
    for plant in ("masked", "masked_rows", "nan", "infinity", "mixed"):
        yield 2, Structure(*CORE[0], dtype, "ordinary", plant, "gradient", "random")
        yield 3, Structure((12, 5), 1, dtype, "ordinary", plant, "gradient", "mixed")


def _ranks(dtype: str) -> Structures:
    for place in (((5,), -1), ((1, 4), 1), ((3, 3, 3), 0), ((2, 3, 4, 5), 1), ((2, 2, 1, 3, 2), 3), ((2, 3, 0), 1)):
        yield 2 if dtype == MAIN else 3, Structure(*place, dtype, asks="gradient", upstream="random")
    for place in (((3, 0), 1), ((0, 4), 1), ((2, 3, 2, 1, 2, 2), -1)):
        yield 3, Structure(*place, dtype, asks="gradient", upstream="random")


def _second_order(dtype: str) -> Structures:
    """Second derivatives and forward mode (GRAD-6, GRAD-7)."""
    for asks in SECOND:
        for inputs in ("ordinary", "offset", "dominant"):
            yield 2, Structure(*CORE[1], dtype, inputs, "", asks, "random")
            yield 3, Structure((6, 5), 0, dtype, inputs, "", asks, "mixed")
            yield 3, Structure((5,), 0, dtype, inputs, "", asks, "one_hot")
        yield 3, Structure((6, 5), -1, dtype, "ordinary", "masked", asks, "random")
        yield 3, Structure((5, 1), -1, dtype, "ordinary", "", asks, "random")


def _batches(dtype: str) -> Structures:
    """What is mapped over under vmap (GRAD-8)."""
    for asks in ("vmap", "vmap_gradient"):
        yield 2, Structure(*CORE[1], dtype, "ordinary", "", asks, "random", MAPPED)
        for place in (((5,), 0), ((6, 5), 0), ((3, 4), -1)):
            yield 3, Structure(*place, dtype, "offset", "", asks, "random", MAPPED)
        yield 3, Structure((6, 5), -1, dtype, "ordinary", "masked", asks, "random", MAPPED)


def _modes(dtype: str) -> Structures:
    """The gradient and the value in other circumstances (GRAD-10, GRAD-11, VALUE-10, VALUE-11)."""
    for asks in MODES if dtype == MAIN else MODES[:-1]:
        for inputs in ("ordinary", "offset"):
            yield 1 if dtype == MAIN else 2, Structure(*CORE[1], dtype, inputs, "", asks, "random")
            for place in (((6, 5), -1), ((12, 5), 0), ((5,), 0), ((3, 300), 1)):
                yield 3, Structure(*place, dtype, inputs, "", asks, "random")
        yield 3, Structure((6, 5), -1, dtype, "ordinary", "masked", asks, "random")


def _blocks(dtype: str) -> Structures:
    """Derivatives of more classes than a kernel keeps in a block (GRAD-12)."""
    for shape, dim in BLOCKS:
        yield 3, Structure(shape, dim, dtype, asks=GRADIENTS[0], upstream="one_hot")
        yield 3, Structure(shape, dim, dtype, "last_dominant", asks="jvp")  # whose derivative does not cancel
