"""What counts as a rounding error, and what is counted by itself because it is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from lossparity.conformance.items.measured import Measured
from lossparity.conformance.items.notebook import Notebook
from lossparity.conformance.items.spec import ItemSpec
from lossparity.conformance.judging import rows
from lossparity.conformance.judging.judge import Traits, judge
from lossparity.conformance.judging.ledger import Divergence, Ledger
from lossparity.conformance.lint import SUBJECTS
from lossparity.reports.records import INSTEAD, UNEXPLAINED, Accuracy, Observation
from lossparity.specs.call import Array, Returned
from lossparity.specs.case import Status
from lossparity.specs.nll_loss.generate import case_of_call
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.reductions import IEEE
from lossparity.specs.rules import Aspect

from .in_formats import cast

SHIPPED = {row.id: row for row in rows.brought_along("torch", SUBJECTS["torch"])}
HALF = SHIPPED["torch-half-accumulator"]
WHOSE = {"loss": "nll_loss", "subject": "mine", "device": "cpu", "dtype": "float32"}


def measured(x: Array, observed: Any, known: Sequence[Divergence] = (), reduction: str = "sum") -> Accuracy:
    """The one record of a call on a column of inputs."""
    call = NLL_LOSS.call(x[:, None], np.zeros(x.size, np.int64), reduction=reduction)
    case = case_of_call(call, "value", 1, "test")
    outcome = Returned(np.asarray(observed).astype(x.dtype))
    judgement = judge(case, outcome, Traits())
    found = Measured(IEEE)
    found.enter(case, outcome, judgement, Ledger(tuple(known)).resolve(case, judgement, strict=False))
    (record,) = found.records(WHOSE)
    return record


def row(**changed: Any) -> Divergence:
    """A row that selects every call."""
    return msgspec.structs.replace(HALF, id="mine", selector={}, clauses=("*",), **changed)


def test_a_rounded_sum_is_a_rounding_error() -> None:
    x = cast(np.linspace(0.1, 1, 100), "float32")
    record = measured(x, -np.cumsum(x)[-1])
    assert (record.outside, record.judged) == ("", 1)
    assert record.worst_relative is not None
    assert 0 < record.worst_relative < 1e-6
    assert 0 <= record.worst_depth < 100


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_a_wrong_number_is_counted_by_itself(reduction: str) -> None:
    """Whatever it is: twice the answer, an infinity, NaN; and under the row's name where one explains it."""
    x = cast(np.linspace(0.1, 1, 100), "float32")
    right = -x if reduction == "none" else -x.sum()
    known = row(signature=("value", "inf", "nan"), fallback="nothing")
    for wrong in (2 * right, right * np.inf, right * np.nan):
        for divergences, outside in (((), UNEXPLAINED), ((known,), "mine")):
            record = measured(x, wrong, divergences, reduction)
            assert (record.outside, record.judged, record.worst_depth) == (outside, 1, 0)
            assert record.levels == {"X": 1}


def test_a_short_accumulator_is_a_rounding_error_and_has_a_height() -> None:
    x = cast(np.where(np.arange(200) == 0, -512, -0.24), "float16")
    record = measured(x, 512.0, [HALF])
    assert (record.outside, record.judged) == ("", 1)
    assert 5 < record.worst_depth < 200


def test_a_failure_within_own_precision_that_nothing_explains_may_be_any_fault() -> None:
    """Dividing by 40 instead of 39 is no more than 39 roundings of bfloat16 would do."""
    x = cast(-np.linspace(1, 2, 39), "bfloat16")
    wrong = x.astype(np.float64).sum() / -40
    record = measured(x, wrong, reduction="mean")
    assert (record.outside, record.judged, record.worst_depth) == (UNEXPLAINED, 1, 0)
    assert set(record.levels) <= {"E5", "E6"}


def test_a_sum_that_stagnates_is_a_rounding_error_if_a_row_says_so_and_shows_how_far_off_it_is() -> None:
    """256 of 32,768 ones in bfloat16: its own precision says nothing of so many; ulps hide what the share tells."""
    x = cast(np.full(32768, -1.0), "bfloat16")
    x[0] = cast(-1.5, "bfloat16")  # not certified
    record = measured(x, 256.0, [HALF])
    assert (record.outside, record.judged, record.worst_depth) == ("", 1, 0)
    assert record.worst_ulps < 300
    assert record.worst_relative == pytest.approx(1 - 256 / 32768.5)
    assert measured(x, 256.0).outside == UNEXPLAINED


def test_a_wrong_number_inside_own_precision_is_no_rounding_where_its_row_says_what_it_is() -> None:
    """`inaccurate` under a row about wrong semantics: a term left out that is small enough to pass for rounding."""
    x = cast(np.where(np.arange(200) == 0, -512, -0.24), "float16")
    semantic = row(signature=("value", "inaccurate"), fallback="nothing")
    assert measured(x, 512.0, [semantic]).outside == "mine"


def test_traced_code_that_returns_nan_instead_of_an_exception_is_observed() -> None:
    """ERR-1 allows it; an exception is none, and neither is NaN where code is not traced: that fails."""
    call = NLL_LOSS.call(np.zeros((2, 3), np.float32), np.array([0, 7]), reduction="none")
    case = case_of_call(call, "error", 1, "test")
    spec = ItemSpec("mine", "error", "float32")
    seen = {}
    for traced in (True, False):
        outcome = Returned(np.array([0, np.nan], np.float32))
        judgement = judge(case, outcome, Traits(traced=traced))
        assert judgement.aspects[Aspect.RAISES] is (Status.PASS if traced else Status.FAIL)
        notebook = Notebook(spec)
        notebook.enter(case, outcome, judgement, Ledger(()).resolve(case, judgement, strict=False))
        found = [one for one in notebook.records() if isinstance(one, Observation)]
        seen[traced] = {one.clause for one in found if one.what == INSTEAD}
    assert "ERR-1" in seen[True]
    assert not seen[False]
