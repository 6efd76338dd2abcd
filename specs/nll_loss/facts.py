"""What can be said about a call in one number or word each: the vocabulary of ledger selectors and of `exercised`.

Facts about values need a structurally legal call; for others they are absent, and no selector that names one
matches.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..call import Array, Call
from ..case import NoFact
from ..classes.facts import MEANINGS as SHARED
from ..classes.facts import ClassFacts
from ..classes.targets import structural_faults
from ..exact import FORMATS, exact_dot, exact_sum
from .derivatives import own_precision_decides
from .oracle import Selection

# Every fact a selector may name, with its meaning; `lossparity lint` refuses others.
MEANINGS = SHARED | {
    "n_active": "positions that are kept",
    "ignored": "positions that are ignored",
    "faults": "categories of error the call must raise for, joined by +, none for a legal call",
    "lowest": "smallest kept target",
    "highest": "largest kept target",
    "count_rounds": "whether an unweighted mean divides by a count that input's dtype cannot hold",
    "own_overflow": "whether M, or for mean the sum of |w[t_n]|, is beyond half of input dtype's largest number",
    "own_underflow": "whether some |a_n| is below the normal range of input's own dtype",
    "magnitude": "M, the sum of |a_n|, infinite when a selected value is not finite",
    "weight_magnitude": "the sum of |w[t_n]|, the count of kept positions without weights",
    "normaliser": "W, the sum of w[t_n], the count of kept positions without weights; infinite when a selected value "
    "is not finite",
    "unselected_nonfinite_weight": "whether a weight that no kept position selects is NaN or infinite",
    "unselected_nonfinite_input": "whether an entry that no kept position selects is NaN or infinite",
    "infinite_slope": "whether g, some weight, or g w (for mean g w/W) with any class is not finite in input's dtype",
    "own_slope_open": "whether input dtype's own precision bounds some entry of the gradient by nothing, as an "
    "intermediate overflows in it or W may be rounded to 0",
    "finite": "whether all selected inputs and weights are finite",
    "smallest_input": "smallest nonzero |x| selected, infinite when there is none",
    "smallest_weight": "smallest nonzero |w[t_n]|, infinite when there is none",
    "smallest_product": "smallest nonzero |a_n|, infinite when there is none",
}


class Facts(ClassFacts):
    """Facts about one call of nll_loss; `selection` is shared with the oracle where it exists."""

    meanings = MEANINGS

    def __init__(self, call: Call, selection: Selection | None, asked: Call | None = None) -> None:
        """`asked` is the whole call where `call` is only the first of a batch."""
        super().__init__(call, asked)
        self.selection = selection

    @functools.cached_property
    def infinite_slope(self) -> bool:
        transform, weight = self.asked.transform, self.call["weight"]
        if transform is None or transform.upstream is None or not transform.upstream.size:
            return False
        with np.errstate(all="ignore"):
            g, w = np.abs(transform.upstream.astype(np.float64)).max(), 1.0
            if weight is not None:
                w = float(np.abs(weight.astype(np.float64)).max(initial=0.0))
            total = self._total if self.reduction == "mean" else 1.0
            largest = float(FORMATS[self.dtype].largest)
            return not all(size <= largest for size in (g, w, g * w, np.divide(g, total), np.divide(g * w, total)))

    @functools.cached_property
    def own_slope_open(self) -> bool:
        if self.call.transform is None or self.call.transform.upstream is None:
            return False
        return not own_precision_decides(self.call, self.selected)

    @property
    def _total(self) -> float:
        finite = self.call["weight"] is None or bool(np.isfinite(self.call["weight"]).all())
        return abs(_float(self.selected.normaliser.total)) if finite else float("nan")

    @property
    def n_active(self) -> int:
        return self.selected.active

    @property
    def ignored(self) -> int:
        return self.n - self.n_active

    @functools.cached_property
    def faults(self) -> str:
        faults = structural_faults(self.call)
        if not faults and self.selection is not None and (self.selection.kept & ~self.selection.valid).any():
            faults = frozenset({"index"})
        return "+".join(sorted(faults)) or "none"

    @functools.cached_property
    def lowest(self) -> int:
        return int(self._kept_target.min())

    @functools.cached_property
    def highest(self) -> int:
        return int(self._kept_target.max())

    @property
    def _kept_target(self) -> Array:
        kept: Array = self.call["target"][self.selected.kept]
        if not kept.size:
            raise NoFact("every position is ignored, or there is none")
        return kept

    @functools.cached_property
    def count_rounds(self) -> bool:
        exact = (
            int(np.array(float(self.n_active)).astype(self.call["input"].dtype).astype(np.float64))
            if (self.n_active <= float(FORMATS[self.dtype].largest))
            else -1
        )
        return self.reduction == "mean" and not self.weighted and exact != self.n_active

    @functools.cached_property
    def own_overflow(self) -> bool:
        selection = self.selected
        inputs, weights = selection.inputs, selection.weights
        finite = np.isfinite(inputs) if weights is None else np.isfinite(inputs) & np.isfinite(weights)
        sums = exact_sum(inputs[finite]) if weights is None else exact_dot(weights[finite], inputs[finite])
        mean = self.reduction == "mean" and (weights is None or bool(np.isfinite(weights).all()))
        sizes = (sums.magnitude, selection.normaliser.magnitude if mean else 0)
        return max(sizes) * 2 >= FORMATS[self.dtype].largest

    @property
    def own_underflow(self) -> bool:
        return self.smallest_product < float(FORMATS[self.dtype].smallest_normal)

    @functools.cached_property
    def magnitude(self) -> float:
        return _float(self.selected.numerator.magnitude) if self.finite else float("inf")

    @functools.cached_property
    def weight_magnitude(self) -> float:
        return _float(self.selected.normaliser.magnitude) if self.finite else float("inf")

    @functools.cached_property
    def normaliser(self) -> float:
        return _float(self.selected.normaliser.total) if self.finite else float("inf")

    @property
    def finite(self) -> bool:
        return self.selected.finite

    @property
    def unselected_nonfinite_weight(self) -> bool:
        return not self.selected.other_weights_are_finite

    @property
    def unselected_nonfinite_input(self) -> bool:
        return not self.selected.other_input_is_finite

    @property
    def smallest_input(self) -> float:
        return self.selected.smallest_input

    @property
    def smallest_weight(self) -> float:
        return self.selected.smallest_weight

    @property
    def smallest_product(self) -> float:
        return self.selected.smallest_product

    @property
    def selected(self) -> Selection:
        if self.selection is None:
            raise NoFact("a call with structural faults selects nothing")
        return self.selection


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")
