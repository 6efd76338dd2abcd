"""Adds up how accurate one item's results were (ACC-6), rounding errors apart from what is no rounding.

A result that a known divergence explains is a rounding error if the row says that the format's own precision holds it
(the fallback `own_precision`). Any other explained result, and one that failed and is not explained, is a wrong number,
whatever its size: it is counted by itself, so that it is never taken for what an accumulator does.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...reports.records import UNEXPLAINED, Accuracy
from ...specs import losses
from ...specs.call import Call, Outcome, Returned
from ...specs.case import FAILED, Case, Exactly, Returns, Status, Verdict, Within
from ...specs.encoding import encode_call
from ...specs.exact import round_to
from ...specs.grades import Excess, Grade, Level
from ...specs.heights import proven_height
from ...specs.loss import LARGE
from ...specs.reductions import Arithmetic, Reduction
from ...specs.rules import Aspect
from ..judging.judge import Judgement
from ..judging.ledger import Resolved

DEPTH = "ACC-4"  # not a running sum


@dataclass
class _Entry:
    """Running accuracy of one reduction in one decade of size."""

    judged: int = 0
    uninformative: int = 0
    rounded: int = 0
    ulps: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    relative: float | None = None
    utilisation: float = 0.0
    height: int = 0
    worst: tuple[float, Call, str, str] | None = None
    deep: Excess | None = None


class Measured:
    """The accuracy of what one item's calls returned, in a subject's arithmetic."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self._entries: defaultdict[tuple[str, int, str], _Entry] = defaultdict(_Entry)

    def enter(self, case: Case, outcome: Outcome, judgement: Judgement, resolved: Sequence[Resolved]) -> None:
        """Measure a returned result of finite terms."""
        if not isinstance(case.expectation, Returns) or not isinstance(outcome, Returned) or case.experiment:
            return
        if case.call.transform is not None or case.family == LARGE or not judgement.aspects:
            return
        value, outside = case.expectation.value, _outside(judgement, resolved)
        if not isinstance(value, Reduction | Exactly | Within):
            return
        entry = self._entries[reduction_word(case.call), _decade(_positions(case.call)), outside]
        match value:
            case Reduction() if judgement.grade is not None:
                self._grade(entry, case, outcome, judgement.grade, value, is_rounding=not outside)
                if (
                    (excess := judgement.grade.excess)
                    and not outside
                    and Verdict(DEPTH, Status.FAIL) in judgement.verdicts
                ):
                    entry.deep = max(excess, entry.deep or excess, key=lambda one: one.error)
            case Reduction() if not outside:
                entry.uninformative += judgement.status is Status.UNINFORMATIVE
            case _:
                right = judgement.aspects.get(Aspect.ACCURACY) is Status.PASS
                entry.judged += 1
                entry.rounded += right
                entry.levels[str(Level.CORRECTLY_ROUNDED if right else Level.OUT)] += 1

    def records(self, whose: Mapping[str, str]) -> list[Accuracy]:
        """What was measured, as records of the item that these fields name."""
        return [_record(whose, *key, entry) for key, entry in sorted(self._entries.items())]

    def _grade(
        self, entry: _Entry, case: Case, outcome: Returned, grade: Grade, value: Reduction, *, is_rounding: bool
    ) -> None:
        if grade.within_required is None:
            entry.uninformative += 1
            return
        observed = float(outcome.value)
        entry.judged += 1
        entry.rounded += grade.level <= Level.CORRECTLY_ROUNDED
        entry.ulps[f"{grade.ulps:.2g}"] += 1
        entry.levels[str(grade.level)] += 1
        if math.isfinite(grade.relative):
            entry.relative = max(entry.relative or 0.0, grade.relative)
        if math.isfinite(grade.utilisation):
            entry.utilisation = max(entry.utilisation, grade.utilisation)
        if is_rounding and grade.within_own and grade.level > Level.CORRECTLY_ROUNDED:
            entry.height = proven_height(value, observed, self._arithmetic, entry.height)
        if entry.worst is None or grade.ulps > entry.worst[0]:
            entry.worst = (grade.ulps, case.call, repr(observed), repr(round_to(value.exact, value.fmt)))


def _outside(judgement: Judgement, resolved: Sequence[Resolved]) -> str:
    """The divergence that a result shows which is no rounding error, UNEXPLAINED, or "" for a rounding error."""
    failed = [one for one in resolved if one.verdict.status in FAILED]
    explained = [one for one in failed if one.expected and one.divergence]
    for one in explained:
        if not one.rounding:
            return str(one.divergence)
    if judgement.aspects.get(Aspect.VALUE) is Status.FAIL:
        return UNEXPLAINED
    # Within the format's own precision: perhaps a short accumulator, perhaps a fault that is no larger than its errors.
    return UNEXPLAINED if judgement.aspects.get(Aspect.ACCURACY) is Status.FAIL and not explained else ""


def _record(whose: Mapping[str, str], reduction: str, decade: int, outside: str, entry: _Entry) -> Accuracy:
    worst_ulps, call, observed, exact = entry.worst or (0.0, None, "", "")
    return Accuracy(
        **whose,
        reduction=reduction,
        decade=decade,
        outside=outside,
        judged=entry.judged,
        uninformative=entry.uninformative,
        correctly_rounded=entry.rounded,
        ulps=dict(entry.ulps),
        levels=dict(entry.levels),
        worst_ulps=worst_ulps,
        worst_relative=entry.relative,
        worst_utilisation=entry.utilisation,
        worst_depth=entry.height,
        worst_call=None if call is None else encode_call(call),
        worst_observed=observed,
        worst_exact=exact,
        deep=entry.deep,
    )


def reduction_word(call: Call) -> str:
    """The word for how a call's losses become one, "" where its loss does nothing of that kind."""
    return str(call.options.get("reduction", ""))


def _positions(call: Call) -> int:
    """How many losses a call has before they become one."""
    apart = call.replace(reduction="none") if "reduction" in call.options else call
    return math.prod(losses.find(call.signature.loss).shape(apart))


def _decade(size: int) -> int:
    return len(str(max(size, 1))) - 1
