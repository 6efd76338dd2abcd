"""Freedom from side effects: functions that misbehave in one way each, and the clause that has to see it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossparity.adapters.numpy.port import nll_loss, nll_loss_gradient
from lossparity.conformance.items import experiments, heartbeat
from lossparity.specs.call import FLOAT_DTYPES, Array
from lossparity.specs.case import Case, Status
from lossparity.specs.exact import neighbour
from lossparity.specs.nll_loss.corpus import corpus

from . import engine
from .laboratory import failures, judgements, setup_of, subject

PASS, FAIL = Status.PASS, Status.FAIL
Loss = Callable[..., Any]


@functools.cache
def purity_cases(dtype: str) -> tuple[Case, ...]:
    return tuple(corpus("purity", dtype, "quick", 0))


def of_values(*ids: str) -> Iterator[Case]:
    """The corpus of these clauses without gradients."""
    return (case for case in purity_cases("float32") if case.experiment in ids and case.call.transform is None)


def of_gradients(*ids: str) -> Iterator[Case]:
    """The corpus of these clauses under gradients."""
    return (case for case in purity_cases("float32") if case.experiment in ids and case.call.transform is not None)


def loss(change: Callable[..., Any]) -> Loss:
    """A function with the loss's signature, from one on (x, t, w, i, r)."""

    @functools.wraps(change)
    def function(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
        return change(input, target, weight, ignore_index, reduction)

    return function


def gradient(change: Callable[..., Any]) -> Loss:
    """A gradient, from a function on the right gradient, its input and its upstream gradient."""

    @functools.wraps(change)
    def function(input: Any, *arguments: Any, upstream: Any, **options: Any) -> Any:
        right = nll_loss_gradient(input, *arguments, upstream=upstream, **options)
        return change(right, input, upstream)

    return function


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


def buffer(array: Array) -> Array:
    """The whole of the memory that an array lies in."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.reshape(-1)


@loss
def negates_its_input(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """In place, to save memory."""
    result = nll_loss(x, t, w, i, r)
    np.negative(x, out=x)
    return result


@loss
def masks_its_target(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """In place: ignored positions become class 0."""
    result = nll_loss(x, t, w, i, r)
    t[t == i] = 0
    t.reshape(-1)[:1] = 1 - t.reshape(-1)[:1]
    return result


@loss
def normalises_its_weight(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    result = nll_loss(x, t, w, i, r)
    if w is not None:
        w /= w.sum()
    return result


@loss
def writes_behind_its_input(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """One element too far."""
    result = nll_loss(x, t, w, i, r)
    np.lib.stride_tricks.as_strided(x.reshape(-1), (x.size + 1,))[-1] = 0
    return result


@loss
def writes_before_its_target(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    result = nll_loss(x, t, w, i, r)
    buffer(t)[:1] = 3
    return result


@gradient
def spoils_its_upstream(right: Array, x: Array, upstream: Array) -> Any:
    upstream *= 2
    return right


@gradient
def writes_over_its_input(right: Array, x: Array, upstream: Array) -> Any:
    x[...] = right
    return right


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


@loss
def returns_a_view(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """Of its input: the memory is shared, whatever the values are."""
    return x.reshape(-1)[: t.size].reshape(t.shape) if r == "none" else x.reshape(-1)[:1].reshape(())


class ReusesABuffer:
    """The same memory for each result of a shape."""

    __name__ = "ReusesABuffer"

    def __init__(self) -> None:
        self._buffers: dict[Any, Array] = {}

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        result = np.asarray(nll_loss(*arguments, **options))
        kept = self._buffers.setdefault((result.shape, result.dtype), result)
        kept[...] = result
        return kept


@gradient
def returns_its_input(right: Array, x: Array, upstream: Array) -> Any:
    return x


@gradient
def shares_its_upstream(right: Array, x: Array, upstream: Array) -> Any:
    return np.lib.stride_tricks.as_strided(upstream, x.shape, (0,) * x.ndim)


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


class CountsItsCalls:
    """Each call returns a little more."""

    def __init__(self) -> None:
        self._count = itertools.count()

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        result = nll_loss(*arguments, **options)
        return np.add(result, next(self._count)).astype(result.dtype)


class UsesTheWeightOfTheCallBefore:
    """As a module that updates its buffer after use."""

    def __init__(self) -> None:
        self._weight: Any = None

    def __call__(self, input: Any, target: Any, weight: Any = None, **options: Any) -> Any:
        used = weight if self._weight is None or weight is None or self._weight.shape != weight.shape else self._weight
        self._weight = None if weight is None else weight.copy()
        return nll_loss(input, target, used, **options)


class KeepsTheFirstWeight:
    """As a compiled function that took the weight for a constant."""

    def __init__(self) -> None:
        self._weights: dict[Any, Array] = {}

    def __call__(self, input: Any, target: Any, weight: Any = None, **options: Any) -> Any:
        if weight is not None:
            weight = self._weights.setdefault((weight.shape, weight.dtype), weight.copy())
        return nll_loss(input, target, weight, **options)


class RemembersResults:
    """A cache whose key forgets the weight."""

    def __init__(self) -> None:
        self._results: dict[Any, Any] = {}

    def __call__(self, input: Any, target: Any, weight: Any = None, **options: Any) -> Any:
        key = (input.tobytes(), target.tobytes(), *options.values())
        if key not in self._results:
            self._results[key] = nll_loss(input, target, weight, **options)
        return np.array(self._results[key])


@loss
def draws_from_numpy(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """The result does not depend on it, but the next user's does."""
    np.random.rand()
    return nll_loss(x, t, w, i, r)


@loss
def draws_from_python(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    random.random()
    return nll_loss(x, t, w, i, r)


@loss
def seeds_numpy(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """Every call leaves the generator in the same state, whatever it was in."""
    np.random.seed(0)
    return nll_loss(x, t, w, i, r)


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

_CALLS = itertools.count()


@loss
def changing(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """Every other call is off by one representable number, as atomic additions in any order are."""
    result = np.asarray(nll_loss(x, t, w, i, r))
    return neighbour(result) if next(_CALLS) % 2 else result


@gradient
def changing_gradient(right: Array, x: Array, upstream: Array) -> Any:
    return neighbour(right) if next(_CALLS) % 2 else right


def test_other_bits_are_seen() -> None:
    """PURE-4: one representable number is enough, though each result is within its bound."""
    assert failures(of_values("PURE-4"), setup_of(subject(changing))) == {"PURE-4": 6}
    assert failures(of_gradients("PURE-4"), setup_of(subject(nll_loss, changing_gradient))) == {"PURE-4": 6}


# --- PURE-5: threads -------------------------------------------------------------------------------------


class SharesScratch:
    """Its arguments wait in a global buffer until they are used; `lock` makes that right."""

    def __init__(self, lock: Any) -> None:
        self._lock, self._scratch = lock, ()

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        with self._lock:
            self._scratch = (arguments, options)
            time.sleep(0.0002)
            arguments, options = self._scratch
            return nll_loss(*arguments, **options)


class IsBusy:
    """Refuses a second call while one is under way."""

    def __init__(self) -> None:
        self._busy = False

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self._busy:
            raise RuntimeError("busy")
        self._busy = True
        try:
            time.sleep(0.0002)
            return nll_loss(*arguments, **options)
        finally:
            self._busy = False


class Unlocked:
    """No lock at all."""

    def __enter__(self) -> None: ...

    def __exit__(self, *details: object) -> None: ...


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


class Slow:
    """Takes so many seconds a call, and says how many there were."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.calls = seconds, 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        time.sleep(self.seconds)
        return nll_loss(*arguments, **options)


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
