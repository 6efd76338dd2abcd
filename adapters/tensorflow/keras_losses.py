"""Keras's losses on logits, called with the arguments of PyTorch's.

They are built for the dtype of the input, as otherwise they compute in Keras's own, float32. Reductions are Any, as
TensorFlow's stubs know those of Keras 2 only, which had no "mean".
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def sparse_cross_entropy(input: Any, target: Any, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """SparseCategoricalCrossentropy of indices; classes are on the last axis."""
    loss = tf.keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=ignore_index, reduction=reduction, dtype=input.dtype.name
    )
    return loss(target, input)


def cross_entropy(input: Any, target: Any, reduction: Any = "mean", label_smoothing: float = 0.0) -> Any:
    """CategoricalCrossentropy of probabilities."""
    loss = tf.keras.losses.CategoricalCrossentropy(
        from_logits=True,
        label_smoothing=label_smoothing,
        axis=min(1, input.shape.rank - 1),
        reduction=reduction,
        dtype=input.dtype.name,
    )
    return loss(target, input)
