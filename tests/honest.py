"""log_softmax and cross-entropy as careful and as careless people write them, computed in one format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lossparity.specs.call import Array, dtype_of

Function = Callable[[Array], Array]


def inside_of(dtype: str) -> Any:
    """What a format is computed in."""
    return np.float64 if dtype == "float64" else np.float32


def running_sum(terms: Array) -> Array:
    made = terms[:, :1]
    for column in range(1, terms.shape[1]):
        made = made + terms[:, column : column + 1]
    return made


def usual(x: Array) -> Array:
    d = x - x.max(-1, keepdims=True)
    return d - np.log(np.exp(d).sum(-1, keepdims=True))


def one_by_one(x: Array) -> Array:
    d = x - x.max(-1, keepdims=True)
    return d - np.log(running_sum(np.exp(d)))


def by_powers_of_two(x: Array) -> Array:
    two = x.dtype.type(np.log2(np.e))
    d = x - x.max(-1, keepdims=True)
    return d - np.log(np.exp2(d * two).sum(-1, keepdims=True))


def online(x: Array) -> Array:
    """One pass: each new maximum rescales the sum so far."""
    m, s = x[:, :1], np.ones_like(x[:, :1])
    for column in range(1, x.shape[1]):
        new = np.maximum(m, x[:, column : column + 1])
        shrunk = np.where(m == new, s, s * np.exp(m - new))
        s, m = shrunk + np.exp(x[:, column : column + 1] - new), new
    return (x - m) - np.log(s)


def in_blocks(x: Array) -> Array:
    """Sums of blocks of four with their own maxima, merged."""
    blocks = [x[:, start : start + 4] for start in range(0, x.shape[1], 4)]
    maxima = [block.max(-1, keepdims=True) for block in blocks]
    m = np.concatenate(maxima, 1).max(-1, keepdims=True)
    parts = [
        np.where(own == -np.inf, 0, np.exp(block - own).sum(-1, keepdims=True) * np.exp(own - m))
        for block, own in zip(blocks, maxima, strict=True)
    ]
    return (x - m) - np.log(running_sum(np.concatenate(parts, 1)))


HONEST: dict[str, Function] = {one.__name__: one for one in (usual, one_by_one, by_powers_of_two, online, in_blocks)}


def without_shift(x: Array) -> Array:
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def lse_last(x: Array) -> Array:
    m = x.max(-1, keepdims=True)
    return x - (m + np.log(np.exp(x - m).sum(-1, keepdims=True)))


def in_two_steps(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.log(e / e.sum(-1, keepdims=True))


def with_epsilon(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.log(e / e.sum(-1, keepdims=True) + x.dtype.type(1e-7))


def accumulated_in_half(x: Array) -> Array:
    half = dtype_of("bfloat16")
    d = x - x.max(-1, keepdims=True)
    return d - np.log(running_sum(np.exp(d).astype(half)).astype(x.dtype))


def of_truncated_inputs(x: Array) -> Array:
    """As TF32 multiplies: 11 bits of each number."""
    bits = x.astype(np.float32).view(np.uint32) & np.uint32(0xFFFFE000)
    return usual(bits.view(np.float32).astype(x.dtype))


def computed(function: Function, x: Array) -> Array:
    """In the required precision, rounded once."""
    with np.errstate(all="ignore"):
        made = function(x.astype(inside_of(x.dtype.name)))
    return made.astype(dtype_of(x.dtype.name))
