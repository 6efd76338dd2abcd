"""Exact values held in arb's balls: arbitrary precision, exponents without end, slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import flint
import numpy as np

from ..call import Array
from .carrier import Axes, Parts

_SMALLEST = 2.0**-1074
_NO_TIES = 2.0**-960  # below lies no middle of two numbers that a float64 could be beside of
_UPWARDS = 1 + 2.0**-50
_INFINITY = flint.arb("inf")


def _elementwise(function: Callable[..., Any]) -> Callable[..., Array]:
    """A function of balls on arrays of them, which stay arrays where they have no axis."""
    return lambda *arrays: np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays), object)


def _upper(ball: Any) -> float:
    """Not less than |ball|, and not 0 but for 0."""
    size = float(ball.abs_upper())
    return size * _UPWARDS + _SMALLEST if size or not ball.is_zero() else 0.0


def _log(ball: Any) -> Any:
    return -_INFINITY if ball.is_zero() else ball.log()


def _log1p(ball: Any) -> Any:
    return -_INFINITY if ball == -1 else ball.log1p()


def _sqrt(ball: Any) -> Any:
    """Of a ball around 0, that part of it which is not negative; of -0.0 and 0, 0."""
    return ball.sqrt() if not ball.contains(0) else flint.arb(0).union(flint.arb(ball.abs_upper()).sqrt())


def _divide(a: Any, b: Any) -> Any:
    return a * _INFINITY if b.is_zero() else a / b


_EXP, _EXPM1 = _elementwise(lambda ball: ball.exp()), _elementwise(lambda ball: ball.expm1())
_LOG, _LOG1P, _SQRT, _OVER = map(_elementwise, (_log, _log1p, _sqrt, _divide))
_LOAD = _elementwise(lambda number: flint.arb(float(number)))
_LARGER = np.frompyfunc(lambda a, b: a.max(b), 2, 1)
_MIDDLE = _elementwise(lambda ball: float(ball.mid()))
_SIZE = _elementwise(_upper)


def _beside(ball: Any, high: float) -> Any:
    return ball - high if np.isfinite(high) else flint.arb(0)


def _side(ball: Any) -> float:
    """Towards which infinity a ball lies from 0, and 0 where it may hold it."""
    return 0.0 if ball.contains(0) else np.inf if ball > 0 else -np.inf


_BESIDE = _elementwise(_beside)
_SIDE = _elementwise(_side)


class Ball:
    """flint.arb objects in the precision that flint's context has; 250 bits of it at least are relied on."""

    roundoff: ClassVar[float] = 2.0**-250
    exp_error: ClassVar[float] = 2.0**-250
    expm1_error: ClassVar[float] = 2.0**-250
    log_error: ClassVar[float] = 2.0**-250
    log_at_most: ClassVar[float] = np.inf
    product_loss: ClassVar[float] = 0.0
    vanishing: ClassVar[float] = 0.0
    holds_radius: ClassVar[bool] = True
    __slots__ = ("value",)
    __array_ufunc__ = None

    def __init__(self, value: Array) -> None:
        self.value = value

    @classmethod
    def load(cls, array: Array) -> Self:
        return cls(_LOAD(array.astype(np.float64)))

    @staticmethod
    def sum_factor(terms: int) -> float:
        return terms * 2.0**-250

    def __neg__(self) -> Ball:
        return Ball(-self.value)

    def __add__(self, other: Ball) -> Ball:
        return Ball(self.value + other.value)

    def __sub__(self, other: Ball) -> Ball:
        return Ball(self.value - other.value)

    def __mul__(self, other: Ball) -> Ball:
        return Ball(self.value * other.value)

    def __truediv__(self, other: Ball) -> Ball:
        return Ball(_OVER(self.value, other.value))

    def exp(self) -> Ball:
        return Ball(_EXP(self.value))

    def log(self) -> Ball:
        return Ball(_LOG(self.value))

    def expm1(self) -> Ball:
        return Ball(_EXPM1(self.value))

    def log1p(self) -> Ball:
        return Ball(_LOG1P(self.value))

    def sqrt(self) -> Ball:
        return Ball(_SQRT(self.value))

    def sum(self, axes: Axes) -> Ball:
        return Ball(np.asarray(np.add.reduce(self.value, axis=axes, keepdims=True), object))

    def max(self, axes: Axes) -> Ball:
        largest = self.value
        for axis in axes:  # reduce takes several axes only of what it knows to be associative
            largest = np.asarray(_LARGER.reduce(largest, axis=axis, keepdims=True), object)
        return Ball(largest)

    def each(self, select: Callable[..., Array], *others: Ball) -> Ball:
        return Ball(select(self.value, *(other.value for other in others)))

    def size(self) -> Array:
        return _SIZE(self.value).astype(np.float64)

    def real(self) -> Array:
        return _MIDDLE(self.value).astype(np.float64)

    def parts(self) -> Parts:
        high = self.real()
        beside = _BESIDE(self.value, high)
        low = _MIDDLE(beside).astype(np.float64)
        side = _SIDE(_BESIDE(beside, low)).astype(np.float64)
        # A step of `low` tells what breaks a tie far below, where it is nothing beside `high` itself.
        low = np.where((side == 0) | (np.abs(high) < _NO_TIES), low, np.nextafter(low, side))
        return Parts(high, low, _SIZE(_BESIDE(beside, low)).astype(np.float64))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape
