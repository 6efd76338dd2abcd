"""What holds exact values: what a formula asks of it, and in which terms it says how far it may be off itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from ..call import Array

Axes = tuple[int, ...]


class Parts(NamedTuple):
    """high + low, off by at most `rest`: three float64 arrays, |low| being at most half a unit of high's last place."""

    high: Array
    low: Array
    rest: Array


class Carrier(Protocol):
    """An array of exact values, each off by no more than a machine with these constants would be.

    `roundoff` is the relative error of + - * / and sqrt, `exp_error`, `expm1_error` and `log_error` those of exp, of
    expm1, and of log and log1p; a logarithm is also never off by more than `log_at_most`. Products and quotients may
    lose `product_loss` to underflow, exps `vanishing`. Where `holds_radius`, `parts` tell the error in `rest`, and a
    sharper one.
    """

    roundoff: ClassVar[float]
    exp_error: ClassVar[float]
    expm1_error: ClassVar[float]
    log_error: ClassVar[float]
    log_at_most: ClassVar[float]
    product_loss: ClassVar[float]
    vanishing: ClassVar[float]
    holds_radius: ClassVar[bool]

    @classmethod
    def load(cls, array: Array) -> Self:
        """Numbers of one of the four formats, as they are."""
        ...

    @staticmethod
    def sum_factor(terms: int) -> float:
        """The error of `sum`, relative to the sum of sizes."""
        ...

    def __neg__(self) -> Self: ...
    def __add__(self, other: Any, /) -> Self: ...
    def __sub__(self, other: Any, /) -> Self: ...
    def __mul__(self, other: Any, /) -> Self: ...
    def __truediv__(self, other: Any, /) -> Self: ...
    def exp(self) -> Self: ...
    def log(self) -> Self: ...
    def expm1(self) -> Self: ...
    def log1p(self) -> Self: ...
    def sqrt(self) -> Self: ...

    def sum(self, axes: Axes) -> Self:
        """The sum over axes, which are kept with length 1."""
        ...

    def max(self, axes: Axes) -> Self:
        """The largest along axes, which are kept with length 1; NaN where there is one."""
        ...

    def each(self, select: Callable[..., Array], *others: Any) -> Self:
        """What a function that only moves elements makes of this and of other arrays."""
        ...

    def size(self) -> Array:
        """Upper bounds of the absolute values, as float64; 0 only for 0."""
        ...

    def real(self) -> Array:
        """The values, rounded to float64."""
        ...

    def parts(self) -> Parts:
        """The values as precisely as two float64 hold them."""
        ...

    @property
    def shape(self) -> tuple[int, ...]: ...
