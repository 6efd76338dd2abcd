"""Functions of tracked numbers, elementwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..call import Array
from .evaluation import DOWNWARDS, NEGATIVE, NOT_A_NUMBER, Tracked, any_bits, beyond

_BEYOND = 1e4  # e to this is infinite in float64


def exp(x: Tracked) -> Tracked:
    """e^x; exact at 0 and at -inf."""
    at, evaluation = x.evaluation.constants, x.evaluation
    value = x.value.exp()
    size, moved = _upper_exp(x, value), _moved(x)
    errors: Array = size * (moved * (1 + moved))
    if not moved.max(initial=0.0) <= 1:
        reach = np.exp(np.minimum(x.value.real() + moved + x.radius, _BEYOND)) * (1 + 2.0**-40)
        errors = np.where(moved <= 1.0, errors, reach)
    bits = x.specials
    if bits is not None:  # what became -inf is taken for it: e^x = 0
        errors = errors + (bits & NEGATIVE > 0) * size
        bits = bits & ~NEGATIVE
    z = evaluation.result(value, errors, at.exp, bits, lambda: x.is_finite, loss=at.vanishing)
    known = (x.size == 0) | (x.value.real() == -np.inf)
    if z.errors is not None and known.any():
        exact = known if x.errors is None else known & (x.errors == 0)
        z.errors = np.where(exact, 0.0, z.errors)
        z.size = np.where(known & (x.radius == 0), value.size(), z.size)
    z.is_exp = True
    return z.made_of((x, lambda g: g * z))


def _upper_exp(x: Tracked, value: Any) -> Array:
    """Not less than e^x."""
    size = value.size() + x.evaluation.carrier.vanishing
    return size * (1 + 2 * np.minimum(x.radius, 1.0) + 2.0**-40)


def _moved(x: Tracked) -> Array:
    """How far the argument of an exp may be off once it was multiplied by log2(e)."""
    at = x.evaluation.constants
    size = x.size if x.errors is None else x.size + x.errors
    rounded: Array = np.where(np.isfinite(size), at.exp_slope * size + (at.exp_slope > 0) * at.product_loss, 0.0)
    return rounded if x.errors is None else x.errors + rounded


def log(x: Tracked) -> Tracked:
    """The natural logarithm."""
    real = x.value.real()
    z = _logarithm(x, x.value.log(), real - x.radius, real + x.radius <= 0)
    return z.made_of((x, lambda g: g / x))


def log1p(x: Tracked) -> Tracked:
    """log(1 + x), small where x is."""
    real = x.value.real()
    z = _logarithm(x, x.value.log1p(), 1 + real - x.radius, real + x.radius <= -1)
    return z.made_of((x, lambda g: g / (1 + x)))


def _logarithm(x: Tracked, value: Any, low: Array, pole: Array) -> Tracked:
    """A logarithm of what is at least `low`."""
    at = x.evaluation.constants
    errors = None if x.errors is None else beyond(x.errors, low * DOWNWARDS - x.errors)
    return x.evaluation.result(
        value, errors, at.log, _nan_of_negative(x), lambda: x.is_finite, most=at.log_at_most, pole=pole
    )


def _nan_of_negative(x: Tracked) -> Array | None:
    bits = x.specials
    return None if bits is None else np.where(bits & NEGATIVE > 0, bits & ~NEGATIVE | NOT_A_NUMBER, bits)


def expm1(x: Tracked) -> Tracked:
    """e^x - 1, small where x is."""
    evaluation, at = x.evaluation, x.evaluation.constants
    size = _upper_exp(x, x.value.exp())
    errors = None if x.errors is None else size * np.expm1(np.minimum(x.errors, _BEYOND)) * (1 + 2.0**-40)
    z = evaluation.result(
        x.value.expm1(), errors, at.expm1, any_bits(x.specials), lambda: x.is_finite, loss=at.vanishing
    )
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
        value.sqrt(), errors, at.roundoff, _nan_of_negative(x), lambda: x.is_finite, pole=real + x.radius < 0
    )
    return z.made_of((x, lambda g: g / (2 * z)))
