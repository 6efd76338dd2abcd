"""Functions that compute cross_entropy in NumPy: right ones that differ in all that is legal, and wrong ones.

They are put together of steps. Wrong ones have one step that is wrong, and are named after the slip, beside the clause
that convicts them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def wide(x: Array) -> Array:
    """In the accumulator that is required."""
    return x if x.dtype == np.float64 else x.astype(np.float32)


def two_passes(x: Array) -> Array:
    """log_softmax of rows."""
    d = x - x.max(1, keepdims=True)
    return d - np.log(np.exp(d).sum(1, keepdims=True))


def online(x: Array) -> Array:
    """The sum of exponentials made while its maximum is sought, class by class."""
    top, whole = x[:, 0].copy(), np.ones(len(x), x.dtype)
    for column in x.T[1:]:
        higher = np.maximum(top, column)
        both = np.where(top == -np.inf, 0, whole * np.exp(top - higher))
        new = np.where(column == -np.inf, 0, np.exp(column - higher))
        top, whole = higher, np.where(np.isnan(higher), np.nan, both + new)
    return (x - top[:, None]) - np.log(whole)[:, None]


def in_float64(x: Array) -> Array:
    return two_passes(x.astype(np.float64)).astype(x.dtype)


def of_label(y: Array, t: Array, w: Array, e: float) -> Array:
    """Losses of rows with indices, smoothing apart from the rest."""
    own = -w[t] * y[np.arange(len(y)), t]
    if not e:
        return own
    return own * y.dtype.type(1 - e) - (w * y).sum(1) * y.dtype.type(e / y.shape[1])


def by_factors(y: Array, t: Array, w: Array, e: float) -> Array:
    """The same by one factor for each class."""
    if not e:
        return of_label(y, t, w, e)
    factors = np.full(y.shape, y.dtype.type(e) / y.dtype.type(y.shape[1]))
    factors[np.arange(len(y)), t] += y.dtype.type(1) - y.dtype.type(e)
    return -(factors * w * y).sum(1)


def of_probabilities(y: Array, p: Array, w: Array, e: float) -> Array:
    """Losses of rows with probabilities."""
    p = p * y.dtype.type(1 - e) + y.dtype.type(e / y.shape[1]) if e else p
    terms = w * p * y
    return -np.where((p == 0) & (y == -np.inf), 0, terms).sum(1)


def by_ieee(y: Array, p: Array, w: Array, e: float) -> Array:
    """Probability 0 at -inf is NaN, which IEEE 754 says and A-10 allows."""
    p = p * y.dtype.type(1 - e) + y.dtype.type(e / y.shape[1]) if e else p
    return -((y * p) * w).sum(1)


def divisor(w: Array, t: Array | None, rows: int) -> Any:
    """What a mean divides by."""
    return w.dtype.type(rows) if t is None else w[t].sum()


@dataclass(frozen=True)
class Kernel:
    """The steps: log_softmax, how it is stored, losses of rows, what a mean divides by, what is kept."""

    y: Callable[[Array], Array] = two_passes
    store: Callable[[Array, Any], Array] = lambda y, dtype: wide(y.astype(dtype))
    label: Callable[[Array, Array, Array, float], Array] = of_label
    soft: Callable[[Array, Array, Array, float], Array] = of_probabilities
    divide: Callable[[Array, Array | None, int], Any] = divisor
    keep: Callable[[Array, int], Array] = lambda t, sentinel: t.astype(object) != sentinel
    add: Callable[[Array], Any] = lambda losses: losses.sum()
    ignored: float = field(default=0.0)

    def __call__(self, call: Any) -> Array:
        """The value of a legal call; raises IndexError for an index that does not exist."""
        x, target, dtype = call["input"], call["target"], call["input"].dtype
        axis = min(1, x.ndim - 1)
        rows = np.moveaxis(wide(x), axis, -1).reshape(-1, x.shape[axis])
        w = np.ones(x.shape[axis], rows.dtype) if call["weight"] is None else wide(call["weight"])
        soft, shape, t = target.dtype.kind not in "iu", x.shape[:axis] + x.shape[axis + 1 :], None
        chosen = np.ones(len(rows), bool) if soft else self.keep(target.reshape(-1), call["ignore_index"]).astype(bool)
        y = self.store(self.y(rows[chosen]), dtype) if chosen.any() else np.zeros((0, x.shape[axis]), rows.dtype)
        if soft:
            losses = self.soft(y, np.moveaxis(wide(target), axis, -1).reshape(rows.shape), w, call["label_smoothing"])
        else:
            t = target.reshape(-1)[chosen].astype(np.int64)
            if ((t < 0) | (t >= x.shape[axis])).any():
                raise IndexError("no such class")
            losses = self.label(y, t, w, call["label_smoothing"])
        if call["reduction"] == "none":
            whole = np.full(len(rows), self.ignored, rows.dtype)
            whole[chosen] = losses
            return whole.reshape(shape).astype(dtype)
        total = self.add(losses)
        return np.asarray(total if call["reduction"] == "sum" else total / self.divide(w, t, len(rows))).astype(dtype)


RIGHT = {
    "two passes": Kernel(),
    "online": Kernel(y=online),
    "float64 inside": Kernel(y=in_float64),
    "by factors": Kernel(label=by_factors),
    "rounded once": Kernel(store=lambda y, dtype: y),
    "zero times infinity": Kernel(soft=by_ieee),
    "one after another": Kernel(add=lambda losses: losses.cumsum()[-1] if losses.size else losses.sum()),
}


# --- wrong -----------------------------------------------------------------------------------------------


def _clipped(x: Array) -> Array:
    e = np.exp(x - x.max(1, keepdims=True))
    return np.log(np.clip(e / e.sum(1, keepdims=True), 1e-7, 1 - 1e-7)).astype(x.dtype)


def _in_two_steps(x: Array) -> Array:
    e = np.exp(x - x.max(1, keepdims=True))
    return np.log(e / e.sum(1, keepdims=True))


def _lse_last(x: Array) -> Array:
    top = x.max(1, keepdims=True)
    return x - (top + np.log(np.exp(x - top).sum(1, keepdims=True)))


def _unshifted(x: Array) -> Array:
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def _ten_bits(x: Array) -> Array:
    bits = np.ascontiguousarray(x).view(np.uint32) & np.uint32(0xFFFFE000)
    return two_passes(bits.view(np.float32)) if x.dtype == np.float32 else two_passes(x)


def _half_sum(x: Array) -> Array:
    d = x - x.max(1, keepdims=True)
    return d - np.log(np.exp(d).astype(np.float16).cumsum(1, dtype=np.float16)[:, -1:].astype(x.dtype))


def _without_masked(x: Array) -> Array:
    return two_passes(np.where(np.isneginf(x), 0, x))


def _one_less(y: Array, t: Array, w: Array, e: float) -> Array:
    own = -w[t] * y[np.arange(len(y)), t]
    return own * (1 - e) - (w * y).sum(1) * y.dtype.type(e / max(y.shape[1] - 1, 1)) if e else own


def _all_of_it(y: Array, t: Array, w: Array, e: float) -> Array:
    return of_label(y, t, w, 0.0) - (w * y).sum(1) * y.dtype.type(e / y.shape[1])


def _by_target_weight(y: Array, t: Array, w: Array, e: float) -> Array:
    own = -w[t] * y[np.arange(len(y)), t]
    return own * y.dtype.type(1 - e) - w[t] * y.sum(1) * y.dtype.type(e / y.shape[1]) if e else own


def _one_hot(y: Array, t: Array, w: Array, e: float) -> Array:
    return -((np.arange(y.shape[1]) == t[:, None]) * w * y).sum(1) if not e else of_label(y, t, w, e)


def _unweighted(y: Array, t: Array, w: Array, e: float) -> Array:
    return of_label(y, t, np.ones_like(w), e)


def _renormalised(y: Array, p: Array, w: Array, e: float) -> Array:
    return of_probabilities(y, p / p.sum(1, keepdims=True), w, e)


def _unweighted_classes(y: Array, p: Array, w: Array, e: float) -> Array:
    return of_probabilities(y, p, np.ones_like(w), e)


def _quiet(y: Array, p: Array, w: Array, e: float) -> Array:
    return of_probabilities(y, np.nan_to_num(p), w, e)


def _half_add(losses: Array) -> Any:
    return losses.astype(np.float16).cumsum(dtype=np.float16)[-1] if losses.size else losses.sum()


def _by_rows(w: Array, t: Array | None, rows: int) -> Any:
    return w.dtype.type(rows)


def _at_least_one(w: Array, t: Array | None, rows: int) -> Any:
    return max(divisor(w, t, rows), 1)


def _by_weights(w: Array, t: Array | None, rows: int) -> Any:
    return divisor(w, t, rows) if t is not None else w.sum()


def _wrapping(t: Array, sentinel: int) -> Array:
    return t.astype(np.int64) % 256 != sentinel % 256


def _unsmoothed(y: Array, t: Array, w: Array, e: float) -> Array:
    return of_label(y, t, w, 0.0)


def _through_float32(x: Array) -> Array:
    return two_passes(x.astype(np.float32)).astype(x.dtype)


right = Kernel()
# Name -> the clause that convicts it, a family, a dtype, the kernel.
WRONG: dict[str, tuple[str, str, str, Kernel]] = {
    "clipped at 1e-7": ("VALUE-5", "value", "float32", replace(right, y=_clipped)),
    "log of softmax": ("VALUE-5", "value", "float32", replace(right, y=_in_two_steps)),
    "normaliser last": ("VALUE-6", "value", "float32", replace(right, y=_lse_last)),
    "no shift": ("VALUE-6", "value", "float32", replace(right, y=_unshifted)),
    "inputs of ten bits": ("ACC-1", "accuracy", "float32", replace(right, y=_ten_bits)),
    "sum of exponentials in half": ("ACC-1", "value", "float32", replace(right, y=_half_sum)),
    "-inf taken for 0": ("SPECIAL-3", "special", "float32", replace(right, y=_without_masked)),
    "e/(C-1)": ("SMOOTH-2", "smoothing", "float32", replace(right, label=_one_less)),
    "(1-e) forgotten": ("SMOOTH-1", "smoothing", "float32", replace(right, label=_all_of_it)),
    "smoothed by w[t]": ("SMOOTH-3", "smoothing", "float32", replace(right, label=_by_target_weight)),
    "smoothing left out": ("SMOOTH-6", "smoothing", "float32", replace(right, label=_unsmoothed)),
    "mean by rows": ("VALUE-3", "value", "float32", replace(right, divide=_by_rows)),
    "mean by rows, smoothed": ("SMOOTH-5", "smoothing", "float32", replace(right, divide=_by_rows)),
    "at least one": ("WEIGHT-6", "weight", "float32", replace(right, divide=_at_least_one)),
    "weights of classes left out": ("WEIGHT-1", "weight", "float32", replace(right, label=_unweighted)),
    "one-hot product": ("SPECIAL-3", "special", "float32", replace(right, label=_one_hot)),
    "nothing is ignored but -100": ("IGN-3", "ignore", "float32", replace(right, keep=lambda t, sentinel: t != -100)),
    "a sentinel that wraps": ("IGN-8", "ignore", "float32", replace(right, keep=_wrapping)),
    "NaN at ignored positions": ("IGN-1", "ignore", "float32", replace(right, ignored=np.nan)),
    "probabilities normalised": ("PROB-4", "probabilities", "float32", replace(right, soft=_renormalised)),
    "probabilities without weights": ("PROB-5", "probabilities", "float32", replace(right, soft=_unweighted_classes)),
    "NaN of probabilities hidden": ("PROB-7", "probabilities", "float32", replace(right, soft=_quiet)),
    "mean of probabilities by weights": ("PROB-3", "probabilities", "float32", replace(right, divide=_by_weights)),
    "zero times infinity": ("PROB-8", "probabilities", "float32", replace(right, soft=by_ieee)),
    "log_softmax rounded": ("ACC-4", "accuracy", "bfloat16", right),
    "through float32": ("DTYPE-3", "dtype", "float64", replace(right, y=_through_float32)),
}  # fmt: skip

ADDED_IN_HALF = replace(right, add=_half_add)
