"""No correct function is accused by the cases of log_softmax; each wrong one is convicted by the clause it breaks."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from lossparity.conformance.judging.judge import Judgement, Traits, judge
from lossparity.specs.call import FLOAT_DTYPES, Array, Call, Outcome, Raised, Returned
from lossparity.specs.case import Case, Status
from lossparity.specs.log_softmax.loss import LOSS
from lossparity.specs.loss import Draw
from softmax_gradients import DERIVATIVES, RIGHT_DERIVATIVES, WRONG_DERIVATIVES
from softmax_kernels import RIGHT, WRONG, Kernel, wrong

VALUES = ("shape", "value", "special", "dtype", "accuracy", "layout")


@functools.cache
def cases(family: str, dtype: str) -> list[Case]:
    return [*LOSS.families[family].cases(Draw(dtype, "quick", 0, 3))]


def outcome(function: Callable[[], Array]) -> Outcome:
    try:
        with np.errstate(all="ignore"):
            return Returned(np.asarray(function()))
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        return Raised(type(error).__name__, str(error))


def judged(kernel: Kernel, case: Case) -> Judgement:
    def run() -> Array:
        if case.call["input"].dtype.kind not in "fV":
            raise TypeError("floating-point numbers only")
        return kernel(case.call["input"], case.call["dim"])

    takes_anything = kernel.__name__ == "takes_integers"
    call = case.call
    found = outcome((lambda: kernel(call["input"], call["dim"])) if takes_anything else run)
    return judge(case, found, Traits())


def convicted(verdicts: Judgement) -> set[str]:
    return {verdict.clause for verdict in verdicts.verdicts if verdict.status is Status.FAIL}


def asks_for_value(call: Call) -> bool:
    return call.transform is None


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("name", RIGHT)
def test_no_correct_function_is_accused(name: str, dtype: str) -> None:
    judgements = 0
    for case in (case for family in (*VALUES, "error") for case in cases(family, dtype)):
        if asks_for_value(case.call) and not (name == "online" and case.call["input"].size > 20_000):
            found = judged(RIGHT[name], case)
            assert not convicted(found), f"{found}: {case.call.describe()}"
            judgements += found.status is Status.PASS
    assert judgements > 400


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_function_is_convicted(name: str) -> None:
    clause, family, dtype = WRONG[name]
    found = (convicted(judged(wrong(name), case)) for case in cases(family, dtype) if asks_for_value(case.call))
    assert any(clause in ids for ids in found)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("name", RIGHT_DERIVATIVES)
def test_no_correct_derivative_is_accused(name: str, dtype: str) -> None:
    judgements = 0
    for case in (case for family in ("gradient", "layout") for case in cases(family, dtype)):
        if case.call.kind in DERIVATIVES:
            found = judge(case, outcome(lambda case=case: RIGHT_DERIVATIVES[name](case.call)), Traits())
            assert not convicted(found), f"{found}: {case.call.describe()}"
            judgements += found.status is Status.PASS
    assert judgements > 200


@pytest.mark.parametrize("name", WRONG_DERIVATIVES)
def test_each_wrong_derivative_is_convicted(name: str) -> None:
    clause, dtype, function = WRONG_DERIVATIVES[name]
    asked = (case for case in cases("gradient", dtype) if case.call.kind in DERIVATIVES)
    found = (convicted(judge(case, outcome(lambda case=case: function(case.call)), Traits())) for case in asked)
    assert any(clause in ids for ids in found)
