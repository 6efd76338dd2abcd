"""Calls of nll_loss on the smallest numbers there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ..case import Case
from ..exact import FORMATS
from . import generate
from .shapes import CORE


def subnormal(dtype: str) -> Iterator[Case]:
    """Calls on subnormal numbers whose results need no rounding, in signatures that the corpus uses too."""
    plain, weighted = CORE
    for seed in range(3):
        structure = generate.Structure(plain, dtype, inputs="subnormal", mask="all_but_one", seed=seed)
        yield from generate.cases(structure, "special", tier=1, origin="probe")
        structure = generate.Structure(weighted, dtype, weights="dyadic", inputs="subnormal", mask="no", seed=seed)
        yield from generate.cases(dataclasses.replace(structure, reductions=("none",)), "special", 1, "probe")


def smallest(dtype: str) -> Iterator[Case]:
    """Calls on the smallest numbers that are not subnormal."""
    small = generate.base(generate.Structure(CORE[0], dtype, inputs="subnormal", mask="no"), "special")
    normal = np.ldexp(-float(FORMATS[dtype].smallest_normal), np.arange(small["input"].size) % 4)
    call = small.replace(input=normal.astype(small["input"].dtype).reshape(small["input"].shape))
    return generate.judged_calls(call, ("none", "sum"), "special", 1, "probe")
