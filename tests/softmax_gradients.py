"""Functions that compute derivatives of log_softmax in NumPy: right ones in all the ways that are legal, and wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lossparity.specs.call import GRADIENTS, Call
from numpy.typing import NDArray
from softmax_kernels import two_passes, wide

Array = NDArray[Any]
Rows = Callable[[Array, Array], Array]  # of logits and what is summed with them
Derivative = Callable[[Call], Array]

DERIVATIVES = (*GRADIENTS, "jvp", "second", "second_upstream")


def from_exponentials(x: Array) -> Array:
    e = np.exp(wide(x) - wide(x).max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def from_the_result(x: Array) -> Array:
    """As it is stored."""
    return np.exp(wide(two_passes(x).astype(x.dtype)))


def in_float64(x: Array) -> Array:
    return from_exponentials(x.astype(np.float64))


def gradient(p: Array, g: Array) -> Array:
    return g - p * g.sum(1, keepdims=True)


def along(p: Array, v: Array) -> Array:
    return v - (p * v).sum(1, keepdims=True)


def second(p: Array, g: Array, v: Array) -> Array:
    return p * ((p * v).sum(1, keepdims=True) - v) * g.sum(1, keepdims=True)


def second_in_parts(p: Array, g: Array, v: Array) -> Array:
    """As automatic differentiation of g - P sum g finds it."""
    u = -p * v * g.sum(1, keepdims=True)
    return u - p * u.sum(1, keepdims=True)


def made_of(
    probabilities: Callable[[Array], Array],
    first: Rows = gradient,
    ahead: Rows = along,
    twice: Callable[[Array, Array, Array], Array] = second,
    narrow: bool = False,
) -> Derivative:
    """All kinds of derivatives out of formulas on rows; `narrow` computes in the storage format."""

    def derivative(call: Call) -> Array:
        transform, dim = call.transform, call["dim"]
        assert transform is not None
        moved = {name: np.moveaxis(array, dim, -1) for name, array in call.arrays()}
        shape, classes = moved["input"].shape, moved["input"].shape[-1]
        if not call["input"].size:
            return call["input"].copy()
        rows = {name: array.reshape(-1, classes) for name, array in moved.items()}
        p = probabilities(rows["input"])
        p = p.astype(call["input"].dtype) if narrow else p
        asked = {name: one.astype(p.dtype) for name, one in rows.items()}
        if call.kind in GRADIENTS:
            found = first(p, asked["upstream"])
        elif call.kind == "second":
            found = twice(p, asked["upstream"], asked["direction"])
        else:
            found = ahead(p, asked["direction"])
        return np.moveaxis(found.astype(call["input"].dtype).reshape(shape), -1, dim)

    return derivative


def _kept_exponentials(x: Array) -> Array:
    return np.exp(wide(x) - wide(x).max(1, keepdims=True))


def divided_first(call: Call) -> Array:
    """e (sum g / s), as automatic differentiation of the logarithm goes."""

    def first(e: Array, g: Array) -> Array:
        return g - e * (g.sum(1, keepdims=True) / e.sum(1, keepdims=True))

    def ahead(e: Array, v: Array) -> Array:
        return v - (e * v).sum(1, keepdims=True) / e.sum(1, keepdims=True)

    def twice(e: Array, g: Array, v: Array) -> Array:
        return second(e / e.sum(1, keepdims=True), g, v)

    return made_of(_kept_exponentials, first, ahead, twice)(call)


RIGHT_DERIVATIVES: dict[str, Derivative] = {
    "from_exponentials": made_of(from_exponentials),
    "from_the_result": made_of(from_the_result),
    "in_float64": made_of(in_float64),
    "second_in_parts": made_of(from_exponentials, twice=second_in_parts),
    "second_in_parts_of_the_result": made_of(from_the_result, twice=second_in_parts),
    "divided_first": divided_first,
}


# --- wrong -----------------------------------------------------------------------------------------------


def masked_has_none(call: Call) -> Array:
    return np.where(call["input"] == -np.inf, call["input"].dtype.type(0), made_of(from_exponentials)(call))


def first_block(call: Call) -> Array:
    found = made_of(from_exponentials)(call)
    found[..., 65536:] = 0
    return found


def never_quite_zero(p: Array, g: Array) -> Array:
    return gradient(p, g + g.dtype.type(1e-12))


def upstream_is_one(p: Array, g: Array) -> Array:
    return gradient(p, np.ones_like(g))


# Each with the clause that convicts it, and the dtype.
WRONG_DERIVATIVES: dict[str, tuple[str, str, Derivative]] = {
    "each_by_itself": ("GRAD-1", "float32", made_of(from_exponentials, lambda p, g: g - p * g)),
    "probabilities_forgotten": ("GRAD-1", "float32", made_of(from_exponentials, lambda p, g: g - g.sum(1)[:, None])),
    "mean_for_sum": ("GRAD-1", "float32", made_of(from_exponentials, lambda p, g: g - p * g.mean(1)[:, None])),
    "dot_product": ("GRAD-1", "float32", made_of(from_exponentials, lambda p, g: g - (g * np.log(p)).sum(1)[:, None])),
    "not_normalised": ("GRAD-1", "float32", made_of(_kept_exponentials)),
    "of_softmax": ("GRAD-1", "float32", made_of(from_exponentials, lambda p, g: p * (g - (p * g).sum(1)[:, None]))),
    "sign": ("GRAD-1", "float32", made_of(from_exponentials, lambda p, g: -gradient(p, g))),
    "never_quite_zero": ("GRAD-2", "float32", made_of(from_exponentials, never_quite_zero)),
    "upstream_is_one": ("GRAD-3", "float32", made_of(from_exponentials, upstream_is_one)),
    "in_half_precision": ("GRAD-5", "float16", made_of(from_exponentials, narrow=True)),
    "hessian_is_zero": ("GRAD-6", "float32", made_of(from_exponentials, twice=lambda p, g, v: np.zeros_like(v))),
    "hessian_without_g": ("GRAD-6", "float32", made_of(from_exponentials, twice=lambda p, g, v: second(p, p, v))),
    "mean_along": ("GRAD-7", "float32", made_of(from_exponentials, ahead=lambda p, v: v - v.mean(1)[:, None])),
    "first_block": ("GRAD-12", "float32", first_block),
    "masked_has_none": ("GRAD-13", "float32", masked_has_none),
}  # fmt: skip
