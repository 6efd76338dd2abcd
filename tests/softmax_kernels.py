"""Functions that compute log_softmax in NumPy: right ones that differ in all that is legal, and wrong ones.

Wrong ones are named after the slip, beside the clause that convicts them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Kernel = Callable[[Array, int], Array]


def wide(x: Array) -> Array:
    """In the accumulator that is required."""
    return x if x.dtype == np.float64 else x.astype(np.float32)


def by_rows(function: Callable[[Array], Array]) -> Kernel:
    """A function of rows by classes as one of any axis."""

    def kernel(x: Array, dim: int) -> Array:
        moved = np.moveaxis(x, dim, -1)
        if not x.size:
            return x.copy()
        rows = function(moved.reshape(-1, moved.shape[-1]))
        return np.moveaxis(rows.reshape(moved.shape), -1, dim).astype(x.dtype)

    return kernel


# --- right -----------------------------------------------------------------------------------------------


def two_passes(x: Array) -> Array:
    x = wide(x)
    d = x - x.max(1, keepdims=True)
    return d - np.log(np.exp(d).sum(1, keepdims=True))


def in_float64(x: Array) -> Array:
    return two_passes(x.astype(np.float64)).astype(x.dtype)


def running(x: Array) -> Array:
    """The sum of exponentials of one class after another."""
    x = wide(x)
    d = x - x.max(1, keepdims=True)
    return d - np.log(np.cumsum(np.exp(d), axis=1)[:, -1:])


def backwards(x: Array) -> Array:
    return running(x[:, ::-1])[:, ::-1]


def online(x: Array, block: int = 1) -> Array:
    """One pass: where a larger number is met the sum so far is scaled anew."""
    x = wide(x)
    top = np.full((len(x), 1), -np.inf, x.dtype)
    total = np.zeros((len(x), 1), x.dtype)
    for start in range(0, x.shape[1], block):
        part = x[:, start : start + block]
        larger = np.maximum(top, part.max(1, keepdims=True))
        safe = np.where(larger == -np.inf, 0, larger)
        total = total * np.exp(top - safe) + np.exp(part - safe).sum(1, keepdims=True)
        top = larger
    return (x - top) - np.log(total)


def blocked(x: Array) -> Array:
    return online(x, 16)


def beside_the_largest(x: Array) -> Array:
    """ln(1 + the sum of all others), which keeps what is small."""
    x = wide(x)
    d = x - x.max(1, keepdims=True)
    first = np.arange(x.shape[1]) == d.argmax(1)[:, None]
    return d - np.log1p(np.where(first, 0, np.exp(d)).sum(1, keepdims=True))


def by_powers_of_two(x: Array) -> Array:
    x = wide(x)
    d = x - x.max(1, keepdims=True)
    return d - np.log(np.exp2(d * x.dtype.type(np.log2(np.e))).sum(1, keepdims=True))


RIGHT: dict[str, Kernel] = {
    function.__name__: by_rows(function)
    for function in (two_passes, in_float64, running, backwards, online, blocked, beside_the_largest, by_powers_of_two)
}


# --- wrong -----------------------------------------------------------------------------------------------


def no_shift(x: Array) -> Array:
    return wide(x) - np.log(np.exp(wide(x)).sum(1, keepdims=True))


def maximum_added_back(x: Array) -> Array:
    x = wide(x)
    m = x.max(1, keepdims=True)
    return x - (m + np.log(np.exp(x - m).sum(1, keepdims=True)))


def one_maximum_for_all(x: Array) -> Array:
    d = wide(x) - wide(x).max()
    return d - np.log(np.exp(d).sum(1, keepdims=True))


def shifted_by_the_mean(x: Array) -> Array:
    d = wide(x) - wide(x).mean(1, keepdims=True)
    return d - np.log(np.exp(d).sum(1, keepdims=True))


def _softmax(x: Array) -> Array:
    e = np.exp(wide(x) - wide(x).max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def logarithm_of_softmax(x: Array) -> Array:
    return np.log(_softmax(x))


def clipped(x: Array) -> Array:
    return np.log(np.maximum(_softmax(x), 1e-7))


def epsilon(x: Array) -> Array:
    return np.log(_softmax(x) + np.float32(1e-8))


def distances_clipped(x: Array) -> Array:
    d = np.maximum(wide(x) - wide(x).max(1, keepdims=True), -80)
    return d - np.log(np.exp(d).sum(1, keepdims=True))


def base_two(x: Array) -> Array:
    d = wide(x) - wide(x).max(1, keepdims=True)
    return d - np.log2(np.exp(d).sum(1, keepdims=True))


def half_sum(x: Array) -> Array:
    """The sum kept in the storage format."""
    d = wide(x) - wide(x).max(1, keepdims=True)
    total = np.zeros((len(x), 1), x.dtype)
    for column in np.exp(d).T:
        total = (total + column[:, None].astype(x.dtype)).astype(x.dtype)
    return d - np.log(total.astype(d.dtype))


def half_distances(x: Array) -> Array:
    d = (x - x.max(1, keepdims=True)).astype(x.dtype)
    return (d - np.log(np.exp(d).astype(x.dtype).sum(1, keepdims=True, dtype=np.float32)).astype(x.dtype)).astype(
        x.dtype
    )


def ten_bits(x: Array) -> Array:
    """Inputs as TensorFloat-32 holds them."""
    if x.dtype != np.float32:
        return two_passes(x)
    return two_passes((x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32))


def rough_exponential(x: Array) -> Array:
    d = wide(x) - wide(x).max(1, keepdims=True)
    e = np.where(d == 0, 1, np.exp(d) * (1 + 2.0**-14)).astype(d.dtype)
    return d - np.log(e.sum(1, keepdims=True))


def without_the_tail(x: Array) -> Array:
    d = wide(x) - wide(x).max(1, keepdims=True)
    whole = x.shape[1] // 8 * 8 or x.shape[1]
    return d - np.log(np.exp(d)[:, :whole].sum(1, keepdims=True))


def first_block_of_classes(x: Array) -> Array:
    d = wide(x) - wide(x).max(1, keepdims=True)
    return d - np.log(np.exp(d)[:, :32768].sum(1, keepdims=True))


def single_precision(x: Array) -> Array:
    return two_passes(x.astype(np.float32))


def masked_row_is_uniform(x: Array) -> Array:
    empty = (wide(x) == -np.inf).all(1, keepdims=True)
    return np.where(empty, -np.log(np.float32(x.shape[1])), two_passes(x))


def masked_by_a_number(x: Array) -> Array:
    return two_passes(np.maximum(wide(x), -1e4))


def nan_ignored(x: Array) -> Array:
    return two_passes(np.where(np.isnan(wide(x)), -np.inf, wide(x)))


def nan_everywhere(x: Array) -> Array:
    return two_passes(x) + np.where(np.isnan(wide(x)).any(), np.nan, 0)


def infinity_is_large(x: Array) -> Array:
    return two_passes(np.minimum(wide(x), np.finfo(np.float32).max))


def overflows_halfway(x: Array) -> Array:
    """Twice the distances, halved again."""
    with np.errstate(all="ignore"):
        d = (2 * wide(x) - 2 * wide(x).max(1, keepdims=True)) / 2
        return d - np.log(np.exp(d).sum(1, keepdims=True))


def last_axis(x: Array, dim: int) -> Array:
    return RIGHT["two_passes"](x, -1)


def axis_of_equal_length(x: Array, dim: int) -> Array:
    return RIGHT["two_passes"](x, x.shape.index(x.shape[dim]))


def squeezed(x: Array, dim: int) -> Array:
    return RIGHT["two_passes"](x, dim).squeeze()


def refuses_nothing_to_do(x: Array, dim: int) -> Array:
    if not x.size:
        raise ValueError("empty input")
    return RIGHT["two_passes"](x, dim)


def promoted(x: Array, dim: int) -> Array:
    return RIGHT["two_passes"](wide(x), dim)


def axis_modulo_rank(x: Array, dim: int) -> Array:
    return RIGHT["two_passes"](x, dim % x.ndim)


def takes_integers(x: Array, dim: int) -> Array:
    return RIGHT["two_passes"](x.astype(np.float32) if x.dtype.kind in "iub" else x, dim)


def one_class_is_minus_zero_point_one(x: Array, dim: int) -> Array:
    return RIGHT["two_passes"](x, dim) - np.where(x.shape[dim] == 1, np.float32(0.125), np.float32(0)).astype(x.dtype)


def strides_ignored(x: Array, dim: int) -> Array:
    step = np.lib.stride_tricks.as_strided(x, x.shape, np.zeros(x.shape, x.dtype).strides)
    return RIGHT["two_passes"](step, dim)


# Each with a clause, a family and a dtype that show it.
WRONG: dict[str, tuple[str, str, str]] = {
    "no_shift": ("VALUE-3", "value", "float32"),
    "maximum_added_back": ("VALUE-3", "value", "float32"),
    "one_maximum_for_all": ("VALUE-3", "value", "float32"),
    "shifted_by_the_mean": ("VALUE-4", "value", "float32"),
    "logarithm_of_softmax": ("VALUE-4", "value", "float32"),
    "clipped": ("VALUE-4", "value", "float16"),
    "epsilon": ("VALUE-4", "value", "float32"),
    "distances_clipped": ("VALUE-4", "value", "float64"),
    "base_two": ("VALUE-1", "value", "float32"),
    "half_sum": ("ACC-2", "accuracy", "bfloat16"),
    "half_distances": ("ACC-2", "accuracy", "float16"),
    "ten_bits": ("ACC-1", "accuracy", "float32"),
    "rough_exponential": ("ACC-1", "accuracy", "float32"),
    "without_the_tail": ("VALUE-8", "value", "float32"),
    "first_block_of_classes": ("VALUE-6", "value", "float64"),
    "single_precision": ("DTYPE-3", "dtype", "float64"),
    "masked_row_is_uniform": ("SPECIAL-4", "special", "float32"),
    "masked_by_a_number": ("SPECIAL-1", "special", "float32"),
    "nan_ignored": ("SPECIAL-3", "special", "float32"),
    "nan_everywhere": ("SPECIAL-3", "special", "float32"),
    "infinity_is_large": ("SPECIAL-5", "special", "float32"),
    "overflows_halfway": ("SPECIAL-2", "special", "float32"),
    "last_axis": ("SHAPE-2", "shape", "float32"),
    "axis_of_equal_length": ("SHAPE-2", "shape", "float32"),
    "squeezed": ("SHAPE-3", "shape", "float32"),
    "refuses_nothing_to_do": ("SHAPE-4", "shape", "float32"),
    "promoted": ("DTYPE-1", "dtype", "float16"),
    "axis_modulo_rank": ("ERR-1", "error", "float32"),
    "takes_integers": ("ERR-8", "error", "float32"),
    "one_class_is_minus_zero_point_one": ("VALUE-2", "shape", "float32"),
    "strides_ignored": ("LAYOUT-1", "layout", "float32"),
}
_WITH_AN_AXIS = {"last_axis", "axis_of_equal_length", "squeezed", "refuses_nothing_to_do", "promoted"}
_WITH_AN_AXIS |= {"axis_modulo_rank", "takes_integers", "one_class_is_minus_zero_point_one", "strides_ignored"}


def wrong(name: str) -> Kernel:
    """The wrong function of this name."""
    function = globals()[name]
    return function if name in _WITH_AN_AXIS else by_rows(function)
