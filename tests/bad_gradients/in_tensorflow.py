"""TensorFlow functions with a backward of their own (tf.custom_gradient) and one fault in it."""

from typing import Any

import tensorflow as tf
from lossparity.adapters.tensorflow import nll_loss

from tests.bad_gradients import FAULTS


def make(fault: str) -> Any:
    def loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
        def backward(x: Any, g: Any) -> Any:
            rank = x.shape.rank
            axis = min(1, rank - 1)
            kept = target != ignore_index
            safe = tf.where(kept, target, 0)
            w = tf.ones(safe.shape, x.dtype) if weight is None else tf.gather(weight, safe)
            slope = -tf.broadcast_to(tf.ones_like(g) if fault == "upstream_ignored" else g, safe.shape)
            slope = slope if fault == "weight_missing" else slope * w
            zero = tf.zeros([], x.dtype)
            if reduction == "mean" and fault != "normaliser_missing":
                slope = slope / tf.reduce_sum(tf.where(kept, w, zero))
            if fault != "ignored_row_not_zero":  # last: 0/0 is NaN
                slope = tf.where(kept, slope, zero)
            chosen = tf.range(x.shape[axis], dtype=safe.dtype) == safe[..., tf.newaxis]
            gradient = tf.where(chosen, slope[..., tf.newaxis], zero)
            order = [*range(axis), rank - 1, *range(axis, rank - 1)]
            gradient = tf.transpose(gradient, order)
            if fault == "arrangement" and rank > 3:
                gradient = tf.reverse(gradient, [-1])
            if fault == "nan_in_ignored_row":
                gradient = gradient + tf.where(tf.expand_dims(kept, axis), zero, x * 0)
            return gradient

        @tf.custom_gradient
        def forward(x: Any) -> Any:
            return nll_loss(x, target, weight, ignore_index, reduction), lambda g: backward(x, g)

        return forward(input)

    return loss


for _fault in ("none", *FAULTS):
    globals()[_fault] = make(_fault)
