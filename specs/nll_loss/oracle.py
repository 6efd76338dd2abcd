"""The exact answer of `nll_loss`, for every legal call, and the reasons for which an illegal one must raise.

C classes lie on axis 1 (axis 0 unbatched). A position is kept unless its target equals ignore_index; with
a_n = w[t_n] x[n, t_n], S = sum a_n and W = sum w[t_n] over kept positions:

    none: -a_n, 0 where ignored        sum: -S        mean: -S/W

The three reductions of one call share a `Selection`, so the expensive part is done once.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ..accuracy import is_certified, may_overflow
from ..call import Array, Call
from ..case import Exactly, Expectation, Limit, Raises, Returns, Unjudgeable, Unspecified
from ..classes.targets import array_faults, class_axis, existing, not_ignored, structural_faults
from ..exact import FORMATS, ExactSum, Format, exact_dot, exact_sum, rounded_product
from ..reductions import REQUIRED, Reduction
from ..stopwatch import booked

_LOWEST_LOG = -104  # below the logarithm of every probability that float32 can hold


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
    def active(self) -> int:
        """How many positions are kept."""
        return int(np.count_nonzero(self.kept))

    @functools.cached_property
    def other_input_is_finite(self) -> bool:
        """Whether every entry of the input that no kept position selects is finite."""
        nonfinite = self.call["input"].size - np.count_nonzero(np.isfinite(self.call["input"]))
        return not nonfinite or nonfinite == self.inputs.size - np.count_nonzero(np.isfinite(self.inputs))

    @functools.cached_property
    def other_weights_are_finite(self) -> bool:
        """Whether every weight that no kept position selects is finite."""
        if self.call["weight"] is None:
            return True
        nonfinite = ~np.isfinite(self.call["weight"])
        nonfinite[self.call["target"][self.kept & self.valid].astype(np.int64)] = False
        return not nonfinite.any()

    @functools.cached_property
    def has_other_than_logarithms(self) -> bool:
        """Whether some input selected is no logarithm of a probability that float32 can hold."""
        return bool(((self.inputs > 0) | (self.inputs < _LOWEST_LOG)).any())

    @functools.cached_property
    def has_zero_weight(self) -> bool:
        """Whether some weight selected is 0."""
        return self.weights is not None and bool((self.weights == 0).any())

    @functools.cached_property
    def has_negative_weight(self) -> bool:
        """Whether some weight selected is below 0."""
        return self.weights is not None and bool((self.weights < 0).any())

    @functools.cached_property
    def smallest_input(self) -> float:
        """The smallest nonzero |x| selected, infinite when there is none."""
        return _smallest(self.inputs.astype(np.float64))

    @functools.cached_property
    def smallest_weight(self) -> float:
        """The smallest nonzero |w[t_n]|, infinite when there is none."""
        return math.inf if self.weights is None else _smallest(self.weights.astype(np.float64))

    @functools.cached_property
    def smallest_product(self) -> float:
        """The smallest nonzero |a_n| as a float64 product, infinite when there is none."""
        if self.weights is None:
            return self.smallest_input
        with np.errstate(all="ignore"):
            return _smallest(self.inputs.astype(np.float64) * self.weights.astype(np.float64))

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
        least = float(REQUIRED[self.format.name].smallest_normal)  # of a product in the accumulator
        inputs = np.abs(self.inputs.astype(np.float64))
        if self.weights is None:
            return float(inputs[inputs < tiny].sum()) * 2, 0.0
        weights = np.abs(self.weights.astype(np.float64))
        with np.errstate(over="ignore", under="ignore"):
            products = inputs * weights
        lost = (inputs < tiny) | (weights < tiny)
        reduced = products[lost].sum() + products[~lost & (products < least)].sum()
        return float(reduced) * 2, self.flushed_weights * 2

    @functools.cached_property
    def flushed_weights(self) -> float:
        """The sum of the sizes of selected weights that may be read as zero."""
        if self.weights is None:
            return 0.0
        sizes = np.abs(self.weights.astype(np.float64))
        return float(sizes[sizes < float(self.format.smallest_normal)].sum())


def _smallest(values: Array) -> float:
    sizes = np.abs(values)
    return float(np.min(sizes, where=sizes > 0, initial=np.inf))


@booked("oracle")
def select(call: Call) -> Selection:
    """Gather what a call with legal shapes and dtypes selects."""
    kept, valid = not_ignored(call["target"], call["ignore_index"]), existing(call)
    chosen = kept & valid
    index = np.where(chosen, call["target"], 0).astype(np.int64)
    labels = index[chosen]
    if call["target"].ndim == 0:
        inputs = call["input"][labels]
    elif labels.size:
        gathered = np.take_along_axis(call["input"], np.expand_dims(index, 1), axis=1)
        inputs = gathered[:, 0][chosen]
    else:
        inputs = np.zeros(0, call["input"].dtype)
    weights = None if call["weight"] is None else call["weight"][labels]
    return Selection(call, kept, valid, weights, inputs)


@booked("oracle")
def expect(call: Call, selection: Selection | None = None) -> Expectation:
    """What the specification demands of `call`.

    `selection` may be shared between structurally legal calls that differ in reduction only.
    """
    with np.errstate(invalid="ignore"):  # signalling NaNs are data too
        return _expect(call, selection)


def _expect(call: Call, selection: Selection | None) -> Expectation:
    if selection is None:
        faults = structural_faults(call)
        if faults:
            return Raises(all_faults(call))
        selection = select(call)
    bad = selection.kept & ~selection.valid
    if bad.any():
        return Raises(frozenset({"index"}), _poisoned(call, selection))
    return expect_value(call, selection)


def _poisoned(call: Call, selection: Selection) -> Returns:
    """NaN where a target does not exist; the other positions of `none` are as usual."""
    if call["reduction"] != "none":
        return Returns((), call.dtype, Limit(frozenset({"nan"})))
    value = elementwise(call, selection)
    value.value[selection.kept & ~selection.valid] = np.nan
    return Returns(call["target"].shape, call.dtype, value)


def expect_value(call: Call, selection: Selection) -> Expectation:
    """What a call must return whose structure and targets are legal."""
    if call["input"].shape[class_axis(call["input"])] == 0:
        return Unspecified("SHAPE-8")
    if call["reduction"] == "none":
        return Returns(call["target"].shape, call.dtype, elementwise(call, selection))
    return Returns((), call.dtype, reduced(call, selection))


def all_faults(call: Call) -> frozenset[str]:
    """Every applicable category (A-8): the structural ones, and index where input and target fit all the same."""
    faults = structural_faults(call)
    if faults and not array_faults(call):
        selection = select(call.replace(weight=None))
        if (selection.kept & ~selection.valid).any():
            faults |= {"index"}
    return faults


def elementwise(call: Call, selection: Selection) -> Exactly:
    """The prescribed result of `none`; positions whose target does not exist hold an arbitrary 0."""
    chosen = selection.kept & selection.valid
    flat = prescribed(selection.format, selection.weights, selection.inputs)
    parts = (flat.value, flat.loose, flat.flushable, flat.flushable_nan)
    return Exactly(*(_scatter(part, chosen, call["target"].shape) for part in parts))


def prescribed(fmt: Format, w: Array | None, x: Array) -> Exactly:
    """-w x, each product by itself, as 1-d arrays; -x without weights."""
    tiny = float(fmt.smallest_normal)
    small = np.abs(x.astype(np.float64)) < tiny
    if w is None:
        never = np.zeros(x.size, bool)
        return Exactly(-x, never, small, never)
    with np.errstate(all="ignore"):
        product = rounded_product(w, x)
    below = _below_normal(w, x, tiny)
    finite = np.isfinite(x) & np.isfinite(w)
    small = small | (np.abs(w.astype(np.float64)) < tiny)
    return Exactly(-product, below, finite & (small | below), small & (np.isinf(x) | np.isinf(w)))


def _below_normal(w: Array, x: Array, tiny: float) -> Array:
    """Where the exact product is nonzero and below the normal range."""
    nonzero = (w != 0) & (x != 0)
    with np.errstate(all="ignore"):
        size = np.abs(w.astype(np.float64) * x.astype(np.float64))
    below = nonzero & (size < tiny)
    for index in np.flatnonzero(size == tiny) if x.dtype == np.float64 else ():  # rounded up to it, perhaps
        below[index] = abs(Fraction(float(w[index])) * Fraction(float(x[index]))) < Fraction(tiny)
    return below


def _scatter(values: Array, where: Array, shape: tuple[int, ...]) -> Array:
    full = np.zeros(shape, dtype=values.dtype)
    full[where] = values
    return full


def reduced(call: Call, selection: Selection) -> Reduction | Limit | Unjudgeable:
    """The prescribed result of `sum` or `mean`."""
    mean = call["reduction"] == "mean"
    n = selection.inputs.size
    if n == 0:
        return Limit(frozenset({"nan" if mean else "0"}))
    if not selection.finite:
        return _limit(selection, mean)
    reduction = Reduction(
        selection.format,
        n,
        call["target"].size,
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
    total, least = selection.numerator.total, REQUIRED[reduction.fmt.name].smallest_normal
    lost = abs(total) <= Fraction(reduction.flushed) + reduction.n * least  # S may be flushed to 0, or in part
    flushed = frozenset({"nan", "inf", "-inf"}) if lost else frozenset()
    if reduction.flushed_weights:  # some weights flushed, others not: W may be anything
        flushed |= {"nan", "inf", "-inf", "number", "0"}
    if total == 0:
        return Limit(frozenset({"nan"}), flushed)
    if np.signbit(weights[weights == 0]).any():
        return Limit(frozenset({"inf", "-inf"}), flushed)
    return Limit(frozenset({"-inf" if total > 0 else "inf"}), flushed)


def _limit(selection: Selection, mean: bool) -> Limit:
    """`sum` or `mean` where some selected value is not finite: its term is not either, and IEEE 754 decides."""
    w, x = selection.weights, selection.inputs
    numerator = _extended_sum(x, w)
    if np.isnan(numerator) or mean and w is not None and not np.isfinite(w).all():  # inf/inf, inf/NaN
        return Limit(frozenset({"nan"}))
    required = REQUIRED[selection.format.name]
    cancels = _opposed_terms_overflow(selection, numerator, required)
    fragile = selection.format != required and _opposed_terms_overflow(selection, numerator, selection.format)
    nan = frozenset({"nan"}) if cancels else frozenset()
    if w is None:
        return Limit(nan | {_limit_name(-numerator)}, fragile=fragile)
    tiny = float(selection.format.smallest_normal)
    small = np.abs(w.astype(np.float64)) < tiny
    small_input = np.abs(x.astype(np.float64)) < tiny
    flushed = frozenset({"nan"}) if (small & np.isinf(x) | small_input & np.isinf(w)).any() else frozenset()
    if not mean:
        return Limit(nan | {_limit_name(-numerator)}, flushed, fragile)
    if abs(selection.normaliser.total) <= 2 * Fraction(selection.flushed_weights):  # W may be flushed to a zero
        flushed |= {"inf", "-inf"}
    return Limit(nan | _infinity_over(selection, numerator), flushed, fragile)


def _opposed_terms_overflow(selection: Selection, infinity: float, accumulator: Format) -> bool:
    """Whether finite terms can overflow to the other infinity, so that the sum may be NaN."""
    w, x = selection.weights, selection.inputs
    finite = np.isfinite(x) if w is None else np.isfinite(x) & np.isfinite(w)
    opposed = finite & ((np.sign(x) if w is None else np.sign(x) * np.sign(w)) == -np.sign(infinity))
    terms = exact_sum(x[opposed]) if w is None else exact_dot(w[opposed], x[opposed])
    n = int(opposed.sum())
    return may_overflow(Reduction(selection.format, n, n, w is not None, terms, None), accumulator)


def _infinity_over(selection: Selection, numerator: float) -> frozenset[str]:
    """-(+-inf)/W for finite W: its sign is open only where W cancels in a way that depends on order, or is -0."""
    total, required = selection.normaliser, REQUIRED[selection.format.name]
    n = selection.inputs.size
    weights = Reduction(selection.format, n, n, False, total, None)
    nan = frozenset({"nan"}) if may_overflow(weights, required) else frozenset()
    one_sign = abs(total.total) == total.magnitude != 0
    if one_sign or is_certified(weights, required) and total.total:
        return nan | {_limit_name(-numerator if total.total > 0 else numerator)}
    return nan | {"inf", "-inf"}


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
