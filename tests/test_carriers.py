"""What holds exact values, against arb in 400 bits: every operation keeps what its carrier claims."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
import pytest
from lossparity.specs.call import Array
from lossparity.specs.tracked.ball import Ball
from lossparity.specs.tracked.plain import Plain
from lossparity.specs.tracked.twofold import Twofold

RNG = np.random.default_rng(13)
COUNT = 400
arb = flint.arb


@pytest.fixture(autouse=True)
def _enough_bits() -> Any:
    with flint.ctx.workprec(400), np.errstate(all="ignore"):
        yield


def with_tails(high: Array) -> Twofold:
    return Twofold(high, high * RNG.uniform(-1, 1, high.shape) * 2.0**-54)


def balls(x: Any) -> list[Any]:
    """The numbers of a carrier, exactly."""
    high, low, _ = x.parts()
    return [arb(float(a)) + arb(float(b)) for a, b in zip(high.ravel(), low.ravel(), strict=True)]


def worst(got: Any, due: list[Any], relative: float, absolute: float = 0.0) -> float:
    """The largest error, as a share of what is claimed."""
    shares = [0.0]
    for one, exact in zip(balls(got), due, strict=True):
        error, claim = abs(one - exact), abs(exact) * relative + absolute
        shares.append(float((error / claim).abs_upper()) if claim > 0 else 0.0 if error == 0 else np.inf)
    return max(shares)


def spread_widely(scale: float) -> Array:
    return RNG.standard_normal(COUNT) * scale


def close_to(high: Array) -> Array:
    """Numbers that nearly cancel with these."""
    return -high * (1 + RNG.uniform(-1, 1, high.shape) * 2.0 ** -RNG.integers(1, 53, high.shape))


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e10, 1e120, 1e-120])
def test_twofold_adds_multiplies_and_divides(scale: float) -> None:
    a, b = with_tails(spread_widely(scale)), with_tails(spread_widely(scale))
    c = with_tails(np.where(RNG.random(COUNT) < 0.5, close_to(a.high), b.high))
    exact = list(zip(balls(a), balls(b), balls(c), strict=True))
    loss = Twofold.product_loss
    assert worst(a + c, [x + y for x, _, y in exact], Twofold.roundoff) <= 1
    assert worst(a - c, [x - y for x, _, y in exact], Twofold.roundoff) <= 1
    assert worst(a * b, [x * y for x, y, _ in exact], Twofold.roundoff, loss) <= 1
    assert worst(a / b, [x / y for x, y, _ in exact], Twofold.roundoff, loss) <= 1
    root = Twofold(np.abs(a.high), np.sign(a.high) * a.low)
    assert worst(root.sqrt(), [x.sqrt() for x in balls(root)], Twofold.roundoff) <= 1


@pytest.mark.parametrize(("a", "b"), [(1e-300, 1e-300), (1e298, 1e-8), (1e-300, 1e5), (3.0, 1e-305), (1e-310, 3.0)])
def test_twofold_divides_at_the_ends_of_the_range(a: float, b: float) -> None:
    x, y = Twofold.load(spread_widely(a)), Twofold.load(np.abs(spread_widely(b)) + b)
    due = [p / q for p, q in zip(balls(x), balls(y), strict=True)]
    assert worst(x / y, due, Twofold.roundoff, Twofold.product_loss) <= 1


@pytest.mark.parametrize(
    "ends", [(-708, 708), (-1, 1), (-1e-3, 1e-3), (-40, 0), (-1e-300, 1e-300), (-745, -690), (-1e-5, 1e-5)]
)
def test_twofold_knows_exp(ends: tuple[float, float]) -> None:
    for x in (with_tails(RNG.uniform(*ends, COUNT)), Twofold.load(RNG.uniform(*ends, COUNT))):
        due = [one.exp() for one in balls(x)]
        assert worst(x.exp(), due, Twofold.exp_error, Twofold.vanishing) <= 1
        less = [one.expm1() for one in balls(x)]
        assert worst(x.expm1(), less, Twofold.expm1_error, Twofold.vanishing) <= 1


def test_twofold_knows_exp_at_the_ends_of_its_steps() -> None:
    steps = np.arange(-1000, 1000)
    middle = (steps + 0.5) * np.log(2) / 4096
    for high in (middle, np.nextafter(middle, 9), np.nextafter(middle, -9), steps * np.log(2) / 4096):
        x = Twofold.load(high)
        assert worst(x.exp(), [one.exp() for one in balls(x)], Twofold.exp_error) <= 1


@pytest.mark.parametrize(
    "ends",
    [
        (1, 2),
        (0.99, 1.01),
        (0.999999, 1.000001),
        (0.9997, 1.0003),
        (1e-3, 1e3),
        (1e-308, 1e-300),
        (1e299, 1e300),
        (2.0**-12, 1),
    ],
)
def test_twofold_knows_log(ends: tuple[float, float]) -> None:
    x = with_tails(RNG.uniform(*ends, COUNT))
    due = [one.log() for one in balls(x)]
    assert worst(x.log(), due, Twofold.log_error) <= 1
    assert worst(x.log(), due, 0.0, Twofold.log_at_most) <= 1


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e-10, 1e-5, 1e-4, 2.0**-12, 1e-3, 0.3, 5.0])
def test_twofold_knows_log1p(size: float) -> None:
    x = with_tails(RNG.uniform(-min(size, 0.9), size, COUNT))
    due = [one.log1p() for one in balls(x)]
    assert worst(x.log1p(), due, Twofold.log_error, 2.0**-1060) <= 1


@pytest.mark.parametrize("terms", [1, 2, 3, 10, 1000, 32_000])
@pytest.mark.parametrize("kind", ["normal", "wide", "exps", "huge", "cancelling"])
def test_twofold_sums(terms: int, kind: str) -> None:
    high = {
        "normal": lambda: RNG.standard_normal((2, terms)),
        "wide": lambda: 10.0 ** RNG.uniform(-20, 20, (2, terms)) * RNG.choice([-1.0, 1.0], (2, terms)),
        "exps": lambda: np.exp(RNG.uniform(-50, 0, (2, terms))),
        "huge": lambda: RNG.standard_normal((2, terms)) * 10.0 ** RNG.choice([-8, 0], (2, terms)) * 1e303,
        "cancelling": lambda: np.cumsum(RNG.standard_normal((2, terms)), 1) * RNG.choice([-1.0, 1.0], (2, terms)),
    }[kind]()
    x = with_tails(high)
    rows = np.array(balls(x), object).reshape(high.shape)
    exact = [sum(row[1:], row[0]) for row in rows]
    sizes = [float(np.abs(row).sum()) for row in high]
    shares = [
        worst(Twofold(x.sum((1,)).high[i], x.sum((1,)).low[i]), [exact[i]], 0.0, sizes[i] * Twofold.sum_factor(terms))
        for i in (0, 1)
    ]
    assert max(shares) <= 1
    assert Twofold.sum_factor(terms) < 2.0**-85


SPECIAL = np.array(
    [[np.nan, 1, 2], [np.inf, 1, 2], [-np.inf, 1, 2], [np.inf, -np.inf, 0], [0, 0, 0], [5e-324, 0, 1e-310]]
)


@pytest.mark.parametrize("carrier", [Plain, Twofold, Ball])
def test_specials_are_those_of_ieee(carrier: Any) -> None:
    x, turned = carrier.load(SPECIAL), carrier.load(SPECIAL[::-1].copy())
    one = SPECIAL[::-1]
    for made, due in (
        (x + turned, SPECIAL + one), (x - turned, SPECIAL - one), (x * turned, SPECIAL * one),
        (x / turned, SPECIAL / one),
        (x.exp(), np.exp(SPECIAL)), (x.log(), np.log(SPECIAL)), (x.sum((1,)), SPECIAL.sum(1, keepdims=True)),
        (x.max((1,)), SPECIAL.max(1, keepdims=True)), (x.expm1(), np.expm1(SPECIAL)), (x.log1p(), np.log1p(SPECIAL)),
    ):  # fmt: skip
        real = made.real()
        special = ~np.isfinite(due)
        assert (np.isnan(real) == np.isnan(due)).all()
        assert (real[special & ~np.isnan(due)] == due[special & ~np.isnan(due)]).all()


def plain_share(function: str, x: Array) -> float:
    made = getattr(Plain(x), function)()
    exact = [getattr(arb(float(one)), function)() for one in x]
    return worst(made, exact, Plain.exp_error, Plain.vanishing)


@pytest.mark.parametrize("function", ["exp", "expm1", "log", "log1p"])
def test_plain_trusts_numpy_to_what_it_keeps(function: str) -> None:
    x = np.concatenate([RNG.uniform(-700, 700, 4000), RNG.uniform(-1, 1, 4000), RNG.uniform(-1e-8, 1e-8, 1000)])
    if "log" in function:
        x = np.concatenate([10.0 ** RNG.uniform(-300, 300, 4000), RNG.uniform(0.5, 2, 4000)])
    assert plain_share(function, x) < 0.5  # 4 ulp are claimed; 2 would be remarkable


def test_ball_is_never_said_to_be_nothing() -> None:
    tiny = Ball.load(np.array([-800.0, -1e30, 0.0, -np.inf])).exp()
    assert (tiny.size()[:2] > 0).all()
    assert tiny.size()[2] >= 1
    assert tiny.size()[3] == 0
    assert (tiny.parts().rest[:2] > 0).all()
