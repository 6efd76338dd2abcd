"""Calls of log_softmax on the smallest numbers there are.

No value is subnormal but by cancellation. A gradient is: with an upstream gradient that adds up to 0 in each row it is
that upstream gradient, to the bit, whatever the logits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..call import Transform, dtype_of
from ..case import Case
from ..domain import Domain
from ..exact import FORMATS
from .generate import Structure, call_of, case_of
from .shapes import CORE, ORDINARY, RANKS


def subnormal(dtype: str, domain: Domain) -> Iterator[Case]:
    """Gradients that are subnormal and need no rounding."""
    return _gradients(dtype, domain, 0.5)


def smallest(dtype: str, domain: Domain) -> Iterator[Case]:
    """Gradients that are just not subnormal."""
    return _gradients(dtype, domain, 1.0)


def _gradients(dtype: str, domain: Domain, factor: float) -> Iterator[Case]:
    """With upstream gradients of the smallest normal number times a factor, in one pair of each row."""
    size = factor * float(FORMATS[dtype].smallest_normal)
    for shape, dim in (*CORE, *RANKS[:1], *ORDINARY):
        if not domain.takes_shape(shape):
            continue
        call = call_of(Structure(shape, dim, dtype, "dyadic"), "special")
        upstream = np.zeros(shape)
        pair = np.moveaxis(upstream, dim, 0)
        pair[0], pair[1] = size, -size
        transform = Transform("gradient", upstream.astype(dtype_of(dtype)))
        yield case_of(call.replace(transform=transform), "special", 1, f"probe {dtype}")
