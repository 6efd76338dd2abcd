"""A second oracle for `log_softmax`, written from the specification's text alone.

It shares no code with `specs`: Python loops over rows and classes, mpmath with 420 decimal digits, and rounding in
integers. Slow and plain on purpose; `test_log_softmax_oracle.py` holds the fast one against it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import mpmath
from mpmath import mpf

DIGITS = 420
# Significant bits, and exponents of the smallest and the largest normal number.
FORMATS = {
    "float16": (11, -14, 15),
    "bfloat16": (8, -126, 127),
    "float32": (24, -126, 127),
    "float64": (53, -1022, 1023),
}
NAN, ANYTHING, MINUS = "nan", "anything", mpf("-inf")
Number = Any  # mpf, NAN or ANYTHING


@dataclass
class Opinion:
    """What the specification makes of one call: categories of error, nothing, or what stands at each place.

    `or_limit` has, at places where NaN is right, the limit that is right as well.
    """

    faults: set[str] = field(default_factory=set)
    recorded: bool = False
    elements: dict[tuple[int, ...], Number] = field(default_factory=dict)
    or_limit: dict[tuple[int, ...], Number] = field(default_factory=dict)
    zeros: set[tuple[int, ...]] = field(default_factory=set)


def opinion(call: Any) -> Opinion:
    """Judge one call that is not mapped over a leading axis."""
    x, dim = call["input"], call["dim"]
    found = Opinion()
    if x.dtype.name not in FORMATS:
        found.faults.add("dtype")
    if x.ndim > 0 and dim not in range(-x.ndim, x.ndim):
        found.faults.add("index")
    if found.faults or x.ndim == 0:
        found.recorded = not found.faults
        return found
    with mpmath.workdps(DIGITS):
        for places in _rows_of(x.shape, dim if dim >= 0 else x.ndim + dim):
            _judge_row(call, places, found)
    found.recorded = bool(found.elements) and all(one == ANYTHING for one in found.elements.values())
    return found


def _rows_of(shape: tuple[int, ...], axis: int) -> list[list[tuple[int, ...]]]:
    others = [range(length) if number != axis else range(1) for number, length in enumerate(shape)]
    starts = list(itertools.product(*others))
    return [[(*start[:axis], one, *start[axis + 1 :]) for one in range(shape[axis])] for start in starts]


def _number(value: Any) -> Number:
    value = float(value)
    return NAN if value != value else mpf(value)


def _judge_row(call: Any, places: list[tuple[int, ...]], found: Opinion) -> None:
    row = [_number(call["input"][place]) for place in places]
    transform: Any = call.transform
    kind = "value" if transform is None else transform.kind
    if kind in ("value", "value_in_training", "autocast"):
        answers, limits = value_of(row)
        found.or_limit |= {place: limit for place, limit in zip(places, limits, strict=True) if limit is not None}
    else:
        asked = {name: [_number(array[place]) for place in places] for name, array in call.transform.arrays()}
        answers = derivative_of(kind, row, asked.get("upstream", []), asked.get("direction", []))
        if kind.startswith("gradient") and _is_balanced(row, asked["upstream"]):
            found.zeros |= set(places)
    found.elements |= dict(zip(places, answers, strict=True))


def _exp(distance: Number) -> Number:
    """The exponential of what is not above 0; what no format can tell from 0 is as small as that, at no expense."""
    return mpmath.exp(distance) if distance > -20000 else mpmath.ldexp(mpf(1), -30000)


def value_of(row: list[Number]) -> tuple[list[Number], list[Number]]:
    """What must stand in a row, and beside it the limit where NaN or that is right."""
    nothing = [None] * len(row)
    if NAN in row:
        return [NAN] * len(row), nothing
    if mpf("inf") in row:
        count = row.count(mpf("inf"))
        return [NAN] * len(row), [-mpmath.log(count) if one == mpf("inf") else MINUS for one in row]
    present = [one for one in row if one != MINUS]
    if not present:
        return [NAN] * len(row), nothing
    top = max(present)
    normaliser = mpmath.log(mpmath.fsum(_exp(one - top) for one in present))
    return [MINUS if one == MINUS else (one - top) - normaliser for one in row], nothing


def probabilities(row: list[Number]) -> list[Number]:
    """The softmax of a row whose largest number is finite."""
    top = max(one for one in row if one != MINUS)
    exponentials = [mpf(0) if one == MINUS else _exp(one - top) for one in row]
    return [one / mpmath.fsum(exponentials) for one in exponentials]


def derivative_of(kind: str, row: list[Number], g: list[Number], v: list[Number]) -> list[Number]:
    """What must stand in a row of a derivative."""
    if NAN not in row and (mpf("inf") in row or all(one == MINUS for one in row)):
        return [ANYTHING] * len(row)
    for asked in (g, v):
        if NAN not in asked and any(abs(one) == mpf("inf") for one in asked):
            return [ANYTHING] * len(row)
    if NAN in row or NAN in g or NAN in v:
        return [NAN] * len(row)
    p = probabilities(row)
    if kind == "second":
        # -sum_i v_i S dP_i/dx_k, with dP_i/dx_k = P_i (1 - P_k) for i = k and -P_i P_k elsewhere
        s, indices = mpmath.fsum(g), range(len(row))
        return [-s * mpmath.fsum(v[i] * p[i] * ((1 if i == k else 0) - p[k]) for i in indices) for k in indices]
    if kind in ("jvp", "second_upstream"):
        along = mpmath.fdot(p, v)
        return [one - along for one in v]
    s = mpmath.fsum(g)
    return [one - share * s for one, share in zip(g, p, strict=True)]


def _is_balanced(row: list[Number], g: list[Number]) -> bool:
    """Whether the gradient is 0 whatever the probabilities are."""
    ordinary = NAN not in row and NAN not in g and mpf("inf") not in row and any(one != MINUS for one in row)
    return ordinary and all(abs(one) != mpf("inf") for one in g) and (len(row) == 1 or all(one == 0 for one in g))


# --- rounding --------------------------------------------------------------------------------------------


def rounded(value: Number, dtype: str) -> float:
    """The number of a format that is nearest, ties to even, as a Python float."""
    if value == NAN:
        return float("nan")
    sign, mantissa, exponent, bits = value._mpf_  # a copy would be rounded
    if not mantissa:  # 0, or an infinity
        return float(value)
    t, lowest, highest = FORMATS[dtype]
    if bits + exponent < lowest - t - 2:  # nothing
        return -0.0 if sign else 0.0
    if bits + exponent > highest + 2:
        return float("-inf") if sign else float("inf")
    place = max(bits + exponent - 1, lowest) - t + 1  # the exponent of the last place
    drop = place - exponent
    whole = int(mantissa)
    if drop > 0:
        quotient, rest = divmod(whole, 1 << drop)
        half = 1 << (drop - 1)
        quotient += rest > half or rest == half and quotient % 2
    else:
        quotient = whole << -drop
    if quotient.bit_length() + place - 1 > highest:
        return float("-inf") if sign else float("inf")
    size = float(mpmath.ldexp(mpf(quotient), place))
    return -size if sign else size
