"""From a formula to what a call must return: the exact answers, correctly rounded, and the bands of three machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np

from ..bands import Band
from ..call import Array
from ..case import Within
from ..exact import FLOAT64, Format
from .ball import Ball
from .carrier import Carrier
from .evaluation import SAFETY, Evaluation, Tracked
from .machines import Machine, Machines, machines_for
from .plain import Plain
from .premises import PREMISES, Premises
from .rounding import inwards, nearest
from .twofold import Twofold

Formula = Callable[[Evaluation], Tracked]

_FINE = 2.0**-20  # of a bound: what the exact value may be off by
_BITS = 300  # of balls
_MANY_BITS, _FEW = 1200, 4096  # of balls that decide a rounding, for fewer elements than this
LEAST_INFORMATIVE = 2  # a band that reaches half of the exact value says nothing


def within(formula: Formula, dtype: str, shape: tuple[int, ...], premises: Premises = PREMISES) -> Within:
    """What a formula's result, reshaped, must be in a storage format: its exact value and the bands of the machines.

    `rounded` is correctly rounded; where 1,200 bits do not decide (a value that is closer than that to the middle of
    two numbers), or 300 bits for 4,096 elements and more, it may be the other of the two. Raises KeyError for an
    unknown dtype.
    """
    machines = machines_for(dtype)
    answer: _Answer | None = None
    for carrier, bits in _carriers(machines.storage):
        if bits > _BITS and answer is not None and answer.rounded.size >= _FEW:
            break
        with np.errstate(all="ignore"), flint.ctx.workprec(bits):
            evaluation = Evaluation(carrier, machines.storage, machines.distinct, premises)
            answer = _answer(formula(evaluation), machines)
        if answer.is_settled:
            break
    assert answer is not None
    return _reshaped(answer, machines, shape)


def _carriers(storage: Format) -> Iterator[tuple[type[Carrier], int]]:
    if storage != FLOAT64:
        yield Plain, 53
    yield Twofold, 106
    yield Ball, _BITS
    yield Ball, _MANY_BITS


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """Rounded values, and the ends of bands by machine."""

    rounded: Array
    low: list[Array]
    high: list[Array]
    free: list[Array]
    informative: Array
    is_settled: bool


def _answer(z: Tracked, machines: Machines) -> _Answer:
    storage, shape = machines.storage, z.shape
    high, low, rest = z.value.parts()
    errors = np.zeros((len(machines.distinct) + 1, *shape)) if z.errors is None else z.errors
    errors = np.broadcast_to(errors, (len(errors), *shape)) * SAFETY
    radius = rest if z.evaluation.carrier.holds_radius else errors[0]
    rounded = nearest(high, low, storage)
    first, last = nearest(high, low - radius, storage), nearest(high, low + radius, storage)
    in_doubt = (first != last) & np.isfinite(high)
    unknown = ~np.isfinite(high) & z.evaluation.lost
    coarse = (radius > _FINE * errors[1:]) & (radius > 0) & np.isfinite(high)
    bits = np.zeros(1, int) if z.specials is None else z.specials[1:]
    free = np.isinf(errors[1:]) | (bits > 0) | unknown
    pairs = zip(errors[1:], machines.distinct, strict=True)
    ends = [_ends(high, low, error + radius, machine, storage) for error, machine in pairs]
    reach = np.maximum(np.abs(ends[0][1].astype(np.float64) - high), np.abs(high - ends[0][0].astype(np.float64)))
    informative = ~free[0] & ((reach * LEAST_INFORMATIVE < np.abs(high)) | (errors[1] == 0) | ~np.isfinite(high))
    settled = not (in_doubt.any() or coarse.any() or unknown.any())
    return _Answer(rounded, [e[0] for e in ends], [e[1] for e in ends], list(free), informative, settled)


def _ends(high: Array, low: Array, bound: Array, machine: Machine, storage: Format) -> tuple[Array, Array]:
    """The smallest and the largest number that a machine may return."""
    bound = np.where(np.isfinite(high), bound, 0.0)
    bound = bound + (bound > 0) * (np.abs(low) + bound) * 2.0**-50
    if machine.format.t > storage.t:  # rounding keeps order
        return nearest(high, low - bound, storage), nearest(high, low + bound, storage)
    return inwards(high, low - bound, storage, 1), inwards(high, low + bound, storage, -1)


def _reshaped(answer: _Answer, machines: Machines, shape: tuple[int, ...]) -> Within:
    def flat(array: Any) -> Array:
        return np.broadcast_to(array, answer.rounded.shape).reshape(shape)

    bands = [
        Band.of(flat(low), flat(high), flat(free))
        for low, high, free in zip(answer.low, answer.high, answer.free, strict=True)
    ]
    own = bands[machines.distinct.index(machines.own)]
    return Within(flat(answer.rounded), bands[0], own, bands[1], flat(answer.informative))
