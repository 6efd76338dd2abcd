"""What a legal call of cross_entropy computes with: its kept positions, as rows by classes."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from dataclasses import dataclass

import numpy as np

from ..call import Array, Call
from ..classes.targets import class_axis, existing, not_ignored
from ..exact import exact_sum
from ..log_softmax.rows import as_rows
from ..stopwatch import booked


@dataclass(frozen=True, eq=False)
class Selection:
    """The rows of a structurally legal call that count.

    `kept` and `valid` have the shape of `none`: not ignored, and an index that exists; all are with probabilities. The
    other arrays are over positions that are both: `logits` are rows by classes, `labels` 1-d or None with
    probabilities, `probabilities` rows by classes or None with indices. `weight` is one row, None without weights.
    """

    call: Call
    kept: Array
    valid: Array
    logits: Array
    labels: Array | None
    probabilities: Array | None
    weight: Array | None

    def under(self, call: Call) -> Selection:
        """That of a call which differs in its reduction, in whether it has weights, and in what it asks for."""
        if (call["weight"] is None) == (self.weight is None):
            same = copy.copy(self)  # with all that was found out about the arrays
            object.__setattr__(same, "call", call)
            return same
        return dataclasses.replace(self, call=call, weight=_row(call["weight"]))

    @property
    def chosen(self) -> Array:
        """Which positions count, as flat booleans."""
        return (self.kept & self.valid).reshape(-1)

    @property
    def rows(self) -> int:
        """How many positions count."""
        return len(self.logits)

    @property
    def smoothing(self) -> float:
        """e."""
        return float(self.call["label_smoothing"])

    @functools.cached_property
    def target_weights(self) -> Array | None:
        """w[t] of each row; None without weights, and with probabilities."""
        return None if self.weight is None or self.labels is None else self.weight[0, self.labels]

    @functools.cached_property
    def used_weights(self) -> Array | None:
        """All weights that have an influence, flat; None without weights."""
        if self.weight is None or not self.rows:
            return None
        return self.weight[0] if self.labels is None or self.smoothing else self.weight[0][np.unique(self.labels)]

    @functools.cached_property
    def weights_cancel(self) -> bool:
        """Whether W, which a mean of indices divides by, is 0 though positions are kept."""
        w = self.target_weights
        return w is not None and w.size > 0 and bool(np.isfinite(w).all()) and exact_sum(w).total == 0

    @functools.cached_property
    def at_target(self) -> Array:
        """x[t] of each row of indices."""
        assert self.labels is not None
        return self.logits[np.arange(self.rows), self.labels]

    @functools.cached_property
    def largest(self) -> Array:
        """The largest logit of each row, NaN where there is one."""
        return self.logits.max(1) if self.logits.size else np.zeros(self.rows)

    @functools.cached_property
    def infinite(self) -> Array:
        """Which rows have a logit of +inf, and none of NaN."""
        return self.largest == np.inf

    @functools.cached_property
    def limits(self) -> Array:
        """The logits; of a row with +inf those that have its limit: a class at +inf is as 0 among -inf (A-9)."""
        if not self.infinite.any():
            return self.logits
        limits = np.where(self.logits == np.inf, 0.0, -np.inf).astype(self.logits.dtype)
        return np.where(self.infinite[:, None], limits, self.logits)

    @functools.cached_property
    def impossible(self) -> Array:
        """Where probability 0 meets a logit of -inf in a row that is not nothing else, as rows by classes."""
        if self.probabilities is None or self.smoothing:
            return np.zeros(self.logits.shape, bool)
        masked = np.isneginf(self.logits) & (self.largest > -np.inf)[:, None]
        return masked & (self.probabilities == 0)

    @functools.cached_property
    def unbounded(self) -> Array:
        """Which rows have a loss that is not finite, by what stands in them."""
        rows = ~np.isfinite(self.largest)
        masked = np.isneginf(self.logits)
        if self.weight is not None and self.used_weights is not None:
            open_weight = ~np.isfinite(self.weight)
            own = open_weight.any() if self.labels is None or self.smoothing else open_weight[0, self.labels]
            rows = rows | own
        if self.labels is None:
            assert self.probabilities is not None
            rows = rows | ~np.isfinite(self.probabilities).all(1) | (masked & ~self.impossible).any(1)
        else:
            rows = rows | (masked.any(1) if self.smoothing else np.isneginf(self.at_target))
        return np.asarray(rows)


def is_soft(call: Call) -> bool:
    """Whether the target holds probabilities."""
    return not call.signature.holds_classes("target", call["target"])


def positions_of(call: Call) -> tuple[int, ...]:
    """The shape of `none`."""
    shape, axis = call["input"].shape, class_axis(call["input"])
    return tuple(shape[:axis] + shape[axis + 1 :])


@booked("oracle")
def select(call: Call) -> Selection:
    """The kept positions of a call with legal shapes, dtypes and options."""
    shape, axis = positions_of(call), class_axis(call["input"])
    kept = valid = np.ones(shape, bool)
    if not is_soft(call):
        kept, valid = not_ignored(call["target"], call["ignore_index"]), existing(call)
    chosen = kept & valid
    weight = _row(call["weight"])
    logits = np.moveaxis(call["input"], axis, -1)[chosen]
    if is_soft(call):
        return Selection(call, kept, valid, logits, None, np.moveaxis(call["target"], axis, -1)[chosen], weight)
    labels = call["target"][chosen].astype(np.int64)
    return Selection(call, kept, valid, logits, labels, None, weight)


def _row(weight: Array | None) -> Array | None:
    return None if weight is None else weight.reshape(1, -1)


def rows_of(array: Array, axis: int) -> Array:
    """Rows by classes, also of an array without elements."""
    if array.size:
        return as_rows(array, axis)
    shape = array.shape[:axis] + array.shape[axis + 1 :]
    return np.zeros((math.prod(shape), array.shape[axis]), array.dtype)
