"""Calls on more than 2^31 elements (VALUE-9), and on more classes than 16 bits count, for profile `large`.

Inputs are float16 on pages that the operating system zeroes when they are first written to, and only a few entries
are written: 4.3 GB of addresses, a few megabytes of memory. What is judged is sparse too: the oracle looks at the
selected entries, and a gradient is counted block by block. Numbers are such that float16 adds them exactly in any
order, so that a wrong offset is all that can make a result wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..call import REDUCTIONS, TARGET_DTYPES, Call, Transform, dtype_of
from ..case import Case
from ..classes.sparse import entries, few_labels
from ..classes.structure import DEFAULT, Structure
from ..stream import Stream
from .clauses import RULES
from .derivatives import expect_transformed
from .facts import Facts
from .generate import base
from .oracle import expect, select
from .signature import NLL_LOSS

FAMILY = "large"
IDS = ("VALUE-9",)
WRITTEN = 200  # positions whose entries are not 0: 200 times 8 at most stay below float16's 2,048


@dataclass(frozen=True, slots=True)
class _Size:
    """A shape, whether all positions are kept, and which reductions say something about it.

    float16 itself counts to 2,048 only: a mean keeps fewer positions than that.
    """

    shape: tuple[int, ...]
    everything: bool
    reductions: tuple[str, ...]


SIZES = (
    _Size((33, 2**26 + 1), True, REDUCTIONS),  # the class axis goes beyond 2^31
    _Size((2**20 + 1, 2**11), True, ("none", "sum")),  # the batch axis does
    _Size((2**20 + 1, 2**11), False, ("mean",)),
    _Size((2, 1025, 2**20), True, ("none", "sum")),  # the spatial axes do
    _Size((2, 1025, 2**20), False, ("mean",)),
)
MANY_CLASSES = ((3, 65537), (3, 70001), (2, 2**20 + 1))


def large_cases(dtype: str, seed: int, tier: int) -> Iterator[Case]:
    """The cases of one dtype, made one after another: each may hold gigabytes of addresses."""
    if tier < 3:  # a compiler sees each shape for the first time
        return
    for number, size in enumerate(SIZES if dtype == "float16" else ()):
        call = sparse_call(size, dtype, seed)
        for reduction in size.reductions:
            variant = call.replace(reduction=reduction)
            yield sparse_case(variant, f"large/{number}")
            yield _gradient(variant, f"large/{number}")
    for shape in MANY_CLASSES:
        for target_dtype in TARGET_DTYPES:
            structure = Structure(shape, dtype, target_dtype, targets="extremes", mask="no", inputs="dyadic", seed=seed)
            call = base(structure, FAMILY).replace(reduction="none")
            yield sparse_case(call, f"large/{shape}")
            yield _gradient(call, f"large/{shape}")


def large_size(dtype: str, tier: int) -> int:
    """How many cases `large_cases` makes."""
    if tier < 3:
        return 0
    huge = sum(len(size.reductions) for size in SIZES) if dtype == "float16" else 0
    return 2 * (huge + len(MANY_CLASSES) * len(TARGET_DTYPES))


def sparse_call(size: _Size, dtype: str, seed: int) -> Call:
    """A call on mostly untouched zeros: the first, the last and some random positions hold numbers."""
    stream = Stream(FAMILY, size.shape, size.everything, seed)
    everywhere = size.shape[1] - 1 if size.everything else DEFAULT
    target, where, labels = few_labels(stream, size.shape, WRITTEN, everywhere)
    values = np.zeros(size.shape, dtype_of(dtype))
    values.reshape(-1)[entries(size.shape, where, labels)] = -stream.integers(1, 9, where.size)
    return NLL_LOSS.call(values, target, None, DEFAULT, "none")


def sparse_case(call: Call, origin: str) -> Case:
    """The case of a call; which other clauses it exercises is not asked, as that would read all of the input."""
    selection = select(call)
    answer = expect(call, selection) if call.transform is None else expect_transformed(call, selection)
    return Case(call, Facts(call, selection), answer, IDS, RULES.flags_of(IDS), FAMILY, 3, origin, rules=RULES)


def _gradient(call: Call, origin: str) -> Case:
    """The gradient with an upstream of 2, of which float16 holds every product."""
    shape = call["target"].shape if call["reduction"] == "none" else ()
    transform = Transform("gradient", np.full(shape, 2.0).astype(call["input"].dtype))
    return sparse_case(call.replace(transform=transform), origin)
