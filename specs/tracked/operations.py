"""Functions of tracked numbers, elementwise."""

from __future__ import annotations

import numpy as np

from ..call import Array
from .evaluation import NEGATIVE, NOT_A_NUMBER, Tracked, added, any_bits

_BEYOND = 1e4  # e to this is infinite in float64


def exp(x: Tracked) -> Tracked:
    """e^x; exact at 0 and at -inf."""
    at, evaluation = x.evaluation.constants, x.evaluation
    value = x.value.exp()
    size = _upper_exp(x, value)
    moved = added(x.errors, _rounded_argument(x))
    errors = None if moved is None else size * (moved * (1 + moved))
    if moved is not None and not moved.max(initial=0.0) <= 1:
        reach = np.exp(np.minimum(x.value.real() + moved + x.radius, _BEYOND))
        errors = np.where(moved <= 1, errors, reach * (1 + 2.0**-40))
    bits = x.specials
    if bits is not None:  # what became -inf is taken for it: e^x = 0
        errors = added(errors, (bits & NEGATIVE > 0) * size)
        bits = bits & ~NEGATIVE
    z = evaluation.result(value, errors, at.exp, bits, lambda: x.is_finite, loss=at.vanishing)
    known = (x.size == 0) | (x.value.real() == -np.inf)
    if known.any():
        exact = known if x.errors is None else known & (x.errors == 0)
        z = Tracked(evaluation, z.value, np.where(exact, 0.0, z.errors), z.size, z.specials)
    return z.made_of((x, lambda g: g * z))


def _upper_exp(x: Tracked, value: object) -> Array:
    """Not less than e^x."""
    size = value.size() + x.evaluation.carrier.vanishing  # pyright: ignore[reportAttributeAccessIssue] -- a carrier
    return size * (1 + 2 * np.minimum(x.radius, 1.0) + 2.0**-40)


def _rounded_argument(x: Tracked) -> Array:
    """By how much roundings of the argument move it: by a share of it, and of no less than what they may lose."""
    at = x.evaluation.constants
    size = x.size if x.errors is None else x.size + x.errors
    return np.where(np.isfinite(size), at.exp_slope * size, 0.0)


def log(x: Tracked) -> Tracked:
    """The natural logarithm."""
    low = x.value.real() - x.radius
    z = _logarithm(x, x.value.log(), low, low + 2 * x.radius <= 0)
    return z.made_of((x, lambda g: g / x))


def log1p(x: Tracked) -> Tracked:
    """log(1 + x), small where x is."""
    low = (1 + x.value.real() - x.radius) * (1 - 2.0**-50)
    z = _logarithm(x, x.value.log1p(), low, x.value.real() + x.radius <= -1)
    return z.made_of((x, lambda g: g / (1 + x)))


def _logarithm(x: Tracked, value: object, low: Array, pole: Array) -> Tracked:
    """A logarithm whose argument is at least `low`."""
    at, errors = x.evaluation.constants, None
    if x.errors is not None:
        least = low - x.errors
        errors = np.where(least > 0, x.errors / np.where(least > 0, least, 1.0), np.inf)
    bits = x.specials
    if bits is not None:
        bits = np.where(bits & NEGATIVE > 0, bits & ~NEGATIVE | NOT_A_NUMBER, bits)
    return x.evaluation.result(value, errors, at.log, bits, lambda: x.is_finite, pole=pole)


def expm1(x: Tracked) -> Tracked:
    """e^x - 1, small where x is."""
    evaluation, at = x.evaluation, x.evaluation.constants
    size, moved = _upper_exp(x, x.value.exp()), x.errors
    errors = None if moved is None else size * np.expm1(np.minimum(moved, _BEYOND)) * (1 + 2.0**-40)
    z = evaluation.result(x.value.expm1(), errors, at.exp, any_bits(x.specials), lambda: x.is_finite, loss=at.vanishing)
    return z.made_of((x, lambda g: g * exp(x)))


def sqrt(x: Tracked) -> Tracked:
    """Of what is not negative; a machine that finds it a little negative has to return 0, not NaN."""
    at, errors, value = x.evaluation.constants, None, x.value
    real = value.real()
    if x.errors is not None:
        low = np.sqrt(np.maximum(real - x.radius, 0.0))
        errors = np.minimum(np.sqrt(x.errors), x.errors / np.where(low > 0, low, 2.0**-1074))
        nil = (real < 0) & (np.abs(real) <= x.radius)
        value = value.each(lambda a: np.where(nil, 0 * a, a))
    z = x.evaluation.result(
        value.sqrt(), errors, at.roundoff, x.specials, lambda: x.is_finite, pole=real + x.radius < 0
    )
    return z.made_of((x, lambda g: g / (2 * z)))
