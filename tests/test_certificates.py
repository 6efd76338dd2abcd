"""Certificates: data on which every order of summation is exact."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from lossparity.specs.accuracy import is_certified
from lossparity.specs.call import FLOAT_DTYPES, Array
from lossparity.specs.exact import FLOAT32, FORMATS, neighbour, round_to, ulp
from lossparity.specs.grades import Level, grade
from lossparity.specs.reductions import REQUIRED, Arithmetic

from .in_formats import cast
from .simulated_sums import HALVES, ORDERS, compute, reduction_of


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_certified_data_is_exact_in_every_order(name: str) -> None:
    """Numerics 3: eighths and quarter weights; the sum bit for bit, the mean a neighbour at most."""
    rng = np.random.default_rng(8)
    accumulator = REQUIRED[name].name
    for n in (1, 2, 7, 64, 500):
        x, w = cast(-rng.integers(0, 64, (1, n)) / 8, name), cast(rng.integers(1, 9, (1, n)) / 4, name)
        for weights, add in itertools.product((None, w), ORDERS.values()):
            row = None if weights is None else weights[0]
            total, mean = reduction_of(x[0], row, "sum"), reduction_of(x[0], row, "mean")
            assert is_certified(total, REQUIRED[name])
            assert is_certified(mean, REQUIRED[name])
            got = grade(total, float(compute(x, weights, accumulator, add, "sum", "")[0]))
            assert got.level <= (Level.CORRECTLY_ROUNDED if name in HALVES else Level.EXACT)
            assert (got.certified, got.within_required) == (True, True)
            for division in ("true", "reciprocal"):
                got = grade(mean, float(compute(x, weights, accumulator, add, "mean", division)[0]))
                assert got.level <= Level.NEIGHBOUR
                assert got.within_required is True
                if division == "true" and name not in HALVES:
                    assert got.level <= Level.CORRECTLY_ROUNDED


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_certified_data_has_no_tolerance(name: str) -> None:
    """One representable number beside a certified sum is wrong, two beside a certified mean.

    One beside a mean is right where a reciprocal in the same precision can make it; a wider accumulator leaves
    only its own two roundings and the final one.
    """
    x, w = cast(-np.arange(1, 41) / 8, name), cast(np.resize([1, 2, 0.25], 40), name)
    total, mean = reduction_of(x, w, "sum"), reduction_of(x, w, "mean")
    for reduction, allowed in ((total, 0), (mean, 1)):
        right = cast([round_to(reduction.exact, reduction.fmt)], name)
        for steps in range(4):
            observed = float(neighbour(right, steps)[0])
            fits = steps <= allowed
            if steps == 1 and fits and name in HALVES:
                half_an_ulp = ulp(reduction.exact, reduction.fmt) / 2
                fits = abs(Fraction(observed) - reduction.exact) <= half_an_ulp * (1 + Fraction(1, 2**10))
            assert grade(reduction, observed).within_required is fits


def test_a_certificate_has_conditions() -> None:
    """M <= 2^t quanta, quantum >= mu (lambda when flushing), M <= Omega, and n <= 2^t for a count."""

    def certified(x: Array, accumulator: str, w: Array | None = None, kind: str = "sum", flush: bool = False) -> bool:
        return is_certified(reduction_of(x, w, kind), FORMATS[accumulator], Arithmetic(flush=flush))

    assert certified(cast([2.0**24 - 1, 1.0], "float32"), "float32")
    assert not certified(cast([2.0**24, 1.0], "float32"), "float32")  # a near miss: M = 2^24 + 1
    assert certified(cast([2.0**24, 1.0], "float32"), "float64")
    assert not certified(cast([2.0**23, -(2.0**23), 1.0], "float32"), "float32")  # S is small, M is not
    assert certified(cast([1e300, 1e300], "float64"), "float64")
    assert not certified(cast([1.7e308, 1.7e308], "float64"), "float64")
    tiny = cast([2.0**-140], "float32")
    assert certified(tiny, "float32")
    assert not certified(tiny, "float32", flush=True)
    assert not certified(tiny, "float32", cast([2.0**-20], "float32"))  # quantum 2^-160 < mu = 2^-149
    assert certified(tiny, "float64", cast([2.0**-20], "float32"))
    many = np.full(2049, -1, np.float16)
    assert certified(many[:2048], "float16", kind="mean")
    assert not certified(many, "float16", kind="mean")
    assert certified(many, "float32", kind="mean")
    assert certified(np.zeros(3, np.float32), "float32")
    third = cast([1 / 3, 1, 1, 1], "float32")
    assert not certified(cast([1, 1, 1, 1], "float32"), "float32", third, "mean")  # W is what is not certified
    assert certified(cast([1, 1, 1, 1], "float32"), "float32", cast([0.5, 1, 1, 1], "float32"), "mean")


def test_data_that_just_misses_the_certificate_does_round_somewhere() -> None:
    """The near miss is not pessimism: 2^24 + 1 + 1 depends on the order."""
    x = cast([2.0**24, 1.0, 1.0], "float32")[None, :]
    results = {float(compute(x, None, "float32", add, "sum", "")[0]) for add in ORDERS.values()}
    assert results == {-(2.0**24), -(2.0**24 + 2)}
    assert not is_certified(reduction_of(x[0], None, "sum"), FLOAT32)
