"""What users write in NumPy instead of an nll_loss, to be timed beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base import PLAIN, Baseline, reduced
from ..subject import NumpySubject

_LACKS = PLAIN | {"gradient"}
_UNCHECKED = "Nothing is ignored; a negative target wraps to the last classes. Sums are formed in input's dtype."


def one_hot(input: Any, target: Any, reduction: str = "mean") -> Any:
    """A dense product with 0 and 1."""
    hot = np.eye(input.shape[1], dtype=input.dtype)[target]
    return reduced(-np.einsum("nc,nc->n", input, hot), reduction)


def python_loop(input: Any, target: Any, reduction: str = "mean") -> Any:
    """One row after another."""
    losses = np.empty(target.shape, input.dtype)
    for row in range(target.size):
        losses[row] = -input[row, target[row]]
    return reduced(losses, reduction)


def take_along_axis(input: Any, target: Any, reduction: str = "mean") -> Any:
    """One gather, nothing checked."""
    return reduced(-np.take_along_axis(input, target[:, None], axis=1)[:, 0], reduction)


def boolean_mask(input: Any, target: Any, reduction: str = "mean") -> Any:
    """A mask over all classes."""
    return reduced(-input[np.arange(input.shape[1]) == target[:, None]], reduction)


def baselines(device: str) -> list[Baseline]:
    """The functions above."""
    nan = " A NaN or infinity anywhere in a row spoils it (0 * inf)."
    skipped = "A target that is no class is left out in silence. Nothing is ignored; sums are formed in input's dtype."
    rows = [
        (one_hot, "np.einsum with rows of np.eye", _UNCHECKED + nan),
        (python_loop, "a Python loop over rows", _UNCHECKED),
        (take_along_axis, "np.take_along_axis", _UNCHECKED),
        (boolean_mask, "input[np.arange(C) == target[:, None]]", skipped),
    ]
    return [
        Baseline(
            subject=NumpySubject(function, f"numpy:{function.__name__}", "baseline"),
            says=says,
            differs=differs,
            lacks=_LACKS,
        )
        for function, says, differs in rows
    ]
