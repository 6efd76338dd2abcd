"""What is true of a loss without any framework: how it is called, its rules, and the cases that show them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .call import Call, Outcome, Signature
from .case import Case, Status
from .domain import EVERYTHING, Domain, used
from .grades import Grade
from .reductions import Arithmetic
from .relations import Comparison, Evaluate, Relation
from .rules import Aspect, Rules
from .speed import Speed

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

LARGE = "large"  # the profile of arrays that no other can afford, and its only family
PROFILES = ("quick", "ci", "nightly", LARGE)


def _nothing(kind: str) -> bool:
    """Lack no kind of Transform."""
    return False


@dataclass(frozen=True, slots=True)
class Draw:
    """What cases of a family are for: subjects of one tier, in one dtype; the same for the same seed.

    Calls outside of the `domain` are not asked for, nor are kinds of Transform (`Signature.kinds`) that it `lacks`: a
    family that does not make them saves the work of their exact answers. Whoever asks leaves out what is made all the
    same.
    """

    dtype: str
    profile: str
    seed: int
    tier: int
    domain: Domain = EVERYTHING
    lacks: Callable[[str], bool] = _nothing


@dataclass(frozen=True, slots=True)
class Exploration:
    """What Hypothesis draws and shrinks, and the cases that it makes of a draw."""

    drawn: SearchStrategy[Any]
    cases: Callable[[Any], Iterable[Case]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of cases: how they are made, and how many there are, if that can be told without making them.

    `explored` goes beyond them, and is None where the domain leaves nothing to draw. `profile` is the only one that has
    this family; without one all do, but those that have families of their own.
    """

    cases: Callable[[Draw], Iterable[Case]]
    size: Callable[[Draw], int] | None = None
    explored: Callable[[Draw], Exploration | None] | None = None
    profile: str = ""


class Looked(Protocol):
    """What was found when a case was judged."""

    @property
    def status(self) -> Status:
        """Of the whole call."""
        ...

    @property
    def aspects(self) -> Mapping[Aspect, Status]:
        """What was decided, empty for a call that raised or crashed."""
        ...

    @property
    def grade(self) -> Grade | None:
        """Of a reduction."""
        ...


@dataclass(frozen=True, slots=True)
class Retry:
    """How a second look runs other calls and judges what comes of them; the subject computes as `arithmetic` says."""

    run: Callable[[Call], Outcome]
    judge: Callable[[Case, Outcome], Looked]
    arithmetic: Arithmetic


# A second look at a case that was judged: the aspects that it decides.
SecondLook = Callable[[Case, Outcome, Looked, Retry], Mapping[Aspect, Status]]


@dataclass(frozen=True, slots=True)
class Probes:
    """Cases in one dtype and a domain by which is found out whether a subject flushes subnormal numbers to zero.

    The results of `subnormal` are subnormal and need no rounding, those of `smallest` are just above.
    """

    subnormal: Callable[[str, Domain], Iterable[Case]]
    smallest: Callable[[str, Domain], Iterable[Case]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Loss:
    """A loss: data and functions, without any framework.

    `facts` are all that a selector may name of a call, with their meanings. `case_of` makes the case of a call, for a
    family, a tier and an origin, with clauses beyond those that it exercises. `shape` is that of a call's value; `axes`
    names the axes of each of its arrays, N for samples, C for classes, others as the loss likes, and none of a call of
    shapes that do not fit. `varied` is a call of the same signature with other numbers, `simpler` are calls with less
    in them, as only this loss can tell. `relations` are experiments by clause, and `agreeing` tells, with another
    subject's results as the second function, whether two agree (REL-8). A loss without `speed` is not timed.
    `quantities` are facts that are numbers, by words for people: what a wrong result may be off by a ratio of.
    `used` names the arguments that a caller could not leave out of a call, for functions that do not take them all.
    """

    signature: Signature
    rules: Rules
    facts: Mapping[str, str]
    families: Mapping[str, Family]
    case_of: Callable[[Call, str, int, str, tuple[str, ...]], Case]
    shape: Callable[[Call], tuple[int, ...]]
    axes: Callable[[Call], Mapping[str, tuple[str, ...]]]
    varied: Callable[[Call], Call]
    simpler: Callable[[Call], Iterator[Call]]
    probes: Probes
    agreeing: Callable[[Evaluate, Evaluate, Call, Arithmetic], Iterator[Comparison]]
    relations: Mapping[str, Relation] = field(default_factory=dict)
    second_looks: tuple[SecondLook, ...] = ()
    speed: Speed | None = None
    quantities: Mapping[str, str] = field(default_factory=dict)
    used: Callable[[Call], Collection[str]] = used

    @property
    def name(self) -> str:
        """By what it is called everywhere."""
        return self.signature.loss

    def is_within(self, domain: Domain, call: Call) -> bool:
        """Whether a call is in a domain."""
        return domain.holds(call, self.used)

    def families_of(self, profile: str) -> Iterator[str]:
        """Names of the families that a profile has."""
        own = profile if profile in {family.profile for family in self.families.values()} else ""
        return (name for name, family in self.families.items() if family.profile == own)
