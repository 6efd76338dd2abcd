"""How far a number is from the one that is due, at the element that a judgement is about; in words for everybody."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ...specs.call import VALUES, Call, Outcome, Returned
from ...specs.case import Case, Exactly, Prescribed, Raises, Returns, Sparse, Stack, Within
from ...specs.exact import FORMATS, ulp
from ...specs.reductions import Reduction
from .judge import Judgement

# Symptoms that one number shows.
TOLD = ("nan", "inf", "overflow", "number", "value", "inaccurate", "deep", "not_rounded", "pattern", "elsewhere",
        "ignored", "subnormals")  # fmt: skip
_FEWEST, _MOST = 4, 17  # significant digits that are shown; as many as it takes to tell two numbers apart
_ASKED_FOR = {
    "gradient": "gradient",
    "gradient_again": "gradient of a second backward pass",
    "gradient_between": "gradient taken after another forward pass",
    "second": "second derivative",
    "second_upstream": "second derivative",
    "jvp": "derivative in forward mode",
    "vmap": "mapped loss",
    "vmap_gradient": "mapped gradient",
}


@dataclass(frozen=True, slots=True)
class Apart:
    """A number that came out, and the exact one; of an element of many the latter is correctly rounded.

    Either may be NaN or infinite; `exact` is a Fraction where it is neither.
    """

    observed: float
    exact: Fraction | float
    dtype: str

    @property
    def ratio(self) -> Fraction | None:
        """Observed by exact; None where either is not finite, or nothing is to be divided by."""
        if not isinstance(self.exact, Fraction) or not math.isfinite(self.observed) or not self.exact:
            return None
        return Fraction(self.observed) / self.exact

    @property
    def ulps(self) -> float | None:
        """The distance in units in the last place of the exact number, which may be infinite; None as for `ratio`."""
        if self.ratio is None or not isinstance(self.exact, Fraction):
            return None
        steps = abs(Fraction(self.observed) - self.exact) / ulp(self.exact, FORMATS[self.dtype])
        return float(steps) if steps < 1 << 1000 else math.inf

    @property
    def words(self) -> str:
        """How wrong, with both numbers: `wrong by 33 %: 0.0529, exact 0.0794`."""
        observed, exact = self._shortest()
        ratio = self.ratio
        if ratio is None:
            return f"{observed} where {exact} is due"
        return f"{_how_far(ratio)}: {observed}, exact {exact}"

    def _shortest(self) -> tuple[str, str]:
        """Both in decimals, with digits enough to tell them apart."""
        exact = float(self.exact) if abs(self.exact) <= np.finfo(np.float64).max else math.inf
        told = (digits for digits in range(_FEWEST, _MOST) if f"{self.observed:.{digits}g}" != f"{exact:.{digits}g}")
        digits = next(told, _MOST)
        return f"{self.observed:.{digits}g}", f"{exact:.{digits}g}"


def _how_far(ratio: Fraction) -> str:
    share = abs(ratio - 1)
    if ratio < 0:
        return "of the wrong sign" if ratio == -1 else "of the wrong sign and size"
    if share >= 10:
        return f"too large by a factor of {_rounded(ratio)}"
    if share >= Fraction(1, 1000):
        percent = float(100 * share)
        return f"wrong by {percent:.0f} %" if percent >= 10 else f"wrong by {percent:.2g} %"
    # Nothing that is judged wrong is nearer than the last digit of float64.
    return f"right to {math.floor(-math.log10(share))} digits only"


def _rounded(ratio: Fraction) -> str:
    return f"{float(ratio):.3g}" if ratio < 1 << 1000 else "more than 1e300"


def apart(case: Case, judgement: Judgement, outcome: Outcome) -> Apart | None:
    """The number that a judgement is about, beside the one that is due; None where it is not about one number."""
    due = case.expectation.poisoned if isinstance(case.expectation, Raises) else case.expectation
    if not isinstance(outcome, Returned) or not isinstance(due, Returns) or judgement.symptom not in TOLD:
        return None
    value, where = outcome.value, judgement.where
    if value.shape != due.shape or value.dtype.name != due.dtype or len(where) != value.ndim:
        return None
    exact = _due(due.value, due.shape, where)
    return None if exact is None else Apart(float(value[where]), exact, due.dtype)


def asked_for(call: Call) -> str:
    """What a call asks for, in words; "" for the loss itself."""
    if call.transform is None or call.transform.kind in VALUES:
        return ""
    by = f" by {call.wrt}" if "gradient" in call.transform.kind else ""
    return f"{_ASKED_FOR[call.transform.kind]}{by}"


def _due(prescribed: Prescribed, shape: tuple[int, ...], where: tuple[int, ...]) -> Fraction | float | None:
    match prescribed:
        case Exactly(value):
            return _exact(value[where])
        case Within(rounded):
            if any(np.broadcast_to(mask, rounded.shape)[where] for mask in prescribed.zeros.values()):
                return Fraction(0)
            return _exact(rounded[where])
        case Reduction():
            return prescribed.exact
        case Sparse(flat, entries):
            place = np.flatnonzero(flat == np.ravel_multi_index(where, shape)) if shape else np.zeros(1, int)
            return _due(entries, flat.shape, (int(place[0]),)) if place.size else Fraction(0)
        case Stack(parts):
            return _due(parts[where[0]], shape[1:], where[1:])
        case _:  # an infinity or NaN, which the sentence about it names
            return None


def _exact(value: np.generic) -> Fraction | float:
    number = float(value)
    return Fraction(number) if math.isfinite(number) else number
