"""Facts about calls on class indices, which their losses share."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..call import TRANSFORMS, dtype_name, range_of
from ..case import NoFact
from ..facts import CallFacts
from .targets import class_axis

MEANINGS = {
    "dtype": "name of input's dtype",
    "target_dtype": "name of target's dtype",
    "weight_dtype": "name of weight's dtype, none without weights",
    "rank": "number of input's axes",
    "target_rank": "number of target's axes",
    "reduction": "none, sum, mean or whatever was passed",
    "reduction_type": "name of the type of reduction: str, NoneType, int, bool",
    "omitted": "arguments that the caller leaves out, of weight, ignore_index and reduction in this order, joined by "
    "+, none if there is none",
    "weighted": "whether a weight is given",
    "ignore_index": "the sentinel",
    "classes": "C, length of input's class axis",
    "batch": "N, length of input's first axis, 1 for an unbatched input",
    "n": "positions, ignored ones included",
    "unit_axes": "number of input's axes of length 1",
    "weight_size": "number of elements of weight, -1 without weights",
    "weight_rank": "number of axes of weight, -1 without weights",
    "weight_length": "length of weight's first axis, -1 without one",
    "target_truncates": "whether target is smaller than input's positions, equal in batch size and larger in no axis",
    "wrapped_sentinels": "positions whose target equals ignore_index only after a wrapping cast to target's dtype",
    "kind": f"value, or what else is asked for: {', '.join(TRANSFORMS)}, or weight_gradient",
    "batched": "arguments that carry a leading axis to map over, joined by +, none if there is none",
    "unit_upstream": "whether the upstream gradient is 1 everywhere, true where there is none",
    "input_layout": "arrangement of input in memory, c for the usual one",
    "target_layout": "arrangement of target in memory",
    "weight_layout": "arrangement of weight in memory",
    "upstream_layout": "arrangement of the upstream gradient in memory",
    "sentinel_fits": "whether target's dtype can hold ignore_index",
}


class ClassFacts(CallFacts):
    """Facts about one call on class indices that need no look at its numbers."""

    @property
    def target_dtype(self) -> str:
        return dtype_name(self.call["target"].dtype)

    @property
    def weight_dtype(self) -> str:
        return "none" if self.call["weight"] is None else dtype_name(self.call["weight"].dtype)

    @property
    def rank(self) -> int:
        return self.call["input"].ndim

    @property
    def target_rank(self) -> int:
        return self.call["target"].ndim

    @property
    def reduction(self) -> Any:
        return self.call["reduction"]

    @property
    def reduction_type(self) -> str:
        return type(self.call["reduction"]).__name__

    @property
    def weighted(self) -> bool:
        return self.call["weight"] is not None

    @property
    def ignore_index(self) -> int:
        return self.call["ignore_index"]

    @property
    def classes(self) -> int:
        return int(self.call["input"].shape[class_axis(self.call["input"])]) if self.rank else 0

    @property
    def batch(self) -> int:
        return int(self.call["input"].shape[0]) if self.rank > 1 else 1

    @property
    def n(self) -> int:
        return int(self.call["target"].size)

    @property
    def unit_axes(self) -> int:
        return self.call["input"].shape.count(1)

    @property
    def weight_size(self) -> int:
        return -1 if self.call["weight"] is None else int(self.call["weight"].size)

    @property
    def weight_rank(self) -> int:
        return -1 if self.call["weight"] is None else self.call["weight"].ndim

    @property
    def weight_length(self) -> int:
        return self.call["weight"].shape[0] if self.call["weight"] is not None and self.call["weight"].ndim else -1

    @property
    def target_truncates(self) -> bool:
        positions = self.call["input"].shape[:1] + self.call["input"].shape[2:]
        target = self.call["target"].shape
        pairs = list(zip(target, positions, strict=False))
        smaller = len(target) == len(positions) > 1 and all(t <= p for t, p in pairs) and target != positions
        return smaller and target[0] == positions[0]

    @functools.cached_property
    def wrapped_sentinels(self) -> int:
        if self.sentinel_fits:
            return 0
        wrapped = np.array(self.ignore_index).astype(np.int64).astype(self.call["target"].dtype)
        return int((self.call["target"] == wrapped).sum())

    @property
    def sentinel_fits(self) -> bool:
        if self.call["target"].dtype.kind not in "iu":
            raise NoFact("only integers hold a sentinel")
        low, high = range_of(self.call["target"].dtype)
        return low <= self.call["ignore_index"] <= high

    @property
    def input_layout(self) -> str:
        return self.layout("input")

    @property
    def target_layout(self) -> str:
        return self.layout("target")

    @property
    def weight_layout(self) -> str:
        return self.layout("weight")

    @property
    def upstream_layout(self) -> str:
        return self.layout("upstream")
