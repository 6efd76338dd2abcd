"""Vectors of one's own and a ledger beside them, for tests of known divergences of strangers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lossparity.conformance.findings import freeze
from lossparity.specs.call import Call
from lossparity.specs.encoding import encode_call
from lossparity.specs.nll_loss.generate import case_of_call
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.vectors import Vector, describe

ROW = """
[[divergence]]
id = "mine-mean"
title = "the mean divides by the number of positions"
subjects = ["mine"]
clauses = ["*"]
selector = { faults = "none", reduction = "mean", weighted = true, n = 1 }
signature = ["value"]
fallback = "nothing"
mode = "sometimes"
cause = "bug"
explanation = "as a test wants it"
reproducer = "print()"
vector = "my_vectors.json#mine-1"
"""


# About a vector that comes with the suite.
GOOD = """
[[divergence]]
id = "a"
title = "t"
subjects = ["torch"]
clauses = ["ERR-4"]
selector = { rank = 1 }
signature = ["not_raised"]
fallback = "nothing"
mode = "always"
cause = "bug"
explanation = "e"
reproducer = "print()"
vector = "torch-unbatched-1d-target"
"""


def vector(call: Call, id: str = "mine-1", clauses: tuple[str, ...] = ("WEIGHT-1",)) -> Vector:
    expectation = case_of_call(call, "vectors", 1, "test").expectation
    return Vector(id, "c", clauses, ("WeightDtype",), encode_call(call), describe(expectation), loss="nll_loss")


def weighted(weight: float = 1.25, **fields: Any) -> Call:
    """One position whose weight a mean must divide by."""
    x, t = np.full((1, 1), -1.0, np.float32), np.zeros(1, np.int64)
    return NLL_LOSS.call(x, t, np.array([weight], np.float32), **fields)


def write(folder: Path, row: str = ROW, *found: Vector, name: str = "my_vectors.json") -> Path:
    """A ledger and a file of vectors beside it."""
    found = found or (vector(weighted()),)
    (folder / name).write_text(freeze.render([freeze.as_data(one) for one in found], "nll_loss"), encoding="utf-8")
    (folder / "known.toml").write_text(row, encoding="utf-8")
    return folder / "known.toml"
