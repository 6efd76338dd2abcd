"""Losses that misbehave, for `lossparity check tests/bad_losses.py:NAME`."""

from __future__ import annotations

import ctypes
import sys
import time
from typing import Any

import numpy as np
from lossparity.adapters.numpy.ports.nll_loss import nll_loss

number = 7


def prints(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    print("called with", input.shape)
    print("called with", input.shape, file=sys.stderr)
    return nll_loss(input, target, weight, ignore_index, reduction)


def sleeps(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    time.sleep(3600)


def sleeps_on_empty(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean"
) -> Any:
    if input.dtype == "float32" and input.shape == (0, 4):
        time.sleep(3600)
    return nll_loss(input, target, weight, ignore_index, reduction)


def exits(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    if input.shape == (6, 5) and reduction == "mean":
        sys.exit("done for today")
    return nll_loss(input, target, weight, ignore_index, reduction)


def raises(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    raise RuntimeError("not written yet")


def segfaults(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    ctypes.string_at(0)


def segfaults_on_five_axes(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean"
) -> Any:
    if input.dtype == "float16" and input.ndim == 5:
        ctypes.string_at(0)
    return nll_loss(input, target, weight, ignore_index, reduction)


def returns_floats(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean"
) -> Any:
    result = nll_loss(input, target, weight, ignore_index, reduction)
    return result if np.ndim(result) else float(result)


def returns_none_for_errors(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean"
) -> Any:
    try:
        return nll_loss(input, target, weight, ignore_index, reduction)
    except Exception:
        return None


def spoils_its_target(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean"
) -> Any:
    result = nll_loss(input, target, weight, ignore_index, reduction)
    if np.ndim(target):
        target[target == ignore_index] = 0
    return result


def running_sum(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Right, but its sums of float32 and float64 add one term after another."""
    result = nll_loss(input, target, weight, ignore_index, reduction)
    if reduction == "none" or not np.isfinite(result) or input.dtype.itemsize < 4:
        return result
    terms = nll_loss(input, target, weight, ignore_index, "none").reshape(-1)
    total = np.add.accumulate(terms)[-1:].sum()
    count = nll_loss(np.full_like(input, -1), target, weight, ignore_index, "sum")
    return np.asarray(total if reduction == "sum" else total / count, input.dtype)


def takes_two(input: Any, target: Any) -> Any:
    return nll_loss(input, target)
