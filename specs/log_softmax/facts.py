"""What can be said about a call in one number or word each: the vocabulary of ledger selectors and of `exercised`.

Facts about an axis need one that `dim` means, those about rows a structurally legal call; for others they are absent,
and no selector that names one matches.
"""

from __future__ import annotations

import functools

import ml_dtypes
import numpy as np

from ..call import TRANSFORMS, Array
from ..case import NoFact
from ..facts import CallFacts
from .faults import structural_faults
from .rows import as_rows, axis_of

# Every fact a selector may name, with its meaning; `lossparity lint` refuses others.
MEANINGS = {
    "dtype": "name of input's dtype",
    "rank": "number of input's axes",
    "dim": "dim as it is passed",
    "axis": "the axis that dim means, counted from the front",
    "omitted": "dim where the caller leaves it out, none otherwise",
    "axes_after": "number of input's axes behind the one that dim means, 0 where it is the last",
    "classes": "C, length of the axis that dim means",
    "sum_open": "whether a row has so many classes that their sum in input's own format may be off by a third",
    "rows": "number of rows along that axis",
    "size": "number of input's elements",
    "unit_axes": "number of input's axes of length 1",
    "faults": "categories of error the call must raise for, joined by +, none for a legal call",
    "kind": f"value, or what else is asked for: {', '.join(TRANSFORMS)}",
    "batched": "arguments that carry a leading axis to map over, joined by +, none if there is none",
    "unit_upstream": "whether the upstream gradient is 1 everywhere, true where there is none",
    "finite_upstream": "whether the upstream gradient is finite everywhere, true where there is none",
    "zero_upstream_rows": "rows whose upstream gradient is 0 everywhere",
    "input_layout": "arrangement of input in memory, c for the usual one",
    "upstream_layout": "arrangement of the upstream gradient in memory",
    "finite": "whether all of input is finite",
    "nan_rows": "rows that hold NaN",
    "infinite_rows": "rows that hold +inf, and no NaN",
    "masked_rows": "rows of nothing but -inf, of at least one class",
    "masked_classes": "elements at -inf in rows whose largest one is finite",
    "offset": "largest size of a row's largest number, over rows where that is finite",
    "spread": "largest distance of a finite number from its row's largest one",
    "least_spread": "smallest such distance that is not 0, infinite when there is none",
    "largest": "largest finite number's size",
}


class Facts(CallFacts):
    """Facts about one call of log_softmax."""

    meanings = MEANINGS

    @property
    def rank(self) -> int:
        return int(self.call["input"].ndim)

    @property
    def dim(self) -> int:
        return int(self.call["dim"])

    @property
    def axis(self) -> int:
        if not self.rank or "index" in structural_faults(self.call):
            raise NoFact("dim means no axis of this input")
        return axis_of(self.call)

    @property
    def axes_after(self) -> int:
        return self.rank - 1 - self.axis

    @property
    def classes(self) -> int:
        return int(self.call["input"].shape[self.axis])

    @property
    def sum_open(self) -> bool:
        # In any order C terms are within n / (1 - n) of their sum, n = C u: a third at n = 1/4.
        self._require_legal()
        return 2 * self.classes * float(ml_dtypes.finfo(self.call["input"].dtype).eps) >= 1

    @property
    def rows(self) -> int:
        return len(self._rows)

    @property
    def size(self) -> int:
        return int(self.call["input"].size)

    @property
    def unit_axes(self) -> int:
        return int(self.call["input"].shape.count(1))

    @functools.cached_property
    def faults(self) -> str:
        return "+".join(sorted(structural_faults(self.call))) or "none"

    @functools.cached_property
    def finite_upstream(self) -> bool:
        upstream = self._upstream
        return upstream is None or bool(np.isfinite(upstream).all())

    @functools.cached_property
    def zero_upstream_rows(self) -> int:
        upstream = self._upstream
        return 0 if upstream is None else int((as_rows(upstream, self.axis) == 0).all(1).sum())

    @property
    def input_layout(self) -> str:
        return self.layout("input")

    @property
    def upstream_layout(self) -> str:
        return self.layout("upstream")

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.call["input"]).all())

    @property
    def nan_rows(self) -> int:
        return int(np.isnan(self._tops).sum())

    @property
    def infinite_rows(self) -> int:
        return int((self._tops == np.inf).sum())

    @property
    def masked_rows(self) -> int:
        return int((self._tops == -np.inf).sum())

    @functools.cached_property
    def masked_classes(self) -> int:
        return int((self._rows[np.isfinite(self._tops)] == -np.inf).sum())

    @property
    def offset(self) -> float:
        return float(np.abs(self._tops[np.isfinite(self._tops)]).max(initial=0.0))

    @property
    def spread(self) -> float:
        return float(self._distances.max(initial=0.0))

    @property
    def least_spread(self) -> float:
        return float(self._distances.min(where=self._distances > 0, initial=np.inf))

    @property
    def largest(self) -> float:
        rows = self._rows
        return float(np.abs(rows).max(where=np.isfinite(rows), initial=0.0))

    @functools.cached_property
    def _rows(self) -> Array:
        self._require_legal()
        return as_rows(self.call["input"], self.axis).astype(np.float64)

    @functools.cached_property
    def _tops(self) -> Array:
        """The largest number of each row, NaN where it holds NaN."""
        rows = self._rows
        return rows.max(1) if rows.shape[1] else np.zeros(0)

    @functools.cached_property
    def _distances(self) -> Array:
        """How far finite numbers lie below the largest ones of rows whose largest one is finite, flat."""
        ordinary = np.isfinite(self._tops)
        rows, tops = self._rows[ordinary] if ordinary.size else self._rows[:0], self._tops[ordinary]
        with np.errstate(over="ignore"):
            distances = tops[:, None] - rows
        return np.asarray(distances[np.isfinite(rows)])

    @property
    def _upstream(self) -> Array | None:
        transform = self.call.transform
        return None if transform is None else transform.upstream

    def _require_legal(self) -> None:
        if self.faults != "none" or not self.rank:
            raise NoFact("a call with structural faults has no rows")
