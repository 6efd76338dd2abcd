"""Profile `large` in small: what is done because an array is too large to be copied, tried on arrays that are not."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from lossparity.conformance.items import breadcrumb
from lossparity.conformance.items.spec import Request
from lossparity.conformance.judging import judge
from lossparity.conformance.judging.judge import Traits
from lossparity.conformance.planning import plan
from lossparity.specs import call as calls
from lossparity.specs.call import Returned, Transform
from lossparity.specs.case import Returns, Status
from lossparity.specs.encoding import decode_call, encode_call
from lossparity.specs.nll_loss import large
from lossparity.specs.nll_loss.large import SIZES, _Size, large_cases, large_size, sparse_call
from lossparity.specs.nll_loss.signature import NLL_LOSS

SMALL = (_Size((33, 4097), True, ("none", "sum", "mean")), _Size((5, 7, 90), False, ("none", "mean")))


def test_sizes_go_beyond_two_to_the_31_on_each_axis() -> None:
    for size in SIZES:
        assert np.prod([float(length) for length in size.shape]) > 2**31
    assert {max(range(len(s.shape)), key=lambda axis: s.shape[axis]) for s in SIZES} == {0, 1, 2}


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_planned_is_what_is_made(dtype: str) -> None:
    assert sum(1 for _ in large_cases(dtype, 0, 3)) == large_size(dtype, 3) > 0
    assert list(large_cases(dtype, 0, 2)) == []
    assert large_size(dtype, 2) == 0


def test_the_profile_is_a_family_of_its_own() -> None:
    assert {spec.family for spec in plan.items({"nll_loss": ["numpy"]}, Request(profile="large"))} == {"large"}
    assert "large" not in {spec.family for spec in plan.items({"nll_loss": ["numpy"]}, Request())}


@pytest.mark.parametrize("size", SMALL)
def test_numbers_reach_the_ends(size: _Size) -> None:
    call = sparse_call(size, "float16", 0)
    first, *_, last = call["target"].reshape(-1)
    assert (first, last) == (0, size.shape[1] - 1)
    assert call["input"].reshape(-1)[0] < 0
    assert call["input"].reshape(-1)[-1] < 0
    assert np.abs(call["input"].astype(float)).sum() <= 2048


@pytest.fixture
def _sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "SPARSE_BYTES", 1000)
    monkeypatch.setattr(breadcrumb, "_LARGEST", 1000)


@pytest.mark.usefixtures("_sparse")
def test_a_large_call_is_written_sparsely() -> None:
    call = sparse_call(SMALL[0], "float16", 0)
    encoded = encode_call(call)
    assert len(encoded["input"]["at"]) == np.count_nonzero(call["input"])
    again = decode_call(encoded, NLL_LOSS)
    np.testing.assert_array_equal(again["input"], call["input"])
    assert again.digest() == call.digest()
    other = call.replace(input=call["input"].copy())
    other["input"][0, 5] = 3
    assert other.digest() != call.digest()


@pytest.mark.usefixtures("_sparse")
def test_a_breadcrumb_of_a_large_call_names_its_shape(tmp_path: Path) -> None:
    trail = breadcrumb.Trail(tmp_path, "main", 60.0)
    case = next(islice(large_cases("float32", 0, 3), 1))
    trail.drop(case)
    crumb = breadcrumb.read(tmp_path, "main")
    assert crumb is not None
    trail.pause()  # or the watchdog ends this process when its time is up
    assert crumb.call.describe() == case.call.describe()


@pytest.mark.parametrize("place", [1, 4096, 4097 * 20, 4097 * 33 - 2])
def test_a_number_in_the_wrong_place_is_found_in_any_block(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "_BLOCK", 1000)
    call = sparse_call(SMALL[0], "float16", 0).replace(reduction="sum")
    case = large._gradient(call, "test")
    assert isinstance(case.call.transform, Transform)
    assert isinstance(case.expectation, Returns)
    gradient = np.zeros(call["input"].shape, np.float16)
    rows = np.arange(33)
    gradient[rows, call["target"]] = -2
    assert judge.judge(case, Returned(gradient), Traits()).status is Status.PASS
    wrong = gradient.copy()
    wrong.reshape(-1)[place] += np.float16(1)
    assert judge.judge(case, Returned(wrong), Traits()).status is Status.FAIL
