"""Finds out whether a subject keeps subnormal numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ...adapters.base import Subject
from ...adapters.execution import execute
from ...specs.accuracy import Arithmetic, Reduction
from ...specs.call import Returned
from ...specs.case import Case, Elementwise, Returns, Status
from ...specs.exact import FORMATS, round_to
from ...specs.nll_loss import generate
from ...specs.nll_loss.corpus import CORE
from ..judging.judge import Traits, judge


def probe(subject: Subject, dtype: str) -> Traits:
    """Find out whether a subject keeps subnormal numbers in one dtype (DENORM): probed, never declared."""
    per_term = subject.capabilities.per_term
    flush = any(_flushes(subject, case) for case in _probes(dtype)) and _keeps_small_normals(subject, dtype)
    return Traits(Arithmetic(flush=flush, per_term=per_term), subject.capabilities.traced)


def _probes(dtype: str) -> Iterator[Case]:
    """Calls on subnormal numbers whose results need no rounding, in signatures that the corpus uses too."""
    plain, weighted = CORE
    for seed in range(3):
        structure = generate.Structure(plain, dtype, inputs="subnormal", mask="all_but_one", seed=seed)
        yield from generate.cases(structure, "special", tier=1, origin="probe")
        structure = generate.Structure(weighted, dtype, weights="dyadic", inputs="subnormal", mask="no", seed=seed)
        yield from generate.cases(dataclasses.replace(structure, reductions=("none",)), "special", 1, "probe")


def _keeps_small_normals(subject: Subject, dtype: str) -> bool:
    """Whether the smallest numbers that are not subnormal come back.

    Where they are lost too, the subject computes in a format of a smaller range, as float64 in float32: that is wrong,
    and no flushing.
    """
    small = generate.base(generate.Structure(CORE[0], dtype, inputs="subnormal", mask="no"), "special")
    normal = np.ldexp(-float(FORMATS[dtype].smallest_normal), np.arange(small["input"].size) % 4)
    call = small.replace(input=normal.astype(small["input"].dtype).reshape(small["input"].shape))
    cases = generate.judged_calls(call, ("none", "sum"), "special", 1, "probe")
    outcomes = ((case, execute(subject, case.call)[0]) for case in cases)
    return all(judge(case, outcome, Traits()).status is not Status.FAIL for case, outcome in outcomes)


def _flushes(subject: Subject, case: Case) -> bool:
    """Whether an outcome is right only if flushing is allowed, and 0 where it is not what is due.

    The mean of a function that divides by too large a number lies between 0 and what is due, and is simply wrong.
    """
    outcome, _ = execute(subject, case.call)
    if not isinstance(case.expectation, Returns) or not isinstance(outcome, Returned):
        return False
    match case.expectation.value:
        case Elementwise(due):
            pass
        case Reduction() as reduction:
            due = round_to(reduction.exact, reduction.fmt)
        case _:
            return False
    strict, lenient = (judge(case, outcome, Traits(Arithmetic(flush=flush))) for flush in (False, True))
    only_lenient = strict.status is Status.FAIL and lenient.status is not Status.FAIL
    return only_lenient and bool(((outcome.value == 0) | (outcome.value == due)).all())
