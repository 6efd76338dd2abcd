"""Perturbs outcomes on purpose: a suite that cannot fail must not pass.

Between adapter and judge one outcome of each item is replaced by one that is wrong: by one representable number,
by NaN, by another dtype, by another shape, or by a value where an error is due. The judge must say FAIL each time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..specs.call import Array, Outcome, Returned, dtype_of
from ..specs.case import Case, Elementwise, Raises, Returns, Status
from ..specs.exact import neighbour
from .judge import Judgement, Traits, judge

PERTURBATIONS = ("neighbour", "nan", "dtype", "shape")


def suits(case: Case, outcome: Outcome, judgement: Judgement) -> bool:
    """Whether every perturbation of this outcome would be wrong: a passed `none` of normal, nonzero numbers."""
    if judgement.status is not Status.PASS or not isinstance(outcome, Returned):
        return False
    if not isinstance(case.expectation, Returns) or not isinstance(case.expectation.value, Elementwise):
        return False
    value, prescribed = outcome.value, case.expectation.value
    usable = np.isfinite(value) & (value != 0) & ~prescribed.loose & ~prescribed.flushable
    return bool(value.size) and bool(usable.reshape(-1)[0])


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
