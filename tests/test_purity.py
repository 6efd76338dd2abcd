"""Freedom from side effects: each function that misbehaves is seen by the clause that is about it."""

from __future__ import annotations

import dataclasses
import functools
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from lossparity.adapters.numpy.ports.nll_loss import nll_loss, nll_loss_gradient
from lossparity.conformance.items import experiments, heartbeat
from lossparity.specs.call import FLOAT_DTYPES
from lossparity.specs.case import Case, Status
from lossparity.specs.nll_loss.corpus import corpus

from . import engine
from .impure_losses import (
    CountsItsCalls,
    IsBusy,
    KeepsTheFirstWeight,
    Loss,
    RemembersResults,
    ReusesABuffer,
    SharesScratch,
    Slow,
    Unlocked,
    UsesTheWeightOfTheCallBefore,
    changing,
    changing_gradient,
    draws_from_numpy,
    draws_from_python,
    masks_its_target,
    negates_its_input,
    normalises_its_weight,
    returns_a_view,
    returns_its_input,
    seeds_numpy,
    shares_its_upstream,
    spoils_its_upstream,
    writes_before_its_target,
    writes_behind_its_input,
    writes_over_its_input,
)
from .laboratory import failures, judgements, setup_of, subject

PASS, FAIL = Status.PASS, Status.FAIL


@functools.cache
def purity_cases(dtype: str) -> tuple[Case, ...]:
    return tuple(corpus("purity", dtype, "quick", 0))


def of_values(*ids: str) -> Iterator[Case]:
    """The corpus of these clauses without gradients."""
    return (case for case in purity_cases("float32") if case.experiment in ids and case.call.transform is None)


def of_gradients(*ids: str) -> Iterator[Case]:
    """The corpus of these clauses under gradients."""
    return (case for case in purity_cases("float32") if case.experiment in ids and case.call.transform is not None)


# --- what is pure ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_a_pure_function_passes(dtype: str) -> None:
    """The port and its gradient, under every clause, with several threads where they are asked for."""
    found = list(judgements(purity_cases(dtype), setup_of(subject(nll_loss, nll_loss_gradient))))
    assert {judgement.status for _, judgement in found} == {PASS}
    ids = {f"PURE-{number}" for number in (1, 2, 3, 4)} | ({"PURE-5"} if dtype == "float32" else set())
    assert {case.experiment for case, _ in found} == ids


def test_every_experiment_has_a_heartbeat() -> None:
    """When the engine spoils an argument, or the results after the first, each experiment must fail."""
    on = setup_of(subject(nll_loss, nll_loss_gradient), calls=5)
    for case in purity_cases("float32"):
        outcome, judgement = experiments.run(case, on)
        assert heartbeat.suits(case, outcome, judgement) == case.experiment
        assert heartbeat.survivors(case, outcome, on) == []


def test_what_cannot_be_seen_is_unsupported() -> None:
    """PURE-1 and PURE-2 mean nothing where arrays cannot change; the reason is told."""
    on = setup_of(subject(nll_loss, nll_loss_gradient, without={"mutable arrays": "they are immutable"}))
    statuses = {case.experiment: judgement.status for case, judgement in judgements(of_values("PURE-1", "PURE-4"), on)}
    assert statuses == {"PURE-1": Status.UNSUPPORTED, "PURE-4": PASS}


def test_on_an_accelerator_other_bits_are_only_recorded() -> None:
    """PURE-4: neither passed nor failed; and the engine does not take that for blindness."""
    for function, status in ((changing, Status.UNINFORMATIVE), (nll_loss, PASS)):
        one = subject(function)
        one.device = "cuda:0"
        for case in of_values("PURE-4"):
            outcome, judgement = experiments.run(case, setup_of(one))
            assert [verdict.status for verdict in judgement.verdicts] == [status]
            assert not heartbeat.suits(case, outcome, judgement) or not heartbeat.survivors(
                case, outcome, setup_of(one)
            )


# --- PURE-1: arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (negates_its_input, "input"),
        (masks_its_target, "target"),
        (normalises_its_weight, "weight"),
        (writes_behind_its_input, "input"),
        (writes_before_its_target, "target"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_changed_arguments_are_seen(wrong: Loss, named: str) -> None:
    """PURE-1: an argument, or the memory around it, under each reduction; the argument is named."""
    for case, judgement in judgements(of_values("PURE-1"), setup_of(subject(wrong))):
        if case.call["weight"] is not None or named != "weight":
            assert (judgement.status, judgement.symptom) == (FAIL, "arguments")
            assert judgement.said.startswith(named)


@pytest.mark.parametrize("wrong", [spoils_its_upstream, writes_over_its_input], ids=lambda one: one.__name__)
def test_arguments_changed_by_a_gradient_are_seen(wrong: Loss) -> None:
    on = setup_of(subject(nll_loss, wrong))
    cases = [*purity_copy(of_gradients("PURE-1"))]
    assert failures(cases, on) == {"PURE-1": len(cases)}


def purity_copy(cases: Iterator[Case]) -> Iterator[Case]:
    """Cases of their own, for functions that spoil what the experiment does not copy."""
    wanted = {case.call.digest() + case.experiment for case in cases}
    for case in corpus("purity", "float32", "quick", 0):
        if case.call.digest() + case.experiment in wanted:
            yield case


# --- PURE-2: results -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"), [(returns_a_view, "input"), (ReusesABuffer(), "the earlier result")], ids=["view", "buffer"]
)
def test_shared_memory_is_seen(wrong: Loss, said: str) -> None:
    """PURE-2: under each reduction, and what the result shares its memory with is told."""
    for _, judgement in judgements(of_values("PURE-2"), setup_of(subject(wrong))):
        assert (judgement.status, judgement.symptom) == (FAIL, "aliases")
        assert said in judgement.said


@pytest.mark.parametrize("wrong", [returns_its_input, shares_its_upstream], ids=lambda one: one.__name__)
def test_gradients_that_share_memory_are_seen(wrong: Loss) -> None:
    cases = [*of_gradients("PURE-2")]
    assert failures(cases, setup_of(subject(nll_loss, wrong))) == {"PURE-2": len(cases)}


# --- PURE-3: state ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _generators_as_they_were() -> Iterator[None]:
    """Functions here draw from global generators on purpose."""
    states = np.random.get_state(), random.getstate()
    yield
    np.random.set_state(states[0])
    random.setstate(states[1])


@pytest.mark.parametrize(
    "make",
    [
        CountsItsCalls,
        UsesTheWeightOfTheCallBefore,
        KeepsTheFirstWeight,
        RemembersResults,
        lambda: draws_from_numpy,
        lambda: draws_from_python,
        lambda: seeds_numpy,
    ],
    ids=["counts", "weight before", "first weight", "remembers", "draws from numpy", "draws from python", "seeds"],
)
def test_state_is_seen(make: Callable[[], Loss]) -> None:
    """PURE-3: a weighted call after other clauses have run the same call, as in a run."""
    on = setup_of(subject(make()))
    cases = [case for case in of_values("PURE-1", "PURE-2", "PURE-3") if case.call["weight"] is not None]
    found = [(case.experiment, judgement) for case, judgement in judgements(cases, on)]
    assert {judgement.symptom for id, judgement in found if id == "PURE-3"} == {"state"}


# --- PURE-4: the same bits -------------------------------------------------------------------------------


def test_other_bits_are_seen() -> None:
    """PURE-4: one representable number is enough, though each result is within its bound."""
    assert failures(of_values("PURE-4"), setup_of(subject(changing))) == {"PURE-4": 6}
    assert failures(of_gradients("PURE-4"), setup_of(subject(nll_loss, changing_gradient))) == {"PURE-4": 6}


# --- PURE-5: threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(SharesScratch(Unlocked()), "another value"), (IsBusy(), "RuntimeError: busy")],
    ids=["scratch", "busy"],
)
def test_calls_that_disturb_each_other_are_seen(wrong: Loss, said: str) -> None:
    """PURE-5: a buffer that is shared between threads; alone, each call is right."""
    for _, judgement in judgements(of_values("PURE-5"), setup_of(subject(wrong))):
        assert (judgement.status, judgement.symptom) == (FAIL, "threads")
        assert said in judgement.said
    assert failures(of_values("PURE-1", "PURE-2", "PURE-3", "PURE-4"), setup_of(subject(wrong))) == {}


def test_calls_that_wait_for_each_other_pass() -> None:
    """With a lock the same function is right."""
    on = setup_of(subject(SharesScratch(threading.Lock())), calls=20)
    assert failures(of_values("PURE-5"), on) == {}


def test_a_slow_function_is_asked_for_as_many_calls_as_fit() -> None:
    """Two calls a thread at least, or it is left open: a slow function is no function that hangs."""
    case = next(iter(of_values("PURE-5")))
    for seconds, limit, status in ((0.02, 1.0, PASS), (0.05, 1.0, Status.UNINFORMATIVE)):
        function = Slow(seconds)
        start = time.monotonic()
        on = dataclasses.replace(setup_of(subject(function), calls=10_000), seconds=limit)
        judgement = experiments.run(case, on)[1]
        assert judgement.status is status
        assert time.monotonic() - start < 2 * limit
        assert (function.calls >= 2 * experiments.THREADS) == (status is PASS)
        assert ("too long" in judgement.said) == (status is not PASS)


# --- in a run --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "clause"),
    [
        (negates_its_input, "PURE-1"),
        (ReusesABuffer(), "PURE-2"),
        (draws_from_numpy, "PURE-3"),
        (changing, "PURE-4"),
        (SharesScratch(Unlocked()), "PURE-5"),
    ],
    ids=["PURE-1", "PURE-2", "PURE-3", "PURE-4", "PURE-5"],
)
def test_a_run_reports_it(wrong: Loss, clause: str, tmp_path: Path) -> None:
    """The item of the family ends with a finding for the clause, in words."""
    item, findings, message = engine.run(subject(wrong), "purity", "float32", tmp_path)
    assert item.unexpected > 0
    assert item.problem == ""
    assert any(clause in finding.clauses for finding in findings)
    assert message
