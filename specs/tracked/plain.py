"""Exact values held in float64, whose own error is followed like that of any machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from ..call import Array
from .carrier import Axes, Parts


class Plain:
    """float64 itself. NumPy's exp, log, expm1 and log1p are trusted to 4 ulp (a test compares them with arb)."""

    roundoff: ClassVar[float] = 2.0**-53
    exp_error: ClassVar[float] = 2.0**-50
    expm1_error: ClassVar[float] = 2.0**-50
    log_error: ClassVar[float] = 2.0**-50
    log_at_most: ClassVar[float] = np.inf
    product_loss: ClassVar[float] = 2.0**-1073
    vanishing: ClassVar[float] = 2.0**-1022
    holds_radius: ClassVar[bool] = False
    __slots__ = ("value",)
    __array_ufunc__ = None

    def __init__(self, value: Any) -> None:
        self.value = value

    @classmethod
    def load(cls, array: Array) -> Self:
        return cls(array.astype(np.float64))

    @staticmethod
    def sum_factor(terms: int) -> float:
        return max(terms - 1, 0) * 2.0**-53

    def __neg__(self) -> Plain:
        return Plain(-self.value)

    def __add__(self, other: Plain) -> Plain:
        return Plain(self.value + other.value)

    def __sub__(self, other: Plain) -> Plain:
        return Plain(self.value - other.value)

    def __mul__(self, other: Plain) -> Plain:
        return Plain(self.value * other.value)

    def __truediv__(self, other: Plain) -> Plain:
        return Plain(self.value / other.value)

    def exp(self) -> Plain:
        return Plain(np.exp(self.value))

    def log(self) -> Plain:
        return Plain(np.log(self.value))

    def expm1(self) -> Plain:
        return Plain(np.expm1(self.value))

    def log1p(self) -> Plain:
        return Plain(np.log1p(self.value))

    def sqrt(self) -> Plain:
        return Plain(np.sqrt(self.value))

    def sum(self, axes: Axes) -> Plain:
        return Plain(self.value.sum(axes, keepdims=True))

    def max(self, axes: Axes) -> Plain:
        return Plain(self.value.max(axes, keepdims=True))

    def each(self, select: Callable[..., Array], *others: Plain) -> Plain:
        return Plain(select(self.value, *(other.value for other in others)))

    def size(self) -> Array:
        return np.abs(self.value)

    def real(self) -> Array:
        return self.value

    def parts(self) -> Parts:
        zero = np.zeros_like(self.value)
        return Parts(self.value, zero, zero)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape
