"""Runs the zoo: which clause, family and vector kills which mutant, and whether a correct variant is accused.

The variants are called in the same way as by `lossparity check`, and the same judge decides. Only the order differs:
each case is made once, and all variants run it.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.util
import multiprocessing
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from ...adapters import registry, user
from ...adapters.base import Subject
from ...reports import kills
from ...specs import losses
from ...specs.case import FAILED, Case
from ...specs.errors import EngineError, UsageError, nearest
from ...specs.loss import LARGE
from ...specs.vectors import Vector, vectors
from ..items import checks, explore
from ..items.breadcrumb import NoTrail
from ..items.isolation import NoIsolation
from ..items.probe import probe
from ..items.runner import Executor, Work
from ..items.spec import VECTORS, ItemSpec, Request, planned_cases
from ..judging import explain
from ..planning import machine, plan
from ..running.progress import Progress
from . import rivals, zoo
from .zoo import Variant

# How much is run: NAMED only cases of clauses named for a mutant that have not seen it yet, SPARING also those of
# families that have not killed it yet, ALL every case.
NAMED, SPARING, ALL = "named", "sparing", "all"

# Variants in torch and JAX differ from each other in what is derived or traced alone, and nothing is with NumPy.
_FAMILIES_OF = {"torch": ("gradient", "layout", "purity", "relation"), "jax": ("error", "gradient")}
# In these it is not numbers that matter: one seed is enough.
_ONCE = (VECTORS, "error", "layout", "purity")


@dataclass
class Bout:
    """What one family of cases in one dtype says about one variant."""

    variant: str
    family: str
    dtype: str
    seed: int
    calls: int = 0  # run
    first: int = 0  # how many of them until the first kill, that one included; 0: none
    seconds: float = 0.0  # of making, running and judging them until the first kill, or all
    clauses: set[str] = field(default_factory=set)  # of which a verdict was not PASS
    vectors: list[str] = field(default_factory=list)  # that kill
    because: str = ""  # the first kill in words


class _Contender:
    """A variant under way in one item."""

    def __init__(self, variant: Variant, spec: ItemSpec, request: Request, depth: str) -> None:
        request = dataclasses.replace(request, strict=False)  # what a correct one departs from is no accusation
        self.variant, self.spec, self.request, self.depth = variant, spec, request, depth
        self.bout = Bout(variant.name, spec.family, spec.dtype, request.seed)
        self.subject = subject_of(variant)
        siblings = [subject_of(zoo.base(variant))] if _has_siblings(variant) else []
        traits = probe(self.subject, spec.dtype, spec.loss)
        trail = NoTrail()
        executor = Executor(self.subject, traits, NoIsolation(), trail, siblings)
        self.work = Work(spec, request, executor)
        if variant.correct:
            self._fatal = set(spec.loss.rules.clauses) - set(variant.departs)
        else:
            self._fatal = {id for id, clause in spec.loss.rules.clauses.items() if clause.level == "MUST"} | set(
                variant.clauses
            )

    def wants(self, case: Case) -> bool:
        """Whether a case can tell something new."""
        if self.depth == ALL or case.family in (VECTORS, "error"):  # after an error it is the next call that matters
            return True
        if self.depth == SPARING and not self.bout.first:
            return True
        return bool((set(case.clauses) & set(self.variant.clauses)) - self.bout.clauses)

    def meet(self, case: Case, making: float) -> None:
        """Run and judge a case that took so many seconds to make."""
        start = time.perf_counter()
        outcome, judgement = self.work.try_out(case)
        spent = making + time.perf_counter() - start
        bout = self.bout
        bout.calls += 1
        if outcome is None or isinstance(judgement, str):
            raise EngineError(f"mutants: {self.variant.name}: {judgement}")
        if not bout.first:
            bout.seconds += spent
        bad = {verdict.clause for verdict in judgement.verdicts if verdict.status in FAILED}
        bout.clauses |= bad
        if not bad & self._fatal:
            return
        if case.origin.startswith("vector "):
            bout.vectors.append(case.origin.removeprefix("vector "))
        if not bout.first:
            bout.first = bout.calls
            seen = ", ".join(sorted(bad & self._fatal))
            bout.because = f"{seen}: {explain.because(case, judgement, outcome)} {case.call.describe()} ({case.origin})"

    def explore(self) -> None:
        """Let Hypothesis look for an accusation of a correct variant."""
        explore.explore(self.work, self.spec, self.request, self.subject.capabilities)
        self.bout.calls += self.work.drawn
        if self.work.notebook.unexpected and not self.bout.first:
            self.bout.first, self.bout.because = self.bout.calls, self.work.notebook.first_unexpected


def subject_of(variant: Variant) -> Subject:
    """A variant as `lossparity check` runs it; it has siblings, too, where it is about them."""
    backend = registry.backend(variant.framework)
    registry.start(backend)
    signature = losses.find(variant.loss).signature
    subject = user.backend(variant.target, backend).subjects(signature, "cpu")[0]  # in its framework's first mode
    if _has_siblings(variant):
        without = {what: why for what, why in subject.capabilities.without.items() if what != "siblings"}
        subject.capabilities = dataclasses.replace(subject.capabilities, without=without)
    return subject


def _has_siblings(variant: Variant) -> bool:
    """Whether a variant is one of several forms of a function, the unedited one being another."""
    return "REL-8" in variant.clauses


def bouts(variants: Sequence[Variant], spec: ItemSpec, request: Request, depth: str) -> list[Bout]:
    """All variants of one framework against one item's cases."""
    contenders = [_Contender(variant, spec, request, depth) for variant in variants]
    if not contenders:
        return []
    cases, _ = planned_cases(spec, request, contenders[0].subject)
    iterator = iter(cases)
    while True:
        start = time.perf_counter()
        case = next(iterator, None)
        if case is None:
            break
        making = time.perf_counter() - start
        gigabytes = spec.family == LARGE
        before = None if gigabytes else checks.snapshot(case.call)
        for contender in contenders:
            if contender.wants(case):
                contender.meet(case, making)
                if before is not None:
                    checks.restore(before, case.call)  # some variants write to their arguments
        if gigabytes and all(contender.bout.first for contender in contenders):
            break
    for contender in contenders:
        if contender.variant.correct and request.seed == 0:
            contender.explore()
    return [contender.bout for contender in contenders]


# --- the whole zoo ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """One item of work for a process."""

    variants: tuple[Variant, ...]
    spec: ItemSpec
    request: Request
    depth: str


def choose(of: Sequence[str], names: Sequence[str]) -> list[Variant]:
    """The variants of these names that these losses have, all of them without names.

    Raises UsageError for a loss that has no variants, and for an unknown name, with the nearest ones.
    """
    for loss in of:
        zoo.require(loss)
    known = [variant for loss in of for variant in zoo.variants(loss).values()]
    for name in names:
        if all(variant.name != name for variant in known):
            raise UsageError(f"no mutant {name!r}; {nearest(name, [variant.name for variant in known])}")
    return [variant for name in names for variant in known if variant.name == name] or known


def run(
    chosen: Sequence[Variant], profile: str, seeds: int, depth: str, workers: int, progress: Progress, command: str
) -> kills.Zoo:
    """Run these variants of one loss, the correct ones with so many seeds, and what users would test with instead."""
    began, start = datetime.datetime.now(datetime.UTC), time.perf_counter()
    (loss,) = {variant.loss for variant in chosen}
    absent = {name: why for name in zoo.FRAMEWORKS if (why := _absent(name))}
    present = [variant for variant in chosen if variant.framework not in absent]
    tasks = list(_tasks(present, profile, seeds, depth))
    progress.started(len(tasks) + 1)
    found: dict[str, list[Bout]] = {variant.name: [] for variant in present}
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _settle) as pool:
        fought = {pool.submit(_fight, task): task.spec.id for task in tasks}
        tried = pool.submit(_try_rivals, loss, present)
        for future in as_completed(fought):
            for bout in future.result():
                found[bout.variant].append(bout)
            progress.finished(fought[future], sum(bout.calls for bout in future.result()))
        rival_infos, caught = tried.result()
        progress.finished("rivals", 0)
    whole = not absent and set(chosen) == set(zoo.variants(loss).values())
    return kills.Zoo(
        lossparity=metadata.version("lossparity"),
        started=began.isoformat(timespec="seconds"),
        command=command,
        machine=machine.describe(),
        loss=loss,
        profile=profile,
        seeds=seeds,
        thorough=depth == ALL,
        families=(VECTORS, *losses.find(loss).families),
        mutants=tuple(_mutant(one, found[one.name], caught[one.name]) for one in present if not one.correct),
        correct=tuple(_correct(one, found[one.name], caught[one.name]) for one in present if one.correct),
        rivals=rival_infos,
        vectors=len(_vectors_of(loss)),
        vacuous=tuple(_vacuous(loss, found.values())) if whole else (),
        absent=absent,
        seconds=time.perf_counter() - start,
    )


def _absent(framework: str) -> str:
    backend = registry.backend(framework)
    return "" if registry.is_installed(backend) else f"not installed; install it with: {backend.install}"


def _tasks(variants: Sequence[Variant], profile: str, seeds: int, depth: str) -> Iterator[Task]:
    """Everything to be done, the dearest first."""
    wrong = [variant for variant in variants if not variant.correct]
    if sized := tuple(variant for variant in wrong if "VALUE-9" in variant.clauses):
        spec = ItemSpec("numpy", LARGE, "float16", sized[0].loss)
        yield Task(sized, spec, _request(LARGE, 0), depth)
    for framework in ("jax", "torch", "numpy"):
        some = tuple(variant for variant in wrong if variant.framework == framework)
        specs = items(some[0].loss, framework) if some else ()
        yield from (Task(some, spec, _request(profile, 0), depth) for spec in specs)
    for seed in range(seeds):
        for framework in ("jax", "torch", "numpy"):
            some = tuple(one for one in variants if one.correct and one.framework == framework)
            specs = items(some[0].loss, framework) if some else ()
            specs = [spec for spec in specs if seed == 0 or spec.family not in _ONCE]
            yield from (Task(some, spec, _request(profile, seed), ALL) for spec in specs)


def items(loss: str, framework: str) -> list[ItemSpec]:
    """What a loss's variants of a framework are run through."""
    of_loss = [name for name in losses.find(loss).families_of("quick") if name != "gradient" or framework != "numpy"]
    families = [name for name in of_loss if name in _FAMILIES_OF.get(framework, of_loss)]
    return plan.items({loss: [framework]}, Request(families=(VECTORS, *families)))


def _request(profile: str, seed: int) -> Request:
    return Request(profile=profile, seed=seed, heartbeat=False)


def _settle() -> None:
    """In each process, before anything else: torch comes first, and takes one core."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    registry.settle()
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)


def _end_with_the_parent() -> None:
    """A pool's process whose parent was killed would wait for ever, and keep its memory."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _fight(task: Task) -> list[Bout]:
    return bouts(task.variants, task.spec, task.request, task.depth)


def _try_rivals(loss: str, variants: Sequence[Variant]) -> tuple[tuple[kills.Rival, ...], dict[str, dict[str, bool]]]:
    """What users would test with instead: each rival, and for each variant which of them notice it."""
    infos: list[kills.Rival] = []
    caught: dict[str, dict[str, bool]] = {variant.name: {} for variant in variants}
    for rival in rivals.rivals_of(loss):
        tests = [] if rival.absent else rival.make()
        infos.append(kills.Rival(name=rival.name, says=rival.says, checks=len(tests), absent=rival.absent))
        for variant in variants if tests else ():
            function = rivals.implementation(variant.framework, zoo.function(variant))
            caught[variant.name][rival.name] = rivals.notices(function, tests)
    return tuple(infos), caught


# --- results ---------------------------------------------------------------------------------------------


def _about(variant: Variant) -> dict[str, Any]:
    """What is shown of every variant."""
    edits = tuple(kills.Edit(old.strip(), new.strip()) for old, new in variant.edits)
    return {"name": variant.name, "framework": variant.framework, "says": variant.says, "edits": edits}


def _mutant(variant: Variant, found: Sequence[Bout], caught: dict[str, bool]) -> kills.Mutant:
    ordered = _in_order(variant.loss, found)
    families: dict[str, int] = {}
    for family in dict.fromkeys(bout.family for bout in ordered):
        calls, _, killer = _until_killed([bout for bout in ordered if bout.family == family])
        if killer is not None:
            families[family] = calls
    calls, seconds, killer = _until_killed(ordered)
    return kills.Mutant(
        **_about(variant),
        flags=variant.flags,
        named=variant.clauses,
        families=families,
        clauses=tuple(
            id for id in losses.find(variant.loss).rules.clauses if any(id in bout.clauses for bout in found)
        ),
        vectors=tuple(dict.fromkeys(id for bout in ordered for id in bout.vectors)),
        calls=calls,
        seconds=seconds,
        because=killer.because if killer is not None else "",
        caught_by=caught,
    )


def _correct(variant: Variant, found: Sequence[Bout], caught: dict[str, bool]) -> kills.Correct:
    return kills.Correct(
        **_about(variant),
        departs=variant.departs,
        calls=sum(bout.calls for bout in found),
        alarms=tuple(f"seed {bout.seed}: {bout.because}" for bout in _in_order(variant.loss, found) if bout.first),
        caught_by=caught,
    )


def _in_order(loss: str, found: Sequence[Bout]) -> list[Bout]:
    """In the order of a plan, in which `lossparity check` comes to them."""
    specs = plan.items({loss: [""]}, Request())
    order = {(spec.family, spec.dtype): number for number, spec in enumerate(specs)}
    return sorted(found, key=lambda bout: (bout.seed, order.get((bout.family, bout.dtype), len(order))))


def _until_killed(ordered: Sequence[Bout]) -> tuple[int, float, Bout | None]:
    """Calls and seconds until the first kill, and where it was."""
    calls, seconds = 0, 0.0
    for bout in ordered:
        calls += bout.first or bout.calls
        seconds += bout.seconds
        if bout.first:
            return calls, seconds, bout
    return calls, seconds, None


def _vacuous(loss: str, found: Iterable[Sequence[Bout]]) -> Iterator[kills.Vacuous]:
    """Vectors that kill no mutant, or not those that they say they kill."""
    killers: dict[str, set[str]] = {vector.id: set() for vector in _vectors_of(loss)}
    for bout in (bout for one in found for bout in one):
        for id in bout.vectors:
            killers[id].add(bout.variant)
    for vector in _vectors_of(loss):
        lies = sorted(set(vector.kills) - killers[vector.id])
        if lies or not killers[vector.id]:
            yield kills.Vacuous(vector.id, "" if lies else vector.why, tuple(lies))


def _vectors_of(loss: str) -> list[Vector]:
    return [vector for vector in vectors().values() if vector.loss == loss]
