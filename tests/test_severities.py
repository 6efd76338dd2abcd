"""How severe known divergences are: found from their rows, stated where that is not enough, and never understated."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import sample_facts
from lossparity.conformance.judging import rows
from lossparity.conformance.judging.ledger import Divergence
from lossparity.conformance.judging.look import SYMPTOMS
from lossparity.conformance.judging.severities import problem, severity
from lossparity.conformance.lint import SUBJECTS
from lossparity.reports.severity import Severity, by_severity, severity_of
from lossparity.specs.errors import LedgerError

from .own_vectors import write

SHIPPED = {row.id: row for backend in SUBJECTS for row in rows.brought_along(backend, SUBJECTS[backend])}
A_VALUE, A_GRADIENT = SHIPPED["compile-int32-sentinel"], SHIPPED["compile-gradient-spreads"]


def with_symptoms(row: Divergence, *symptoms: str, fallback: str = "nothing", stated: str = "") -> Divergence:
    return msgspec.structs.replace(row, signature=symptoms, fallback=fallback, severity=stated)


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_every_symptom_has_a_severity(symptom: str) -> None:
    assert severity(with_symptoms(A_VALUE, symptom)) in Severity


@pytest.mark.parametrize(
    ("symptoms", "fallback", "of_a_value", "of_a_gradient"),
    [
        (("value",), "nothing", "silent wrong number", "silent wrong gradient"),
        (("overflow",), "undecided", "silent wrong number", "silent wrong gradient"),
        (("inaccurate",), "own_precision", "last digits", "last digits"),
        (("inaccurate",), "undecided", "silent wrong number", "silent wrong gradient"),
        (("not_raised",), "nothing", "missing error", "missing error"),
        (("raised",), "raises", "loud refusal", "loud refusal"),
        (("crash", "timeout"), "nothing", "loud refusal", "loud refusal"),
        (("raised", "value"), "nothing", "silent wrong number", "silent wrong gradient"),
        (("not_rounded", "raised"), "nothing", "loud refusal", "loud refusal"),
    ],
)
def test_the_worst_symptom_decides(
    symptoms: tuple[str, ...], fallback: str, of_a_value: str, of_a_gradient: str
) -> None:
    assert severity(with_symptoms(A_VALUE, *symptoms, fallback=fallback)) == of_a_value
    assert severity(with_symptoms(A_GRADIENT, *symptoms, fallback=fallback)) == of_a_gradient


def test_rows_that_ship_are_as_severe_as_they_are() -> None:
    """Every clause of a call is failed by two of these, and by one of them without a wrong number."""
    assert SHIPPED["torch-uint8-rank"].clauses == SHIPPED["compile-int32-sentinel"].clauses == ("*",)
    assert {name: str(severity(SHIPPED[name])) for name in ("torch-uint8-rank", "compile-int32-sentinel")} == {
        "torch-uint8-rank": "loud refusal",
        "compile-int32-sentinel": "silent wrong number",
    }
    assert severity(SHIPPED["torch-half-accumulator"]) is Severity.WRONG_NUMBER  # stated: it stagnates
    assert severity(SHIPPED["compile-half-mean"]) is Severity.LAST_DIGITS
    assert severity(SHIPPED["compile-abort"]) is Severity.REFUSAL
    assert {severity(row) for row in SHIPPED.values()} == set(Severity)


@pytest.mark.parametrize(
    ("symptoms", "stated"),
    [
        (("inaccurate",), "silent wrong number"),
        (("inaccurate",), "last digits"),
        (("inaccurate", "raised"), "silent wrong number"),
        (("repeatable",), "last digits"),
    ],
)
def test_a_row_may_state_what_its_symptoms_may_mean(symptoms: tuple[str, ...], stated: str) -> None:
    row = with_symptoms(A_VALUE, *symptoms, fallback="own_precision", stated=stated)
    assert problem(row) is None
    assert severity(row) == stated


@pytest.mark.parametrize(
    ("symptoms", "fallback", "stated", "said"),
    [
        (("value",), "nothing", "last digits", "say 'silent wrong number', or leave it out"),
        (("value",), "nothing", "silent wrong gradient", "say 'silent wrong number'"),
        (("raised",), "raises", "silent wrong number", "say 'loud refusal'"),
        (("inaccurate", "raised"), "own_precision", "last digits", "say 'silent wrong number' or 'loud refusal'"),
        (("inaccurate",), "undecided", "last digits", "say 'silent wrong number'"),
    ],
)
def test_what_it_may_not_mean_is_refused(symptoms: tuple[str, ...], fallback: str, stated: str, said: str) -> None:
    found = problem(with_symptoms(A_VALUE, *symptoms, fallback=fallback, stated=stated))
    assert found is not None
    assert said in found


def test_a_file_that_understates_is_refused_and_so_is_an_unknown_word(tmp_path: Path) -> None:
    for word, said in (
        ("last digits", "row mine-mean: severity 'last digits' does not fit"),
        ("bad", "unknown severity"),
    ):
        file = write(tmp_path)
        file.write_text(file.read_text().replace('mode = "', f'severity = "{word}"\nmode = "', 1))
        with pytest.raises(LedgerError, match=said):
            rows.load_file(file, ["mine"])


def test_divergences_are_sorted_by_severity_and_then_by_how_often_they_showed() -> None:
    known = sample_facts.DIVERGENCES
    ordered = by_severity(known, {"torch-compile-long-gone": 3, "tf-jvp-nan": 2})
    assert [severity_of(one) for one in ordered] == [None, Severity.WRONG_NUMBER] + [Severity.WRONG_GRADIENT] * 2 + [
        Severity.MISSING_ERROR,
        Severity.REFUSAL,
        Severity.LAST_DIGITS,
    ]
    assert [one.id for one in ordered[2:4]] == ["torch-compile-long-gone", "tf-jvp-nan"]
