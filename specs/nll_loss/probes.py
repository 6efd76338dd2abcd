"""Calls of nll_loss on the smallest numbers there are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from ..call import REDUCTIONS, Call
from ..case import Case
from ..classes.narrow import narrowed
from ..classes.shapes import CORE, Shape
from ..classes.structure import Structure
from ..domain import Domain
from ..exact import FORMATS
from ..loss import PROFILES, Draw
from . import generate


def subnormal(dtype: str, domain: Domain) -> Iterator[Case]:
    """Calls on subnormal numbers whose results need no rounding, in signatures that the corpus uses too."""
    if "ignore_index" in domain.absent:  # nothing but powers of two, as a mean of several numbers is rounded
        call = _powers(dtype, domain, [-4, -3])
        yield from generate.judged_calls(call, domain.values("reduction", REDUCTIONS), "special", 1, "probe")
        return
    plain, weighted = (_within(shape, domain) for shape in CORE)
    for seed in range(3):
        for structure in (
            Structure(plain, dtype, inputs="subnormal", mask="all_but_one", seed=seed),
            Structure(
                weighted, dtype, weights="dyadic", inputs="subnormal", mask="no", reductions=("none",), seed=seed
            ),
        ):
            found = narrowed(structure, "special", Draw(dtype, PROFILES[0], 0, 3, domain))
            yield from generate.cases(found, "special", tier=1, origin="probe") if found else ()


def smallest(dtype: str, domain: Domain) -> Iterator[Case]:
    """Calls on the smallest numbers that are not subnormal; means of somewhat larger ones, as they divide them."""
    reductions = domain.values("reduction", ("none", "sum"))
    call = _powers(dtype, domain, [0, 1, 2, 3] if reductions else [4, 5, 6, 7])
    return generate.judged_calls(call, reductions or ("mean",), "special", 1, "probe")


def _powers(dtype: str, domain: Domain, exponents: list[int]) -> Call:
    """A call on the smallest normal number times powers of two, in turn."""
    shape = _within(CORE[0] if "ignore_index" not in domain.absent else (4, 3), domain)
    target_dtype = "int64" if "int64" in (domain.targets or ("int64",)) else domain.targets[0]
    small = generate.base(Structure(shape, dtype, target_dtype, inputs="subnormal", mask="no"), "special")
    size = small["input"].size
    values = np.ldexp(-float(FORMATS[dtype].smallest_normal), np.resize(exponents, size))
    return small.replace(input=values.astype(small["input"].dtype).reshape(small["input"].shape))


def _within(shape: Shape, domain: Domain) -> Shape:
    """The shape, or one of a rank that is in the domain."""
    if domain.takes_rank(len(shape)):
        return shape
    rank = next((rank for rank in domain.ranks or itertools.count(1) if rank and domain.takes_rank(rank)), len(shape))
    return (5,) if rank == 1 else (4, 3, *[1] * (rank - 2))
