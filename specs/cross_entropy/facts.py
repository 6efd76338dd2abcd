"""What can be said about a call in one number or word each: the vocabulary of ledger selectors and of `exercised`.

Facts about values need a structurally legal call; for others they are absent, and no selector that names one matches.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from ..call import TRANSFORMS, Array, Call
from ..case import NoFact
from ..classes.facts import MEANINGS as SHARED
from ..classes.facts import ClassFacts
from ..exact import FORMATS, exact_sum
from .faults import structural_faults
from .selection import Selection, is_soft, positions_of

# Every fact a selector may name, with its meaning; `lossparity lint` refuses others.
MEANINGS = SHARED | {
    "omitted": "arguments that the caller leaves out, in the signature's order, joined by +, none if there is none",
    "kind": f"value, or what else is asked for: {', '.join(TRANSFORMS)}; by the target each with target_ before it",
    "target": "indices or probabilities, by the target's dtype",
    "smoothing": "label_smoothing",
    "n_active": "positions that are kept",
    "ignored": "positions that are ignored",
    "faults": "categories of error the call must raise for, joined by +, none for a legal call",
    "lowest": "smallest kept index",
    "highest": "largest kept index",
    "finite": "whether all logits of kept positions are finite",
    "nan_logit": "whether some logit of a kept position is NaN",
    "infinite_logit": "whether some logit of a kept position is +inf",
    "masked": "whether some logit of a kept position is -inf",
    "masked_target": "whether -inf stands at the index of some kept position",
    "masked_rows": "whether all logits of some kept position are -inf",
    "impossible": "whether probability 0 meets a logit of -inf",
    "nonfinite_probability": "whether some probability is NaN or infinite",
    "ignored_nonfinite": "whether an ignored position holds NaN or an infinity",
    "unused_nonfinite_weight": "whether a weight that has no influence is NaN or infinite",
    "used_nonfinite_weight": "whether a weight that has influence is NaN or infinite",
    "negative_weight": "whether a weight that has influence is below 0",
    "zero_weight": "whether a weight that has influence is 0",
    "weights_cancel": "whether W is 0 though positions are kept",
    "small_normaliser": "whether the sizes of kept indices' weights add up to less than 1",
    "offset": "the largest size of a finite logit in a kept position",
    "gap": "the largest distance between the largest logit of a kept position and its index's, infinite where that is "
    "-inf; with probabilities or smoothing, the smallest finite logit's",
    "spread": "the smallest nonzero distance between the largest logit of a kept position and another one, infinite "
    "where there is none",
    "own_overflow": "whether -w[t] l[t], added up over kept positions, may be beyond half of input dtype's largest number",
    "smoothed_sum_overflows": "whether -w[c] l[c], added up over kept positions and all classes, may be",
    "sum_open": "whether so many numbers are added up, over classes or kept positions, that a sum in input's own dtype "
    "may be off by a third, and says nothing",
    "inverse_overflows": "whether 1/W is beyond input dtype's largest number",
}


class Facts(ClassFacts):
    """Facts about one call of cross_entropy; `selection` is shared with the oracle where it exists."""

    meanings = MEANINGS

    def __init__(self, call: Call, selection: Selection | None, asked: Call | None = None) -> None:
        """`asked` is the whole call where `call` is only the first of a batch."""
        super().__init__(call, asked)
        self.selection = selection

    @property
    def selected(self) -> Selection:
        if self.selection is None:
            raise NoFact("a call with structural faults selects nothing")
        return self.selection

    @property
    def target(self) -> str:
        return "probabilities" if is_soft(self.call) else "indices"

    @property
    def smoothing(self) -> float:
        return float(self.call["label_smoothing"])

    @property
    def n(self) -> int:
        return int(np.prod(positions_of(self.call))) if self.rank else 1

    @property
    def n_active(self) -> int:
        return int(np.count_nonzero(self.selected.kept))

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
        if is_soft(self.call):
            raise NoFact("probabilities are no indices")
        kept: Array = self.call["target"][self.selected.kept]
        if not kept.size:
            raise NoFact("every position is ignored, or there is none")
        return kept

    @functools.cached_property
    def finite(self) -> bool:
        return bool(np.isfinite(self.selected.logits).all())

    @functools.cached_property
    def nan_logit(self) -> bool:
        return bool(np.isnan(self.selected.logits).any())

    @functools.cached_property
    def infinite_logit(self) -> bool:
        return bool(self.selected.infinite.any())

    @functools.cached_property
    def masked(self) -> bool:
        return bool(np.isneginf(self.selected.logits).any())

    @functools.cached_property
    def masked_target(self) -> bool:
        return self.selected.labels is not None and bool(np.isneginf(self.selected.at_target).any())

    @functools.cached_property
    def masked_rows(self) -> bool:
        return bool(np.isneginf(self.selected.largest).any())

    @functools.cached_property
    def impossible(self) -> bool:
        return bool(self.selected.impossible.any())

    @functools.cached_property
    def nonfinite_probability(self) -> bool:
        return is_soft(self.call) and not bool(np.isfinite(self.call["target"]).all())

    @functools.cached_property
    def ignored_nonfinite(self) -> bool:
        wrong = np.count_nonzero(~np.isfinite(self.call["input"]))
        return bool(wrong > np.count_nonzero(~np.isfinite(self.selected.logits)))

    @functools.cached_property
    def unused_nonfinite_weight(self) -> bool:
        used, weight = self.selected.used_weights, self.call["weight"]
        if weight is None:
            return False
        some = 0 if used is None else np.count_nonzero(~np.isfinite(used))
        return bool(np.count_nonzero(~np.isfinite(weight)) > some)

    @property
    def _used(self) -> Array:
        used = self.selected.used_weights
        return np.zeros(0) if used is None else used

    @functools.cached_property
    def used_nonfinite_weight(self) -> bool:
        return not bool(np.isfinite(self._used).all())

    @functools.cached_property
    def negative_weight(self) -> bool:
        return bool((self._used < 0).any())

    @functools.cached_property
    def zero_weight(self) -> bool:
        return bool((self._used == 0).any())

    @property
    def weights_cancel(self) -> bool:
        return self.selected.weights_cancel

    @functools.cached_property
    def small_normaliser(self) -> bool:
        w = self.selected.target_weights
        return w is not None and w.size > 0 and bool(np.abs(w.astype(np.float64)).sum() < 1)

    @functools.cached_property
    def offset(self) -> float:
        x = np.abs(self.selected.logits.astype(np.float64))
        return float(x.max(initial=0.0, where=np.isfinite(x)))

    @functools.cached_property
    def _below(self) -> Array:
        """How far each logit lies below the largest one of its position."""
        with np.errstate(all="ignore"):
            return self.selected.largest.astype(np.float64)[:, None] - self.selected.logits.astype(np.float64)

    @functools.cached_property
    def gap(self) -> float:
        selected, below = self.selected, self._below
        if selected.labels is not None and not selected.smoothing:
            at_target = below[np.arange(selected.rows), selected.labels]
            return float(at_target.max(initial=0.0, where=~np.isnan(at_target)))
        return float(below.max(initial=0.0, where=np.isfinite(below)))

    @functools.cached_property
    def spread(self) -> float:
        below = self._below
        return float(below.min(initial=np.inf, where=below > 0))

    @property
    def own_overflow(self) -> bool:
        return self._may_overflow(self.n_active)

    @property
    def smoothed_sum_overflows(self) -> bool:
        return self._may_overflow(self.n_active * self.classes)

    def _may_overflow(self, terms: int) -> bool:
        heaviest = float(np.abs(self._used.astype(np.float64)).max(initial=0.0)) if self.weighted else 1.0
        farthest = self.gap + math.log(max(self.classes, 1))
        return farthest * heaviest * terms * 2 >= float(FORMATS[self.dtype].largest)

    @property
    def sum_open(self) -> bool:
        positions = 1 if self.reduction == "none" else self.n_active
        along = self.classes if self.target == "probabilities" or self.smoothing else 1
        return max(self.classes, positions * along) * FORMATS[self.dtype].u * 4 >= 1

    @functools.cached_property
    def inverse_overflows(self) -> bool:
        w = self.selected.target_weights
        if w is None or self.reduction != "mean":
            return False
        normaliser = abs(float(exact_sum(w).total)) if np.isfinite(w).all() else math.inf
        return 0 < normaliser * float(FORMATS[self.dtype].largest) < 1
