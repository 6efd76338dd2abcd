"""A machine that errs by all it may in every operation, in signs chosen to do harm, and computes in float64 otherwise.

Its unit roundoff is large, 2^-24 at most, so that what float64 loses does not count while terms of second order do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import numpy as np
from lossparity.specs.call import Array
from lossparity.specs.exact import Format
from lossparity.specs.tracked.carrier import Axes, Parts
from lossparity.specs.tracked.evaluation import Evaluation, Tracked
from lossparity.specs.tracked.machines import Machine
from lossparity.specs.tracked.premises import PREMISES
from lossparity.specs.tracked.twofold import Twofold

RNG = np.random.default_rng(2)
UP, DOWN, FIRST_UP, FIRST_DOWN, EITHER = range(5)


class Malicious:
    """A carrier; `plan` says for each operation in turn in which direction it errs."""

    roundoff: ClassVar[float] = 0.0
    exp_error: ClassVar[float] = 0.0
    expm1_error: ClassVar[float] = 0.0
    log_error: ClassVar[float] = 0.0
    log_at_most: ClassVar[float] = math.inf
    product_loss: ClassVar[float] = 0.0
    vanishing: ClassVar[float] = 0.0
    holds_radius: ClassVar[bool] = False
    u: ClassVar[float] = 0.0
    plan: ClassVar[tuple[int, ...]] = (UP,)
    operation: ClassVar[int] = 0
    __array_ufunc__ = None

    def __init__(self, value: Any, is_exp: bool = False) -> None:
        self.value, self.is_exp = np.asarray(value), is_exp

    @classmethod
    def load(cls, array: Array) -> Self:
        return cls(array.astype(np.float64))

    @staticmethod
    def sum_factor(terms: int) -> float:
        return 0.0

    @classmethod
    def signs(cls, shape: tuple[int, ...]) -> Array:
        how = cls.plan[cls.operation % len(cls.plan)]
        cls.operation += 1
        first = np.arange(shape[-1]) == 0
        if how == EITHER:
            return RNG.choice([-1.0, 1.0], shape)
        up = {UP: True, DOWN: False, FIRST_UP: first, FIRST_DOWN: ~first}[how]
        return np.where(np.broadcast_to(up, shape), 1.0, -1.0)

    @classmethod
    def spoilt(cls, value: Array, error: Array | float) -> Array:
        return value * (1 + error * cls.signs(value.shape))

    def __neg__(self) -> Malicious:
        return Malicious(-self.value)

    def __add__(self, other: Malicious) -> Malicious:
        return Malicious(self.spoilt(self.value + other.value, self.u))

    def __sub__(self, other: Malicious) -> Malicious:
        return Malicious(self.spoilt(self.value - other.value, self.u))

    def __mul__(self, other: Malicious) -> Malicious:
        return Malicious(self.spoilt(self.value * other.value, self.u))

    def __truediv__(self, other: Malicious) -> Malicious:
        """By way of a reciprocal."""
        return Malicious(self.spoilt(self.value / other.value, self.u * (2 + self.u)))

    def exp(self) -> Malicious:
        """As exp2(x log2 e), both roundings of whose argument go one way."""
        moved = self.spoilt(self.value, self.u * (2 + self.u))
        made = self.spoilt(np.exp(moved), 2 * PREMISES.exp_ulp * self.u)
        return Malicious(np.where(self.value == 0, 1.0, made), is_exp=True)

    def expm1(self) -> Malicious:
        return Malicious(self.spoilt(np.expm1(self.value), 2 * PREMISES.exp_ulp * self.u))

    def log(self) -> Malicious:
        return Malicious(self.spoilt(np.log(self.value), 2 * PREMISES.log_ulp * self.u))

    def log1p(self) -> Malicious:
        return Malicious(self.spoilt(np.log1p(self.value), 2 * PREMISES.log_ulp * self.u))

    def sqrt(self) -> Malicious:
        return Malicious(self.spoilt(np.sqrt(np.maximum(self.value, 0)), self.u))

    def sum(self, axes: Axes) -> Malicious:
        """In the worst order; exps rescaled as often as they may be, though not those that are 1."""
        terms, count = self.value, math.prod(self.value.shape[axis] for axis in axes)
        if self.is_exp:
            each = (1 + 2 * PREMISES.exp_ulp * self.u) * (1 + self.u)
            signs = self.signs(terms.shape)
            terms = np.where(terms == 1, 1.0, terms * each ** (PREMISES.rescalings(count) * signs))
        sizes, made = np.abs(terms).sum(axes, keepdims=True), terms.sum(axes, keepdims=True)
        are_whole = (np.rint(terms) == terms).all(axes, keepdims=True) & (sizes <= 1 / self.u)
        return Malicious(made + np.where(are_whole, 0, (count - 1) * self.u) * sizes * self.signs(made.shape))

    def max(self, axes: Axes) -> Malicious:
        return Malicious(self.value.max(axes, keepdims=True))

    def each(self, select: Callable[..., Array], *others: Malicious) -> Malicious:
        return Malicious(select(self.value, *(other.value for other in others)))

    def size(self) -> Array:
        return np.abs(self.value)

    def real(self) -> Array:
        return self.value

    def parts(self) -> Parts:
        return Parts(self.value, 0 * self.value, 0 * self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape


Formula = Callable[[Evaluation], Tracked]


def plans(operations: int, most: int = 300) -> Iterator[tuple[int, ...]]:
    """Directions for so many operations: all combinations if they are few, else some of them."""
    if 4**operations <= most:
        yield from itertools.product(range(4), repeat=operations)
        return
    yield from ((way,) for way in range(4))
    yield from (tuple(RNG.integers(0, 5, operations).tolist()) for _ in range(most))


def largest_share(formula: Formula, bits: int, operations: int, most: int = 100, excess: float = 1.0) -> float:
    """What share of the bound a malicious machine of so many bits reaches at most, over its plans.

    It errs by `excess` times what it may.
    """
    toy = Format("toy", bits, -1000, 1000)
    with np.errstate(all="ignore"):
        due = formula(Evaluation(Twofold, toy, (Machine(toy),)))
        exact = due.value.real()
        bound = np.broadcast_to(np.zeros(1) if due.errors is None else due.errors[1], exact.shape) * (1 + 2.0**-30)
        share, seen = 0.0, 0
        Malicious.u = toy.u * excess
        for Malicious.plan in plans(operations, most):
            Malicious.operation = 0
            made = formula(Evaluation(Malicious, toy, (Machine(toy),))).value.real()
            off = np.maximum(np.abs(made - exact) - 1e-13 * np.abs(exact), 0.0)
            said = np.isfinite(exact) & np.isfinite(bound)
            assert (np.isfinite(made) | ~said).all()
            share = max(share, float(np.where(off > 0, off / np.where(bound > 0, bound, 1e-300), 0.0)[said].max()))
            seen += int(said.sum())
    assert seen
    return share
