"""One pass over a formula, and the numbers in it: exact values with what machines may make of them.

A tracked number holds, element by element: the exact value, in a carrier; for each machine a bound on |what an honest
implementation computes there - the exact value|; and the special values that it may compute instead, by overflow.
Machine 0 is ourselves: its bound is the radius of the exact value, because evaluating the formula here is one more
honest evaluation of it. `rules.md` beside this module has the rules and their proofs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..call import Array
from ..exact import Format
from .carrier import Carrier
from .machines import Machine
from .premises import PREMISES, Premises

POSITIVE, NEGATIVE, NOT_A_NUMBER = 1, 2, 4  # infinities and NaN that overflow may lead to, as bits
ANYTHING = POSITIVE | NEGATIVE | NOT_A_NUMBER
SAFETY = 1 + 2.0**-30  # bounds are computed in float64 from sizes, with some dozens of roundings
DOWNWARDS = 1 - 2.0**-40  # for what must not be rounded upwards

Pull = Callable[["Tracked"], "Tracked"]  # from the derivative by a result to that by an operand
Operands = tuple[tuple["Tracked", Pull], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Constants:
    """What is constant of each machine: columns that broadcast against bounds[machine, ...]."""

    roundoff: Array
    exp: Array  # relative error of exp
    expm1: Array
    exp_slope: Array  # what rounds the argument of exp, relatively
    log: Array  # relative error of log and log1p
    log_at_most: Array
    rescaling: Array  # logarithm of the factor by which one rescaling may be off
    product_loss: Array  # what a product or a quotient may lose to underflow
    vanishing: Array  # what exp may lose to it
    flushed: Array  # what any result may lose to it
    narrows: Array  # whether the storage format is narrower
    bits: Array
    lowest: Array  # the exponent of the smallest number that is exact
    largest: Array


@functools.lru_cache(maxsize=256)
def _constants(
    carrier: type[Carrier], storage: Format, machines: tuple[Machine, ...], premises: Premises, rank: int
) -> Constants:
    def column(own: float, of: Callable[[Machine], float]) -> Array:
        return np.array([own] + [of(machine) for machine in machines]).reshape(-1, *(1,) * rank)

    def subnormal(machine: Machine) -> float:
        fmt = machine.format
        if machine.flush:
            return math.ldexp(1.0, fmt.emin)
        return math.ldexp(0.5, fmt.emin - fmt.t + 1) or 2.0**-1074  # float64 has no mu/2 for its own mu

    return Constants(
        column(carrier.roundoff, lambda m: m.format.u),
        column(carrier.exp_error, lambda m: 2 * premises.exp_ulp * m.format.u),
        column(carrier.expm1_error, lambda m: 2 * premises.exp_ulp * m.format.u),
        column(0.0, lambda m: math.expm1(premises.exp_roundings * math.log1p(m.format.u))),
        column(carrier.log_error, lambda m: 2 * premises.log_ulp * m.format.u),
        column(carrier.log_at_most, lambda m: math.inf),
        column(0.0, lambda m: math.log1p(2 * premises.exp_ulp * m.format.u) + math.log1p(m.format.u)),
        column(carrier.product_loss, subnormal),
        column(carrier.vanishing, lambda m: math.ldexp(1.0, m.format.emin)),
        column(0.0, lambda m: math.ldexp(1.0, m.format.emin) * m.flush),
        column(False, lambda m: m.format.t > storage.t),
        column(53, lambda m: m.format.t),
        column(-1074, lambda m: m.format.emin - (0 if m.flush else m.format.t - 1)),
        column(math.inf, lambda m: float(m.format.largest)),
    )


class Evaluation:
    """A pass over a formula with one carrier, for machines that compute results in one storage format.

    All arrays of an evaluation have the rank of the first. `lost` tells that the carrier left its range somewhere, so
    that another one has to be asked.
    """

    def __init__(
        self, carrier: type[Carrier], storage: Format, machines: Sequence[Machine], premises: Premises = PREMISES
    ) -> None:
        self.carrier, self.storage, self.machines, self.premises = carrier, storage, tuple(machines), premises
        self.lost, self.rank = False, -1
        self._made: dict[Hashable, Tracked] = {}
        self.flushes = any(machine.flush for machine in machines)
        self.half_stored = any(machine.format.t > storage.t for machine in machines)
        self.safe = min(float(machine.format.largest) for machine in machines) / 4
        self._smallest_normal = math.ldexp(1.0, storage.emin)

    @property
    def constants(self) -> Constants:
        """The machines' constants; raises ValueError before the first number gave a rank."""
        if self.rank < 0:
            raise ValueError("an evaluation begins with a number, whose rank all its arrays have")
        return self._constants

    def once(self, name: Hashable, make: Callable[[], Tracked]) -> Tracked:
        """What several formulas have in common, made when the first one asks for it."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = make()
        return made

    def number(self, array: Any) -> Tracked:
        """Stored values, exact; a flushing machine may read subnormal ones as zeros.

        Raises ValueError for an array of another rank than those before.
        """
        array = np.asarray(array)
        if self.rank < 0:
            self.rank = array.ndim
            self._constants = _constants(self.carrier, self.storage, self.machines, self.premises, self.rank)
        elif array.ndim != self.rank:
            raise ValueError(f"arrays of one evaluation have one rank: {self.rank}, not {array.ndim}")
        value = self.carrier.load(array)
        size, errors = value.size(), None
        if self.flushes:
            read_as_zero = (size < self._smallest_normal) & (size > 0)
            if read_as_zero.any():
                errors = np.where(read_as_zero & (self.constants.flushed > 0), size, 0.0)
        return Tracked(self, value, errors, size)

    def constant(self, number: float) -> Tracked:
        """A Python number, which a machine rounds to its own format first."""
        number = float(number)
        one = np.full((1,) * self.rank, number) if self.rank >= 0 else np.full((), number)
        rounds = [False, *(_is_rounded(number, machine.format.t) for machine in self.machines)]
        errors = None
        if any(rounds):
            errors = self.constants.roundoff * abs(number) * np.reshape(rounds, (-1, *(1,) * self.rank))
        return Tracked(self, self.carrier.load(one), errors, np.abs(one))

    def result(
        self,
        value: Any,
        errors: Array | None,
        own: Array,
        specials: Array | None,
        given: Callable[[], Array],
        *,
        most: Array | None = None,
        loss: Array | None = None,
        pole: Array | bool = False,
        spread: Array | None = None,
    ) -> Tracked:
        """What an operation gives, of its exact value and the errors that its operands brought.

        `own` is its own error relative to all that may be there, `most` a limit of that, `loss` what it loses to
        underflow, `given` where its operands are finite, `pole` where it is not though they are, `spread` the sum of
        sizes where it is a sum.
        """
        size = value.size()
        reach = size if errors is None else size + errors
        made: Array = own * reach if most is None else np.minimum(own * reach, most)
        bounds = made if errors is None else made + errors
        if loss is not None:
            bounds = bounds + loss
        if self.flushes:
            bounds = bounds + self.constants.flushed
        top = reach if spread is None else spread + bounds
        if specials is not None or not top.max(initial=0.0) < self.safe:
            if errors is not None and np.any(pole):  # where a machine may not be exactly at the pole
                beside = np.isinf(errors) & pole
                specials = either_bits(specials, beside * ANYTHING) if beside.any() else specials
            bounds, specials = self._with_specials(value, bounds, specials, given, pole, spread)
        return Tracked(self, value, bounds, size + bounds[0], specials)

    def _with_specials(
        self,
        value: Any,
        errors: Array,
        specials: Array | None,
        given: Callable[[], Array],
        pole: Array | bool,
        spread: Array | None,
    ) -> tuple[Array, Array | None]:
        """Exact values that are not finite, and overflow on some machine.

        Positive and negative terms of a sum may overflow each by themselves.
        """
        real = value.real()
        finite = np.isfinite(real)
        beyond_float64 = np.zeros((), bool)
        if not finite.all():
            beyond_float64 = ~finite & given() & ~np.asarray(pole)
            self.lost |= bool(beyond_float64.any())
        errors = np.where(finite, np.where(np.isnan(errors), np.inf, errors), 0.0)
        spread = np.abs(real) if spread is None else spread
        largest = self.constants.largest
        above, below = (spread + real) / 2 + errors > largest, (spread - real) / 2 + errors > largest
        bits = finite * (above * POSITIVE | below * NEGATIVE)
        bits = bits | (beyond_float64 & ~np.isnan(real)) * np.where(real > 0, POSITIVE, NEGATIVE)
        return errors, either_bits(specials, bits) if specials is not None or bits.any() else None


def _finite(*operands: Tracked) -> Callable[[], Array]:
    return lambda: functools.reduce(np.logical_and, [operand.is_finite for operand in operands])


def _unsure_product(infinite: Tracked, other: Tracked) -> Array | None:
    """Infinity times what a machine may find to be 0, or of the other sign: NaN, or an infinity of either sign."""
    if other.errors is None:
        return None
    least = (other.size - 2 * other.radius) * DOWNWARDS
    unsure = np.isinf(infinite.value.real()) & (other.errors > 0) & (other.errors >= least)
    infinite.evaluation.lost |= bool(unsure[0].any())
    return unsure * ANYTHING


def _is_rounded(number: float, bits: int) -> bool:
    return math.isfinite(number) and math.ldexp(number, bits - math.frexp(number)[1]) % 1 != 0


def either_bits(a: Array | None, b: Array | None) -> Array | None:
    """What either of two operands may bring; infinities of both signs make NaN."""
    bits = a if b is None else b if a is None else a | b
    return None if bits is None else np.where(bits & 3 == 3, bits | NOT_A_NUMBER, bits)


def any_bits(specials: Array | None) -> Array | None:
    """Anything special where something special may come in."""
    return None if specials is None else np.where(specials > 0, ANYTHING, 0)


def beyond(errors: Array, low: Array) -> Array:
    """Errors, divided by what is at least `low`: without bound where that may be 0, unless there are none."""
    return np.where(low > 0, errors / np.where(low > 0, low, 1.0), np.where(errors == 0, 0.0, np.inf))


def added(a: Array | None, b: Array | None) -> Array | None:
    """The sum of two bounds, None being 0 on all machines."""
    return b if a is None else a if b is None else a + b


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Where a comparison holds, and on which machines it may come out otherwise."""

    truth: Array
    doubt: Array | None


class Tracked:
    """Numbers of a formula, elementwise.

    `value` is exact, `errors[machine, ...]` bounds what each machine is off by (None: by nothing), `size` is not less
    than |exact|, `specials[machine, ...]` says as bits what overflow may have led to (None: to nothing).
    `ways` are the ways in which the number was made, each of operands and of how derivatives come back to them.
    `is_exp` tells that it is e^x, a sum of which may be rescaled as it is made.
    """

    __slots__ = ("errors", "evaluation", "is_exp", "size", "specials", "value", "ways")
    __array_ufunc__ = None
    __hash__ = None  # pyright: ignore[reportAssignmentType] -- == compares elementwise

    def __init__(
        self,
        evaluation: Evaluation,
        value: Any,
        errors: Array | None,
        size: Array,
        specials: Array | None = None,
        ways: tuple[Operands, ...] = (),
    ) -> None:
        self.evaluation, self.value, self.errors, self.size = evaluation, value, errors, size
        self.specials, self.ways, self.is_exp = specials, ways, False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.value.shape

    @property
    def is_finite(self) -> Array:
        """Where the exact value is finite."""
        return np.isfinite(self.value.real())

    @property
    def radius(self) -> Array | float:
        """How far the value held here may be from the exact one."""
        return 0.0 if self.errors is None else self.errors[0]

    def made_of(self, *operands: tuple[Tracked, Pull]) -> Tracked:
        """Itself, its derivative coming back to these operands in these ways, and in no others from now on."""
        self.ways = (operands,)
        return self

    def _pair(self, other: Any) -> Tracked:
        return other if isinstance(other, Tracked) else self.evaluation.constant(other)

    def __neg__(self) -> Tracked:
        bits = self.specials
        turned = None if bits is None else bits & NOT_A_NUMBER | (bits & POSITIVE) << 1 | (bits & NEGATIVE) >> 1
        return Tracked(self.evaluation, -self.value, self.errors, self.size, turned, (((self, lambda g: -g),),))

    def __add__(self, other: Any) -> Tracked:
        other = self._pair(other)
        errors, bits = added(self.errors, other.errors), either_bits(self.specials, other.specials)
        own = self.evaluation.constants.roundoff
        z = self.evaluation.result(self.value + other.value, errors, own, bits, _finite(self, other))
        return z.made_of((self, lambda g: g), (other, lambda g: g))

    def __sub__(self, other: Any) -> Tracked:
        other = self._pair(other)
        turned = None if other.specials is None else (-other).specials
        errors, bits = added(self.errors, other.errors), either_bits(self.specials, turned)
        own = self.evaluation.constants.roundoff
        z = self.evaluation.result(self.value - other.value, errors, own, bits, _finite(self, other))
        return z.made_of((self, lambda g: g), (other, lambda g: -g))

    def __mul__(self, other: Any) -> Tracked:
        other, at = self._pair(other), self.evaluation.constants
        errors = None if self.errors is None else other.size * self.errors
        errors = added(errors, None if other.errors is None else self.size * other.errors)
        if self.errors is not None and other.errors is not None and errors is not None:
            errors = errors + self.errors * other.errors
        bits = any_bits(either_bits(self.specials, other.specials))
        value = self.value * other.value
        if not np.isfinite(value.real()).all():
            bits = either_bits(bits, either_bits(_unsure_product(self, other), _unsure_product(other, self)))
        z = self.evaluation.result(value, errors, at.roundoff, bits, _finite(self, other), loss=at.product_loss)
        return z.made_of((self, lambda g: g * other), (other, lambda g: g * self))

    def __truediv__(self, other: Any) -> Tracked:
        """By way of a reciprocal perhaps: two roundings."""
        other, at = self._pair(other), self.evaluation.constants
        value, zero = self.value / other.value, other.size == 0
        errors = self.errors
        if other.errors is not None:
            least = (other.size - 2 * other.radius) * DOWNWARDS  # of |other|, as `size` has the radius in it
            low = least - other.errors
            ratio = self.size / np.where(least > 0, least, np.nan)
            brought = np.where(other.errors > 0, ratio * other.errors, 0.0)
            errors = beyond(brought if errors is None else errors + brought, low)
        elif errors is not None:
            errors = beyond(errors, other.size * DOWNWARDS)
        bits = any_bits(either_bits(self.specials, other.specials))
        if errors is not None and zero.any():  # x/0 is infinite, if the sign of x is certain
            certain = self.size - 2 * self.radius > (0.0 if self.errors is None else self.errors)
            exactly = certain & zero if other.errors is None else certain & zero & (other.errors == 0)
            errors = np.where(exactly, 0.0, errors)
        own = at.roundoff * (2 + at.roundoff)
        z = self.evaluation.result(value, errors, own, bits, _finite(self, other), loss=at.product_loss, pole=zero)
        return z.made_of((self, lambda g: g / other), (other, lambda g: -(g * z) / other))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Tracked:
        return self._pair(other) - self

    def __rtruediv__(self, other: Any) -> Tracked:
        return self._pair(other) / self

    def __gt__(self, other: Any) -> Comparison:
        return self._compare(other, np.greater)

    def __ge__(self, other: Any) -> Comparison:
        return self._compare(other, np.greater_equal)

    def __lt__(self, other: Any) -> Comparison:
        return self._compare(other, np.less)

    def __le__(self, other: Any) -> Comparison:
        return self._compare(other, np.less_equal)

    def __eq__(self, other: Any) -> Comparison:  # pyright: ignore[reportIncompatibleMethodOverride] -- elementwise
        return self._compare(other, np.equal)

    def __ne__(self, other: Any) -> Comparison:  # pyright: ignore[reportIncompatibleMethodOverride] -- elementwise
        return self._compare(other, np.not_equal)

    def _compare(self, other: Any, relation: Callable[[Any, float], Array]) -> Comparison:
        """A machine decides otherwise only where its two numbers may lie in another order."""
        other = self._pair(other)
        a, b = self.value.real(), other.value.real()
        gap = np.where(a == b, (self.value - other.value).real(), a - b)
        gap = np.where(np.isnan(gap) & (a == b), 0.0, gap)  # equal infinities
        errors = added(self.errors, other.errors)
        doubt = None if errors is None else (np.abs(gap) <= errors + errors[:1]) & (errors > 0)
        special = either_bits(self.specials, other.specials)
        if special is not None:
            doubt = special > 0 if doubt is None else doubt | (special > 0)
        return Comparison(relation(gap, 0.0), doubt)
