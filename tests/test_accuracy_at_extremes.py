"""The bounds at the ends of a format: overflow, flush to zero and vanishing products."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from lossparity.specs.accuracy import error_bound, may_overflow
from lossparity.specs.call import FLOAT_DTYPES, Array
from lossparity.specs.exact import FLOAT16, FLOAT32, FLOAT64, FORMATS
from lossparity.specs.grades import Level, grade
from lossparity.specs.reductions import IEEE, WIDE, Arithmetic, Tier

from .in_formats import cast
from .simulated_sums import FLUSH, ORDERS, compute, fraction, inside, reduction_of, sequential, weight_rows

# --- overflow --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_may_overflow_threshold(name: str) -> None:
    """M or W_a beyond Omega: yes; a little below, with room for the growth of rounding errors: no."""
    fmt = FORMATS[name]
    largest = float(fmt.largest)
    below, half = largest * (1 - 64 * fmt.u), largest / 2
    cases = [
        ([half, half, half], None, "sum", True),
        ([half, -half, half], None, "sum", True),  # M counts, not S
        ([half, below / 2], None, "sum", False),
        ([below], None, "mean", False),
        ([1, 1], [largest, largest], "mean", True),
        ([0, 0], [largest, -half], "mean", True),
        ([0.25, 0.25], [half, half * (1 - 64 * fmt.u)], "mean", False),
    ]
    for x, w, kind, expected in cases:
        reduction = reduction_of(cast(x, name), None if w is None else cast(w, name), kind)
        assert may_overflow(reduction, fmt) is expected, (x, w, kind)


def test_half_precision_overflow_is_asked_of_the_required_accumulator() -> None:
    x = np.full(4, 60000, np.float16)
    assert may_overflow(reduction_of(x, None, "mean"), FLOAT16)
    assert not may_overflow(reduction_of(x, None, "mean"), FLOAT32)
    assert grade(reduction_of(x, None, "mean"), -60000.0).level is Level.EXACT


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_a_single_largest_number_cannot_overflow(name: str) -> None:
    """SPECIAL-2: M = Omega fits, and one term is not added to anything: -Omega is due, not -inf."""
    fmt = FORMATS[name]
    assert not may_overflow(reduction_of(cast([float(fmt.largest)], name), None, "sum"), fmt)


# --- flush to zero ---------------------------------------------------------------------------------------


def flushing(array: Array) -> Array:
    """Numbers below lambda become 0."""
    tiny = float(FORMATS[array.dtype.name].smallest_normal)
    return np.where(np.abs(array.astype(np.float64)) < tiny, array.dtype.type(0), array)


def flushing_sum(terms: list[Array]) -> Array:
    """A running sum whose partial sums are flushed."""
    total = terms[0]
    for term in terms[1:]:
        total = flushing(total + term)
    return total


def flushing_result(x: Array, w: Array | None, kind: str, division: str) -> float:
    """-S or -S/W with flushed operands, products, partial sums and quotients, in x's own format."""
    x = flushing(x)
    w = None if w is None else flushing(w)
    with np.errstate(all="ignore"):
        terms = x if w is None else flushing(w * x)
        counted = x.dtype.type(x.size) if w is None else flushing_sum(list(w))
        if kind == "sum":
            return float(-flushing_sum(list(terms)))
        if division == "per_term":
            return float(-flushing_sum(list(flushing(np.asarray(terms / counted)))))
        total = flushing_sum(list(terms))
        if division == "true":
            return float(-flushing(np.asarray(total / counted)))
        return float(-flushing(np.asarray(total * flushing(np.asarray(x.dtype.type(1) / counted)))))


@pytest.mark.parametrize("weighted", ["none", "positive", "mixed", "tiny", "large"])
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_flushing_stays_within_its_bound(name: str, weighted: str) -> None:
    """Data astride lambda: some operands, products and partial sums are flushed, others are not."""
    rng = np.random.default_rng(13)
    tiny, needed = float(FORMATS[name].smallest_normal), 0
    for n in (1, 2, 5, 20, 100):
        for _ in range(12):
            x = cast(rng.choice([-1, 1], n) * 2.0 ** rng.uniform(-6, 6, n) * tiny, name)
            w = weight_rows("none" if weighted == "none" else "positive", 1, n, name)
            row = None if w is None else w[0]
            if weighted == "mixed" and row is not None:
                row = row * rng.choice([-1, 1, 1], n).astype(row.dtype)
            if weighted == "tiny":
                row = cast(2.0 ** rng.uniform(-4, 8, n) * tiny, name)
                x = cast(-rng.uniform(0.1, 4, n) * 2.0 ** rng.uniform(0, 12, n), name)
            if weighted == "large":  # a flushed operand then costs far more than lambda
                row = cast(2.0 ** rng.uniform(0, 20, n), name)
            for kind, division in (("sum", ""), ("mean", "true"), ("mean", "reciprocal")):
                observed = flushing_result(x, row, kind, division)
                if not math.isfinite(observed):
                    continue  # a flushed W is the oracle's business
                reduction = reduction_of(x, row, kind)
                assert grade(reduction, observed, FLUSH).within_required is not False
                needed += grade(reduction, observed).within_required is False
    assert needed > 10  # without the allowance these would be convicted


def test_term_by_term_division_with_flushing_stays_within_its_bound() -> None:
    """1,000 terms just above lambda, each divided by 1,000 and flushed: the mean becomes 0."""
    x = cast(np.full(1000, 100 * 2.0**-126), "float32")
    observed = flushing_result(x, None, "mean", "per_term")
    assert observed == 0
    reduction = reduction_of(x, None, "mean")
    assert inside(reduction, observed, Tier(FLOAT32, 1000), Arithmetic(flush=True, per_term=True))


def test_flushing_is_no_excuse_for_a_wrong_value_that_is_not_tiny() -> None:
    """A-9."""
    x = cast(-np.arange(1, 9) / 8, "float32")
    for kind in ("sum", "mean"):
        reduction = reduction_of(x, None, kind)
        right = float(reduction.exact)
        assert grade(reduction, right, FLUSH).within_required is True
        assert grade(reduction, right * (1 + 2.0**-18), FLUSH).within_required is False
        assert grade(reduction, 0.0, FLUSH).within_required is False


def test_flushing_in_float32_is_small_for_float16_data() -> None:
    """Numerics 2: (n-1) lambda_q + lambda_p, and lambda_q is float32's 2^-126; no operand is flushed here."""
    n = 1000
    x = np.full(n, -(2.0**-10), np.float16)
    reduction = reduction_of(x, None, "sum")
    with_flush, without = (
        fraction(error_bound(reduction, Tier(FLOAT32, n), arithmetic)) for arithmetic in (FLUSH, IEEE)
    )
    assert with_flush - without <= 2 * FLOAT16.smallest_normal


# --- extreme data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", ["none", "positive"])
@pytest.mark.parametrize("scale", [2.0**996, 2.0**-996, 2.0**-1010, 1e300, 1e-300])
def test_extreme_float64_data(scale: float, weighted: str) -> None:
    """Values around 1e300 and 1e-300: no OverflowError, no false conviction, and faults are still found."""
    rng = np.random.default_rng(17)
    for n in (1, 3, 40, 300):
        x = (-rng.exponential(1, (1, n)) * scale).astype(np.float64)
        w = weight_rows(weighted, 1, n, "float64")
        row = None if w is None else w[0]
        for add, (kind, division) in itertools.product(
            ORDERS.values(), (("sum", ""), ("mean", "true"), ("mean", "reciprocal"))
        ):
            reduction = reduction_of(x[0], row, kind)
            observed = float(compute(x, w, "float64", add, kind, division)[0])
            assert math.isfinite(observed)
            assert not may_overflow(reduction, FLOAT64)
            assert grade(reduction, observed).within_required is True
            assert grade(reduction, observed * 1.001).within_required is False
            assert grade(reduction, -observed).within_required is False


@pytest.mark.parametrize("shift", [-900, -30, 30, 900])
def test_bounds_scale_with_the_data(shift: int) -> None:
    """REL-4's counterpart: multiplying the input by a power of two multiplies every bound by it."""
    rng = np.random.default_rng(19)
    x, w = rng.normal(size=50), rng.uniform(0.5, 2, 50)
    factor = Fraction(2) ** shift
    for kind, weights, tier in itertools.product(("sum", "mean"), (None, w), (Tier(FLOAT64, 50), Tier(FLOAT64, 9))):
        plain = error_bound(reduction_of(x, weights, kind), tier)
        scaled = error_bound(reduction_of(np.ldexp(x, shift), weights, kind), tier)
        was, now = fraction(plain), fraction(scaled)
        assert now == was * factor or abs(now / (was * factor) - 1) < Fraction(1, 2**30)


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_products_that_underflow_stay_within_the_bound(name: str) -> None:
    """Gradual underflow costs mu/2 a product, which a small W amplifies."""
    rng = np.random.default_rng(23)
    fmt = FORMATS[name]
    root = 2.0 ** (fmt.emin // 2)
    tests = 0
    for n in (1, 2, 7, 40):
        for _ in range(5):
            x = cast(rng.uniform(0.5, 2, (1, n)) * root * 2.0**-3, name)
            w = cast(rng.uniform(0.5, 2, (1, n)) * root, name)
            for kind, division in (("sum", ""), ("mean", "true"), ("mean", "reciprocal")):
                reduction = reduction_of(x[0], w[0], kind)
                observed = float(compute(x, w, name, sequential, kind, division)[0])
                assert inside(reduction, observed, Tier(fmt, n))
                tests += not inside(reduction, observed, Tier(WIDE[name], n)) or name == "float64"
    assert tests


def test_a_reciprocal_that_is_subnormal_stays_within_the_bound() -> None:
    """W > 2^126: 1/W is subnormal in float32 and has fewer bits; the quotient itself is ordinary."""
    for weight in np.linspace(2.0**127, 2.0**128 * (1 - 2.0**-20), 200):
        x, w = cast([[1.0]], "float32"), cast([[weight]], "float32")
        observed = float(compute(x, w, "float32", sequential, "mean", "reciprocal")[0])
        assert inside(reduction_of(x[0], w[0], "mean"), observed, Tier(FLOAT32, 1))


def test_absurd_results_for_vanishing_products_are_wrong_not_undecided() -> None:
    """Numerics 6: what lies outside B is X even where B says nothing about what is inside."""
    x, w = np.array([5e-324, 5e-324]), np.array([5e-324, 1e-310])
    for kind in ("sum", "mean"):
        reduction = reduction_of(x, w, kind)
        assert grade(reduction, 0.0).within_required is not False
        assert grade(reduction, 1e100).within_required is False
