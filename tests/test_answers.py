"""From a formula to what is due: rounded correctly, in bands that hold what is right and nothing that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from lossparity.specs.call import Array, dtype_of
from lossparity.specs.case import Within
from lossparity.specs.exact import FORMATS, round_to
from lossparity.specs.tracked.answers import within
from lossparity.specs.tracked.evaluation import Evaluation
from lossparity.specs.tracked.machines import machines_for
from lossparity.specs.tracked.number import exp, total
from lossparity.specs.tracked.plain import Plain
from lossparity.specs.tracked.premises import Premises

from . import formulas as f
from .hard_logits import hard_logits

DTYPES = ("float16", "bfloat16", "float32", "float64")


def due(x: Array, formula: Callable[..., object] = f.log_softmax) -> Within:
    return within(lambda ev: formula(ev.number(x)), x.dtype.name, x.shape)


def fraction(number: Any) -> Fraction:
    sign, mantissa, exponent, _ = number._mpf_
    size = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -size if sign else size


def rounded_by_mpmath(x: Array) -> Array:
    """log_softmax, row by row, in 3,000 bits and another order of operations."""
    rows = []
    with mpmath.workprec(3000):
        for row in x.astype(np.float64).tolist():
            norm = mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(one)) for one in row))
            exact = [mpmath.mpf(one) - norm for one in row]
            rows.append(
                [-np.inf if mpmath.isinf(one) else round_to(fraction(one), FORMATS[x.dtype.name]) for one in exact]
            )
    return np.array(rows).astype(x.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(3))
def test_log_softmax_is_rounded_correctly(dtype: str, seed: int) -> None:
    kinds = [
        pair
        for pair in hard_logits(dtype, np.random.default_rng(seed))
        if pair[0] not in ("offset 1e+10", "offset 1e+30")
    ]
    for name, x in kinds:
        assert (due(x).rounded == rounded_by_mpmath(x)).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_ordinary_numbers_are_rounded_correctly(dtype: str) -> None:
    x = (np.random.default_rng(5).standard_normal((60, 10)) * 4).astype(dtype_of(dtype))
    assert (due(x).rounded == rounded_by_mpmath(x)).all()


def test_what_no_precision_decides_is_one_of_two() -> None:
    wide = np.array([[2.0, -1000.5, -8001.0]], np.float16)  # -8003 lies between two numbers, e^-1002 above it
    answer = due(wide)
    assert answer.rounded[0, 2] in (np.float16(-8000), np.float16(-8004))
    assert answer.required.holds(np.array([-8004.0], np.float16))[0, 2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_bands_hold_what_is_rounded_correctly(dtype: str) -> None:
    for name, x in hard_logits(dtype, np.random.default_rng(1)):
        for formula in (f.log_softmax, f.softmax):
            answer = due(x, formula)
            for band in (answer.required, answer.own, answer.flushing):
                assert band.holds(answer.rounded).all(), name
                assert (band.low.dtype, band.high.dtype) == (x.dtype, x.dtype)
            assert (answer.own.free | (answer.own.low <= answer.required.low)).all()
            assert (answer.flushing.low <= answer.required.low).all()
            assert (answer.flushing.high >= answer.required.high).all()


def test_nan_is_due_alone_where_it_is_due() -> None:
    x = np.array([[np.nan, 1, 2], [-np.inf, -np.inf, -np.inf], [np.inf, 1, 2], [-np.inf, 1, 2]], np.float32)
    answer = due(x)
    assert np.isnan(answer.rounded[:3]).all()
    assert not answer.required.holds(np.zeros_like(x))[:3].any()
    assert not answer.required.free.any()
    assert answer.informative.all()
    assert answer.rounded[3, 0] == -np.inf
    assert answer.required.holds(np.full_like(x, -np.inf))[3].tolist() == [True, False, False]


@pytest.mark.parametrize(("dtype", "low"), [("float16", -6e4), ("bfloat16", -3e38), ("float32", -3e38)])
def test_infinity_is_due_alone_where_rounding_overflows(dtype: str, low: float) -> None:
    x = np.array([[-low, low, 0.0]], dtype_of(dtype))
    answer = due(x)
    assert answer.rounded[0, 1] == -np.inf
    for wrong in (low, np.nan, np.inf, -np.finfo(np.float32).max):
        assert not answer.required.holds(np.array([[0, wrong, 0]]).astype(x.dtype))[0, 1] or np.isinf(
            x.dtype.type(wrong)
        )
    assert answer.required.holds(answer.rounded).all()
    assert not answer.required.holds(np.full_like(x, np.inf))[0, 1]


def test_numbers_at_the_threshold_of_overflow_may_be_either() -> None:
    x = np.array([[65504.0, 16.0]], np.float16)
    answer = within(lambda ev: ev.number(x) + ev.constant(15.9), "float16", x.shape)
    assert answer.rounded[0, 0] == 65504
    assert answer.required.holds(np.full_like(x, 65504))[0, 0]
    assert not answer.required.holds(np.full_like(x, np.inf))[0, 0]
    over = within(lambda ev: ev.number(x) + ev.constant(16.0), "float16", x.shape)
    assert np.isinf(over.rounded[0, 0])


def test_nothing_is_said_where_a_machine_may_overflow() -> None:
    x = np.array([[60_000.0, 8.0]], np.float16)
    answer = within(lambda ev: ev.number(x) * ev.constant(1.0) + 5600.0 - 5600.0, "float16", x.shape)
    assert answer.required.free.tolist() == [[False, False]]
    assert answer.own.free.tolist() == [[True, False]]
    assert answer.informative.all()


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e10, 1e30])
def test_one_class_is_exactly_0(offset: float) -> None:
    answer = due(np.array([[offset], [-offset]], np.float32))
    for band in (answer.required, answer.own):
        assert (band.low == 0).all()
        assert (band.high == 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lead", [100.0, 800.0, 1e5])
def test_what_underflows_here_leaves_a_bound(dtype: str, lead: float) -> None:
    """exp(-800) is 0 in float64 too: a machine that drops it, or does not, is right."""
    x = np.array([[0.0, -lead]], dtype)
    chance = due(x, f.softmax)
    smallest = np.nextafter(np.zeros(1, dtype), np.ones(1, dtype))
    may_vanish = lead > 740 or dtype == "float32"
    assert chance.required.holds(np.array([[1.0, 0.0]], dtype)).tolist() == [[True, may_vanish]]
    assert chance.required.holds(np.full((1, 2), smallest))[0, 1] == may_vanish
    assert chance.rounded[0, 1] == (np.exp(np.array(-lead, dtype)) if lead < 740 else 0)
    value = due(x)
    assert value.required.holds(np.array([[0.0, -lead]], dtype)).all()
    assert value.required.low[0, 0] < 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_what_underflows_leave_a_bound(dtype: str) -> None:
    x = np.array([[0.0, -800.0, -1e5]], dtype)

    def slope(ev: Evaluation) -> object:
        number = ev.number(x)
        return f.gradient(f.log_softmax(number), number, ev.number(np.array([[1.0, 0.5, -2.0]], dtype)))

    answer = within(slope, dtype, x.shape)
    assert answer.required.holds(np.array([[1.5, 0.5, -2.0]], dtype)).all()
    assert not answer.required.holds(np.array([[1.5, 0.5, -1.99]], dtype)).all()


def test_flushing_machines_may_take_subnormal_numbers_for_0() -> None:
    x = np.array([[1e-40, 2e-40]], np.float32)
    double = within(lambda ev: ev.number(x) * 2.0, "float32", x.shape)
    assert not double.required.holds(np.zeros_like(x)).any()
    assert double.flushing.holds(np.zeros_like(x)).all()


def test_a_bound_as_wide_as_the_value_says_nothing() -> None:
    x = np.array([[1e7, 1.0, -1e7]], np.float32)
    answer = within(lambda ev: total(ev.number(x) * 1.000001, -1), "float32", (1,))
    assert not answer.informative.any()
    assert due(x).informative[0, 1:].all()


def test_premises_widen_bands() -> None:
    x = np.array([[0.0, -1.0, -2.0]], np.float32)
    sharp, usual = (
        within(lambda ev: exp(ev.number(x)), "float32", x.shape, one) for one in (Premises(1.0), Premises())
    )
    assert (usual.required.high > sharp.required.high)[0, 1:].all()
    assert usual.required.high[0, 0] == 1


def test_an_evaluation_has_one_rank() -> None:
    evaluation = Evaluation(Plain, FORMATS["float32"], machines_for("float32").distinct)
    with pytest.raises(ValueError, match="begins with a number"):
        _ = evaluation.constants
    evaluation.number(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="have one rank: 2, not 1"):
        evaluation.number(np.zeros(3))
    with pytest.raises(KeyError):
        within(lambda ev: ev.number(np.zeros(3)), "float8", (3,))
