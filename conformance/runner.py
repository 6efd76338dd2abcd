"""Runs one item: one family of cases on one subject in one dtype, from the corpus and by exploration."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..adapters.base import Subject, execute, on_cpu
from ..reports.records import Item, Record
from ..specs.accuracy import Arithmetic, Reduction
from ..specs.call import Call, Crashed, Outcome, Raised, Returned, Unsupported
from ..specs.case import Case, Elementwise, Raises, Returns, Status
from ..specs.errors import BridgeError, EngineError
from ..specs.exact import FORMATS, keeps_subnormals, round_to
from ..specs.nll_loss import generate, large
from ..specs.nll_loss.corpus import CORE, DRAWN, MADE, corpus, corpus_size
from ..specs.nll_loss.frozen import vector_cases
from ..specs.stopwatch import STOPWATCH, booked
from . import checks, experiments, explore, heartbeat
from .breadcrumb import Trail
from .isolation import Isolation
from .judge import Judgement, Traits, judge, with_aspects
from .ledger import NOTHING_KNOWN, Ledger, Resolved
from .notebook import Notebook

VECTORS = "vectors"  # the family of pinned cases


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run was asked for, as every worker has to know it."""

    profile: str
    seed: int
    strict: bool
    device: str
    heartbeat: bool = True
    explored: int | None = None  # None: what the profile says
    stop: bool = False  # at the first unexpected result, here or in another worker


@dataclass(frozen=True, slots=True)
class ItemSpec:
    """Names one item."""

    subject: str
    family: str
    dtype: str

    @property
    def id(self) -> str:
        """The item's name, as pytest shows it."""
        return f"{self.family}[{self.subject}-{self.dtype}]"


@dataclass
class Executor:
    """Executes calls of one subject in one dtype; the time spent inside it is booked to the framework."""

    subject: Subject
    traits: Traits
    isolation: Isolation
    trail: Trail
    siblings: Sequence[Subject] = ()
    ledger: Ledger = NOTHING_KNOWN
    compile_seconds: float = 0.0

    @booked("conversion")
    def __call__(self, call: Call) -> Outcome:
        """Run a call where it may run: in this process."""
        self.trail.rearm()
        before = self.subject.compilations()
        outcome, seconds = execute(self.subject, call)
        if isinstance(outcome, Crashed):  # whatever followed here would fail too: the breadcrumb tells of this call
            os._exit(1)
        STOPWATCH.reassign(seconds, "framework")
        if self.subject.compilations() != before:
            self.compile_seconds += seconds
        return outcome

    @property
    def bench(self) -> experiments.Bench:
        """What an experiment works with."""
        return experiments.Bench(self, self.subject, self.siblings, self.traits, self.trail.seconds)

    def runs(self, case: Case) -> Callable[[Call], Outcome]:
        """What runs the calls of a case: children where they may take the process down, else this process."""
        can = self.subject.capabilities
        isolate = can.isolate or not on_cpu(self.subject.device)  # a device assertion spoils the process for good
        if not (case.is_dangerous and isolate or self.is_deadly(case)) or can.refuses(case.call):
            return self
        due = Raised if isinstance(case.expectation, Raises) else Returned

        @booked("framework")
        def isolated(call: Call) -> Outcome:
            self.trail.pause()  # the children have a time limit of their own
            return self.isolation.run(self.subject, call, due)

        return isolated

    def perform(self, case: Case) -> tuple[Outcome, Judgement]:
        """Perform the experiment of a case where it may be performed."""
        if not self.is_deadly(case):
            return experiments.run(case, self.bench)
        self.trail.pause()
        return booked("framework")(self.isolation.perform)(case, self.bench)

    def is_deadly(self, case: Case) -> bool:
        """Whether a known divergence says that this case takes its process down, or does not come back."""
        return any(row.selects(case.facts) for row in self.ledger.deadly)


def planned_cases(
    spec: ItemSpec, plan: Plan, subject: Subject, ledger: Ledger = NOTHING_KNOWN
) -> tuple[Iterable[Case], int]:
    """The corpus of one item, what of the family's cases is meant for a subject of this cost, and its size."""
    tier = subject.capabilities.tier
    if spec.family == "layout" and "strides" in subject.capabilities.without:
        tier = 1  # a few calls show the reason as well as thousands
    if spec.family == VECTORS:
        known = (*vector_cases(spec.dtype), *ledger.vector_cases(spec.dtype))
        vectors = [case for case in known if case.tier <= tier]
        return vectors, len(vectors)
    if spec.family == large.FAMILY:
        return large.large_cases(spec.dtype, plan.seed, tier), large.large_size(spec.dtype, tier)
    cases = corpus(spec.family, spec.dtype, plan.profile, plan.seed, tier)
    if spec.family in MADE:  # few, and not to be counted but by making them
        made = list(cases)
        return made, len(made)
    return cases, corpus_size(spec.family, spec.dtype, plan.profile, tier)


def run_item(
    spec: ItemSpec,
    plan: Plan,
    subject: Subject,
    traits: Traits,
    ledger: Ledger,
    trail: Trail,
    isolation: Isolation,
    siblings: Sequence[Subject] = (),
) -> tuple[list[Record], str]:
    """Run an item; returns its records, and the first unexpected result in words (empty when there is none).

    `siblings` are the framework's other subjects in this process, for comparisons between them.

    Raises EngineError when subnormal numbers are flushed in this thread.
    """
    if not keeps_subnormals():
        raise EngineError(
            f"{spec.id}: subnormal numbers are flushed to zero in this thread, so no exact answer can be trusted; "
            "something in this process switched flush-to-zero on: run the backends in separate processes"
        )
    work = Work(spec, plan, Executor(subject, traits, isolation, trail, siblings, ledger), ledger, trail)
    start, compiled = time.perf_counter(), subject.compilations()
    STOPWATCH.start()
    cases, planned = planned_cases(spec, plan, subject, ledger)
    with trail.item(spec.id, planned):
        for case in cases:
            work.do(case)
            if trail.is_stopped or plan.stop and work.notebook.unexpected:
                work.notebook.statuses[Status.NOT_RUN.value] = planned - work.drawn
                work.drawn = planned
                break
        else:
            if spec.family in DRAWN and spec.dtype in subject.capabilities.dtypes:
                explore.explore(work, spec.family, spec.dtype, plan, subject.capabilities.tier)
    split = STOPWATCH.read()
    item = Item(
        id=spec.id,
        subject=spec.subject,
        family=spec.family,
        dtype=spec.dtype,
        planned=work.drawn,
        statuses=dict(work.notebook.statuses),
        unexpected=work.notebook.unexpected,
        seconds=time.perf_counter() - start,
        framework_seconds=split["framework"],
        compilations=subject.compilations() - compiled,
        compile_seconds=work.executor.compile_seconds,
        heartbeats=work.beats,
        problem=work.problem(),
        split=split,
    )
    return [item, *work.notebook.records()], work.notebook.first_unexpected


class Work:
    """One item under way."""

    def __init__(self, spec: ItemSpec, plan: Plan, executor: Executor, ledger: Ledger, trail: Trail) -> None:
        self.spec, self.plan, self.executor, self.ledger, self.trail = spec, plan, executor, ledger, trail
        self.notebook = Notebook(spec.subject, spec.family, spec.dtype)
        self.drawn = 0
        self.beats = 0
        self._felt: set[str] = set()
        self._blind = ""

    def do(self, case: Case) -> bool:
        """Run, judge and note a case; returns whether it came out as expected."""
        return self.record(case, *self.try_out(case))

    @booked("judging")
    def try_out(self, case: Case) -> tuple[Outcome, Judgement] | tuple[None, str]:
        """Run and judge a case without noting it; (None, reason) when our bridge failed."""
        self.trail.drop(case)
        try:
            outcome, judgement = self.executor.perform(case) if case.experiment else self._ask(case)
        except BridgeError as error:
            return None, str(error)
        if isinstance(outcome, Unsupported):
            self.trail.forget()
        return outcome, judgement

    def _ask(self, case: Case) -> tuple[Outcome, Judgement]:
        """Run and judge a case that one call decides."""
        before = checks.snapshot(case.call) if isinstance(case.expectation, Raises) else None
        run = self.executor.runs(case)
        outcome = run(case.call)
        judgement = judge(case, outcome, self.executor.traits)
        judgement = self._look_again(case, outcome, judgement, before, run)
        if before is not None:
            checks.restore(before, case.call)
        return outcome, judgement

    @booked("noting")
    def record(self, case: Case, outcome: Outcome | None, judgement: Judgement | str) -> bool:
        """Note a case that was tried out; returns whether it came out as expected."""
        self.drawn += 1
        if outcome is None or isinstance(judgement, str):
            self.notebook.lose(case, str(judgement))
            self.trail.done[Status.ERROR.value] += 1
            return False
        resolved = self._resolve(case, judgement)
        self.trail.done[judgement.status.value] += 1
        if self.plan.heartbeat:
            self._beat(case, outcome, judgement)
        return self.notebook.enter(case, outcome, judgement, resolved)

    def is_expected(self, case: Case, outcome: Outcome | None, judgement: Judgement | str) -> bool:
        """Whether a case that was tried out came out as expected, without noting it."""
        if outcome is None or isinstance(judgement, str):
            return False
        return all(one.expected for one in self._resolve(case, judgement))

    def _resolve(self, case: Case, judgement: Judgement) -> tuple[Resolved, ...]:
        return self.ledger.resolve(case, judgement, self.plan.strict)

    def _look_again(
        self, case: Case, outcome: Outcome, judgement: Judgement, before: Any, run: checks.Run
    ) -> Judgement:
        """Decide the aspects that need another call or the arguments' bytes."""
        more = dict(checks.pattern(run, case, judgement, self.executor.traits))
        if judgement.status is Status.PASS:
            more |= checks.scaling(run, case, outcome, self.executor.traits)
        if before is not None and isinstance(outcome, Raised):
            more |= checks.unchanged(before, case.call)
        if not more or not judgement.aspects:  # a call that raised or crashed has failed every clause already
            return judgement
        if more.get("arguments") is Status.FAIL:
            case = dataclasses.replace(case, clauses=(*case.clauses, "ERR-9"))
        failed = next((aspect for aspect, status in more.items() if status is Status.FAIL), "")
        return with_aspects(
            case, {**judgement.aspects, **more}, failed or judgement.symptom, judgement.grade, judgement.where
        )

    @booked("judging")
    def _beat(self, case: Case, outcome: Outcome, judgement: Judgement) -> None:
        """Perturb the first suitable outcome of each kind, and remember when that is not judged FAIL."""
        if case.experiment and self.executor.is_deadly(case):  # its calls would have to run again, in this process
            return
        traits = self.executor.traits
        if isinstance(case.expectation, Raises) and isinstance(outcome, Raised):
            kind = "error"
            blind = ["a number"] if heartbeat.survives_an_error_case(case, self.spec.dtype, traits) else []
        else:
            kind = heartbeat.suits(case, outcome, judgement)
            blind = heartbeat.survivors(case, outcome, self.executor.bench) if kind and kind not in self._felt else []
        if not kind or kind in self._felt:
            return
        if blind:
            self._blind = f"{self.spec.id}: wrong outcomes ({', '.join(blind)}) pass for {case.call.describe()}"
        self._felt.add(kind)
        self.beats += 1 if kind == "error" else len(heartbeat.PERTURBATIONS)

    def problem(self) -> str:
        """What is wrong with the suite itself: it judged calls and never showed that it can fail."""
        passed, failed = (self.notebook.statuses[status.value] for status in (Status.PASS, Status.FAIL))
        if passed > 20 and not failed and not self._felt and self.spec.family != VECTORS:
            return f"{self.spec.id}: no heartbeat: {passed} calls passed and none was perturbed"
        return self._blind


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
    normal = np.ldexp(-float(FORMATS[dtype].smallest_normal), np.arange(small.input.size) % 4)
    call = dataclasses.replace(small, input=normal.astype(small.input.dtype).reshape(small.input.shape))
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
