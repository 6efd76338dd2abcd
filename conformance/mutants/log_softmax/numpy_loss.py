"""A correct log_softmax in NumPy, one step to a line: numpy_faults.toml and numpy_correct.toml edit these lines."""

from __future__ import annotations

from typing import Any

import numpy as np

ACCUMULATORS: Any = {"float16": np.float32, "bfloat16": np.float32, "float32": np.float32, "float64": np.float64}


@np.errstate(all="ignore")
def log_softmax(input: Any, dim: int = -1) -> Any:
    """The logarithms of lossparity's specification, for NumPy arrays."""
    x = input
    if x.dtype.name not in ACCUMULATORS:
        raise TypeError(f"input is {x.dtype}")
    if not -x.ndim <= dim < x.ndim:
        raise IndexError(f"input {x.shape} has no axis {dim}")

    wide = ACCUMULATORS[x.dtype.name]
    rows = np.moveaxis(x, dim, -1).astype(wide, order="C")
    top = np.max(rows, axis=-1, keepdims=True, initial=-np.inf)
    shifted = rows - top
    powers = np.exp(shifted)
    total = np.sum(powers, axis=-1, keepdims=True)
    result = shifted - np.log(total)
    return np.moveaxis(result.astype(x.dtype), -1, dim)
