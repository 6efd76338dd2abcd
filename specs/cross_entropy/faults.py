"""What is wrong with a call of cross_entropy, and calls that must raise for each of these reasons."""

from __future__ import annotations

from ..call import FLOAT_DTYPES, Array, Call, dtype_name
from ..classes.targets import existing, not_ignored, option_faults
from ..classes.targets import structural_faults as faults_with_indices
from .selection import is_soft


def structural_faults(call: Call) -> frozenset[str]:
    """Categories of everything wrong with shapes, dtypes and options; empty for a well-formed call."""
    return _smoothing_faults(call) | (_soft_faults(call) if _is_float(call["target"]) else faults_with_indices(call))


def all_faults(call: Call) -> frozenset[str]:
    """Every applicable category (A-8): the structural ones, and index where input and target fit all the same."""
    faults = structural_faults(call)
    if not is_soft(call) and not faults_with_indices(call.replace(weight=None, reduction="mean")):
        kept = not_ignored(call["target"], call["ignore_index"])
        if (kept & ~existing(call)).any():
            faults |= {"index"}
    return faults


def _is_float(target: Array) -> bool:
    return dtype_name(target.dtype) in FLOAT_DTYPES


def _smoothing_faults(call: Call) -> frozenset[str]:
    return frozenset() if 0 <= call["label_smoothing"] <= 1 else frozenset({"value"})


def _soft_faults(call: Call) -> frozenset[str]:
    """What is wrong with a call whose target holds floating-point numbers."""
    x, target, faults = call["input"], call["target"], set[str]()
    if dtype_name(x.dtype) not in FLOAT_DTYPES or target.dtype != x.dtype:
        faults.add("dtype")
    if x.ndim == 0 or target.shape != x.shape:
        faults |= {"shape", "dtype"}  # indices of a wrong dtype, perhaps
    if call["ignore_index"] >= 0:
        faults.add("value")
    return frozenset(faults) | option_faults(call)
