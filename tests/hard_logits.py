"""Logits on which losses go wrong, in any of the four formats: rows by classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from lossparity.specs.call import Array, dtype_of


def hard_logits(dtype: str, rng: np.random.Generator, classes: int = 7) -> Iterator[tuple[str, Array]]:
    """Kinds of logits by name; what a format cannot hold is left out."""
    kind, plain = dtype_of(dtype), rng.standard_normal((4, classes)) * 3
    row = np.zeros((1, classes))
    largest = 6e4 if dtype == "float16" else 3e38
    yield "ordinary", plain.astype(kind)
    yield "one class", plain[:, :1].astype(kind)
    yield "equal", (row + plain[:, :1]).astype(kind)
    yield "spread of nearly nothing", (1 + plain * 1e-8).astype(kind)
    for offset in (1e4, -1e4, 1e10, 1e30):
        if offset < largest:
            yield f"offset {offset:g}", (plain + offset).astype(kind)
    for lead in (1.0, 20.0, 30.0, 80.0, 104.0, 700.0, 800.0):
        dominant = plain / 100
        dominant[:, 0] += lead
        yield f"dominant by {lead:g}", dominant.astype(kind)
    yield "spread of 800", (plain + np.linspace(-800, 0, classes)).astype(kind)
    absent = plain.copy()
    absent[:, :2] = -np.inf
    absent[3] = -np.inf
    absent[3, 1] = 5
    yield "absent classes", absent.astype(kind)
    yield (
        "subnormal",
        (plain * 2.0 ** (-1060 if dtype == "float64" else -140 if dtype != "float16" else -20)).astype(kind),
    )
