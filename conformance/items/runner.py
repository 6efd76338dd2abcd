"""Runs one item: one family of cases on one subject in one dtype, from the corpus and by exploration."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...adapters.base import Subject, on_cpu
from ...adapters.execution import declined, execute
from ...reports.records import Record
from ...specs.call import Call, Crashed, Outcome, Raised, Returned, Unsupported
from ...specs.case import Case, Raises, Status
from ...specs.errors import BridgeError, EngineError
from ...specs.exact import keeps_subnormals
from ...specs.loss import Retry
from ...specs.rules import Aspect
from ...specs.stopwatch import STOPWATCH, booked
from ..judging.judge import Judgement, Traits, judge, with_aspects
from ..judging.ledger import NOTHING_KNOWN, Ledger, Resolved
from . import checks, experiments, explore, heartbeat
from .breadcrumb import Trail
from .isolation import Isolation
from .notebook import Notebook
from .spec import VECTORS, ItemSpec, Request, planned_cases


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
    asks: Callable[[Call], bool] = lambda call: True  # whether a call is in the domain

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
    def setup(self) -> experiments.Setup:
        """What an experiment works with."""
        seconds = self.trail.seconds
        return experiments.Setup(self, self.subject, self.siblings, self.traits, seconds, asks=self.asks)

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
            return experiments.run(case, self.setup)
        self.trail.pause()
        return booked("framework")(self.isolation.perform)(case, self.setup)

    def is_deadly(self, case: Case) -> bool:
        """Whether a known divergence says that this case takes its process down, or does not come back."""
        return any(row.selects(case) for row in self.ledger.deadly)


def run_item(
    spec: ItemSpec,
    request: Request,
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
    work = Work(spec, request, Executor(subject, traits, isolation, trail, siblings, ledger))
    start, compiled = time.perf_counter(), subject.compilations()
    STOPWATCH.start()
    cases, planned = planned_cases(spec, request, subject, ledger)
    with trail.item(spec.id, planned):
        for case in cases:
            work.do(case)
            if work.is_stopped or request.stop and work.notebook.unexpected:
                work.notebook.statuses[Status.NOT_RUN.value] = planned - work.drawn - work.left_out
                work.drawn = planned - work.left_out
                break
        else:
            explore.explore(work, spec, request, subject.capabilities)
    split = STOPWATCH.read()
    item = spec.record(
        work.notebook.statuses,
        work.notebook.unexpected,
        planned=work.drawn,
        seconds=time.perf_counter() - start,
        framework_seconds=split["framework"],
        compilations=subject.compilations() - compiled,
        compile_seconds=work.executor.compile_seconds,
        heartbeats=work.beats,
        problem=work.problem(),
        split=split,
        returned=work.notebook.returned,
        declined=dict(work.notebook.declined.most_common()),
    )
    return [item, *work.notebook.records()], work.notebook.first_unexpected


class Work:
    """One item under way."""

    def __init__(self, spec: ItemSpec, request: Request, executor: Executor) -> None:
        self.spec, self.request, self.executor, self.trail = spec, request, executor, executor.trail
        executor.asks = functools.partial(spec.loss.is_within, request.domain)
        self.notebook = Notebook(spec, executor.traits.arithmetic)
        self._second_looks = spec.loss.second_looks
        self.drawn = 0
        self.left_out = 0
        self.beats = 0
        self._felt: set[str] = set()
        self._blind = ""

    @property
    def is_stopped(self) -> bool:
        """Whether the run was told to stop."""
        return self.trail.is_stopped

    def do(self, case: Case) -> bool:
        """Run, judge and note a case; returns whether it came out as expected.

        An experiment that leaves the domain is left out.
        """
        try:
            tried = self.try_out(case)
        except experiments.OutOfDomain:
            self.left_out += 1
            return True
        return self.record(case, *tried)

    @booked("judging")
    def try_out(self, case: Case) -> explore.Tried:
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
        if not isinstance(case.expectation, Raises):
            outcome = declined(self.executor.subject, outcome)
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
        if self.request.heartbeat:
            self._beat(case, outcome, judgement)
        return self.notebook.enter(case, outcome, judgement, resolved)

    def is_expected(self, case: Case, outcome: Outcome | None, judgement: Judgement | str) -> bool:
        """Whether a case that was tried out came out as expected, without noting it."""
        if outcome is None or isinstance(judgement, str):
            return False
        return all(one.expected for one in self._resolve(case, judgement))

    def _resolve(self, case: Case, judgement: Judgement) -> tuple[Resolved, ...]:
        return self.executor.ledger.resolve(case, judgement, self.request.strict)

    def _look_again(
        self, case: Case, outcome: Outcome, judgement: Judgement, before: Any, run: Callable[[Call], Outcome]
    ) -> Judgement:
        """Decide the aspects that need another call or the arguments' bytes."""
        traits = self.executor.traits
        retry = Retry(self._again(run), functools.partial(judge, traits=traits), traits.arithmetic)
        more: dict[Aspect, Status] = {}
        for look in self._second_looks:
            with contextlib.suppress(experiments.OutOfDomain):
                more |= look(case, outcome, judgement, retry)
        if before is not None and isinstance(outcome, Raised):
            more |= checks.unchanged(before, case.call)
        if not more or not judgement.aspects:  # a call that raised or crashed has failed every clause already
            return judgement
        if more.get(Aspect.ARGUMENTS) is Status.FAIL:
            case = dataclasses.replace(case, clauses=(*case.clauses, "ERR-9"))
        failed = next((aspect.value for aspect, status in more.items() if status is Status.FAIL), "")
        return with_aspects(
            case, {**judgement.aspects, **more}, failed or judgement.symptom, judgement.grade, judgement.where
        )

    def _again(self, run: Callable[[Call], Outcome]) -> Callable[[Call], Outcome]:
        """What runs the calls of second looks, all of them legal; it raises OutOfDomain for one that is not asked."""

        def again(call: Call) -> Outcome:
            if not self.executor.asks(call):
                raise experiments.OutOfDomain
            return declined(self.executor.subject, run(call))

        return again

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
            blind = heartbeat.survivors(case, outcome, self.executor.setup) if kind and kind not in self._felt else []
        if not kind or kind in self._felt:
            return
        if blind:
            self._blind = f"{self.spec.id}: wrong outcomes ({', '.join(blind)}) pass for {case.call.describe()}"
        self._felt.add(kind)
        self.beats += 1 if kind == "error" else len(heartbeat.PERTURBATIONS)

    def problem(self) -> str:
        """What is wrong with the suite itself: it judged calls and never showed that it can fail."""
        passed, failed = (self.notebook.statuses[status.value] for status in (Status.PASS, Status.FAIL))
        due = self.spec.family != VECTORS and not self.request.domain.is_small  # else there may be none to perturb
        if passed > 20 and not failed and not self._felt and due:
            return f"{self.spec.id}: no heartbeat: {passed} calls passed and none was perturbed"
        return self._blind
