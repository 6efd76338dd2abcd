"""Which categories of error the oracle sees in illegal calls."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from lossparity.specs.case import Exactly, Limit, Raises, Returns
from lossparity.specs.nll_loss import oracle
from lossparity.specs.nll_loss.signature import NLL_LOSS

from .oracle_calls import GOOD
from .oracle_comparison import disagreement

ILLEGAL: list[tuple[str, set[str], dict[str, Any]]] = [
    ("0-d input", {"shape"}, {"input": np.float32(1).reshape(()), "target": np.array(0), "weight": None}),
    ("target longer than the batch", {"shape"}, {"target": np.zeros(5, int)}),
    ("target of length 1", {"shape"}, {"target": np.zeros(1, int)}),
    ("batch of length 1", {"shape"}, {"input": np.ones((1, 3), np.float32)}),
    ("(N, 1) target", {"shape"}, {"target": np.zeros((4, 1), int)}),
    ("one-hot target", {"shape"}, {"target": np.eye(4, 3).astype(int)}),
    ("0-d target of a batch", {"shape"}, {"target": np.array(0)}),
    ("1-d target, unbatched", {"shape"}, {"input": np.ones(3, np.float32), "target": np.zeros(1, int)}),
    ("spatial axis missing", {"shape"}, {"input": np.ones((4, 3, 2), np.float32)}),
    ("spatial length 1", {"shape"}, {"input": np.ones((4, 3, 2), np.float32),
                                     "target": np.zeros((4, 1), int)}),
    ("classes on the last axis", {"shape"}, {"input": np.ones((4, 2, 3), np.float32),
                                             "target": np.zeros((4, 2), int), "weight": None}),
    ("weight too long", {"shape"}, {"weight": np.ones(4, np.float32)}),
    ("weight too short", {"shape"}, {"weight": np.ones(2, np.float32)}),
    ("weight empty", {"shape"}, {"weight": np.ones(0, np.float32)}),
    ("2-d weight", {"shape"}, {"weight": np.ones((1, 3), np.float32)}),
    ("0-d weight", {"shape"}, {"weight": np.ones((), np.float32)}),
    ("weight in float64", {"dtype"}, {"weight": np.ones(3)}),
    ("weight in float16", {"dtype"}, {"weight": np.ones(3, np.float16)}),
    ("float target", {"dtype"}, {"target": np.zeros(4)}),
    ("bool target", {"dtype"}, {"target": np.zeros(4, bool)}),
    ("integer input", {"dtype"}, {"input": np.ones((4, 3), int), "weight": None}),
    ("bool input", {"dtype"}, {"input": np.ones((4, 3), bool), "weight": None}),
    ("complex input", {"dtype"}, {"input": np.ones((4, 3), complex), "weight": None}),
    ("longdouble input", {"dtype"}, {"input": np.ones((4, 3), np.longdouble), "weight": None}),
    ("reduction avg", {"value"}, {"reduction": "avg"}),
    ("reduction of the wrong case", {"value"}, {"reduction": "MEAN"}),
    ("empty reduction", {"value"}, {"reduction": ""}),
    ("no reduction", {"value"}, {"reduction": None}),
    ("integer reduction", {"value"}, {"reduction": 0}),
    ("three faults", {"shape", "dtype", "value"}, {"weight": np.ones((1, 3)), "reduction": "avg"}),
]  # fmt: skip


@pytest.mark.parametrize(("categories", "changed"), [row[1:] for row in ILLEGAL], ids=[row[0] for row in ILLEGAL])
def test_illegal_calls_name_every_applicable_category(categories: set[str], changed: dict[str, Any]) -> None:
    call = NLL_LOSS.call(**(GOOD | changed))
    expected = oracle.expect(call)
    assert isinstance(expected, Raises)
    assert expected.categories == categories
    assert expected.poisoned is None
    assert disagreement(call) == ""


def test_legal_neighbours_of_illegal_calls_return() -> None:
    assert isinstance(oracle.expect(NLL_LOSS.call(**GOOD)), Returns)
    assert isinstance(
        oracle.expect(NLL_LOSS.call(np.ones(3, np.float32), np.array(2), np.ones(3, np.float32))), Returns
    )
    assert isinstance(oracle.expect(NLL_LOSS.call(np.ones((1, 1, 1), np.float32), np.zeros((1, 1), np.uint8))), Returns)


@pytest.mark.parametrize("changed", [{"reduction": "avg"}, {"weight": np.ones(4, np.float32)}, {"weight": np.ones(3)}])
def test_a_target_out_of_range_beside_another_fault_is_an_applicable_category(
    changed: dict[str, Any],
) -> None:
    """A-8: with several errors present, any of the applicable categories may be raised first."""
    first = oracle.expect(NLL_LOSS.call(**(GOOD | changed)))
    expected = oracle.expect(NLL_LOSS.call(**(GOOD | {"target": np.array([0, 1, 3, 0])} | changed)))
    assert isinstance(first, Raises)
    assert isinstance(expected, Raises)
    assert expected.categories == first.categories | {"index"}


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("bad", [3, -1, -3, -100, 127])
@pytest.mark.parametrize("place", [0, 2, 3])
def test_targets_out_of_range_poison_their_position(place: int, bad: int, reduction: str) -> None:
    """ERR-1, ERR-2, and IGN-9: -100 is nothing special while something else is ignored."""
    target = np.array([0, 1, 2, 1], np.int8)
    target[place] = bad
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    expected = oracle.expect(NLL_LOSS.call(x, target, None, 1, reduction))
    assert isinstance(expected, Raises)
    assert expected.categories == {"index"}
    assert expected.poisoned is not None
    if reduction != "none":
        assert expected.poisoned.value == Limit(frozenset({"nan"}))
        return
    assert isinstance(expected.poisoned.value, Exactly)
    plain = [-0.0, 0.0, -8.0, 0.0]  # positions 1 and 3 are ignored
    plain[place] = math.nan
    np.testing.assert_array_equal(expected.poisoned.value.value, plain)
