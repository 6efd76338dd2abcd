"""Perturbs outcomes on purpose: a suite that cannot fail must not pass.

Between adapter and judge one outcome of each kind in an item is replaced by one that is wrong: by the representable
number next to the only right one, or to the last one within a tolerance, by NaN, by another dtype, by another shape, or
by a value where an error is due. The judge must say FAIL each time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ...specs import losses
from ...specs.call import Array, Call, Outcome, Returned, dtype_of
from ...specs.case import Case, Exactly, Raises, Returns, Sparse, Stack, Status, Within
from ...specs.exact import neighbour, of_ordinal, ordinal
from ...specs.reductions import Reduction
from ..judging.judge import Judgement, Traits, judge
from . import experiments

_LARGEST = 1 << 28  # bytes of a result that is copied to be spoilt
PERTURBATIONS = ("neighbour", "nan", "dtype", "shape")


def suits(case: Case, outcome: Outcome, judgement: Judgement) -> str:
    """The kind of case if every perturbation of its outcome would be wrong, or "" if that is not certain.

    That is a passed `none` or gradient whose perturbed element is normal and not 0, a passed, exactness-certified
    `sum` that is not 0, what lies within tolerances (such as a gradient of a mean), a Hessian, a batch, and any passed
    experiment.
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
        case (Exactly() as prescribed) | Sparse(entries=Exactly() as prescribed) if first != 0:
            free = (prescribed.loose | prescribed.flushable).reshape(-1)[0]
            return "" if free else "none" if case.call.transform is None else case.call.kind
        case Reduction(normaliser=None) if first != 0 and judgement.grade is not None and judgement.grade.certified:
            return "sum"
        case Sparse(entries=Within(required=band)) if band.free.size and not band.free[0]:
            return "gradient of mean"
        case Within(required=band) if not band.free.flat[0]:
            return "within" if case.call.transform is None else case.call.kind
        case Sparse(flat) if not flat.size:
            return "Hessian"
        case Stack(parts) if isinstance(parts[0], Exactly):
            return "batch"
        case _:
            return ""


def _place(case: Case) -> int:
    """The flat index of the element to perturb."""
    match case.expectation:
        case Returns(value=Sparse(flat)) if flat.size:
            return int(flat[0])
        case _:
            return 0


def survivors(case: Case, outcome: Outcome, setup: experiments.Setup) -> list[str]:
    """Names of the perturbations that were not judged FAIL: none, or the suite is blind."""
    assert isinstance(outcome, Returned)
    if case.experiment:
        _, judgement = experiments.run(case, dataclasses.replace(setup, run=_Tampering(case, setup), calls=2))
        return [] if judgement.status is not Status.PASS else ["a spoilt experiment"]
    wrongs = _perturbed(outcome.value, _place(case), _next_wrong(case, outcome.value, setup.traits))
    return [name for name, wrong in wrongs if judge(case, Returned(wrong), setup.traits).status is not Status.FAIL]


def _next_wrong(case: Case, value: Array, traits: Traits) -> Array | None:
    """The number nearest to what the perturbed element may be; None where nobody can tell."""
    match case.expectation:
        case Returns(value=Sparse(entries=Within() as due)) | Returns(value=Within() as due):
            band = due.flushing if traits.arithmetic.flush else due.required
            low, high = band.low.reshape(-1)[:1], band.high.reshape(-1)[:1]
            end, step = (high, 1) if np.isfinite(high).all() else (low, -1)
            return of_ordinal(ordinal(end) + step, end.dtype) if np.isfinite(end).all() else None
        case Returns(value=Stack()):
            return None
        case _:
            return neighbour(value.reshape(-1)[_place(case)].reshape(1))


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
            argument = call[call.wrt]
            argument[(0,) * argument.ndim] = 7
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
    plausible = np.ones(losses.find(case.call.signature.loss).shape(case.call), dtype_of(dtype))
    return judge(case, Returned(plausible), traits).status is not Status.FAIL


def _perturbed(value: Array, place: int, next_wrong: Array | None) -> Iterator[tuple[str, Array]]:
    for name in PERTURBATIONS:
        wrong = value.copy()
        element = wrong.reshape(-1)[place : place + 1]
        match name:
            case "neighbour" if next_wrong is None:
                continue
            case "neighbour":
                element[...] = next_wrong
            case "nan":
                element[...] = np.nan
            case "dtype":
                wrong = wrong.astype(np.float64 if value.dtype != np.float64 else np.float32)
            case _:
                wrong = wrong[None]
        yield name, wrong
