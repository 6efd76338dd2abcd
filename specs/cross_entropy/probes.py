"""Calls of cross_entropy on the smallest numbers there are.

No value of a class is subnormal but by cancellation. A sum of probabilities is: with two equal logits, ln 2 times the
probability. So is a gradient: that by probabilities which only two classes share, with an upstream gradient to match.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..call import Transform, dtype_of
from ..case import Case
from ..classes.shapes import CORE
from ..domain import Domain
from ..exact import FORMATS
from .generate import Structure, base, case_of


def subnormal(dtype: str, domain: Domain) -> Iterator[Case]:
    """Gradients that are subnormal and need no rounding."""
    return _gradients(dtype, domain, 0.5)


def smallest(dtype: str, domain: Domain) -> Iterator[Case]:
    """Gradients that are just not subnormal."""
    return _gradients(dtype, domain, 1.0)


def _gradients(dtype: str, domain: Domain, factor: float) -> Iterator[Case]:
    """Of two equal logits, where the softmax is 1/2: half of the upstream gradient, at the target less all of it."""
    g = np.array(2 * factor * float(FORMATS[dtype].smallest_normal)).astype(dtype_of(dtype))
    reduction = next(iter(domain.values("reduction", ("sum", "none"))), "mean")
    for shape in ((1, 2), (2,), (1, 2, 1), CORE[0][:1] + (2,)):
        if not domain.takes_shape(shape):
            continue
        call = base(Structure(shape, dtype, inputs="equal", mask="no"), "special").replace(reduction=reduction)
        if reduction == "mean" and call["target"].size > 1:
            continue
        upstream = np.broadcast_to(g, call["target"].shape if reduction == "none" else ()).copy()
        yield case_of(call.replace(transform=Transform("gradient", upstream)), "special", 1, f"probe {dtype}")
