"""Sums as implementations compute them: orders of summation, formats and divisions, and data for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from lossparity.specs.accuracy import Bound, error_bound
from lossparity.specs.call import Array, dtype_of
from lossparity.specs.exact import FORMATS
from lossparity.specs.nll_loss.oracle import Selection, reduced
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.reductions import IEEE, Arithmetic, Reduction, Tier

from .in_formats import cast

FLUSH = Arithmetic(flush=True)
PER_TERM = Arithmetic(per_term=True)
HALVES = ("float16", "bfloat16")
# A bound in float64 is raised by 1 + 2^-40, which exceeds the few roundings of 2^-53 on its way; once more for those.
ROUNDED_UPWARDS = (1 + Fraction(1, 2**40)) ** 2
Order = Callable[[Array], Array]


def reduction_of(x: Array, w: Array | None, kind: str) -> Reduction:
    """Exact facts about the reduction of one row of inputs and weights, as the oracle states them."""
    everywhere = np.ones(x.size, bool)
    call = NLL_LOSS.call(np.zeros((x.size, 1), x.dtype), np.zeros(x.size, int), w, reduction=kind)
    result = reduced(call, Selection(call, everywhere, everywhere, w, x))
    assert isinstance(result, Reduction)
    return result


def inside(reduction: Reduction, observed: float, tier: Tier, arithmetic: Arithmetic = IEEE) -> bool:
    """Whether an observed value lies in one tier's bound, in exact arithmetic."""
    bound = error_bound(reduction, tier, arithmetic)
    error = abs(Fraction(observed) - reduction.exact)
    return math.isinf(bound.size) or error <= fraction(bound)


def fraction(bound: Bound) -> Fraction:
    """A finite bound, put together here."""
    return Fraction(bound.size) * Fraction(2) ** bound.scale


# --- orders of summation: each takes terms in columns, sums every row, in the array's own dtype ----------


def sequential(terms: Array) -> Array:
    """A running sum."""
    total = terms[:, 0]
    for column in range(1, terms.shape[1]):
        total = total + terms[:, column]
    return total


def reversed_(terms: Array) -> Array:
    """A running sum from the back."""
    return sequential(terms[:, ::-1])


def pairwise(terms: Array) -> Array:
    """Halves, recursively: height ceil(log2 n)."""
    n = terms.shape[1]
    return terms[:, 0] if n == 1 else pairwise(terms[:, : n // 2]) + pairwise(terms[:, n // 2 :])


def blocked(terms: Array) -> Array:
    """Eight lanes, each a running sum, added up at the end."""
    lanes = [sequential(terms[:, lane::8]) for lane in range(min(8, terms.shape[1]))]
    return sequential(np.stack(lanes, axis=1))


def random_tree(terms: Array) -> Array:
    """Two random partial sums at a time."""
    rng = np.random.default_rng(terms.shape[1])
    parts = [terms[:, column] for column in range(terms.shape[1])]
    while len(parts) > 1:
        first, second = (parts.pop(int(rng.integers(len(parts)))) for _ in range(2))
        parts.append(first + second)
    return parts[0]


def from_zero(terms: Array) -> Array:
    """A running sum that starts at 0, largest magnitudes first."""
    order = np.argsort(-np.abs(terms.astype(np.float64)), axis=1)
    return sequential(np.take_along_axis(terms, order, axis=1))


ORDERS: dict[str, Order] = {
    function.__name__: function for function in (sequential, reversed_, pairwise, blocked, random_tree, from_zero)
}


def height_of(order: str, n: int) -> int:
    """The height of the order's summation tree."""
    if order == "pairwise":
        return max(n - 1, 0).bit_length()
    return -(-n // 8) + 7 if order == "blocked" else n - 1


# --- one simulated implementation ------------------------------------------------------------------------


def compute(x: Array, w: Array | None, accumulator: str, order: Order, kind: str, division: str) -> Array:
    """-S or -S/W per row, in that accumulator, rounded at the end to x's format."""
    q = dtype_of(accumulator)
    with np.errstate(all="ignore"):
        weights = np.ones(x.shape, q) if w is None else w.astype(q)
        terms = x.astype(q) if w is None else weights * x.astype(q)
        if kind == "sum":
            return (-order(terms)).astype(x.dtype)
        one = q.type(1)
        counted = np.full(x.shape[0], x.shape[1]).astype(q) if w is None else order(weights)
        match division:
            case "true":
                result = order(terms) / counted
            case "reciprocal":
                result = order(terms) * (one / counted)
            case "per_term":
                result = order(terms / counted[:, None])
            case _:
                result = order(terms * (one / counted)[:, None])
        return (-result).astype(x.dtype)


DATA = ("one_sign", "mixed", "cancelling", "constant", "wide", "unit_and_u", "unit_and_3u")


def rows(kind: str, trials: int, n: int, name: str, accumulator: str) -> Array:
    """`trials` rows of n inputs of one kind."""
    rng = np.random.default_rng(n + 1000 * DATA.index(kind))
    u = FORMATS[accumulator].u
    match kind:
        case "one_sign":
            return cast(-rng.exponential(3, (trials, n)), name)
        case "mixed":
            return cast(rng.normal(size=(trials, n)), name)
        case "cancelling":
            half = rng.normal(size=(trials, (n + 1) // 2))
            return cast(np.concatenate([half, -half * (1 + 2.0**-6)], axis=1)[:, :n], name)
        case "constant":
            return cast(np.repeat(rng.uniform(-2, -1, (trials, 1)), n, axis=1), name)
        case "wide":
            return cast(rng.choice([-1, 1], (trials, n)) * 2.0 ** rng.uniform(-12, 8, (trials, n)), name)
        case _:
            factor = 1 if kind == "unit_and_u" else 3
            array = np.full((trials, n), -factor * u) * (1 + np.arange(trials)[:, None] / 64)
            array[:, 0] = -1
            return cast(array, name)


def weight_rows(kind: str, trials: int, n: int, name: str) -> Array | None:
    """Weights for them: none, positive, or of both signs."""
    rng = np.random.default_rng(n)
    if kind == "none":
        return None
    weights = rng.uniform(0.1, 3, (trials, n))
    return cast(weights * (rng.choice([-1, 1, 1], (trials, n)) if kind == "mixed" else 1), name)


def implementations(name: str) -> Iterator[tuple[str, Tier]]:
    """Accumulators that an implementation may use, and the tier each is held to without its height."""
    wide = {"float16": "float32", "bfloat16": "float32", "float32": "float64"}
    for accumulator in (name, wide.get(name)):
        if accumulator is not None:
            yield accumulator, Tier(FORMATS[accumulator], 0)
