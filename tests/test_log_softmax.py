"""log_softmax as a Loss: its tables, vectors, probes, relations and what exploration and shrinking make of it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lossparity.conformance.judging.judge import Traits, judge
from lossparity.specs.call import Array, Call, Returned
from lossparity.specs.case import Status
from lossparity.specs.domain import EVERYTHING, Domain
from lossparity.specs.encoding import decode_call
from lossparity.specs.log_softmax import large
from lossparity.specs.log_softmax.loss import LOSS
from lossparity.specs.log_softmax.relations import RELATIONS
from lossparity.specs.log_softmax.signature import LOG_SOFTMAX
from lossparity.specs.loss import Draw
from lossparity.specs.reductions import IEEE, Arithmetic
from lossparity.specs.vectors import Vector, describe
from softmax_gradients import RIGHT_DERIVATIVES
from softmax_kernels import RIGHT

FOLDER = Path(__file__).parent.parent / "specs" / "log_softmax" / "vectors"
VECTORS = [
    msgspec.convert(row, Vector)
    for file in sorted(FOLDER.glob("*.json"))
    for row in json.loads(file.read_text(encoding="utf-8"))["vectors"]
]


def test_each_common_or_own_clause_stands_in_the_specification() -> None:
    text = LOSS.rules.text("spec.md")
    summed_up = {f"PURE-{number}" for number in (2, 3, 4)}
    for clause in LOSS.rules.clauses.values():
        assert clause.id in text or clause.id in summed_up, clause.id
        if clause.id in text and f"**{clause.id}**" in text:
            assert f"**{clause.id}** {clause.level}" in text, clause.id


def test_there_are_vectors_of_each_kind() -> None:
    assert len(VECTORS) >= 50
    assert len({vector.id for vector in VECTORS}) == len(VECTORS)
    families = {LOSS.rules.clauses[id].family for vector in VECTORS for id in vector.clauses}
    assert families >= {"SHAPE", "VALUE", "SPECIAL", "ACC", "GRAD", "ERR", "LAYOUT"}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
def test_a_vector_says_what_the_oracle_says(vector: Vector) -> None:
    call = decode_call(vector.call, LOG_SOFTMAX)
    case = LOSS.case_of(call, "vectors", vector.tier, vector.id, ())
    assert describe(case.expectation) == vector.expect
    assert set(vector.clauses) <= set(case.clauses)
    assert vector.flags == LOSS.rules.flags_of(vector.clauses)
    assert vector.why


# --- probes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_probes_tell_who_flushes(dtype: str) -> None:
    """A correct gradient is that upstream gradient; 0 in the place of what is subnormal is right where it may be."""
    for probe in (LOSS.probes.subnormal, LOSS.probes.smallest):
        for case in probe(dtype, EVERYTHING):
            found = RIGHT_DERIVATIVES["from_exponentials"](case.call)
            transform = case.call.transform
            assert transform is not None
            assert (found == transform.upstream).all()
            assert judge(case, Returned(found), Traits()).status is not Status.FAIL
            assert judge(case, Returned(np.zeros_like(found)), Traits()).status is Status.FAIL
            if probe is LOSS.probes.subnormal:
                flushing = judge(case, Returned(np.zeros_like(found)), Traits(Arithmetic(flush=True)))
                assert flushing.status is not Status.FAIL


# --- relations -------------------------------------------------------------------------------------------


def run(call: Call) -> Array:
    with np.errstate(all="ignore"):
        if call.transform is None:
            return RIGHT["two_passes"](call["input"], call["dim"])
        return RIGHT_DERIVATIVES["from_the_result"](call)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("id", RELATIONS)
def test_a_relation_accuses_no_correct_function_and_notices_a_wrong_one(id: str, dtype: str) -> None:
    cases = [
        case
        for case in LOSS.families["relation"].cases(Draw(dtype, "quick", 0, 2))
        if case.experiment in (id, "REL-2") and case.call["input"].ndim > 1
    ]
    calls = {case.call.digest(): case.call for case in cases}.values()
    noticed = 0
    for call in calls:
        assert not any(one.fails for one in RELATIONS[id](run, call, IEEE))
        turns: list[int] = []

        def spoilt(call: Call, turns: list[int] = turns) -> Array:
            turns.append(1)
            found = run(call)
            return found if len(turns) == 1 else found + found.dtype.type(0.25)

        noticed += any(one.fails for one in RELATIONS[id](spoilt, call, IEEE))
    assert noticed


# --- shrinking, exploring, large arrays ------------------------------------------------------------------


def test_axes_name_what_calls_have() -> None:
    call = LOG_SOFTMAX.call(np.zeros((2, 3, 4), np.float32), 1)
    assert LOSS.axes(call)["input"] == ("N", "C", "d1")
    assert LOSS.axes(call.replace(dim=-3))["upstream"] == ("C", "N", "d1")
    assert LOSS.axes(LOG_SOFTMAX.call(np.zeros(3, np.float32), 0))["input"] == ("C",)
    assert LOSS.axes(call.replace(dim=3)) == {}


def test_a_simpler_call_has_its_classes_last() -> None:
    call = LOG_SOFTMAX.call(np.arange(6.0).reshape(3, 2), 0)
    (simpler,) = LOSS.simpler(call)
    assert simpler["dim"] == -1
    np.testing.assert_array_equal(simpler["input"], call["input"].T)
    assert not [*LOSS.simpler(simpler)]


@pytest.mark.parametrize("family", [name for name, family in LOSS.families.items() if family.explored])
def test_exploration_draws_cases_of_its_domain(family: str) -> None:
    domain = Domain(ranks=(2,), absent=("dim",))
    explored = LOSS.families[family].explored
    assert explored is not None
    exploration = explored(Draw("float32", "quick", 0, 3, domain))
    assert exploration is not None

    @settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        for case in exploration.cases(data.draw(exploration.drawn)):
            assert (case.call["input"].ndim, case.call["dim"]) == (2, -1)
            assert case.call.transform is not None or RIGHT["two_passes"](case.call["input"], -1).shape

    check()


@pytest.mark.parametrize("place", [((2048, 8), 1), ((33, 1025), 0), ((2, 25, 64), 1)])
def test_large_gradients_are_looked_at_everywhere(place: tuple[tuple[int, ...], int]) -> None:
    """On arrays of the same kind that are smaller."""
    call = large.gradient_call(*place, "float16", 0)
    case = large.sparse_case(call, "large")
    right = RIGHT_DERIVATIVES["from_exponentials"](call)
    assert judge(case, Returned(right), Traits()).status is Status.PASS
    for flat in (0, 777, right.size - 1):
        wrong = right.copy()
        wrong.reshape(-1)[flat] += 1
        assert judge(case, Returned(wrong), Traits()).status is Status.FAIL


def test_a_large_result_of_one_class_is_zero() -> None:
    call = LOG_SOFTMAX.call(np.zeros((300, 1), np.float16), 1)
    case = large.sparse_case(call, "large")
    assert judge(case, Returned(np.zeros((300, 1), np.float16)), Traits()).status is Status.PASS
    wrong = np.zeros((300, 1), np.float16)
    wrong[-1] = np.nan
    assert judge(case, Returned(wrong), Traits()).status is Status.FAIL
