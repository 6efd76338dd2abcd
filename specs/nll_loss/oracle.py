"""The exact answer of `nll_loss`, for every legal call, and the reasons for which an illegal one must raise.

C classes lie on axis 1 (axis 0 unbatched). A position is kept unless its target equals ignore_index; with
a_n = w[t_n] x[n, t_n], S = sum a_n and W = sum w[t_n] over kept positions:

    none: -a_n, 0 where ignored        sum: -S        mean: -S/W

The three reductions of one call share a `Selection`, so the expensive part is done once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..accuracy import REQUIRED, Reduction, is_certified, may_overflow
from ..call import FLOAT_DTYPES, REDUCTIONS, Array, Call, dtype_name
from ..case import Elementwise, Expectation, Limit, Raises, Returns, Unjudgeable, Unspecified
from ..exact import FORMATS, ExactSum, Format, exact_dot, exact_sum, rounded_product


@dataclass(frozen=True)
class Selection:
    """What a structurally legal call selects: one weight and one input per kept position.

    `kept` and `valid` have the target's shape: not ignored, and a class that exists. `weights` (None without
    weights) and `inputs` are 1-d over positions that are both.
    """

    call: Call
    kept: Array
    valid: Array
    weights: Array | None
    inputs: Array

    @property
    def format(self) -> Format:
        """The input's floating-point format."""
        return FORMATS[self.call.dtype]

    @functools.cached_property
    def finite(self) -> bool:
        """Whether every selected input and weight is finite."""
        weights = self.weights
        return bool(np.isfinite(self.inputs).all()) and (weights is None or bool(np.isfinite(weights).all()))

    @functools.cached_property
    def numerator(self) -> ExactSum:
        """S, with M; needs `finite`."""
        return exact_sum(self.inputs) if self.weights is None else exact_dot(self.weights, self.inputs)

    @functools.cached_property
    def normaliser(self) -> ExactSum:
        """W, with W_a; the count of kept positions when there are no weights. Needs finite weights."""
        if self.weights is not None:
            return exact_sum(self.weights)
        return exact_sum(np.array([float(self.inputs.size)]))

    @functools.cached_property
    def flushed(self) -> tuple[float, float]:
        """What flushing operands and products to zero can take from S and from W, at most; needs `finite`."""
        tiny = float(self.format.smallest_normal)
        inputs = np.abs(self.inputs.astype(np.float64))
        if self.weights is None:
            return float(inputs[inputs < tiny].sum()) * 2, 0.0
        weights = np.abs(self.weights.astype(np.float64))
        with np.errstate(over="ignore", under="ignore"):
            products = inputs * weights
        lost = (inputs < tiny) | (weights < tiny)
        reduced = products[lost].sum() + np.minimum(products, tiny)[~lost & (products < tiny)].sum()
        return float(reduced) * 2, float(weights[weights < tiny].sum()) * 2


def select(call: Call) -> Selection:
    """Gather what a call with legal shapes and dtypes selects."""
    kept = not_ignored(call.target, call.ignore_index)
    classes = call.input.shape[class_axis(call.input)]
    valid = (call.target >= 0) & (call.target < classes)
    chosen = kept & valid
    index = np.where(chosen, call.target, 0).astype(np.int64)
    labels = index[chosen]
    if call.target.ndim == 0:
        inputs = call.input[labels]
    elif labels.size:
        gathered = np.take_along_axis(call.input, np.expand_dims(index, 1), axis=1)
        inputs = gathered[:, 0][chosen]
    else:
        inputs = np.zeros(0, call.input.dtype)
    weights = None if call.weight is None else call.weight[labels]
    return Selection(call, kept, valid, weights, inputs)


def class_axis(array: Array) -> int:
    """The axis that holds the classes."""
    return 1 if array.ndim > 1 else 0


def not_ignored(target: Array, ignore_index: int) -> Array:
    """Where the target differs from ignore_index as integers of any size: nothing wraps (IGN-8)."""
    info = np.iinfo(target.dtype)
    if not info.min <= ignore_index <= info.max:
        return np.ones(target.shape, dtype=bool)
    return np.asarray(target != target.dtype.type(ignore_index))


def expect(call: Call, selection: Selection | None = None) -> Expectation:
    """What the specification demands of `call`.

    `selection` may be shared between structurally legal calls that differ in reduction only.
    """
    if selection is None:
        if faults := structural_faults(call):
            return Raises(faults)
        selection = select(call)
    bad = selection.kept & ~selection.valid
    if bad.any():
        if call.reduction != "none":
            return Raises(frozenset({"index"}), np.array(True))
        return Raises(frozenset({"index"}), bad, elementwise(call, selection))
    if call.input.shape[class_axis(call.input)] == 0:
        return Unspecified("SHAPE-8")
    if call.reduction == "none":
        return Returns(call.target.shape, elementwise(call, selection))
    return Returns((), reduced(call, selection))


def structural_faults(call: Call) -> frozenset[str]:
    """Categories of everything wrong with shapes, dtypes and options; empty for a well-formed call."""
    x, target, weight = call.input, call.target, call.weight
    faults = set()
    if dtype_name(x.dtype) not in FLOAT_DTYPES or target.dtype.kind not in "iu":
        faults.add("dtype")
    if x.ndim == 0 or target.ndim != max(x.ndim - 1, 0):
        faults.add("shape")
    elif x.ndim > 1 and target.shape != x.shape[:1] + x.shape[2:]:
        faults.add("shape")
    if weight is not None and x.ndim > 0:
        if weight.shape != (x.shape[class_axis(x)],):
            faults.add("shape")
        if weight.dtype != x.dtype:
            faults.add("dtype")
    if call.reduction not in REDUCTIONS:
        faults.add("value")
    return frozenset(faults)


def elementwise(call: Call, selection: Selection) -> Elementwise:
    """The prescribed result of `none`; positions whose target does not exist hold an arbitrary 0."""
    dtype, shape = call.input.dtype, call.target.shape
    chosen = selection.kept & selection.valid
    x, w = selection.inputs, selection.weights
    tiny = float(selection.format.smallest_normal)
    small = np.abs(x.astype(np.float64)) < tiny
    if w is None:
        parts = (-x, np.ones(x.size, bool), np.zeros(x.size, bool), small, np.zeros(x.size, bool))
    else:
        with np.errstate(all="ignore"):
            product = rounded_product(w, x)
            wide = np.abs(w.astype(np.float64) * x.astype(np.float64))
            small |= np.abs(w.astype(np.float64)) < tiny
            exact = (product.astype(np.float64) == w.astype(np.float64) * x.astype(np.float64)) & (dtype != "float64")
            below = (wide <= tiny) & (wide > 0) | (wide == 0) & (x != 0) & (w != 0)
        parts = (-product, exact, below, small | below, small & (np.isinf(x) | np.isinf(w)))
    return Elementwise(*(_scatter(part, chosen, shape) for part in parts))


def _scatter(values: Array, where: Array, shape: tuple[int, ...]) -> Array:
    full = np.zeros(shape, dtype=values.dtype)
    full[where] = values
    return full


def reduced(call: Call, selection: Selection) -> Reduction | Limit | Unjudgeable:
    """The prescribed result of `sum` or `mean`."""
    mean = call.reduction == "mean"
    n = selection.inputs.size
    if n == 0:
        return Limit(frozenset({"nan" if mean else "0"}))
    if not selection.finite:
        return _limit(selection, mean)
    reduction = Reduction(
        selection.format,
        n,
        call.target.size,
        selection.weights is not None,
        selection.numerator,
        selection.normaliser if mean else None,
        *selection.flushed,
    )
    if mean and selection.normaliser.total == 0:
        return _over_zero(selection, reduction)
    return reduction


def _over_zero(selection: Selection, reduction: Reduction) -> Limit | Unjudgeable:
    """S/0 with kept positions (WEIGHT-2): decided only where no rounding can have made the zero."""
    weights = selection.weights
    assert weights is not None  # a count of kept positions is not zero
    if not weights.any():
        return Limit(frozenset({"nan"}))
    if not is_certified(reduction, REQUIRED[reduction.fmt.name]):
        return Unjudgeable("weights cancel to W = 0, and whether a rounded W is 0 depends on the order of summation")
    total = selection.numerator.total
    if total == 0:
        return Limit(frozenset({"nan"}))
    if np.signbit(weights[weights == 0]).any():
        return Limit(frozenset({"inf", "-inf"}))
    return Limit(frozenset({"-inf" if total > 0 else "inf"}))


def _limit(selection: Selection, mean: bool) -> Limit:
    """`sum` or `mean` where some selected value is not finite: its term is not either, and IEEE 754 decides."""
    w, x = selection.weights, selection.inputs
    numerator = _extended_sum(x, w)
    required = REQUIRED[selection.format.name]
    if np.isnan(numerator):
        return Limit(frozenset({"nan"}))
    if _finite_terms_may_overflow(selection, required):  # to an infinity of the other sign
        return Limit(frozenset({"nan", "inf", "-inf"}))
    fragile = selection.format != required and _finite_terms_may_overflow(selection, selection.format)
    if w is None:
        return Limit(frozenset({_limit_name(-numerator)}), fragile=fragile)
    tiny = float(selection.format.smallest_normal)
    small_weight = np.abs(w.astype(np.float64)) < tiny
    small_input = np.abs(x.astype(np.float64)) < tiny
    flushed = {"nan"} if (small_weight & np.isinf(x) | small_input & np.isinf(w)).any() else set()
    if not mean:
        return Limit(frozenset({_limit_name(-numerator)}), frozenset(flushed), fragile)
    if not np.isfinite(w).all():  # inf/inf or inf/NaN
        return Limit(frozenset({"nan"}))
    if small_weight.any():  # W may be flushed to a zero of either sign
        flushed |= {"inf", "-inf"}
    return Limit(_infinity_over(selection, numerator), frozenset(flushed), fragile)


def _finite_terms_may_overflow(selection: Selection, accumulator: Format) -> bool:
    w, x = selection.weights, selection.inputs
    finite = np.isfinite(x) if w is None else np.isfinite(x) & np.isfinite(w)
    terms = exact_sum(x[finite]) if w is None else exact_dot(w[finite], x[finite])
    n = int(finite.sum())
    return may_overflow(Reduction(selection.format, n, n, w is not None, terms, None), accumulator)


def _infinity_over(selection: Selection, numerator: float) -> frozenset[str]:
    """-(+-inf)/W for finite W: its sign is open only where W cancels in a way that depends on order, or is -0."""
    total, required = selection.normaliser, REQUIRED[selection.format.name]
    weights = Reduction(selection.format, selection.inputs.size, selection.inputs.size, False, total, None)
    if may_overflow(weights, required):
        return frozenset({"nan", "inf", "-inf"})
    one_sign = abs(total.total) == total.magnitude != 0
    if one_sign or is_certified(weights, required) and total.total:
        return frozenset({_limit_name(-numerator if total.total > 0 else numerator)})
    return frozenset({"inf", "-inf"})


def _extended_sum(x: Array, w: Array | None) -> float:
    """Sum of w*x over extended reals, at least one term not being finite: NaN, inf or -inf."""
    x = x.astype(np.float64)
    w = np.ones_like(x) if w is None else w.astype(np.float64)
    infinite = np.isinf(x) | np.isinf(w)
    if (np.isnan(x) | np.isnan(w) | infinite & ((x == 0) | (w == 0))).any():
        return np.nan
    signs = np.sign(x[infinite]) * np.sign(w[infinite])
    return np.nan if signs.min() != signs.max() else float(signs[0]) * np.inf


def _limit_name(value: Any) -> str:
    return "nan" if np.isnan(value) else "inf" if value == np.inf else "-inf" if value == -np.inf else "0"
