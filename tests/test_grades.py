"""Grades of observed results, by hand and of faults: ulps, levels and what is outside the bounds."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from lossparity.specs.accuracy import error_bound
from lossparity.specs.call import FLOAT_DTYPES
from lossparity.specs.exact import FLOAT16, FLOAT32, FLOAT64, round_to
from lossparity.specs.grades import Level, grade
from lossparity.specs.reductions import Tier

from .in_formats import cast
from .simulated_sums import HALVES, ROUNDED_UPWARDS, compute, reduction_of, sequential


def test_levels_by_hand() -> None:
    """float16 [1, 2^-11, 2^-11, 2^-22]: RN(S) = 1 + 2^-10, and steps of 2^-10 from there."""
    reduction = reduction_of(cast([1, 2.0**-11, 2.0**-11, 2.0**-22], "float16"), None, "sum")
    right = -(1 + 2.0**-10)
    assert grade(reduction, right).level is Level.CORRECTLY_ROUNDED
    assert grade(reduction, -1.0).level is Level.NEIGHBOUR
    assert grade(reduction, -1.0).within_required is False  # certified in float32
    assert grade(reduction, right - 2.0**-10).level is Level.NEIGHBOUR
    assert grade(reduction, right + 3 * 2.0**-10).level is Level.OUT
    exact = reduction_of(cast([1, 2], "float16"), None, "sum")
    assert grade(exact, -3.0).level is Level.EXACT
    assert (str(Level.EXACT), str(Level.OWN_ANY), str(Level.OUT)) == ("E0", "E6", "X")


def test_neighbours_across_zero_and_below_the_normal_numbers() -> None:
    mu = float(FLOAT16.smallest_subnormal)
    zero = reduction_of(cast([1, -1, 0], "float16"), None, "sum")
    assert grade(zero, mu).level is Level.NEIGHBOUR
    assert grade(zero, -mu).level is Level.NEIGHBOUR
    assert grade(zero, 2 * mu).level > Level.NEIGHBOUR
    one = reduction_of(cast([-mu], "float16"), None, "sum")
    assert [grade(one, step * mu).level for step in (1, 0, 2)] == [
        Level.EXACT,
        Level.NEIGHBOUR,
        Level.NEIGHBOUR,
    ]
    assert grade(one, -mu).level > Level.NEIGHBOUR


def test_a_bound_that_says_nothing_is_neither_passed_nor_failed() -> None:
    """Cancelling 1e6 leaves 1e-3: n u M is larger; yet the right answer is right, and 2e9 is wrong."""
    x = cast([1e6, 1e-3, -1e6, 3e5, -3e5], "float32")
    reduction = reduction_of(x, None, "sum")
    exact = float(reduction.exact)
    assert grade(reduction, exact * 1.3).within_required is None
    assert grade(reduction, exact).within_required is True
    assert grade(reduction, 2e9).within_required is False
    assert grade(reduction, exact * 1.3).within_own is None
    assert error_bound(reduction, Tier(FLOAT32, 5)).size > 0


def test_a_cancelling_normaliser_says_nothing() -> None:
    """e_W >= |W|: the bound is infinite."""
    w = cast([1, -1, 2.0**-26 * 1.5, 1 / 3, -1 / 3], "float32")
    reduction = reduction_of(cast([1, 2, 3, 4, 5], "float32"), w, "mean")
    assert math.isinf(error_bound(reduction, Tier(FLOAT32, 5)).size)
    for observed in (0.0, 1e30, -5.0):
        assert grade(reduction, observed).within_required is None
    assert grade(reduction, 0.0).bound == math.inf
    assert math.isfinite(error_bound(reduction, Tier(FLOAT64, 5)).size)


@pytest.mark.parametrize("name", HALVES)
def test_accumulating_in_half_precision_is_named_as_such(name: str) -> None:
    """A-5: within the format's own any-order bound, outside the one that the specification requires."""
    n, first = (200, 512) if name == "float16" else (40, 64)
    x = cast(np.where(np.arange(n) == 0, -first, -0.24), name)[None, :]  # less than half a unit of `first`: lost
    for kind in ("sum", "mean"):
        reduction = reduction_of(x[0], None, kind)
        own = grade(reduction, float(compute(x, None, name, sequential, kind, "true")[0]))
        wide = grade(reduction, float(compute(x, None, "float32", sequential, kind, "true")[0]))
        assert (own.within_required, own.within_own) == (False, True)
        assert own.level in (Level.OWN_LOG, Level.OWN_ANY)
        assert (wide.within_required, wide.within_own) == (True, True)
        assert wide.level <= Level.WIDE_ANY


@pytest.mark.parametrize("name", HALVES)
def test_rounding_s_and_w_before_dividing_is_outside_the_required_bound(name: str) -> None:
    """ACC-3: S or W rounded to the short format first; found on some of sixty draws.

    Certified data is no exception: ACC-3 and ACC-5 are both MUST.
    """
    rng = np.random.default_rng(6)
    outside = 0
    for n in range(30, 90):
        x, w = cast(-rng.uniform(0.5, 2, n), name), cast(rng.uniform(0.5, 2, n), name)
        top, bottom = (a.astype(np.float32).sum().astype(x.dtype) for a in (x.astype(np.float32) * w, w))
        observed = float(-(top / bottom))
        graded = grade(reduction_of(x, w, "mean"), observed)
        outside += graded.within_required is False
        assert graded.within_own is not False
    assert outside > 5


def test_semantic_faults_are_out() -> None:
    """One position dropped, counted twice, the wrong sign, the wrong normaliser: X, whatever the format."""
    rng = np.random.default_rng(9)
    for name in FLOAT_DTYPES:
        x, w = -rng.uniform(1, 2, 15), rng.uniform(0.5, 2, 15)
        x, w = cast(x, name), cast(w, name)
        reduction = reduction_of(x, w, "mean")
        terms, weights = (x.astype(np.float64) * w.astype(np.float64)), w.astype(np.float64)
        right = -terms.sum() / weights.sum()
        for wrong in (
            -right,
            -terms[1:].sum() / weights.sum(),
            -terms.sum() / 15,
            -(x.astype(np.float64)).mean(),
        ):
            observed = float(cast(wrong, name))
            assert grade(reduction, observed).within_required is False
        assert grade(reduction, float(cast(right, name))).within_required is True


def test_ulps_relative_error_and_utilisation_by_hand() -> None:
    """float32 [1, 1/3]: S = 1 + 0x1.555556p-2; an observed value 2 ulp off is 2^-22 off, of bound u M."""
    x = cast([1, 1 / 3], "float32")
    reduction = reduction_of(x, None, "sum")
    exact = reduction.exact
    observed = round_to(exact, FLOAT32) - 2.0**-22
    error = abs(Fraction(observed) - exact)
    graded = grade(reduction, observed)
    assert graded.ulps == float(error * 2**23)
    due = abs(exact) * Fraction(FLOAT32.u)
    upwards = ROUNDED_UPWARDS * due
    assert due <= Fraction(graded.bound) <= upwards
    assert error / upwards <= Fraction(graded.utilisation) <= error / due
    assert graded.relative == float(error / abs(exact))


def test_a_subnormal_result_that_is_correctly_rounded_has_no_large_relative_error() -> None:
    """Half of the smallest half is 0, 100 % off by itself; 2^-14 that is lost is lost whole."""
    tiny = reduction_of(cast([2.0**-13], "float16"), cast([2.0**-12], "float16"), "sum")
    assert grade(tiny, 0.0).level is Level.CORRECTLY_ROUNDED
    assert grade(tiny, 0.0).relative == 2.0**-11
    assert grade(reduction_of(cast([2.0**-14], "float16"), None, "sum"), 0.0).relative == 1
    assert grade(reduction_of(cast([1, -1], "float16"), None, "sum"), 1.0).relative == math.inf


@pytest.mark.parametrize(
    "x", [[1.0, -1.0], [0.0, 0.0], [0.0], [5e-324], [1e-310, 2e-310], [1 / 3, -1 / 3, 1e-300]], ids=str
)
def test_any_finite_observation_can_be_graded(x: list[float]) -> None:
    """Also an absurd one against an exact zero: the error in ulp then exceeds every float64."""
    for kind, observed in itertools.product(("sum", "mean"), (1.0, 1e-10, 1e300, 5e-324, -1.7e308)):
        graded = grade(reduction_of(np.array(x), None, kind), observed)
        if observed in (1.0, 1e300, -1.7e308):
            assert graded.within_required is False
            assert graded.level is Level.OUT
