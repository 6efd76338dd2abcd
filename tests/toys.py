"""Implementations of the toy loss, one right and three wrong, on arrays of NumPy and of torch."""

from __future__ import annotations

import math
from typing import Any


def _checked(input: Any, target: Any, reduction: str) -> None:
    if input.shape != target.shape:
        raise ValueError(f"shapes {tuple(input.shape)} and {tuple(target.shape)} differ")
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"no reduction {reduction!r}")


def _wide(array: Any) -> Any:
    """Half precision is computed with in single precision."""
    halves = array.dtype.itemsize == 2
    return array if not halves else array.astype("float32") if hasattr(array, "astype") else array.float()


def _reduced(losses: Any, reduction: str, like: Any) -> Any:
    losses = losses if reduction == "none" else getattr(losses, reduction)()
    return losses.astype(like.dtype) if hasattr(losses, "astype") else losses.to(like.dtype)


def correct(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Mean squared error."""
    _checked(input, target, reduction)
    return _reduced((_wide(input) - _wide(target)) ** 2, reduction, input)


def by_n_minus_1(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Divides by n - 1, as a sample's variance is."""
    _checked(input, target, reduction)
    losses = (_wide(input) - _wide(target)) ** 2
    count = math.prod(losses.shape)
    if reduction == "mean" and count > 1:
        return _reduced(losses / (count - 1), "sum", input)
    return _reduced(losses, reduction, input)


def expanded(input: Any, target: Any, reduction: str = "mean") -> Any:
    """x^2 - 2xt + t^2, which cancels."""
    _checked(input, target, reduction)
    x, t = _wide(input), _wide(target)
    return _reduced(x * x - 2 * x * t + t * t, reduction, input)


def broadcasting(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Takes what does not fit as NumPy does."""
    return _reduced((_wide(input) - _wide(target)) ** 2, reduction, input)
