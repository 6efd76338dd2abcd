"""Calls on more than 2^31 elements (VALUE-9), and on more classes than 16 bits count, for profile `large`.

Inputs are float16 on pages that the operating system zeroes when they are first written to, and only the logits of a
few positions are written. All others are ignored: nobody has to read them, and their gradient is 0. Those that are kept
lie at both ends of the array and anywhere between, so that a wrong offset makes another loss of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..call import REDUCTIONS, TARGET_DTYPES, Call, Transform, dtype_of
from ..case import Case, Expectation, Returns, Sparse
from ..classes.sparse import entries, few_labels
from ..classes.structure import DEFAULT
from ..stream import Stream
from ..tracked.answers import Evaluations
from . import formula
from .clauses import RULES
from .facts import Facts
from .formula import Terms
from .generate import Structure, base
from .oracle import expect, mapped, within_rows
from .selection import Selection, select
from .signature import CROSS_ENTROPY

FAMILY = "large"
IDS = ("VALUE-9",)
WRITTEN = 2**19  # logits that are not 0, and go through the oracle

SHAPES = (
    (2**15 + 1, 2**16 + 1),  # the class axis reaches beyond 2^31, and beyond 16 bits
    (2**20 + 1, 2**11),  # the batch axis does
    (2, 1025, 2**20),  # the spatial axes do
)
MANY_CLASSES = ((3, 70001),)


def large_cases(dtype: str, seed: int, tier: int) -> Iterator[Case]:
    """The cases of one dtype, made one after another: each may hold gigabytes of addresses."""
    if tier < 3:  # a compiler sees each shape for the first time
        return
    for shape in SHAPES if dtype == "float16" else ():
        call = sparse_call(shape, dtype, seed)
        for reduction in REDUCTIONS:
            yield from _value_and_gradient(call.replace(reduction=reduction), f"large/{shape}")
    for shape in MANY_CLASSES:
        for target_dtype in TARGET_DTYPES:
            structure = Structure(shape, dtype, target_dtype, targets="extremes", mask="no", seed=seed)
            yield from _value_and_gradient(base(structure, FAMILY).replace(reduction="none"), f"large/{shape}")


def large_size(dtype: str, tier: int) -> int:
    """How many cases `large_cases` makes."""
    if tier < 3:
        return 0
    huge = len(SHAPES) * len(REDUCTIONS) if dtype == "float16" else 0
    return 2 * (huge + len(MANY_CLASSES) * len(TARGET_DTYPES))


def sparse_call(shape: tuple[int, ...], dtype: str, seed: int) -> Call:
    """A call on mostly untouched zeros, which are ignored."""
    stream, classes = Stream(FAMILY, shape, seed), shape[1]
    target, where, _ = few_labels(stream, shape, WRITTEN // classes, DEFAULT)
    logits = np.zeros(shape, dtype_of(dtype))
    written = stream.integers(-16, 17, where.size * classes).reshape(where.size, classes) / 8.0
    logits.reshape(-1)[entries(shape, where[:, None], np.arange(classes))] = written
    return CROSS_ENTROPY.call(logits, target, None, DEFAULT, "none")


def _value_and_gradient(call: Call, origin: str) -> Iterator[Case]:
    yield sparse_case(call, origin)
    shape = call["target"].shape if call["reduction"] == "none" else ()
    upstream = np.full(shape, 2.0).astype(call["input"].dtype)
    yield sparse_case(call.replace(transform=Transform("gradient", upstream)), origin)


def sparse_case(call: Call, origin: str) -> Case:
    """The case of a call; which other clauses it exercises is not asked, as that would read all of the input."""
    selection = select(call)
    answer = expect(call) if call.transform is None else _gradient(selection, call.transform)
    return Case(call, Facts(call, selection), answer, IDS, RULES.flags_of(IDS), FAMILY, 3, origin, rules=RULES)


def _gradient(selection: Selection, transform: Transform) -> Expectation:
    """What must stand in the kept positions, of finite numbers only, and 0 in all others."""
    call, shape, where = selection.call, selection.call["input"].shape, np.flatnonzero(selection.chosen)
    assert transform.upstream is not None
    flat = transform.upstream.reshape(-1)
    upstream = flat[where] if call["reduction"] == "none" else flat
    answer = within_rows(
        selection,
        lambda at: formula.gradient(Terms(selection, at), upstream, call["reduction"]),
        Evaluations(call.dtype),
        shape[1],
    )
    flat = entries(shape, where[:, None], np.arange(shape[1])).reshape(-1)
    ignored = np.expand_dims(~selection.kept, 1)
    return Returns(shape, call.dtype, Sparse(flat, mapped(answer, np.ravel), ignored))
