"""What users write in TensorFlow, or take from it and from Keras, instead of an nll_loss, to be timed beside it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ...base import PLAIN, Baseline, Capabilities
from ..subject import TensorflowSubject


def one_hot(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """A dense product with 0 and 1."""
    return _reduced(-tf.reduce_sum(input * tf.one_hot(target, input.shape[1], dtype=input.dtype), 1), reduction)


def gather(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """One gather."""
    return _reduced(-tf.gather(input, target, batch_dims=1), reduction)


def masked(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """One gather, without the positions whose target is -100."""
    kept = target != -100
    losses = tf.where(kept, -tf.gather(input, tf.where(kept, target, 0), batch_dims=1), 0)
    if reduction == "mean":
        return tf.reduce_sum(losses) / tf.reduce_sum(tf.cast(kept, losses.dtype))
    return _reduced(losses, reduction)


def sparse_softmax(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """TensorFlow's own cross-entropy on log-probabilities."""
    return _reduced(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=target, logits=input), reduction)


def keras(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """Keras's cross-entropy on log-probabilities."""
    return _reduced(tf.keras.losses.sparse_categorical_crossentropy(target, input, from_logits=True), reduction)


def _reduced(losses: Any, reduction: str) -> Any:
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](losses)


def baselines(device: str) -> list[Baseline]:
    """The functions above, each in tf.function."""
    again = "Takes logits: log_softmax is computed once more, and has a gradient. Nothing is ignored. "
    rows = [
        (
            one_hot,
            "input * tf.one_hot(target, C)",
            "Nothing is ignored. A target that is no class gives 0 in silence. NaN in a row spoils it (0 * NaN).",
            PLAIN,
        ),
        (
            gather,
            "tf.gather(..., batch_dims=1)",
            "Nothing is ignored. A target that is no class raises on a CPU and gives 0 on a GPU.",
            PLAIN,
        ),
        (
            masked,
            "tf.gather where target != -100",
            "Counts in input's dtype, wrong beyond 2^24 in float32. A target that is neither a class nor -100 raises "
            "on a CPU and gives 0 on a GPU.",
            PLAIN - {"ignored positions"},
        ),
        (
            sparse_softmax,
            "tf.nn.sparse_softmax_cross_entropy_with_logits",
            again + "A target that is no class raises on a CPU and gives NaN on a GPU.",
            PLAIN,
        ),
        (
            keras,
            "keras.losses.sparse_categorical_crossentropy",
            again + "Its ignore_class leaves ignored positions in the mean of a batch.",
            PLAIN,
        ),
    ]
    can = Capabilities(binding="baseline", style="tf.function", tier=2, traced=True)
    return [
        Baseline(
            subject=TensorflowSubject(f"tensorflow:{function.__name__}", tf.function(function), device, can),
            says=says,
            differs=differs,
            lacks=lacks,
        )
        for function, says, differs, lacks in rows
    ]
