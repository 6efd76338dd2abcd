"""Functions of a small domain: float32, two axes, one or two reductions, no weight, no ignore_index."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from lossparity.adapters.numpy import nll_loss


def _require(x: Any, target: Any) -> None:
    """What a small kernel checks: first what it is for, then whether the call is right."""
    if x.dtype.kind != "f" or x.ndim == 0 or x.shape[: x.ndim - 1] != target.shape:
        raise ValueError(f"input of {x.dtype}{list(x.shape)} does not go with target of {list(target.shape)}")
    if target.dtype.kind not in "iu":
        raise TypeError(f"target is of {target.dtype}")
    if x.dtype != np.float32 or x.ndim != 2:
        raise NotImplementedError(f"float32 of two axes only, not {x.dtype} of {x.ndim}")
    if not x.size:
        raise NotImplementedError("nothing empty")
    if ((target < 0) | (target >= x.shape[1])).any():
        raise IndexError("a target that is no class")


def _picked(x: Any, target: Any) -> Any:
    return -x[np.arange(len(target)), target]


def mean(x: Any, target: Any) -> Any:
    """The mean."""
    _require(x, target)
    with np.errstate(all="ignore"):
        return np.float32(_picked(x, target).sum(dtype=np.float32) / np.float32(len(target)))


def flushing(x: Any, target: Any) -> Any:
    """The mean, where subnormal numbers are taken for 0, as some processors do."""
    _require(x, target)
    tiny = np.finfo(np.float32).tiny
    found = mean(np.where(np.abs(x) < tiny, x * 0, x), target)
    return found if abs(found) >= tiny or not np.isfinite(found) else found * 0


def mean_or_sum(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """The mean, or the sum."""
    if reduction == "sum":
        _require(input, target)
        return _picked(input, target).sum(dtype=np.float32)
    if reduction != "mean":
        kind = NotImplementedError if reduction == "none" else ValueError
        raise kind(f"no reduction {reduction}")
    return mean(input, target)


def mean_of_few(input: Any, target: Any, reduction: str = "mean") -> Any:
    """At most 1,000 rows, which only it knows."""
    _require(input, target)
    if len(target) > 1000:
        raise NotImplementedError(f"at most 1000 rows, not {len(target)}")
    return mean_or_sum(input, target, reduction=reduction)


class OnlyOnTuesdays(NotImplementedError):
    """A kind of NotImplementedError."""


def never(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Does nothing at all."""
    raise OnlyOnTuesdays("not today")


def forgets_the_last_row(x: Any, target: Any) -> Any:
    """Wrong with more than one row."""
    _require(x, target)
    rows = max(1, len(target) - 1)
    return mean(x[:rows], target[:rows])


def takes_any_class(x: Any, target: Any) -> Any:
    """Clips targets that do not exist."""
    return mean(x, np.clip(target, 0, x.shape[-1] - 1) if target.dtype.kind in "iu" else target)


def off_for_no_rows(x: Any, target: Any) -> Any:
    """Wrong only where there are no rows."""
    return mean(x, target) if x.size else np.float32(0)


def in_another_order(labels: Any, scores: Any, w: Any = None, *, skip: int = -100, how: str = "mean") -> Any:
    """Right, and spells everything in its own way."""
    return nll_loss(scores, labels, w, skip, how)


def by_position(
    scores: Any, labels: Any, /, *, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """Takes arrays by position only."""
    return nll_loss(scores, labels, weight, ignore_index, reduction)


@functools.wraps(nll_loss)
def wraps_more(x: Any, target: Any) -> Any:
    """Says that it is like a function of five arguments, and takes two."""
    return mean(x, target)


@functools.wraps(mean)
def wraps_less(*arguments: Any, **options: Any) -> Any:
    """Says that it is like a function of two arguments, and takes all."""
    return nll_loss(*arguments, **options)
