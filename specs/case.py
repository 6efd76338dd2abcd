"""What is expected of a call, and what was found: small frozen types that every floor above shares."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from .bands import Band
from .call import Array, Call
from .reductions import Reduction
from .rules import Aspect, Rules


class Status(enum.StrEnum):
    """How one clause, or one call, came out. ERROR is ours; UNINFORMATIVE is counted beside PASS, never in it."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    CRASH = "crash"
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"
    UNINFORMATIVE = "uninformative"
    NOT_RUN = "not_run"


FAILED = frozenset({Status.FAIL, Status.CRASH, Status.TIMEOUT})  # the implementation's own failures


@dataclass(frozen=True, slots=True, eq=False)
class Exactly:
    """`none`: each element is prescribed.

    `value` is the correctly rounded result, with the input's dtype and the target's shape. `loose` marks subnormal
    weighted products, where one representable number is free; `flushable` what a flushing subject may return as
    zero, and `flushable_nan` as NaN (0 * inf).
    """

    value: Array
    loose: Array
    flushable: Array
    flushable_nan: Array


@dataclass(frozen=True, slots=True)
class Limit:
    """`sum` or `mean` whose result is decided by IEEE 754 before any tolerance.

    Values are in {nan, inf, -inf, 0}; `allowed` for every subject, `flushed` also for a flushing one. `fragile`:
    finite terms among the others may overflow in the format's own precision, to an infinity of the other sign.
    """

    allowed: frozenset[str]
    flushed: frozenset[str] = frozenset()
    fragile: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Within:
    """Numbers that each have a tolerance of their own, as arrays of one shape and of the input's dtype.

    `rounded` is the correctly rounded value; `required` what the required accumulator allows, `own` what the format's
    own precision does, `flushing` what a flushing subject may do. Where an intermediate may overflow nothing is said.
    `informative`: the band is narrow enough for meeting it to mean anything. `zeros` say where exactly 0 is due, of
    either sign, whatever the bands say: masks that broadcast to the shape, by the aspect that decides it. NaN is right
    as well where `nan` says so. `careful` is narrower than `required`: where numbers should lie.
    """

    rounded: Array
    required: Band
    own: Band
    flushing: Band
    informative: Array
    zeros: Mapping[Aspect, Array] = dataclasses.field(default_factory=dict)
    nan: Array = dataclasses.field(default_factory=lambda: np.zeros((), bool))
    careful: Band | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """An array that is prescribed at a few entries and 0 elsewhere, as a derivative with respect to the whole input.

    `flat` holds the positions of those entries in C order and `entries` what must stand there, as 1-d arrays. A mask
    `ignored` that broadcasts to the array's shape says which of the others belong to what is ignored.
    """

    flat: Array
    entries: Exactly | Within
    ignored: Array


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Several answers along a leading axis, as a mapped function gives them."""

    parts: tuple[Exactly | Within | Reduction | Limit | Unjudgeable | Sparse, ...]


@dataclass(frozen=True, slots=True)
class Unjudgeable:
    """A legal call whose result depends on the order of summation; it still has to return something."""

    why: str


Prescribed = Exactly | Within | Reduction | Limit | Unjudgeable | Sparse | Stack


@dataclass(frozen=True, slots=True, eq=False)
class Returns:
    """The call must return this shape, and this dtype (the input's), with this value."""

    shape: tuple[int, ...]
    dtype: str
    value: Prescribed


@dataclass(frozen=True, slots=True, eq=False)
class Raises:
    """The call must raise, for any of these reasons (A-8).

    Categories are index, shape, dtype and value. Where the only fault is in the target's data, `poisoned` is what
    traced code, which cannot raise on data, may return instead: NaN at the bad positions (`sum` and `mean`: of the
    whole), and what is right elsewhere.
    """

    categories: frozenset[str]
    poisoned: Returns | None = None


@dataclass(frozen=True, slots=True)
class Unspecified:
    """The specification only asks to record what happens."""

    clause: str


Expectation = Returns | Raises | Unspecified


class NoFact(Exception):
    """A call does not have this fact, as one of a wrong shape selects nothing."""


class Facts(Protocol):
    """What can be said about a call in one number or word each, in its specification's own vocabulary."""

    def __getitem__(self, name: str) -> Any:
        """The fact called `name`; raises NoFact where this call has none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A call, what it is for, and what must come of it.

    `clauses` are the ids it exercises, of its loss's `rules`, `flags` the bug classes it aims at, `family` the
    generator that made it, `tier` the subjects it is meant for by cost of compilation (1: all, 2: cheap compilers, 3:
    none compiled). Where `experiment` names a clause, several calls made of this one decide it, and nothing else.
    """

    call: Call
    facts: Facts
    expectation: Expectation
    clauses: tuple[str, ...]
    flags: tuple[str, ...]
    family: str
    tier: int = 1
    origin: str = "corpus"
    experiment: str = ""
    rules: Rules = dataclasses.field(kw_only=True)

    def in_experiment(self, id: str) -> Case:
        """The case of an experiment that begins with this case's call."""
        return dataclasses.replace(self, clauses=(id,), flags=self.rules.flags_of((id,)), experiment=id)

    @property
    def is_dangerous(self) -> bool:
        """Whether its only fault is a target that does not exist: compiled code may die of that."""
        return isinstance(self.expectation, Raises) and self.expectation.poisoned is not None


class Verdict(NamedTuple):
    """What one call says about one clause."""

    clause: str
    status: Status
