"""Special values, put into the arrays of a call on class indices."""

from __future__ import annotations

import math

import numpy as np

from ..call import Array, Call
from ..stream import Stream
from .targets import class_axis, existing, not_ignored

# What may be planted, where, and what it is for (SPECIAL-1, VALUE-6, IGN-5, WEIGHT-4, SPECIAL-4).
PLANTS = ("", "other_entries", "ignored_rows", "targets", "one_target", "other_weights", "ignored_weight")
PLANTS += ("selected_weight", "negative_zeros", "negative_zero_weights")


def put(call: Call, plant: str, stream: Stream) -> None:
    """Put special values where the plant says, in place."""
    kept = not_ignored(call["target"], call["ignore_index"])
    chosen = kept & existing(call)
    specials = [math.nan, math.inf, -math.inf]
    value = stream.choose(specials)
    axis = class_axis(call["input"])
    entries = np.zeros(call["input"].shape, bool)
    if chosen.any():
        index = np.expand_dims(np.where(chosen, call["target"], 0).astype(np.int64), axis)
        np.put_along_axis(entries, index, np.expand_dims(chosen, axis), axis)
    spread = stream.integers(0, 3, call["input"].size).reshape(call["input"].shape)
    labels = np.unique(call["target"][chosen].astype(np.int64))
    match plant:
        case "other_entries":
            call["input"][~entries] = np.take(specials, spread)[~entries].astype(call["input"].dtype)
        case "ignored_rows":
            rows = np.broadcast_to(np.expand_dims(~kept, axis), call["input"].shape)
            call["input"][rows] = value
        case "targets":
            call["input"][entries & (spread < 2)] = value
        case "one_target":
            where = np.flatnonzero(entries)
            if where.size:
                call["input"].reshape(-1)[stream.choose(where.tolist())] = value
        case "negative_zeros":
            call["input"][entries & (spread < 2)] = -0.0
        case _ if call["weight"] is not None and call["weight"].size:
            _plant_weight(call["weight"], plant, labels, value, call["ignore_index"], stream)


def _plant_weight(weight: Array, plant: str, labels: Array, value: float, ignore_index: int, stream: Stream) -> None:
    others = np.setdiff1d(np.arange(weight.size), labels)
    match plant:
        case "other_weights":
            weight[others] = value
        case "ignored_weight":
            if 0 <= ignore_index < weight.size:
                weight[ignore_index] = value
        case "selected_weight" if labels.size:
            weight[stream.choose(labels.tolist())] = value
        case "negative_zero_weights" if labels.size:
            weight[stream.choose(labels.tolist())] = -0.0
