"""Each rule against a machine that errs by all it may: never outside, and near enough to the bound to call it sharp.

`reached` below says which share of the bound the machine has to reach; what is smaller is explained where it stands.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from lossparity.specs.call import Array
from lossparity.specs.tracked.evaluation import Evaluation, Tracked
from lossparity.specs.tracked.number import exp, expm1, largest, log, log1p, sqrt, total, where

from . import formulas as f
from .malicious import largest_share

RNG = np.random.default_rng(3)
A = RNG.uniform(0.5, 4, (3, 10)) * RNG.choice([-1, 1], (3, 10))
B = RNG.uniform(0.5, 4, (3, 10))
BITS = (5, 7, 12, 24)
Rule = Callable[[Tracked, Tracked], Tracked]


def once(rule: Rule, a: Array = A, b: Array = B) -> Callable[[Evaluation], Tracked]:
    return lambda evaluation: rule(evaluation.number(a), evaluation.number(b))


# An operation on operands that are off themselves: a + b is, by a rounding.
RULES: dict[str, tuple[Rule, int, float]] = {
    "+": (lambda a, b: (a + b) + b, 2, 0.98),
    "-": (lambda a, b: (a - b) - a, 2, 0.98),
    "*": (lambda a, b: (a + b) * (b + b), 3, 0.98),
    "/": (lambda a, b: (a + b) / (b + b), 3, 0.98),
    "exp": (lambda a, b: exp(a + b), 3, 0.9),
    "log": (lambda a, b: log(b + b), 2, 0.98),
    "log1p": (lambda a, b: log1p(b + b), 2, 0.75),  # the rule takes 2 b's whole error at 1 + 2 b
    "expm1": (lambda a, b: expm1(a + b), 2, 0.9),
    "sqrt": (lambda a, b: sqrt(b + b), 2, 0.65),  # e/sqrt(x) where e/(2 sqrt(x)) would do: the rule must hold at 0
    "total": (lambda a, b: total(a + b, -1), 2, 0.98),
    "largest": (lambda a, b: largest(a + b, -1), 1, 0.98),
    "where": (lambda a, b: where(a + b > b, a + a, b * b), 4, 0.98),
}


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", RULES)
def test_an_operation_reaches_its_bound(name: str, bits: int) -> None:
    rule, operations, reached = RULES[name]
    assert reached * (0.8 if bits < 7 else 1) <= largest_share(once(rule), bits, operations, 600) <= 1


@pytest.mark.parametrize("name", [name for name, (_, _, reached) in RULES.items() if reached > 0.85])
def test_a_machine_that_errs_more_than_it_may_is_seen(name: str) -> None:
    rule, operations, _ = RULES[name]
    assert largest_share(once(rule), 12, operations, 600, excess=1.25) > 1


@pytest.mark.parametrize("bits", [7, 12, 24])
def test_a_comparison_that_may_come_out_otherwise(bits: int) -> None:
    close = np.array([[1.0, 1.0, 1.0]]) + np.array([[0.0, 1.0, -1.0]]) * 2.0**-bits
    rule: Rule = lambda a, b: where(a * b < 1, b * 3, b - 5)  # noqa: E731 -- one of many rules
    assert 0.9 <= largest_share(once(rule, close, np.ones((1, 3))), bits, 4) <= 1


@pytest.mark.parametrize("bits", [7, 12, 24])
@pytest.mark.parametrize("terms", [2, 10, 100, 1000])
def test_rescaled_sums_of_exps_reach_their_bound(terms: int, bits: int) -> None:
    x = np.concatenate([np.zeros((1, 1)), RNG.uniform(-0.5, -0.2, (1, terms - 1))], 1)
    rule: Rule = lambda a, b: total(exp(a), -1)  # noqa: E731 -- as above
    share = largest_share(once(rule, x, x), bits, 4)
    assert share <= 1
    assert share >= 0.9 or bits * terms <= 7000  # where the error is of the size of the sum, up and down differ


def logits(classes: int) -> Array:
    spread, offset = np.array([[1.0], [20.0], [100.0], [0.01]]), np.array([[0.0], [1e3], [-5.0], [1.0]])
    return RNG.standard_normal((4, classes)) * spread + offset


def reached(formula: Callable[[Evaluation], Tracked], operations: int) -> float:
    return max(largest_share(formula, bits, operations) for bits in (7, 24))


@pytest.mark.parametrize("classes", [1, 2, 3, 10])
def test_losses_stay_inside(classes: int) -> None:
    x, w, t = logits(classes), RNG.uniform(0.1, 3, (1, classes)), RNG.integers(0, classes, 4)
    p, q = RNG.dirichlet(np.ones(classes), 4), RNG.dirichlet(np.ones(classes), 4)
    q[0] = p[0]
    p[1, 0] = 0
    shares = {
        "log_softmax": reached(lambda ev: f.log_softmax(ev.number(x)), 6),
        "softmax": reached(lambda ev: f.softmax(ev.number(x)), 11),
        "lse last": reached(lambda ev: f.unshifted_last(ev.number(x)), 7),
        "focal": reached(lambda ev: f.focal(ev.number(x), t), 12),
        "kl": reached(lambda ev: f.kl_div(ev.number(np.log(q)), ev.number(p)), 9),
        "js": reached(lambda ev: f.js_divergence(ev.number(p), ev.number(q)), 20),
        "distance": reached(lambda ev: f.distance(ev.number(p), ev.number(q)), 24),
    }
    for reduction in ("none", "sum", "mean"):
        shares[reduction] = reached(
            lambda ev, how=reduction: f.cross_entropy(ev.number(x), t, ev.number(w), reduction=how), 20
        )
    assert max(shares.values()) <= 1, shares
    assert shares["log_softmax"] > 0.8 or classes == 1
    assert classes > 1 or shares["log_softmax"] == 0


@pytest.mark.parametrize("classes", [2, 10])
def test_gradients_stay_inside(classes: int) -> None:
    x, w, t = logits(classes), RNG.uniform(0.1, 3, (1, classes)), RNG.integers(0, classes, 4)
    p, q = RNG.dirichlet(np.ones(classes), 4), RNG.dirichlet(np.ones(classes), 4)

    def by(loss: Callable[[Tracked], Tracked], array: Array) -> Callable[[Evaluation], Tracked]:
        def formula(evaluation: Evaluation) -> Tracked:
            number = evaluation.number(array)
            return f.slope(loss(number), number)

        return formula

    shares = {
        "cross entropy": reached(by(lambda n: f.cross_entropy(n, t, n.evaluation.number(w)), x), 40),
        "focal": reached(by(lambda n: f.focal(n, t), x), 40),
        "kl": reached(by(lambda n: f.kl_div(n.evaluation.number(np.log(q)), n), p), 20),
        "js": reached(by(lambda n: f.js_divergence(n, n.evaluation.number(q)), p), 50),
    }
    assert max(shares.values()) <= 1, shares
