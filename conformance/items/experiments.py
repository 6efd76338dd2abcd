"""Cases that several calls decide: relations between results (REL) and freedom from side effects (PURE).

An experiment runs what it needs through the executor and says what it found; like any case it yields one judgement.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...adapters.base import FEATURES, Capabilities, Subject, on_cpu
from ...adapters.execution import declined, execute
from ...specs import losses
from ...specs.call import Array, Call, Outcome, Raised, Returned, Unsupported
from ...specs.case import Case, Status
from ...specs.layouts import extent, lay
from ...specs.loss import Loss
from ...specs.relations import Comparison
from ...specs.rules import Aspect
from ..judging.judge import Judgement, Traits, judge, with_aspects

PASS, FAIL, OPEN = Status.PASS, Status.FAIL, Status.UNINFORMATIVE
THREADS, CALLS, THREAD_SECONDS = 8, 200, 10.0
# What a subject must have for an experiment to mean anything.
_NEEDS = {"PURE-1": "mutable arrays", "PURE-2": "mutable arrays", "REL-8": "siblings"}


@dataclass(frozen=True)
class Setup:
    """What an experiment works with: how to run a call, the subject itself, and its framework's other subjects.

    A call may take so many seconds. `calls` is how many each thread makes under PURE-5, at most. `asks` tells which
    calls are in the domain that is asked for.
    """

    run: Callable[[Call], Outcome]
    subject: Subject
    siblings: Sequence[Subject]
    traits: Traits
    seconds: float = math.inf
    calls: int = CALLS
    asks: Callable[[Call], bool] = lambda call: True

    def ask(self, call: Call) -> Outcome:
        """What comes of a call, all calls of experiments being legal; raises OutOfDomain for one that is not asked."""
        if not self.asks(call):
            raise OutOfDomain
        return declined(self.subject, self.run(call))


@dataclass(frozen=True)
class Found:
    """What came out: the aspect that was decided, its status, and a sentence for people."""

    aspects: Mapping[Aspect, Status]
    said: str = ""


class OutOfDomain(Exception):
    """An experiment makes a call that is not asked for: it is not performed."""


class Halted(Exception):
    """A call of an experiment did not return a value of the right shape and dtype."""

    def __init__(self, outcome: Outcome, symptom: str) -> None:
        super().__init__(symptom)
        self.outcome, self.symptom = outcome, symptom


def missing(experiment: str, can: Capabilities) -> str:
    """What a subject says of its being without what an experiment needs; empty if it is not."""
    needed = _NEEDS.get(experiment, "")
    return f"{needed}: {can.without[needed]}" if needed in can.without else ""


def run(case: Case, setup: Setup) -> tuple[Outcome, Judgement]:
    """Perform the experiment of a case; raises OutOfDomain where that takes calls that are not asked for."""
    needed = _NEEDS.get(case.experiment, "")
    can = setup.subject.capabilities
    reason = can.refuses(case.call) or missing(case.experiment, can)
    if reason or (needed == "siblings" and not setup.siblings):
        outcome: Outcome = Unsupported(reason or f"{needed}: {FEATURES[needed]} is not there")
        return outcome, judge(case, outcome, setup.traits)
    try:
        outcome, found = _EXPERIMENTS.get(case.experiment, _relation)(case, setup)
    except Halted as halted:
        if halted.symptom == "raised":
            return halted.outcome, judge(case, halted.outcome, setup.traits)
        aspects = dict.fromkeys(map(Aspect, case.rules.clauses[case.experiment].judges), FAIL)
        return halted.outcome, with_aspects(case, aspects, halted.symptom)
    symptom = next((aspect.value for aspect, status in found.aspects.items() if status is FAIL), "")
    judgement = with_aspects(case, found.aspects, symptom)
    undecided = judgement.status is PASS and OPEN in found.aspects.values()
    return outcome, dataclasses.replace(judgement, said=found.said, status=OPEN if undecided else judgement.status)


def _value(outcome: Outcome, call: Call) -> Array:
    """What a call returned; raises Halted unless it has the shape and dtype that are due."""
    if not isinstance(outcome, Returned):
        raise Halted(outcome, "raised")
    if outcome.value.shape != (_loss(call).shape(call) if call.transform is None else call[call.wrt].shape):
        raise Halted(outcome, "shape")
    if outcome.value.dtype != next(iter(call.given.values())).dtype:
        raise Halted(outcome, "dtype")
    return outcome.value


# --- relations -------------------------------------------------------------------------------------------


def _relation(case: Case, setup: Setup) -> tuple[Outcome, Found]:
    """REL-1 to REL-7: the subject's own results fit together."""
    first: list[Outcome] = []

    def run(call: Call) -> Array:
        outcome = setup.ask(call)
        first.append(outcome)
        return _value(outcome, call).copy()

    found = _compared(_loss(case.call).relations[case.experiment](run, case.call, setup.traits.arithmetic))
    return (first[0] if first else setup.ask(case.call)), found


def _agreement(case: Case, setup: Setup) -> tuple[Outcome, Found]:
    """REL-8: the subject agrees with its siblings; what is wrong with one of those alone is booked on it."""
    outcome = setup.ask(case.call)
    own = _value(outcome, case.call)
    is_right = _is_right(judge(case, outcome, setup.traits))
    agreeing = _loss(case.call).agreeing
    comparisons: list[Comparison] = []
    for sibling in setup.siblings:
        theirs = _of_sibling(sibling, case, setup.traits, only_right=is_right)
        if theirs is not None:
            comparisons += agreeing(lambda _: own, lambda _, value=theirs: value, case.call, setup.traits.arithmetic)
    return outcome, _compared(comparisons)


def _of_sibling(sibling: Subject, case: Case, traits: Traits, *, only_right: bool) -> Array | None:
    """What a sibling makes of a call; None where it does not take it, or fails alone, as its own calls tell of it."""
    if sibling.capabilities.tier < case.tier:
        return None
    outcome, _ = execute(sibling, case.call)
    judgement = judge(case, outcome, dataclasses.replace(traits, traced=sibling.capabilities.traced))
    # Without aspects it is no result, or none of the shape and dtype that are due.
    if not isinstance(outcome, Returned) or not judgement.aspects or only_right and not _is_right(judgement):
        return None
    return outcome.value


def _is_right(judgement: Judgement) -> bool:
    return judgement.aspects.get(Aspect.ACCURACY, FAIL) is not FAIL


def _compared(comparisons: Iterable[Comparison]) -> Found:
    """What comparisons come to: `value` says whether own precision explains what the required bound does not."""
    comparisons = list(comparisons)
    failed = [one for one in comparisons if one.fails]
    if not failed:
        judged = any(not one.is_open for one in comparisons)
        return Found({Aspect.RELATION: PASS if judged else OPEN, Aspect.ACCURACY: PASS if judged else OPEN})
    worse = any(one.fails_in_own_precision for one in failed)
    decided = all(one.own is not None for one in failed)
    semantic = FAIL if worse else PASS if decided else OPEN
    return Found(
        {Aspect.RELATION: FAIL, Aspect.VALUE: semantic, Aspect.COARSE: FAIL if worse else PASS}, _in_words(failed[0])
    )


def _in_words(comparison: Comparison) -> str:
    if comparison.difference is None:
        return f"{comparison.what}: it does not"
    allowed = float(comparison.required or 0)
    return f"{comparison.what}: apart by {float(comparison.difference):.3g}, allowed {allowed:.3g}"


# --- side effects ----------------------------------------------------------------------------------------


def _arguments(case: Case, setup: Setup) -> tuple[Outcome, Found]:
    """PURE-1: the arguments' bytes, and those around them, are what they were."""
    call = _guarded(case.call)
    before = {name: extent(array).copy() for name, array in call.arrays()}
    outcome = setup.ask(call)
    _value(outcome, call)
    changed = [name for name, array in call.arrays() if (extent(array) != before[name]).any()]
    said = f"{', '.join(changed)} or what lies beside it was written to" if changed else ""
    return outcome, Found({Aspect.ARGUMENTS: FAIL if changed else PASS}, said)


def _aliases(case: Case, setup: Setup) -> tuple[Outcome, Found]:
    """PURE-2: a result shares no memory with an argument or with the result before."""
    call = _guarded(case.call)
    first, second = setup.ask(call), setup.ask(call)
    results = [_value(first, call), _value(second, call)]
    shared = [name for name, array in call.arrays() for one in results if np.shares_memory(one, extent(array))]
    shared += ["the earlier result"] * bool(np.shares_memory(results[0], results[1]))
    said = f"the result shares memory with {', '.join(dict.fromkeys(shared))}" if shared else ""
    return first, Found({Aspect.ALIASES: FAIL if shared else PASS}, said)


def _state(case: Case, setup: Setup) -> tuple[Outcome, Found]:
    """PURE-3: other calls in between change nothing, nothing is kept of them, and no global generator is drawn from."""
    call = _of_a_new_shape(case.call) if setup.subject.capabilities.tier == 3 else case.call
    other = _loss(call).varied(call)
    calls = (other, call, call, other)  # each of the two comes after itself and after the other
    for draw in (np.random.random, random.random):  # a state that no seed leads to
        draw()
    generators = _generators(setup.subject)
    outcomes: list[Outcome] = []
    bits: list[bytes] = []
    for call in calls:
        outcomes.append(setup.ask(call))
        bits.append(_value(outcomes[-1], call).tobytes())  # now: a reused buffer holds the last result later
    said = "" if bits[:2] == bits[:1:-1] else "a call in between, with other weights, changed the result"
    wrong = [_is_wrong(call, outcome, setup.traits) for call, outcome in zip(calls, outcomes, strict=True)]
    if not said and wrong[0] != wrong[1]:
        said = "right with some numbers, wrong with others: something is kept of an earlier call"
    if _generators(setup.subject) != generators:
        said = "a global random generator was drawn from"
    return setup.ask(call), Found({Aspect.STATE: FAIL if said else PASS}, said)


def _is_wrong(call: Call, outcome: Outcome, traits: Traits) -> bool:
    """Whether a result cannot be explained by the rounding of the format's own precision."""
    return judge(_loss(call).case_of(call, "purity", 3, "", ()), outcome, traits).aspects.get(Aspect.VALUE) is FAIL


def _repeatable(case: Case, setup: Setup) -> tuple[Outcome, Found]:
    """PURE-4: the same bits three times; on accelerators only recorded."""
    outcomes = [setup.ask(case.call) for _ in range(3)]
    same = len({_value(outcome, case.call).tobytes() for outcome in outcomes}) == 1
    differs = FAIL if on_cpu(setup.subject.device) else OPEN
    return outcomes[0], Found(
        {Aspect.REPEATABLE: PASS if same else differs}, "" if same else "the same call, other bits"
    )


def _threads(case: Case, setup: Setup) -> tuple[Outcome, Found]:
    """PURE-5: calls from several threads at once, as many as fit, give what they give one after another."""
    reductions = next((one.choices for one in case.call.signature.options if one.name == "reduction"), ())
    several = (case.call, _loss(case.call).varied(case.call))
    calls = [_under(r, call) for call in several for r in reductions] or [*several]
    calls = [call for call in calls if setup.asks(call)] or [*several]
    serial = [_value(setup.ask(call), call).tobytes() for call in calls]
    start, patience = time.monotonic(), min(THREAD_SECONDS, setup.seconds / 2)
    outcome = setup.ask(case.call)
    took = time.monotonic() - start
    if took * THREADS * 2 > patience:  # two calls each, one after another as under Python's lock
        return outcome, Found(
            {Aspect.THREADS: OPEN}, f"a call takes {took:.2g} s, too long for {THREADS} threads of many"
        )
    end = time.monotonic() + patience

    def work(thread: int) -> list[str]:
        found: list[str] = []
        for turn in range(setup.calls):
            number = (thread + turn) % len(calls)
            found.append(_difference(execute(setup.subject, calls[number])[0], serial[number]))
            if time.monotonic() > end:
                break
        return found

    # Not where each call asks a compiler whether it has compiled: torch.compile's own answer to that is a race.
    often = _switching_often() if setup.subject.capabilities.tier > 1 else contextlib.nullcontext()
    with ThreadPoolExecutor(THREADS) as pool, often:
        answers = [one for answers in pool.map(work, range(THREADS)) for one in answers]
    wrong = [one for one in answers if one]
    said = f"{len(wrong)} of {len(answers)} calls from {THREADS} threads: {wrong[0]}" if wrong else ""
    return outcome, Found({Aspect.THREADS: FAIL if wrong else PASS}, said)


@contextlib.contextmanager
def _switching_often() -> Iterator[None]:
    """Python changes threads after each few instructions, as if each had a core of its own."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _difference(outcome: Outcome, expected: bytes) -> str:
    match outcome:
        case Returned(value):
            return "" if value.tobytes() == expected else "another value"
        case Raised(kind, message):
            return f"{kind}: {message[:80]}"
        case _:
            return str(outcome)


def _guarded(call: Call) -> Call:
    """The call with its arguments inside larger buffers, so that what lies beside them is watched too."""
    call = call.laid([(name, "offset") for name in call.given])
    transform = call.transform
    if transform is None or transform.upstream is None:
        return call
    return call.replace(transform=dataclasses.replace(transform, upstream=lay(transform.upstream, "offset")))


def _under(reduction: str, call: Call) -> Call:
    """The call under another reduction, with an upstream gradient of the shape that this takes."""
    other = call.replace(reduction=reduction)
    if other.transform is None:
        return other
    upstream = np.full(_loss(other).shape(other), 2, call[call.wrt].dtype)
    return other.replace(transform=dataclasses.replace(other.transform, upstream=upstream))


_EXTRA = itertools.count(40)


def _of_a_new_shape(call: Call) -> Call:
    """The call with more samples and classes than any before: what is kept by shape is then kept of this one first."""
    extra, axes = next(_EXTRA), _loss(call).axes(call)

    def grown(name: str, array: Array) -> Array:
        for axis in (number for number, one in enumerate(axes[name]) if one in ("N", "C")):
            more = np.take(array, np.arange(extra) % array.shape[axis], axis)
            array = np.concatenate([array, more], axis)
        return array

    arrays: dict[str, Any] = {name: grown(name, array) for name, array in call.given.items()}
    transform = call.transform
    if transform is not None:
        asked = {name: grown(name, array) for name, array in transform.arrays()}
        transform = dataclasses.replace(transform, **asked)
    return call.replace(**arrays, transform=transform)


def _loss(call: Call) -> Loss:
    return losses.find(call.signature.loss)


def _generators(subject: Subject) -> tuple[Any, ...]:
    """The state of every global random generator in reach."""
    own = getattr(subject, "random_state", None)
    numbers: Any = np.random.get_state()
    return random.getstate(), numbers[1].tobytes(), numbers[2], own() if own else b""


_EXPERIMENTS: Mapping[str, Callable[[Case, Setup], tuple[Outcome, Found]]] = {
    "PURE-1": _arguments,
    "PURE-2": _aliases,
    "PURE-3": _state,
    "PURE-4": _repeatable,
    "PURE-5": _threads,
    "REL-8": _agreement,
}
