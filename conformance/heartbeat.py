"""Perturbs outcomes on purpose: a suite that cannot fail must not pass.

Between adapter and judge one outcome of each kind in an item is replaced by one that is wrong: by one representable
number, by NaN, by another dtype, by another shape, or by a value where an error is due. The judge must say FAIL each
time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..specs.accuracy import Reduction
from ..specs.call import Array, Outcome, Returned, dtype_of
from ..specs.case import Case, Elementwise, Raises, Returns, Status
from ..specs.exact import neighbour
from .judge import Judgement, Traits, judge

PERTURBATIONS = ("neighbour", "nan", "dtype", "shape")


def suits(case: Case, outcome: Outcome, judgement: Judgement) -> str:
    """The kind of case if every perturbation of its outcome would be wrong: "none", "sum", or "" for neither.

    That is a passed `none` of normal, nonzero numbers, or a passed, exactness-certified `sum` that is not 0.
    """
    if judgement.status is not Status.PASS or not isinstance(outcome, Returned):
        return ""
    if not isinstance(case.expectation, Returns) or not outcome.value.size:
        return ""
    first = outcome.value.reshape(-1)[0]
    if not np.isfinite(first) or first == 0:
        return ""
    match case.expectation.value:
        case Elementwise() as prescribed:
            free = (prescribed.loose | prescribed.flushable).reshape(-1)[0]
            return "" if free else "none"
        case Reduction(normaliser=None) if judgement.grade is not None and judgement.grade.certified:
            return "sum"
        case _:
            return ""


def survivors(case: Case, outcome: Outcome, traits: Traits) -> list[str]:
    """Names of the perturbations that were not judged FAIL: none, or the suite is blind."""
    assert isinstance(outcome, Returned)
    return [
        name
        for name, wrong in _perturbed(outcome.value)
        if judge(case, Returned(wrong), traits).status is not Status.FAIL
    ]


def survives_an_error_case(case: Case, dtype: str, traits: Traits) -> bool:
    """Whether a plausible number passes where an error is due."""
    assert isinstance(case.expectation, Raises)
    shape = case.call.target.shape if case.call.reduction == "none" else ()
    plausible = np.ones(shape, dtype_of(dtype))
    return judge(case, Returned(plausible), traits).status is not Status.FAIL


def _perturbed(value: Array) -> Iterator[tuple[str, Array]]:
    for name in PERTURBATIONS:
        wrong = value.copy()
        first = wrong.reshape(-1)[:1]
        match name:
            case "neighbour":
                first[...] = neighbour(first)
            case "nan":
                first[...] = np.nan
            case "dtype":
                wrong = wrong.astype(np.float64 if value.dtype != np.float64 else np.float32)
            case _:
                wrong = wrong[None]
        yield name, wrong
