"""Finds out whether a subject keeps subnormal numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ...adapters.base import Subject
from ...adapters.execution import declined, execute
from ...specs.call import Returned
from ...specs.case import Case, Exactly, Returns, Status, Within
from ...specs.domain import Domain
from ...specs.exact import round_to
from ...specs.loss import Loss
from ...specs.reductions import Arithmetic, Reduction
from ..judging.judge import Traits, judge


def probe(subject: Subject, dtype: str, loss: Loss) -> Traits:
    """Find out, by a loss's probes, whether a subject keeps subnormal numbers in one dtype: probed, never declared.

    It is asked for calls of its own domain only.
    """
    can = subject.capabilities
    flush = any(_flushes(subject, case) for case in _within(loss.probes.subnormal, can.domain, dtype, loss))
    flush = flush and _keeps_small_normals(subject, _within(loss.probes.smallest, can.domain, dtype, loss))
    return Traits(Arithmetic(flush=flush, per_term=can.per_term), can.traced)


def is_probed(domain: Domain, dtype: str, loss: Loss) -> bool:
    """Whether a domain leaves a call that could show that subnormal numbers are lost."""
    return any(True for _ in _within(loss.probes.subnormal, domain, dtype, loss))


def _within(cases: Callable[[str, Domain], Iterable[Case]], domain: Domain, dtype: str, loss: Loss) -> Iterator[Case]:
    return (case for case in cases(dtype, domain) if loss.is_within(domain, case.call))


def _keeps_small_normals(subject: Subject, cases: Iterable[Case]) -> bool:
    """Whether the smallest numbers that are not subnormal come back.

    Where they are lost too, the subject computes in a format of a smaller range, as float64 in float32: that is wrong,
    and no flushing.
    """
    outcomes = ((case, declined(subject, execute(subject, case.call)[0])) for case in cases)
    return all(judge(case, outcome, Traits()).status is not Status.FAIL for case, outcome in outcomes)


def _flushes(subject: Subject, case: Case) -> bool:
    """Whether an outcome is right only if flushing is allowed: 0 somewhere, and nowhere between 0 and what is due.

    There lies the mean of a function that divides by too large a number, which is simply wrong. Beyond what is due
    lies a difference of which one term was flushed: P g - g is -g.
    """
    outcome, _ = execute(subject, case.call)
    if not isinstance(case.expectation, Returns) or not isinstance(outcome, Returned):
        return False
    match case.expectation.value:
        case Exactly(due) | Within(rounded=due):
            pass
        case Reduction() as reduction:
            due = round_to(reduction.exact, reduction.fmt)
        case _:
            return False
    strict, lenient = (judge(case, outcome, Traits(Arithmetic(flush=flush))) for flush in (False, True))
    only_lenient = strict.status is Status.FAIL and lenient.status is not Status.FAIL
    lost = (outcome.value == 0) & (due != 0)
    return only_lenient and bool(lost.any() and (lost | (np.abs(outcome.value) >= np.abs(due))).all())
