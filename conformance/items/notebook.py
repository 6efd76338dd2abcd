"""Collects what one item's calls came to, and turns it into records."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np

from ...reports.coverage import alike, without_numbers
from ...reports.records import INSTEAD, Before, Finding, Observation, Record, Tally
from ...specs.call import Crashed, Outcome, Raised, Returned, TimedOut, Unsupported
from ...specs.case import Case, Raises, Returns, Status, Unspecified, Verdict
from ...specs.reductions import IEEE, Arithmetic
from ...specs.rules import Aspect
from ..judging import explain
from ..judging.judge import Judgement
from ..judging.ledger import Resolved
from .measured import Measured, reduction_word
from .spec import ItemSpec

# Findings kept of each kind (clauses, symptom, expected or not) in an item; tallies count them all.
_KEPT = 2
_REASONS, _LONGEST, _OTHER = 20, 200, "other reasons"  # of unsupported calls, as many and so long at most
_KEPT_UNEXPECTED = 5
_UNREMARKABLE = (Status.PASS, Status.UNINFORMATIVE, Status.UNSUPPORTED)


class Notebook:
    """What the calls of one item came to."""

    def __init__(self, spec: ItemSpec, arithmetic: Arithmetic = IEEE) -> None:
        self.spec = spec
        self.statuses: Counter[str] = Counter()
        self.unexpected = 0
        self.returned = 0
        self.declined: Counter[str] = Counter()  # unsupported calls by reason
        self.first_unexpected = ""
        self._resolved: Counter[tuple[Resolved, ...]] = Counter()
        self._findings: list[Finding] = []
        self._kept: Counter[tuple[Any, ...]] = Counter()
        self._measured = Measured(arithmetic)
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
        self._measured.enter(case, outcome, judgement, resolved)
        self._observe(case, outcome, judgement)
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
            for one in resolved:
                counts[one.verdict.clause, one.verdict.status.value, one.expected, one.divergence] += count
        tallies: list[Record] = [
            Tally(**self.spec.who, clause=clause, status=status, expected=expected, divergence=row, count=count)
            for (clause, status, expected, row), count in sorted(counts.items(), key=repr)
        ]
        observations = [
            Observation(**self.spec.whose, clause=clause, what=what, count=count)
            for (clause, what), count in sorted(self._observations.items())
        ]
        return [*tallies, *self._findings, *self._measured.records(self.spec.whose), *observations]

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
        said = explain.because(case, judgement, outcome)
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
            flags=(),
            status=status.value,
            expected=expected,
            divergence=row,
            because=said,
            observed=observed,
            exact=exact,
            distance=distance,
            symptom=symptom,
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

    def _observe(self, case: Case, outcome: Outcome, judgement: Judgement) -> None:
        """What happened under clauses that are recorded and never judged, as far as the loss has them.

        And under those that allow traced code to return NaN where an error is due.
        """
        match case.expectation, outcome:
            case Unspecified(clause), Returned(value):
                what = f"returns {value.reshape(-1)[:4].tolist()} of shape {list(value.shape)}"
                self._see(case, clause, f"{reduction_word(case.call)} {what}")
            case Unspecified(clause), Raised(kind):
                self._see(case, clause, f"{reduction_word(case.call)} raises {kind}")
            case Raises(categories), Raised(kind, message):
                first = message.strip().splitlines()[0][:120] if message.strip() else ""
                self._see(case, "ERR-10", f"{'+'.join(sorted(categories))}: {kind}: {without_numbers(first)}")
            case Raises(), Returned() if judgement.aspects.get(Aspect.RAISES) is Status.PASS:
                for id in case.clauses:
                    if Aspect.RAISES in case.rules.clauses[id].judges:
                        self._see(case, id, INSTEAD)
            case Returns(shape, _, _), Returned(value) if not shape and value.shape == () and value == 0:
                sign = "-0" if np.signbit(value) else "+0"
                self._see(case, "SPECIAL-4", f"{reduction_word(case.call)} gives {sign}")

    def _see(self, case: Case, clause: str, what: str) -> None:
        if clause in case.rules.clauses:
            self._observations[clause, what.lstrip()] += 1  # a loss without reductions has no word in front


@functools.lru_cache(maxsize=1 << 12)
def _notable(resolved: tuple[Resolved, ...]) -> tuple[tuple[Resolved, ...], tuple[Resolved, ...]]:
    """What was not expected, and what was expected to depart from the specification."""
    surprising = tuple(one for one in resolved if not one.expected)
    departed = tuple(one for one in resolved if one.expected and one.verdict.status not in _UNREMARKABLE)
    return surprising, departed
