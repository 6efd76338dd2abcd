"""Calls of nll_loss on the smallest numbers there are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from ..case import Case
from ..domain import Domain
from ..exact import FORMATS
from ..loss import PROFILES, Draw
from . import generate
from .narrow import narrowed
from .shapes import CORE, Shape


def subnormal(dtype: str, domain: Domain) -> Iterator[Case]:
    """Calls on subnormal numbers whose results need no rounding, in signatures that the corpus uses too."""
    plain, weighted = (_within(shape, domain) for shape in CORE)
    draw = Draw(dtype, PROFILES[0], 0, 3, domain)
    for seed in range(3):
        for structure in (
            generate.Structure(plain, dtype, inputs="subnormal", mask="all_but_one", seed=seed),
            generate.Structure(
                weighted, dtype, weights="dyadic", inputs="subnormal", mask="no", reductions=("none",), seed=seed
            ),
        ):
            found = narrowed(structure, "special", draw)
            yield from generate.cases(found, "special", tier=1, origin="probe") if found else ()


def smallest(dtype: str, domain: Domain) -> Iterator[Case]:
    """Calls on the smallest numbers that are not subnormal."""
    shape = _within(CORE[0], domain)
    small = generate.base(generate.Structure(shape, dtype, inputs="subnormal", mask="no"), "special")
    normal = np.ldexp(-float(FORMATS[dtype].smallest_normal), np.arange(small["input"].size) % 4)
    call = small.replace(input=normal.astype(small["input"].dtype).reshape(small["input"].shape))
    return generate.judged_calls(call, domain.values("reduction", ("none", "sum")) or ("mean",), "special", 1, "probe")


def _within(shape: Shape, domain: Domain) -> Shape:
    """A shape that is in the domain, of a single position where nothing can be ignored: the mean of more is rounded."""
    if domain.takes_rank(len(shape)) and "ignore_index" not in domain.absent:
        return shape
    ranks = domain.ranks or itertools.count(1)
    rank = next((rank for rank in ranks if rank and domain.takes_rank(rank)), len(shape))
    return (5,) if rank == 1 else (1, 4, *[1] * (rank - 2))
