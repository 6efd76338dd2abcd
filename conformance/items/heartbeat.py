"""Perturbs outcomes on purpose: a suite that cannot fail must not pass.

Between adapter and judge one outcome of each kind in an item is replaced by one that is wrong: by one representable
number, by NaN, by another dtype, by another shape, or by a value where an error is due. The judge must say FAIL each
time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ...specs.accuracy import Reduction
from ...specs.call import Array, Call, Outcome, Returned, dtype_of
from ...specs.case import Case, Elementwise, Gradient, Raises, Returns, Stack, Status, Within
from ...specs.exact import neighbour
from ..judging.judge import Judgement, Traits, judge
from . import experiments

_LARGEST = 1 << 28  # bytes of a result that is copied to be spoilt
PERTURBATIONS = ("neighbour", "nan", "dtype", "shape")


def suits(case: Case, outcome: Outcome, judgement: Judgement) -> str:
    """The kind of case if every perturbation of its outcome would be wrong, or "" if that is not certain.

    That is a passed `none` or gradient whose perturbed element is normal and not 0, a passed, exactness-certified
    `sum` that is not 0, a gradient of a mean, a Hessian, a batch, and any passed experiment.
    """
    if judgement.status is not Status.PASS or not isinstance(outcome, Returned):
        return ""
    if case.experiment:
        return case.experiment
    if not isinstance(case.expectation, Returns) or not 0 < outcome.value.nbytes < _LARGEST:
        return ""
    first = outcome.value.reshape(-1)[_place(case)]
    if not np.isfinite(first):
        return ""
    match case.expectation.value:
        case (Elementwise() as prescribed) | Gradient(entries=Elementwise() as prescribed) if first != 0:
            free = (prescribed.loose | prescribed.flushable).reshape(-1)[0]
            return "" if free else "none" if case.call.transform is None else case.call.kind
        case Reduction(normaliser=None) if first != 0 and judgement.grade is not None and judgement.grade.certified:
            return "sum"
        case Gradient(entries=Within(required=band)) if band.free.size and not band.free[0]:
            return "gradient of mean"
        case Gradient(flat) if not flat.size:
            return "Hessian"
        case Stack(parts) if isinstance(parts[0], Elementwise):
            return "batch"
        case _:
            return ""


def _place(case: Case) -> int:
    """The flat index of the element to perturb."""
    match case.expectation:
        case Returns(value=Gradient(flat)) if flat.size:
            return int(flat[0])
        case _:
            return 0


def _is_banded(case: Case) -> bool:
    """Whether the number next to the right one may be right too."""
    match case.expectation:
        case Returns(value=Gradient(entries=Within())) | Returns(value=Stack()):
            return True
        case _:
            return False


def survivors(case: Case, outcome: Outcome, setup: experiments.Setup) -> list[str]:
    """Names of the perturbations that were not judged FAIL: none, or the suite is blind."""
    assert isinstance(outcome, Returned)
    if case.experiment:
        _, judgement = experiments.run(case, dataclasses.replace(setup, run=_Tampering(case, setup), calls=2))
        return [] if judgement.status is not Status.PASS else ["a spoilt experiment"]
    banded = _is_banded(case)
    return [
        name
        for name, wrong in _perturbed(outcome.value, _place(case))
        if not (banded and name == "neighbour") and judge(case, Returned(wrong), setup.traits).status is not Status.FAIL
    ]


class _Tampering:
    """Runs calls, spoils what an experiment looks at: an argument, or each result but the first, in place."""

    def __init__(self, case: Case, setup: experiments.Setup) -> None:
        self._case, self._setup = case, setup
        self._result: Array | None = None

    def __call__(self, call: Call) -> Outcome:
        outcome = self._setup.run(call)
        if not isinstance(outcome, Returned):
            return outcome
        if self._case.experiment == "PURE-1":
            call["input"][(0,) * call["input"].ndim] = 7
            return outcome
        if self._case.experiment == "PURE-2":
            self._result = outcome.value if self._result is None else self._result
            return Returned(self._result)
        if self._result is None and self._case.experiment != "REL-8":  # there the others are run on other subjects
            self._result = outcome.value
            return outcome
        return Returned(np.full_like(outcome.value, np.nan))


def survives_an_error_case(case: Case, dtype: str, traits: Traits) -> bool:
    """Whether a plausible number passes where an error is due."""
    assert isinstance(case.expectation, Raises)
    shape = case.call["target"].shape if case.call["reduction"] == "none" else ()
    plausible = np.ones(shape, dtype_of(dtype))
    return judge(case, Returned(plausible), traits).status is not Status.FAIL


def _perturbed(value: Array, place: int) -> Iterator[tuple[str, Array]]:
    for name in PERTURBATIONS:
        wrong = value.copy()
        element = wrong.reshape(-1)[place : place + 1]
        match name:
            case "neighbour":
                element[...] = neighbour(element)
            case "nan":
                element[...] = np.nan
            case "dtype":
                wrong = wrong.astype(np.float64 if value.dtype != np.float64 else np.float32)
            case _:
                wrong = wrong[None]
        yield name, wrong
