"""From a formula to what a call must return: the exact answers, correctly rounded, and the bands of three machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import flint
import numpy as np

from ..bands import Band
from ..call import Array
from ..case import Within
from ..exact import FLOAT64, Format
from .ball import Ball
from .carrier import Carrier
from .evaluation import NEGATIVE, POSITIVE, SAFETY, Evaluation, Tracked
from .machines import Machines, machines_for
from .plain import Plain
from .premises import PREMISES, Premises
from .rounding import inwards, nearest
from .twofold import Twofold

Formula = Callable[[Evaluation], Tracked]

_FINE = 2.0**-20  # of a bound: what the exact value may be off by
_BITS, _MANY_BITS = 300, 1200  # of balls, which decide roundings
_MANY = 4096  # elements, of which balls are too slow to decide a mere rounding
LEAST_INFORMATIVE = 2  # a band that reaches half of the exact value says nothing


class Evaluations:
    """Evaluations of formulas about the same arrays, one with each carrier, for answers that share what is made.

    Formulas name what they share by `Evaluation.once`. Raises KeyError for an unknown dtype.
    """

    def __init__(self, dtype: str, premises: Premises = PREMISES) -> None:
        self.machines, self.premises = machines_for(dtype), premises
        self._by_carrier: dict[tuple[type[Carrier], int], Evaluation] = {}

    def of(self, carrier: type[Carrier], bits: int) -> Evaluation:
        """The evaluation with this carrier in so many bits."""
        if (carrier, bits) not in self._by_carrier:
            evaluation = Evaluation(carrier, self.machines.storage, self.machines.distinct, self.premises)
            self._by_carrier[carrier, bits] = evaluation
        return self._by_carrier[carrier, bits]


def within(formula: Formula, dtype: str, shape: tuple[int, ...], premises: Premises = PREMISES) -> Within:
    """What a formula's result, reshaped, must be in a storage format: its exact value and the bands of the machines.

    `rounded` is correctly rounded; where 1,200 bits do not decide (a value that is closer than that to the middle of
    two numbers), or 100 bits for 4,096 elements and more, it may be the other of the two. Raises KeyError for an
    unknown dtype.
    """
    return within_shared(formula, Evaluations(dtype, premises), shape)


def within_shared(formula: Formula, evaluations: Evaluations, shape: tuple[int, ...]) -> Within:
    """`within`, for one of several formulas that share evaluations."""
    machines = evaluations.machines
    answer: _Answer | None = None
    for carrier, bits in _carriers(machines.storage):
        with np.errstate(all="ignore"), flint.ctx.workprec(bits):
            answer = _answer(formula(evaluations.of(carrier, bits)), machines)
        if answer.is_fine and (answer.is_rounded or carrier is Twofold and answer.rounded.size >= _MANY):
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
    """Rounded values, and by machine the ends of bands and where they say nothing."""

    rounded: Array
    low: Array
    high: Array
    free: Array
    informative: Array
    is_fine: bool  # the exact values are known well beside the bounds
    is_rounded: bool  # and well enough to be rounded correctly


def _answer(z: Tracked, machines: Machines) -> _Answer:
    high, low, rest = z.value.parts()
    errors = np.zeros((len(machines.distinct) + 1, *z.shape)) if z.errors is None else z.errors * SAFETY
    errors = np.broadcast_to(errors, (len(errors), *z.shape))
    radius, errors = rest if z.evaluation.carrier.holds_radius else errors[0], errors[1:]
    finite = np.isfinite(high)
    rounded, in_doubt = _rounded(high, low, radius, machines.storage)
    bounds = np.where(finite, errors + radius, 0.0)
    free = np.isinf(errors)
    if z.specials is not None:  # an infinity that is due anyway excuses nothing else
        threshold = np.inf if machines.storage == FLOAT64 else float(machines.storage.overflow_threshold)
        is_due = np.abs(high) - bounds >= threshold
        free = free | (z.specials[1:] & ~np.where(is_due, np.where(high > 0, POSITIVE, NEGATIVE), 0) > 0)
    unknown = ~finite & z.evaluation.lost
    if unknown.any():
        free = free | unknown
    ends = _ends(high, low, bounds, machines)
    is_fine = (radius <= _FINE * errors).all() or not (finite & (radius > _FINE * errors)).any()
    strict = bounds[0] + (high - rounded if machines.required.format.t > machines.storage.t else 0.0)
    informative = (LEAST_INFORMATIVE * np.abs(strict) < np.abs(high)) | (errors[0] == 0) | ~finite
    return _Answer(rounded, *ends, free, informative & ~free[0], is_fine and not unknown.any(), not in_doubt.any())


def _rounded(high: Array, low: Array, radius: Array, storage: Format) -> tuple[Array, Array]:
    """The exact values rounded, and where their radius leaves that in doubt."""
    reach = radius * (1 + 2.0**-50)
    first, last = nearest(high, np.stack([low - reach, low + reach]), storage)
    in_doubt = (first != last) & np.isfinite(high)
    return nearest(high, low, storage) if in_doubt.any() else first, in_doubt


def _ends(high: Array, low: Array, bounds: Array, machines: Machines) -> tuple[Array, Array]:
    """The smallest and the largest numbers that machines may return, within these bounds of the exact value."""
    bounds = bounds + (bounds > 0) * ((np.abs(low) + bounds) * 2.0**-50)
    storage, down, up = machines.storage, low - bounds, low + bounds
    if machines.required.format == storage:
        return inwards(high, down, storage, 1), inwards(high, up, storage, -1)
    least, most = nearest(high, down, storage), nearest(high, up, storage)  # rounding keeps order
    least[-1], most[-1] = inwards(high, down[-1], storage, 1), inwards(high, up[-1], storage, -1)
    return least, most


def _reshaped(answer: _Answer, machines: Machines, shape: tuple[int, ...]) -> Within:
    def reshaped(array: Array) -> Array:
        return array.reshape(shape)

    ends = zip(answer.low, answer.high, answer.free, strict=True)
    required, flushing, *own = (Band.of(*map(reshaped, one)) for one in ends)
    return Within(
        reshaped(answer.rounded), required, own[0] if own else required, flushing, reshaped(answer.informative)
    )
