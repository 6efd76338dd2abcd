"""Tracked numbers beyond single rules: overflow, flushing, poles, doubt, derivatives of derivatives, sharing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lossparity.specs.call import Array
from lossparity.specs.case import Within
from lossparity.specs.exact import FORMATS
from lossparity.specs.tracked.answers import Evaluations, within, within_shared
from lossparity.specs.tracked.ball import Ball
from lossparity.specs.tracked.evaluation import ANYTHING, NEGATIVE, POSITIVE, Evaluation, Tracked
from lossparity.specs.tracked.gradient import gradient
from lossparity.specs.tracked.machines import machines_for
from lossparity.specs.tracked.number import either, exp, largest, log, masked, sqrt, stored, total, where
from lossparity.specs.tracked.plain import Plain
from lossparity.specs.tracked.premises import Premises
from lossparity.specs.tracked.twofold import Twofold

from . import formulas as f

RNG = np.random.default_rng(21)
CARRIERS: tuple[Any, ...] = (Plain, Twofold, Ball)


def evaluation(dtype: str = "float32", carrier: Any = Plain) -> Evaluation:
    return Evaluation(carrier, FORMATS[dtype], machines_for(dtype).distinct)


def of(formula: Callable[[Tracked], Tracked], x: Array, shape: tuple[int, ...] | None = None) -> Within:
    return within(lambda ev: formula(ev.number(x)), x.dtype.name, x.shape if shape is None else shape)


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with np.errstate(all="ignore"):
        yield


def test_positive_and_negative_terms_overflow_by_themselves() -> None:
    x = np.array([[3e38, 3e38, -3e38, -3e38]], np.float32)
    assert total(evaluation().number(x), -1).specials[1:].max() == ANYTHING  # pyright: ignore[reportOptionalSubscript]
    one = total(evaluation().number(x[:, :3]), -1).specials
    assert one is not None
    assert (one[1:] == POSITIVE).all()
    assert total(evaluation().number(x[:, ::2]), -1).specials is None


def test_what_overflowed_may_become_anything() -> None:
    x = evaluation().number(np.array([[3e38, 1.0]], np.float32))
    double = x + x
    for made in (double * x, double / x, double - double, double * 0.0):
        assert made.specials is not None
        assert (made.specials[1:, 0, 0] == ANYTHING).all()
        assert (made.specials[:, 0, 1] == 0).all()
    assert ((-double).specials[1:, 0, 0] == NEGATIVE).all()  # pyright: ignore[reportOptionalSubscript]
    vanished = exp(-double)
    assert (vanished.specials[1:, 0, 0] & NEGATIVE == 0).all()  # pyright: ignore[reportOptionalSubscript]
    assert (largest(-double, -1).specials[1:] == ANYTHING).all()  # pyright: ignore[reportOptionalSubscript]


@pytest.mark.parametrize("carrier", CARRIERS)
def test_poles(carrier: Any) -> None:
    ev = evaluation("float64", carrier)
    zero, one = ev.number(np.zeros((1, 1))), ev.number(np.ones((1, 1)))
    for made, due in ((log(zero), -np.inf), (one / zero, np.inf), (-one / zero, -np.inf), (log(-one), np.nan)):
        assert np.array_equal(made.value.real(), [[due]], equal_nan=True)
        assert made.specials is None or not made.specials.any()
    assert not ev.lost


def test_beside_a_pole_anything_may_come() -> None:
    x = np.array([[0.1, 0.3]], np.float32)
    answer = of(lambda n: log(n * 0.0 + (n * 3.0 - n - n - n)), x)
    assert answer.required.free.all()


def test_square_roots_of_what_is_a_little_negative() -> None:
    p = RNG.dirichlet(np.ones(5), 4).astype(np.float32)
    answer = within(lambda ev: f.distance(ev.number(p), ev.number(p)), "float32", (4,))
    assert (answer.rounded == 0).all()
    assert not answer.required.free.any()
    assert not answer.required.holds(np.full(4, np.nan, np.float32)).any()
    assert of(sqrt, np.array([[-1.0]], np.float32)).required.holds(np.zeros((1, 1), np.float32)).sum() == 0


def test_a_flushing_machine_stays_inside() -> None:
    """Reads and writes of subnormal numbers as 0, in a product, a sum and a quotient, one at a time and all at once."""
    x = (RNG.uniform(0.5, 4, (50, 3)) * 2.0 ** RNG.integers(-130, -60, (50, 3))).astype(np.float32)
    answer = within(lambda ev: total(ev.number(x) * ev.number(x), -1) / 3.0, "float32", (50,))

    def flushed(a: Array) -> Array:
        return np.where(np.abs(a) < np.finfo(np.float32).tiny, np.float32(0), a)

    for read in (flushed, np.asarray):
        for write in (flushed, np.asarray):
            products = write(read(x) * read(x))
            made = write(write(products.sum(-1)) / np.float32(3))
            assert answer.flushing.holds(made).all()
            if read is write is not flushed:
                assert answer.required.holds(made).all()
    assert not answer.required.holds(np.zeros(50, np.float32)).all()


def test_forms_that_break_down_excuse_nothing() -> None:
    p, q = np.array([[1e-30, 1e30]], np.float32), np.array([[1e30, 1e-30]], np.float32)
    careful = within(lambda ev: log(ev.number(p)) - log(ev.number(q)), "float32", (1, 2))
    both = within(
        lambda ev: either(log(ev.number(p)) - log(ev.number(q)), log(ev.number(p) / ev.number(q))), "float32", (1, 2)
    )
    assert not both.required.free.any()
    assert (both.required.low <= careful.required.low).all()
    assert not both.required.holds(np.full((1, 2), np.inf, np.float32)).any()


def test_zero_times_the_logarithm_of_zero_is_left_out() -> None:
    t, y = np.array([[0.0, 0.0, 1.0]], np.float32), np.array([[-np.inf, np.nan, -np.inf]], np.float32)

    def formula(ev: Evaluation) -> Tracked:
        a, b = ev.number(t), ev.number(y)
        return where(masked(a, b), 0, -(a * b))

    answer = within(formula, "float32", (1, 3))
    assert answer.rounded[0, 0] == 0
    assert np.isnan(answer.rounded[0, 1])
    assert answer.rounded[0, 2] == np.inf


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_derivatives_of_derivatives(dtype: str) -> None:
    """Of log_softmax, along v: d/dx <g - P sum g, v> = -sum g (P v - P (P . v))."""
    x, g, v = (RNG.standard_normal((3, 4)).astype(dtype) for _ in range(3))

    def formula(ev: Evaluation) -> Tracked:
        number = ev.number(x)
        first = gradient(f.log_softmax(number), number, ev.number(g))
        return gradient(first, number, ev.number(v))

    answer = within(formula, dtype, x.shape)
    e = np.exp(x.astype(np.float64))
    p = e / e.sum(-1, keepdims=True)
    due = -g.sum(-1, keepdims=True) * (p * v - p * (p * v).sum(-1, keepdims=True))
    assert np.allclose(answer.rounded, due, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-7)
    assert answer.required.holds(answer.rounded).all()
    assert answer.informative.all()


def test_a_derivative_by_what_is_not_in_the_formula_is_refused() -> None:
    ev = evaluation()
    a, b = ev.number(np.ones((1, 2))), ev.number(np.ones((1, 2)))
    with pytest.raises(ValueError, match="of which it is not made"):
        gradient(a * a, b, ev.constant(1.0))


def test_a_branch_that_was_not_taken_has_no_derivative() -> None:
    x = np.array([[0.0, 2.0]], np.float32)
    answer = of(lambda n: f.slope(where(n > 1, log(n), n), n), x)
    assert answer.rounded.tolist() == [[1.0, 0.5]]
    assert not answer.required.holds(np.full_like(x, np.nan)).any()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_answers_that_share_are_the_same(dtype: str) -> None:
    x, calls = RNG.standard_normal((4, 5)).astype(dtype), []
    evaluations = Evaluations(dtype)

    def base(ev: Evaluation) -> Tracked:
        calls.append(ev)
        return f.log_softmax(ev.number(x))

    for _ in range(3):
        shared = within_shared(lambda ev: total(ev.once("y", lambda: base(ev)), -1), evaluations, (4,))
        alone = of(lambda n: total(f.log_softmax(n), -1), x, (4,))
        assert (shared.rounded == alone.rounded).all()
        assert (shared.required.low == alone.required.low).all()
    assert len(calls) == len(set(map(id, calls)))


def test_rescalings_are_as_many_as_lanes_and_blocks_make() -> None:
    assert [Premises().rescalings(n) for n in (1, 2, 3, 32, 33, 1000)] == [0, 1, 2, 5, 6, 36]
    assert Premises(lanes=1).rescalings(10) == 9
    assert Premises(lanes=0).rescalings(10) == 0


def test_sums_that_nothing_rounds_have_no_bound() -> None:
    halves = RNG.integers(1, 100, (3, 20)).astype(np.float32) / 4
    answer = of(lambda n: total(n, -1), halves, (3,))
    assert (answer.required.low == answer.required.high).all()
    assert (answer.rounded == halves.sum(-1)).all()
    rough = of(lambda n: total(n, -1), halves + np.float32(2.0**-20), (3,))
    assert (rough.required.low < rough.required.high).all()


def test_storing_widens_half_formats_alone() -> None:
    x = RNG.standard_normal((4, 5))
    for dtype in ("float16", "float32"):
        loose, sharp = (of(form, x.astype(dtype)) for form in (lambda n: stored(exp(n)) * 3.0, lambda n: exp(n) * 3.0))
        wider = loose.required.high > sharp.required.high
        assert wider.any() == (dtype == "float16")


def test_ranks_and_axes() -> None:
    x = RNG.standard_normal((2, 3, 4)).astype(np.float64)
    for axis in (0, 1, 2, -1, (0, 2), None):
        answer = of(lambda n, axis=axis: total(n, axis), x, np.sum(x, axis, keepdims=True).shape)
        assert np.allclose(answer.rounded, x.sum(axis, keepdims=True))
        most = of(lambda n, axis=axis: largest(n, axis), x, np.sum(x, axis, keepdims=True).shape)
        assert (most.rounded == x.max(axis, keepdims=True)).all()
    flat = of(lambda n: f.log_softmax(n, 0), x[0, 0])
    assert np.allclose(np.exp(flat.rounded).sum(), 1)
    assert of(lambda n: n * 2.0, np.array(3.0)).rounded == 6
