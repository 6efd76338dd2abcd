"""How high a summation tree is proven to be, on sums whose trees are known: never higher than they are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
from lossparity.specs.call import FLOAT_DTYPES
from lossparity.specs.exact import FORMATS
from lossparity.specs.heights import proven_height
from lossparity.specs.reductions import Reduction

from .in_formats import cast
from .simulated_sums import (
    DATA,
    HALVES,
    ORDERS,
    compute,
    height_of,
    implementations,
    pairwise,
    reduction_of,
    rows,
    sequential,
    weight_rows,
)

TRIALS = 4
WAYS = (("sum", ""), *(("mean", division) for division in ("true", "reciprocal", "per_term", "per_term_reciprocal")))
Measured = Callable[[Reduction, float], int]


def naive(reduction: Reduction, observed: float) -> int:
    """The quotient |error| / (u M), which takes every error for one of additions."""
    error, whole = abs(Fraction(observed) - reduction.exact), reduction.numerator.magnitude
    return math.ceil(error / (whole * Fraction(reduction.fmt.u))) if whole else 0


def too_high(name: str, n: int, measured: Measured) -> Iterator[str]:
    """Sums of every shape, data, weight and division whose measured height exceeds that of their tree."""
    for data, signs in itertools.product(DATA, ("none", "positive")):
        for accumulator, _ in implementations(name):
            x, w = rows(data, TRIALS, n, name, accumulator), weight_rows(signs, TRIALS, n, name)
            for order, (kind, division) in itertools.product(ORDERS, WAYS):
                got = compute(x, w, accumulator, ORDERS[order], kind, division)
                for row, value in enumerate(got.astype(np.float64)):
                    if not math.isfinite(value):
                        continue
                    reduction = reduction_of(x[row], None if w is None else w[row], kind)
                    if not reduction.exact and reduction.normaliser is not None:
                        continue
                    if measured(reduction, float(value)) > height_of(order, n):
                        yield f"{data} {signs} {accumulator} {order} {kind} {division} {row}"


@pytest.mark.parametrize("n", [1, 2, 3, 5, 9, 40, 300])
@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_no_tree_is_taken_for_a_higher_one(name: str, n: int) -> None:
    assert list(too_high(name, n, proven_height)) == []


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_the_plain_quotient_takes_trees_for_higher_ones(name: str) -> None:
    """Final roundings, products and quotients: what the proven height subtracts is there."""
    assert any(list(too_high(name, n, naive)) for n in (2, 3, 5))


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_a_running_sum_that_loses_every_addition_is_seen_nearly_whole(name: str) -> None:
    """[1, u, u, ...] in sequence: the bound is reached, and one rounding of it is not counted."""
    fmt = FORMATS[name]
    n = 1 + max(1, min(1000, round(0.008 / fmt.u)))
    x = cast(np.where(np.arange(n) == 0, 1.0, fmt.u), name)[None, :]
    reduction = reduction_of(x[0], None, "sum")
    running = proven_height(reduction, float(compute(x, None, name, sequential, "sum", "")[0]))
    assert (n - 2) * 0.98 - 1 <= running <= n - 1
    assert proven_height(reduction, float(compute(x, None, name, pairwise, "sum", "")[0])) <= (n - 1).bit_length()


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_the_last_rounding_of_a_wide_sum_is_no_height(name: str) -> None:
    x = rows("one_sign", 20, 300, name, name)
    wide = {"float16": "float32", "bfloat16": "float32"}.get(name, "float64")
    found = [
        (naive(reduction, float(value)), proven_height(reduction, float(value)))
        for reduction, value in zip(
            (reduction_of(row, None, "sum") for row in x),
            compute(x, None, wide, sequential, "sum", "").astype(np.float64),
            strict=True,
        )
    ]
    assert set(found) == {(1, 0)}


@pytest.mark.parametrize("name", HALVES)
def test_a_wide_accumulator_proves_next_to_nothing_and_a_short_one_much(name: str) -> None:
    """A sum in half precision that stagnates needs a high tree of half-precision additions."""
    n, first = (200, 512) if name == "float16" else (40, 64)
    x = cast(np.where(np.arange(n) == 0, -first, -0.24), name)[None, :]
    reduction = reduction_of(x[0], None, "sum")
    short, wide = (float(compute(x, None, q, sequential, "sum", "")[0]) for q in (name, "float32"))
    assert proven_height(reduction, wide) <= 1
    assert 5 < proven_height(reduction, short) < n


def test_rounding_into_subnormal_numbers_is_no_height() -> None:
    """Nine products of 2^-20, whose sum 9 2^-20 is a subnormal half off by up to 2^-25: 2,048 u of a tiny M."""
    x, w = cast(np.full(9, -(2.0**-14) * 1.1), "float16"), cast(np.full(9, 2.0**-9 * 1.1), "float16")
    reduction = reduction_of(x, w, "sum")
    observed = float(compute(x[None, :], w[None, :], "float32", sequential, "sum", "")[0])
    assert naive(reduction, observed) > 8
    assert proven_height(reduction, observed) == 0


def test_what_no_tree_explains_has_no_height() -> None:
    """Half of the terms dropped, and another sign."""
    x = cast(np.linspace(1, 2, 100), "float32")
    reduction = reduction_of(x, None, "sum")
    for wrong in (float(reduction.exact) / 2, -float(reduction.exact)):
        assert naive(reduction, wrong) > 10**6
        assert proven_height(reduction, wrong) == 0


def test_sums_that_are_exact_in_any_order_have_no_height() -> None:
    """0 + 1 + ... + 63 in float16: an error of 8 is no rounding, though some sum of that size may make it."""
    reduction = reduction_of(cast(np.arange(64), "float16"), None, "sum")
    rough = reduction_of(cast(np.arange(64) + 2.0**-10 * (np.arange(64) == 0), "float16"), None, "sum")
    assert naive(reduction, -2008.0) == 9
    assert proven_height(rough, -2008.0) > 5
    assert proven_height(reduction, -2008.0) == 0


@pytest.mark.parametrize("n", [2, 5, 9])
def test_fewer_than_ten_terms_never_prove_more_than_nine_additions(n: int) -> None:
    """Whatever is observed, from the exact value to far outside of every bound."""
    x = cast(np.linspace(0.1, 1, n), "float32")
    for w in (None, cast(np.linspace(1, 2, n), "float32")):
        reduction = reduction_of(x, w, "mean")
        heights = {
            proven_height(reduction, float(reduction.exact) * (1 + k * 2.0**-26)) for k in (*range(200), 10**6, 10**9)
        }
        assert max(heights) == n - 1


def test_the_highest_of_several_is_found_from_what_is_known() -> None:
    x = cast(np.where(np.arange(300) == 0, 1.0, 2.0**-24), "float32")
    reduction = reduction_of(x, None, "sum")
    assert proven_height(reduction, -1.0) > 290
    assert proven_height(reduction, -1.0, known=100) == proven_height(reduction, -1.0)
    assert proven_height(reduction, -1.0, known=299) == 299
