"""Clauses of nll_loss that need more than one look at a call's result: each function returns what it decides."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from ..accuracy import error_bound
from ..call import Call, Outcome, Returned, Unsupported
from ..case import Case, Returns, Status
from ..classes.targets import class_axis, not_ignored
from ..exact import ulp
from ..grades import Grade
from ..loss import Looked, Retry
from ..reductions import Arithmetic, Reduction, Tier
from ..rules import Aspect
from .generate import judged_calls

_SCALE_EXPONENT = 3


def pattern(case: Case, outcome: Outcome, looked: Looked, retry: Retry) -> Mapping[Aspect, Status]:
    """IGN-10: whether logarithmic depth is lost only because of where the ignored positions lie.

    Asked when a call with ignored positions is deeper than logarithmic. The same terms without the ignored
    positions, in the same number of axes, then have to be within what a tree of 2 ceil(log2 N) levels can do,
    without the allowance for blocks that the logarithmic bound contains: only then has the subject shown that it
    sums these terms carefully, and the pattern is to blame. A subject whose sum is deep anyway would be near the
    line both times, and is not accused.
    """
    if looked.aspects.get(Aspect.DEPTH) is not Status.FAIL or "IGN-10" not in case.clauses:
        return {}
    (without,) = judged_calls(_compacted(case.call), (case.call["reduction"],), case.family, case.tier, case.origin)
    again = retry.judge(without, retry.run(without.call))
    blamed = again.grade is not None and _is_careful(case, without, again.grade, retry.arithmetic)
    return {Aspect.PATTERN: Status.FAIL if blamed else Status.UNINFORMATIVE}


def _is_careful(case: Case, without: Case, grade: Grade, arithmetic: Arithmetic) -> bool:
    assert isinstance(without.expectation, Returns)
    reduction = without.expectation.value
    if not isinstance(reduction, Reduction):
        return False
    levels = 2 * (case.call["target"].size - 1).bit_length()
    bound = error_bound(reduction, Tier(reduction.fmt, levels), arithmetic)
    return Fraction(grade.ulps) * ulp(reduction.exact, reduction.fmt) <= bound.exact


def _compacted(call: Call) -> Call:
    """The call without its ignored positions: (n, C), or (1, C, n) for inputs with spatial axes."""
    kept = not_ignored(call["target"], call["ignore_index"])
    rows = np.moveaxis(call["input"], class_axis(call["input"]), -1)[kept]
    target = call["target"][kept]
    if call["input"].ndim > 2:
        return call.replace(input=np.ascontiguousarray(rows.T)[None], target=target[None])
    return call.replace(input=rows, target=target)


def scaling(case: Case, outcome: Outcome, looked: Looked, retry: Retry) -> Mapping[Aspect, Status]:
    """WEIGHT-5: scaling all weights by a power of two leaves the mean's bits alone, barring over- and underflow."""
    if looked.status is not Status.PASS or "WEIGHT-5" not in case.clauses or not isinstance(outcome, Returned):
        return {}
    if not isinstance(case.expectation, Returns) or not isinstance(case.expectation.value, Reduction):
        return {}
    if not _clear_of_edges(case, case.expectation.value):
        return {}
    weight: Any = case.call["weight"]
    with np.errstate(over="ignore"):  # of weights that no kept position selects
        scaled = (weight.astype(np.float64) * 2.0**_SCALE_EXPONENT).astype(weight.dtype)
    again = retry.run(case.call.replace(weight=scaled))
    if isinstance(again, Unsupported):
        return {}
    same = isinstance(again, Returned) and again.value.tobytes() == outcome.value.tobytes()
    return {Aspect.SCALING: Status.PASS if same else Status.FAIL}


def _clear_of_edges(case: Case, mean: Reduction) -> bool:
    """Whether weights, products and all partial sums stay inside the normal range, before and after scaling.

    A sum of numbers above lambda 2^t is a multiple of some 2^e >= lambda: it is 0 or normal.
    """
    assert mean.normaliser is not None
    low, high = mean.fmt.smallest_normal * 2**mean.fmt.t, mean.fmt.largest / 4
    smallest = min(case.facts["smallest_product"], case.facts["smallest_weight"])
    largest = max(mean.numerator.magnitude, mean.normaliser.magnitude)
    return smallest > low and largest * 2**_SCALE_EXPONENT < high
