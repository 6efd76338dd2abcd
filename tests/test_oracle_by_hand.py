"""The exact answer of `nll_loss`, against values worked out by hand."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import second_formats
from lossparity.specs.call import FLOAT_DTYPES, Array
from lossparity.specs.case import Exactly, Raises, Returns, Unjudgeable, Unspecified
from lossparity.specs.nll_loss import oracle
from lossparity.specs.nll_loss.signature import NLL_LOSS
from second_oracle import opinion

from .in_formats import cast
from .oracle_calls import INF, NAN, element_of, f32, limit_of, per_position, reduction_of
from .oracle_comparison import disagreement

LIMITS: list[tuple[str, set[str], Array, Array | None, str]] = [
    ("S/0, S > 0", {"-inf"}, f32(3, 1), f32(1, -1), "mean"),
    ("S/0, S < 0", {"inf"}, f32(-3, 1), f32(1, -1), "mean"),
    ("0/0 by cancelling", {"nan"}, f32(2, 2), f32(1, -1), "mean"),
    ("0/0, zero weights", {"nan"}, f32(2, 5), f32(0, 0), "mean"),
    ("0/0, weights -0", {"nan"}, f32(2, 5), f32(-0.0, -0.0), "mean"),
    ("S/0 with a -0 among the weights", {"inf", "-inf"}, f32(3, 1, 1), f32(1, -1, -0.0), "mean"),
    ("S/0 with a +0 among the weights", {"-inf"}, f32(3, 1, 1), f32(1, -1, 0.0), "mean"),
    ("NaN at a kept target", {"nan"}, f32(1, NAN), None, "sum"),
    ("-inf gives +inf", {"inf"}, f32(1, -INF), None, "sum"),
    ("+inf gives -inf", {"-inf"}, f32(1, INF), None, "mean"),
    ("mixed infinities", {"nan"}, f32(INF, -INF), None, "sum"),
    ("0 * inf", {"nan"}, f32(1, -INF), f32(1, 0), "sum"),
    ("0 * inf in a mean", {"nan"}, f32(1, -INF), f32(1, 0), "mean"),
    ("negative weight on +inf", {"inf"}, f32(1, INF), f32(1, -1), "sum"),
    ("negative weights: -S/W", {"inf"}, f32(1, -INF), f32(-1, -2), "mean"),
    ("infinite weight", {"-inf"}, f32(1, 2), f32(1, INF), "sum"),
    ("infinite weight: inf/inf", {"nan"}, f32(1, 2), f32(1, INF), "mean"),
    ("infinite weight on 0", {"nan"}, f32(1, 0), f32(1, INF), "sum"),
    ("NaN weight", {"nan"}, f32(1, 2), f32(1, NAN), "sum"),
    ("inf over a W whose sign depends on order", {"inf", "-inf"},
     f32(INF, 1, 1, 1), f32(1, 2**-30, -1, -(2**-31)), "mean"),
    ("inf over a certified W < 0", {"inf"}, f32(1, INF), f32(-3, 2), "mean"),
    ("NaN beside finite terms that may overflow", {"nan"}, f32(NAN, 3e38, 3e38), None, "sum"),
]  # fmt: skip


@pytest.mark.parametrize(("allowed", "x", "w", "reduction"), [row[1:] for row in LIMITS], ids=[r[0] for r in LIMITS])
def test_limits_by_hand(allowed: set[str], x: Array, w: Array | None, reduction: str) -> None:
    call = per_position(x, w, reduction)
    assert limit_of(call).allowed == allowed
    assert disagreement(call) == ""


OVERFLOWS: list[tuple[str, set[str], Array, Array | None, str]] = [
    ("terms of the infinity's sign", {"inf"}, f32(-INF, -3e38, -3e38), None, "sum"),
    ("the same in a mean", {"inf"}, f32(-INF, -3e38, -3e38), None, "mean"),
    ("terms of the other sign", {"inf", "nan"}, f32(-INF, 3e38, 3e38), None, "sum"),
    ("W of one sign", {"nan", "-inf"}, f32(INF, 1), f32(3e38, 3e38), "mean"),
    ("infinite W", {"nan"}, f32(1, 3e38, 3e38), f32(INF, 1, 1), "mean"),
]


@pytest.mark.parametrize(
    ("allowed", "x", "w", "reduction"), [row[1:] for row in OVERFLOWS], ids=[row[0] for row in OVERFLOWS]
)
def test_overflow_beside_an_infinity_frees_no_more_than_it_can_cause(
    allowed: set[str], x: Array, w: Array | None, reduction: str
) -> None:
    """SPECIAL-1: inf + overflow to -inf is NaN; no order makes the other infinity, or NaN out of one sign."""
    call = per_position(x, w, reduction)
    assert opinion(call).limit == allowed
    assert allowed <= limit_of(call).allowed
    assert limit_of(call).allowed == allowed


def test_a_cancelling_normaliser_that_depends_on_order_is_not_judged() -> None:
    """1 + 2^-30 - 1 - 2^-30 is 0, but float32 finds 0 or 2^-30 or -2^-30, as the order goes."""
    call = per_position(f32(1, 2, 3, 4), f32(1, 2**-30, -1, -(2**-30)))
    expected = oracle.expect(call)
    assert isinstance(expected, Returns)
    assert isinstance(expected.value, Unjudgeable)
    assert disagreement(call) == ""


@pytest.mark.parametrize(("reduction", "word"), [("sum", "0"), ("mean", "nan")])
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0), (2, 3, 4, 0)])
def test_empty_batches(shape: tuple[int, ...], reduction: str, word: str) -> None:
    target = np.zeros(shape[:1] + shape[2:], np.int64)
    assert limit_of(NLL_LOSS.call(np.ones(shape, np.float32), target, reduction=reduction)).allowed == {word}


@pytest.mark.parametrize(("reduction", "word"), [("sum", "0"), ("mean", "nan")])
def test_all_ignored(reduction: str, word: str) -> None:
    x, target = np.full((3, 2), np.nan, np.float32), np.full(3, -100)
    assert limit_of(NLL_LOSS.call(x, target, f32(NAN, INF), reduction=reduction)).allowed == {word}
    assert element_of(NLL_LOSS.call(x, target, f32(NAN, INF), reduction="none")).value.tolist() == [0, 0, 0]


def test_ignored_rows_other_classes_and_unselected_weights_do_not_matter() -> None:
    x = f32(NAN, 0.5, -2, INF, NAN, -INF).reshape(3, 2)
    call = NLL_LOSS.call(x, np.array([1, 0, -100]), f32(3, 2), reduction="mean")
    reduction = reduction_of(call)
    assert reduction.exact == Fraction(-(2 * Fraction(1, 2) + 3 * -2), 5)
    ignored_class = NLL_LOSS.call(x, np.array([1, 0, 0]), f32(NAN, 2), 0, "mean")
    assert reduction_of(ignored_class).exact == Fraction(-1, 2)
    assert reduction_of(ignored_class).n == 1
    assert reduction_of(ignored_class).positions == 3


@pytest.mark.parametrize(("dtype", "label", "sentinel"), [("uint8", 156, -100), ("uint8", 255, -1),
                                                          ("int8", 44, 300), ("uint16", 65436, -100),
                                                          ("int16", -1, 65535), ("uint64", 2**64 - 100, -100),
                                                          ("int64", -1, 2**64 - 1)])  # fmt: skip
def test_a_sentinel_the_target_cannot_hold_ignores_nothing(dtype: str, label: int, sentinel: int) -> None:
    """IGN-8: uint8 156 is not -100."""
    x = np.zeros((2, 200), np.float32)
    x[:, 156] = -7
    x[:, 44] = -5
    call = NLL_LOSS.call(x, np.array([label, 0], dtype), None, sentinel, "none")
    expected = oracle.expect(call)
    if not 0 <= label < 200:
        assert isinstance(expected, Raises)
        assert expected.poisoned is not None
        assert isinstance(expected.poisoned.value, Exactly)
        assert np.isnan(expected.poisoned.value.value).tolist() == [True, False]
    else:
        assert element_of(call).value.tolist() == [{156: 7, 44: 5}[label], 0]
    assert disagreement(call) == ""


@pytest.mark.parametrize("sentinel", [-1, -100, 3, 4, 255, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)])
def test_sentinels_outside_the_classes_ignore(sentinel: int) -> None:
    """IGN-4; and IGN-9 by comparison: the same label under another sentinel is an index error."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    target = np.array([sentinel, 1])
    assert element_of(NLL_LOSS.call(x, target, None, sentinel, "none")).value.tolist() == [0, -4]
    assert isinstance(oracle.expect(NLL_LOSS.call(x, target, None, 0, "none")), Raises)


def test_class_axis_is_1_even_between_equal_lengths() -> None:
    x = np.arange(27, dtype=np.float64).reshape(3, 3, 3)
    target = np.array([[0, 1, 2], [2, 1, 0], [1, 1, 1]])
    expected = [[-float(x[n, target[n, d], d]) for d in range(3)] for n in range(3)]
    assert element_of(NLL_LOSS.call(x, target, None, reduction="none")).value.tolist() == expected


def test_unbatched() -> None:
    value = element_of(NLL_LOSS.call(f32(1, 2, 3), np.array(2), f32(1, 1, 4), reduction="none")).value
    assert (value.shape, value.dtype, float(value)) == ((), np.float32, -12.0)
    assert reduction_of(NLL_LOSS.call(f32(1, 2, 3), np.array(2), f32(1, 1, 4))).exact == -3
    assert limit_of(NLL_LOSS.call(f32(1, 2, 3), np.array(-100), f32(1, 1, 4))).allowed == {"nan"}
    assert element_of(NLL_LOSS.call(f32(1, 2, 3), np.array(-100), reduction="none")).value.shape == ()


def test_no_classes() -> None:
    """SHAPE-8 records; a kept target has no class to name and is out of range."""
    x = np.zeros((2, 0), np.float32)
    assert oracle.expect(NLL_LOSS.call(x, np.full(2, -100))) == Unspecified("SHAPE-8")
    assert oracle.expect(NLL_LOSS.call(x[:0], np.zeros(0, int))) == Unspecified("SHAPE-8")
    expected = oracle.expect(NLL_LOSS.call(x, np.array([0, -100]), reduction="none"))
    assert isinstance(expected, Raises)
    assert expected.poisoned is not None
    assert isinstance(expected.poisoned.value, Exactly)
    np.testing.assert_array_equal(expected.poisoned.value.value, [math.nan, 0])


def test_subnormal_products_by_hand() -> None:
    """float16: mu = 2^-24, lambda = 2^-14. 0.75 mu rounds to mu, half of mu to 0, 1.5 mu to 2 mu."""
    mu = 2.0**-24
    x = np.array([mu, mu, 3 * mu, 2**-14, 1], np.float16)
    w = np.array([0.75, 0.5, 0.5, 0.5, 1], np.float16)
    element = element_of(per_position(x, w, "none"))
    assert element.value.tolist() == [-mu, 0, -2 * mu, -(2.0**-15), -1]
    assert element.loose.tolist() == [True, True, True, True, False]
    assert element.flushable.tolist() == [True, True, True, True, False]


def test_a_product_equal_to_the_smallest_normal_is_neither_loose_nor_flushable() -> None:
    """lambda is normal: ACC-1 frees subnormal products only, and DENORM results below lambda only."""
    for name in FLOAT_DTYPES:
        tiny = float(second_formats.smallest_normal(name))
        element = element_of(per_position(cast([2 * tiny], name), cast([0.5], name), "none"))
        assert float(element.value[0]) == -tiny
        assert element.loose.tolist() == [False]
        assert element.flushable.tolist() == [False]


def test_bfloat16_products_below_float32() -> None:
    """2^-70 * 1.5 2^-64 = 1.5 2^-134 rounds to 2^-133, bfloat16's smallest number, and 2^-134 to 0."""
    x = cast([1.5 * 2.0**-64, 2.0**-64, 2.0**-120], "bfloat16")
    w = cast([2.0**-70, 2.0**-70, 2.0**-120], "bfloat16")
    assert element_of(per_position(x, w, "none")).value.astype(np.float64).tolist() == [-(2.0**-133), 0, 0]


def test_class_counts_beyond_the_target_dtype() -> None:
    """VALUE-7: C = 70,000 with int8 and uint16 targets."""
    x = -np.arange(70_000, dtype=np.float32).reshape(1, -1)
    for dtype, label in (("int8", 127), ("uint8", 255), ("uint16", 65535), ("int32", 69_999)):
        assert element_of(NLL_LOSS.call(x, np.array([label], dtype), reduction="none")).value.tolist() == [label]
