"""No correct function is accused by the cases of cross_entropy; each wrong one is convicted by the clause it breaks."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from cross_entropy_kernels import ADDED_IN_HALF, RIGHT, WRONG, Kernel
from lossparity.conformance.judging.judge import Judgement, Traits, judge
from lossparity.specs.call import FLOAT_DTYPES, Outcome, Raised, Returned
from lossparity.specs.case import Case, Raises, Status
from lossparity.specs.cross_entropy.generate import Structure
from lossparity.specs.cross_entropy.generate import cases as cases_of
from lossparity.specs.cross_entropy.loss import LOSS
from lossparity.specs.loss import Draw

VALUES = ("shape", "value", "probabilities", "smoothing", "ignore", "weight", "special", "dtype", "accuracy")
LARGEST = 400  # elements
EVERY = 3  # of those that compilers meet as well, for honest functions


@functools.cache
def cases(family: str, dtype: str) -> list[Case]:
    """Those that ask for a value that may be returned."""
    found = LOSS.families[family].cases(Draw(dtype, "quick", 0, 2))
    return [case for case in found if case.call.transform is None and case.call["input"].size <= LARGEST]


def judged(kernel: Kernel, case: Case) -> Judgement:
    outcome: Outcome
    try:
        with np.errstate(all="ignore"):
            outcome = Returned(kernel(case.call))
    except IndexError as error:
        outcome = Raised("IndexError", str(error))
    return judge(case, outcome, Traits())


def convicted(judgement: Judgement) -> set[str]:
    return {verdict.clause for verdict in judgement.verdicts if verdict.status is Status.FAIL}


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("name", RIGHT)
def test_no_correct_function_is_accused(name: str, dtype: str) -> None:
    """What should be so is another matter: which of PROB-8, ACC-4 and VALUE-14 a kernel fails is its own affair."""
    passed = 0
    for case in (case for family in VALUES for case in cases(family, dtype)[::EVERY]):
        if isinstance(case.expectation, Raises):
            continue
        found = judged(RIGHT[name], case)
        wrong = {id for id in convicted(found) if LOSS.rules.clauses[id].level == "MUST"}
        assert not wrong, f"{wrong}: {found.symptom} at {found.where} of {case.call.describe()}, {case.origin}"
        passed += found.status is Status.PASS
    assert passed > 100


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_function_is_convicted(name: str) -> None:
    clause, family, dtype, kernel = WRONG[name]
    assert any(clause in convicted(judged(kernel, case)) for case in cases(family, dtype))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_accumulation_in_half_is_convicted(reduction: str) -> None:
    """Of few terms the bound allows it: each of them may be rounded to half by itself."""
    structure = Structure((4096, 2), "float16", inputs="equal", mask="no", reductions=(reduction,))
    (case,) = cases_of(structure, "accuracy")
    assert "ACC-3" in convicted(judged(ADDED_IN_HALF, case))
    assert not convicted(judged(RIGHT["two passes"], case)) - {"ACC-4"}
