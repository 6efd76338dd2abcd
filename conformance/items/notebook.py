"""Collects what one item's calls came to, and turns it into records."""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...reports.coverage import alike, without_numbers
from ...reports.records import Accuracy, Before, Finding, Observation, Record, Tally
from ...specs import losses
from ...specs.call import Call, Crashed, Outcome, Raised, Returned, TimedOut, Unsupported
from ...specs.case import Case, Exactly, Raises, Returns, Status, Unspecified, Verdict, Within
from ...specs.encoding import encode_call
from ...specs.exact import round_to
from ...specs.grades import Excess, Grade, Level
from ...specs.loss import LARGE
from ...specs.reductions import Reduction
from ...specs.rules import Aspect
from ..judging import explain
from ..judging.judge import Judgement
from ..judging.ledger import Resolved
from .spec import ItemSpec

# Findings kept of each kind (clauses, symptom, expected or not) in an item; tallies count them all.
_KEPT = 2
_REASONS, _LONGEST, _OTHER = 20, 200, "other reasons"  # of unsupported calls, as many and so long at most
_KEPT_UNEXPECTED = 5
DEPTH = "ACC-4"  # not a running sum
_UNREMARKABLE = (Status.PASS, Status.UNINFORMATIVE, Status.UNSUPPORTED)


@dataclass
class _Accuracy:
    """Running accuracy of one reduction in one decade of size."""

    judged: int = 0
    uninformative: int = 0
    rounded: int = 0
    ulps: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    utilisation: float = 0.0
    depth: int = 0
    worst: tuple[float, Call, str, str] | None = None
    deep: Excess | None = None


class Notebook:
    """What the calls of one item came to."""

    def __init__(self, spec: ItemSpec) -> None:
        self.spec = spec
        self.statuses: Counter[str] = Counter()
        self.unexpected = 0
        self.returned = 0
        self.declined: Counter[str] = Counter()  # unsupported calls by reason
        self.first_unexpected = ""
        self._resolved: Counter[tuple[Resolved, ...]] = Counter()
        self._findings: list[Finding] = []
        self._kept: Counter[tuple[Any, ...]] = Counter()
        self._accuracy: defaultdict[tuple[str, int], _Accuracy] = defaultdict(_Accuracy)
        self._observations: Counter[tuple[str, str]] = Counter()

    def enter(self, case: Case, outcome: Outcome, judgement: Judgement, resolved: tuple[Resolved, ...]) -> bool:
        """Note one judged call; returns whether everything about it was expected."""
        self.statuses[judgement.status.value] += 1
        self.returned += isinstance(outcome, Returned)
        if isinstance(outcome, Unsupported):
            self._decline(outcome.reason)
        self._resolved[resolved] += 1  # and taken apart in the end: many calls come out alike
        surprising, departed = _notable(resolved)
        self.unexpected += bool(surprising)
        self._find(case, outcome, judgement, surprising, expected=False)
        self._find(case, outcome, judgement, departed, expected=True)
        self._measure(case, outcome, judgement)
        self._observe(case, outcome)
        return not surprising

    def _decline(self, reason: str) -> None:
        """Count an unsupported call by its reason, numbers aside."""
        said = alike((reason.splitlines() or [""])[0][:_LONGEST], self.declined)
        self.declined[said if said in self.declined or len(self.declined) < _REASONS else _OTHER] += 1

    def lose(self, case: Case, message: str) -> None:
        """Note a call that our own bridge could not carry: ERROR, ours."""
        self.statuses[Status.ERROR.value] += 1
        self.unexpected += 1
        self._resolved[tuple(Resolved(Verdict(id, Status.ERROR), False, None) for id in case.clauses)] += 1
        self._keep(case, "error", case.clauses, Status.ERROR, False, None, (message, "", "", ""))

    def records(self) -> list[Record]:
        """Everything noted, as records."""
        counts: Counter[tuple[str, str, bool, str | None]] = Counter()
        for resolved, count in self._resolved.items():
            for (clause, status), expected, row, _ in resolved:
                counts[clause, status.value, expected, row] += count
        tallies: list[Record] = [
            Tally(**self.spec.who, clause=clause, status=status, expected=expected, divergence=row, count=count)
            for (clause, status, expected, row), count in sorted(counts.items(), key=repr)
        ]
        observations = [
            Observation(**self.spec.whose, clause=clause, what=what, count=count)
            for (clause, what), count in sorted(self._observations.items())
        ]
        accuracy = [self._accuracy_record(*key, entry) for key, entry in sorted(self._accuracy.items())]
        return [*tallies, *self._findings, *accuracy, *observations]

    def _find(
        self, case: Case, outcome: Outcome, judgement: Judgement, resolved: tuple[Resolved, ...], expected: bool
    ) -> None:
        if not resolved:
            return
        ids = tuple(one.verdict.clause for one in resolved)
        shown = next((one for one in resolved if one.divergence), resolved[0])
        row = shown.divergence
        status = resolved[0].verdict.status
        kind = (ids, judgement.symptom, expected, row)
        if self._kept[kind] >= (_KEPT if expected else _KEPT_UNEXPECTED):
            return
        self._kept[kind] += 1
        said = explain.because(judgement, outcome)
        if not expected and status is Status.PASS:
            said = explain.fixed(shown)
        words = (
            said,
            explain.observed(outcome, judgement),
            explain.exact(case, judgement),
            explain.distance(judgement, case, outcome),
        )
        before = explain.suspects(outcome.before) if isinstance(outcome, Crashed | TimedOut) else ()
        self._keep(case, judgement.symptom, ids, status, expected, row, words, before)

    def _keep(
        self,
        case: Case,
        symptom: str,
        ids: tuple[str, ...],
        status: Status,
        expected: bool,
        row: str | None,
        words: tuple[str, str, str, str],
        before: tuple[Before, ...] = (),
    ) -> None:
        said, observed, exact, distance = words
        finding = Finding.of(
            case.call,
            **self.spec.who,
            clauses=ids,
            flags=case.flags,
            status=status.value,
            expected=expected,
            divergence=row,
            because=said,
            observed=observed,
            exact=exact,
            distance=distance,
            origin=case.origin,
            before=before,
        )
        self._findings.append(finding)
        if not expected and not self.first_unexpected:
            self.first_unexpected = (
                f"{self.spec.subject} {', '.join(ids)}: {said} ({symptom})\n  call     {finding.summary}\n"
                f"  observed {observed}\n  exact    {exact}\n  distance {distance or '-'}\n"
                f"  origin   {case.origin}, digest {finding.digest}"
            )

    def _measure(self, case: Case, outcome: Outcome, judgement: Judgement) -> None:
        """Accuracy of a returned result of finite terms (ACC-6)."""
        if not isinstance(case.expectation, Returns) or not isinstance(outcome, Returned) or case.experiment:
            return
        if case.call.transform is not None or case.family == LARGE:
            return
        value = case.expectation.value
        entry = self._accuracy[_reduction(case.call), _decade(_positions(case.call))]
        match value:
            case Reduction() if judgement.grade is not None:
                self._measure_reduction(entry, case, outcome, judgement.grade, value)
                if (excess := judgement.grade.excess) and Verdict(DEPTH, Status.FAIL) in judgement.verdicts:
                    entry.deep = max(excess, entry.deep or excess, key=lambda one: one.error)
            case Exactly() | Within() if judgement.aspects:
                entry.judged += 1
                right = judgement.aspects.get(Aspect.ACCURACY) is Status.PASS
                entry.rounded += right
                entry.levels[str(Level.CORRECTLY_ROUNDED if right else Level.OUT)] += 1
            case Reduction():
                entry.uninformative += judgement.status is Status.UNINFORMATIVE

    def _measure_reduction(
        self, entry: _Accuracy, case: Case, outcome: Returned, grade: Grade, value: Reduction
    ) -> None:
        if grade.within_required is None:
            entry.uninformative += 1
            return
        entry.judged += 1
        entry.rounded += grade.level <= Level.CORRECTLY_ROUNDED
        entry.ulps[f"{grade.ulps:.2g}"] += 1
        entry.levels[str(grade.level)] += 1
        if math.isfinite(grade.utilisation):
            entry.utilisation = max(entry.utilisation, grade.utilisation)
        entry.depth = max(entry.depth, grade.depth)
        if entry.worst is None or grade.ulps > entry.worst[0]:
            rounded = round_to(value.exact, value.fmt)
            entry.worst = (grade.ulps, case.call, repr(float(outcome.value)), repr(rounded))

    def _accuracy_record(self, reduction: str, decade: int, entry: _Accuracy) -> Accuracy:
        worst_ulps, call, observed, exact = entry.worst or (0.0, None, "", "")
        return Accuracy(
            **self.spec.whose,
            reduction=reduction,
            decade=decade,
            judged=entry.judged,
            uninformative=entry.uninformative,
            correctly_rounded=entry.rounded,
            ulps=dict(entry.ulps),
            levels=dict(entry.levels),
            worst_ulps=worst_ulps,
            worst_utilisation=entry.utilisation,
            worst_depth=entry.depth,
            worst_call=None if call is None else encode_call(call),
            worst_observed=observed,
            worst_exact=exact,
            deep=entry.deep,
        )

    def _observe(self, case: Case, outcome: Outcome) -> None:
        """What happened under clauses that are recorded and never judged, as far as the loss has them."""
        match case.expectation, outcome:
            case Unspecified(clause), Returned(value):
                what = f"returns {value.reshape(-1)[:4].tolist()} of shape {list(value.shape)}"
                self._see(case, clause, f"{_reduction(case.call)} {what}")
            case Unspecified(clause), Raised(kind):
                self._see(case, clause, f"{_reduction(case.call)} raises {kind}")
            case Raises(categories), Raised(kind, message):
                first = message.strip().splitlines()[0][:120] if message.strip() else ""
                self._see(case, "ERR-10", f"{'+'.join(sorted(categories))}: {kind}: {without_numbers(first)}")
            case Returns(shape, _, _), Returned(value) if not shape and value.shape == () and value == 0:
                sign = "-0" if np.signbit(value) else "+0"
                self._see(case, "SPECIAL-4", f"{_reduction(case.call)} gives {sign}")

    def _see(self, case: Case, clause: str, what: str) -> None:
        if clause in case.rules.clauses:
            self._observations[clause, what.lstrip()] += 1  # a loss without reductions has no word in front


@functools.lru_cache(maxsize=1 << 12)
def _notable(resolved: tuple[Resolved, ...]) -> tuple[tuple[Resolved, ...], tuple[Resolved, ...]]:
    """What was not expected, and what was expected to depart from the specification."""
    surprising = tuple(one for one in resolved if not one.expected)
    departed = tuple(one for one in resolved if one.expected and one.verdict.status not in _UNREMARKABLE)
    return surprising, departed


def _reduction(call: Call) -> str:
    """The word for how a call's losses become one, "" where its loss does nothing of that kind."""
    return str(call.options.get("reduction", ""))


def _positions(call: Call) -> int:
    """How many losses a call has before they become one."""
    apart = call.replace(reduction="none") if "reduction" in call.options else call
    return math.prod(losses.find(call.signature.loss).shape(apart))


def _decade(size: int) -> int:
    return len(str(max(size, 1))) - 1
