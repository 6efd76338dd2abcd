"""Targets that hold indices of classes: where the classes lie, what is ignored, and what is wrong with a call."""

from __future__ import annotations

import numpy as np

from ..call import FLOAT_DTYPES, REDUCTIONS, Array, Call, dtype_name, range_of


def class_axis(array: Array) -> int:
    """The axis that holds the classes."""
    return 1 if array.ndim > 1 else 0


def not_ignored(target: Array, ignore_index: int) -> Array:
    """Where the target differs from ignore_index as integers of any size: nothing wraps (IGN-8)."""
    low, high = range_of(target.dtype)
    if not low <= ignore_index <= high:
        return np.ones(target.shape, dtype=bool)
    return np.asarray(target != target.dtype.type(ignore_index))


def existing(call: Call) -> Array:
    """Where the target is a class that exists, whether it is ignored or not."""
    classes = call["input"].shape[class_axis(call["input"])]
    return np.asarray((call["target"] >= 0) & (call["target"] < classes))


def structural_faults(call: Call) -> frozenset[str]:
    """Categories of everything wrong with shapes, dtypes and options; empty for a well-formed call."""
    return array_faults(call) | option_faults(call)


def array_faults(call: Call) -> frozenset[str]:
    """What is wrong with input and target."""
    x, target, faults = call["input"], call["target"], set()
    if dtype_name(x.dtype) not in FLOAT_DTYPES or target.dtype.kind not in "iu":
        faults.add("dtype")
    if x.ndim == 0 or target.ndim != x.ndim - 1 or target.shape != x.shape[:1] * (x.ndim > 1) + x.shape[2:]:
        faults.add("shape")
    return frozenset(faults)


def option_faults(call: Call) -> frozenset[str]:
    """What is wrong with weight and reduction."""
    x, weight, faults = call["input"], call["weight"], set()
    if weight is not None and x.ndim > 0:
        if weight.shape != (x.shape[class_axis(x)],):
            faults.add("shape")
        if weight.dtype != x.dtype:
            faults.add("dtype")
    if call["reduction"] not in REDUCTIONS:
        faults.add("value")
    return frozenset(faults)
