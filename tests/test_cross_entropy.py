"""What cross_entropy shares among calls, what it says of infinite weights, and its large arrays in small."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from lossparity.adapters.numpy import cross_entropy, cross_entropy_gradient
from lossparity.conformance.judging.judge import Traits, judge
from lossparity.specs.call import FLOAT_DTYPES, Call, Outcome, Returned
from lossparity.specs.case import Case, Returns, Status, Within
from lossparity.specs.cross_entropy import generate, large
from lossparity.specs.cross_entropy.oracle import expect
from lossparity.specs.cross_entropy.signature import CROSS_ENTROPY

SMALL = ((7, 4097), (65, 33), (2, 9, 300))


def _computed(call: Call) -> Outcome:
    arguments: dict[str, Any] = dict(call.given) | dict(call.options)
    if call.transform is None:
        return Returned(np.asarray(cross_entropy(**arguments)))
    return Returned(cross_entropy_gradient(**arguments, upstream=call.transform.upstream))


def _bytes(answer: object) -> list[object]:
    """All that an expectation holds, in a form that compares."""
    if isinstance(answer, np.ndarray):
        return [answer.dtype, answer.shape, answer.tobytes()]
    if isinstance(answer, Mapping):
        return [(name, _bytes(value)) for name, value in answer.items()]
    if dataclasses.is_dataclass(answer):
        return [_bytes(getattr(answer, field.name)) for field in dataclasses.fields(answer)]
    return [answer]


@pytest.mark.parametrize("asks", ["", "gradient", "jvp", "second"])
@pytest.mark.parametrize("fields", [{}, {"smoothing": 0.1}, {"probabilities": "sparse", "smoothing": 0.1}])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_what_calls_share_changes_no_answer(dtype: str, fields: dict[str, Any], asks: str) -> None:
    structure = generate.Structure((4, 3, 2), dtype, weights="random", asks=asks, upstream="random", **fields)
    made = list(generate.cases(dataclasses.replace(structure, unweighted_too=True), "value"))
    assert len(made) == 6
    for case in made:
        alone = generate.case_of(case.call, "value", 3, "test")
        assert _bytes(case.expectation) == _bytes(alone.expectation)
        assert case.clauses == alone.clauses


def test_infinite_weight_of_a_class_that_may_be_certain_says_nothing() -> None:
    """ln P is -4e-44 in the first row: 0 in float32, and 0 * inf is NaN."""
    x, w = np.array([[100, 0], [1, 0]], np.float32), np.array([-np.inf, 1], np.float32)
    answer = expect(CROSS_ENTROPY.call(x, np.array([1, 1]), w, reduction="none", label_smoothing=0.1))
    assert isinstance(answer, Returns)
    assert isinstance(answer.value, Within)
    assert answer.value.rounded.tolist() == [-np.inf, -np.inf]
    assert answer.value.required.free.tolist() == [True, False]


def test_large_shapes_go_beyond_two_to_the_31() -> None:
    for shape in large.SHAPES:
        assert np.prod([float(length) for length in shape]) > 2**31


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_planned_is_what_is_made(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "SHAPES", SMALL)
    monkeypatch.setattr(large, "MANY_CLASSES", ((3, 301),))
    assert sum(1 for _ in large.large_cases(dtype, 0, 3)) == large.large_size(dtype, 3) > 0
    assert not list(large.large_cases(dtype, 0, 2))
    assert large.large_size(dtype, 2) == 0


@pytest.fixture(name="cases")
def _cases(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    monkeypatch.setattr(large, "SHAPES", SMALL)
    monkeypatch.setattr(large, "MANY_CLASSES", ())
    monkeypatch.setattr(large, "WRITTEN", 2**13)
    return list(large.large_cases("float16", 0, 3))


def test_numbers_in_the_right_places_pass_and_others_fail(cases: list[Case]) -> None:
    for case in cases:
        right = _computed(case.call)
        assert isinstance(right, Returned)
        assert judge(case, right, Traits()).status is Status.PASS
        for place in (0, right.value.size // 2, -1):
            wrong = right.value.copy()
            wrong.reshape(-1)[place] += np.float16(1)
            assert judge(case, Returned(wrong), Traits()).status is Status.FAIL


def test_calls_wrap_where_32_bits_would(cases: list[Case]) -> None:
    """Kept positions lie at both ends, and none of their logits is where another position's is."""
    for call in (case.call for case in cases):
        kept = np.flatnonzero(call["target"].reshape(-1) != call["ignore_index"])
        assert kept[0] == 0
        assert kept[-1] == call["target"].size - 1
        written = (call["input"] != 0).any(1).reshape(-1)
        assert not np.setdiff1d(np.flatnonzero(written), kept).size
