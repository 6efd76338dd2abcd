"""Squares by functions that hold so many arrays as large as their input at once, for each framework."""

from __future__ import annotations

from typing import Any


def _squares(differences: int, input: Any, target: Any) -> Any:
    """Their mean, after so many differences; the squares are one array more."""
    held = [_computed(input - target)]
    while len(held) < differences:
        held.append(_computed(held[-1] - target))
    squares = _computed(held[0] * held[0])
    if hasattr(squares, "mean"):
        return squares.mean()
    import tensorflow as tf  # its tensors have no methods for that

    return tf.reduce_mean(squares)


def _computed(array: Any) -> Any:
    """JAX may give up what is no longer needed before it computes the rest, unless one waits."""
    return array.block_until_ready() if hasattr(array, "block_until_ready") else array


def two(input: Any, target: Any, reduction: str = "mean") -> Any:
    """The difference and its square."""
    return _squares(1, input, target)


def five(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Keeps what it does not need."""
    return _squares(4, input, target)
