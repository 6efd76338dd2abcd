"""What training does with a loss: a second backward pass, a forward pass in between, values, autocast, many classes."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from lossparity.adapters import registry, user
from lossparity.adapters.base import FEATURES, Subject
from lossparity.adapters.execution import execute
from lossparity.conformance.items.probe import probe
from lossparity.conformance.judging.judge import judge
from lossparity.specs.call import FLOAT_DTYPES, GRADIENTS, VALUES, Unsupported
from lossparity.specs.case import Case, Status
from lossparity.specs.classes import drawn, values
from lossparity.specs.classes.corpus import MODES
from lossparity.specs.domain import Domain
from lossparity.specs.loss import Draw
from lossparity.specs.nll_loss.corpus import SIZES, corpus
from lossparity.specs.nll_loss.generate import Structure, cases
from lossparity.specs.nll_loss.loss import LOSS
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.stream import Stream

from . import in_training

IDS = frozenset({"GRAD-10", "GRAD-11", "GRAD-12", "VALUE-10", "VALUE-11"})
MAKE = {"torch": in_training.in_torch, "jax": in_training.in_jax, "tensorflow": in_training.in_tensorflow}

FAULTY = [
    ("torch", "scaled in place", {"GRAD-10"}),
    ("torch", "cleared after use", {"GRAD-10"}),
    ("torch", "slopes in a global", {"GRAD-11"}),
    ("torch", "labels in a global", {"GRAD-11"}),
    ("torch", "whole blocks", {"GRAD-12"}),
    ("torch", "first two blocks", {"GRAD-12"}),
    ("torch", "mean over all rows in training", {"VALUE-10"}),
    ("torch", "rounded in training", {"VALUE-10"}),
    ("torch", "sums as products", {"VALUE-11"}),
    ("torch", "rounded under autocast", {"VALUE-11"}),
    ("jax", "halved in training", {"VALUE-10"}),
    ("jax", "second pass scaled", {"GRAD-10"}),
    ("jax", "pull-back in a global", {"GRAD-11"}),
    ("tensorflow", "second pass scaled", {"GRAD-10"}),
    ("tensorflow", "tape in a global", {"GRAD-11"}),
]
CORRECT = [
    ("torch", "scaled on a copy"),
    ("torch", "block by block"),
    ("torch", "double in training"),
    ("torch", "contiguous in training"),
    ("torch", "sums as products outside of autocast"),
    ("torch", "the native one"),
    ("jax", "a pull-back of its own"),
    ("tensorflow", "a gradient of its own"),
]


@functools.cache
def asked() -> tuple[Case, ...]:
    """The float32 calls that the clauses are about."""
    return tuple(case for case in corpus("gradient", "float32", "quick", 0) if IDS & set(case.clauses))


def subject(framework: str, how: str) -> Subject:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    backend = registry.backend(framework)
    registry.start(backend)
    function = MAKE[framework](how)
    domain = Domain(dtypes=("float32",), spared=("second order", "jvp", "vmap"))
    target = user.target_of(function, framework, domain, signature=NLL_LOSS)
    return user.subjects(NLL_LOSS, function, target, backend, "cpu")[0]


def failing(framework: str, how: str, calls: Iterable[Case]) -> set[str]:
    """The clauses that fail on any of the calls; among these are some for each clause that is not declined."""
    one = subject(framework, how)
    traits, failed, judged = probe(one, "float32", LOSS), set[str](), set[str]()
    for case in calls:
        outcome, _ = execute(one, case.call)
        verdicts = judge(case, outcome, traits).verdicts
        failed |= {verdict.clause for verdict in verdicts if verdict.status is Status.FAIL}
        judged |= {verdict.clause for verdict in verdicts if not isinstance(outcome, Unsupported)}
    assert IDS - judged <= ({"VALUE-11"} if framework != "torch" else set())
    return failed


@pytest.mark.parametrize(("framework", "how", "due"), FAULTY)
def test_a_fault_is_seen_by_its_clause(framework: str, how: str, due: set[str]) -> None:
    failed = failing(framework, how, asked())
    assert failed & IDS == due
    assert not failed - due or due == {"GRAD-12"}  # a gradient of many classes is a gradient all the same


@pytest.mark.parametrize(("framework", "how"), CORRECT)
def test_what_is_right_is_not_accused(framework: str, how: str) -> None:
    assert not failing(framework, how, corpus("gradient", "float32", "quick", 0))


# --- what is asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_every_mode_is_asked_for_in_every_dtype(dtype: str) -> None:
    found = {(case.call.kind, case.call["reduction"]) for case in corpus("gradient", dtype, "quick", 0)}
    modes = MODES if dtype == "float32" else MODES[:-1]
    assert {(kind, reduction) for kind in modes for reduction in ("none", "sum", "mean")} <= found
    assert ("autocast", "mean") not in found or dtype == "float32"


def test_every_mode_is_the_gradient_or_the_value_and_carries_what_that_takes() -> None:
    for case in asked():
        transform = case.call.transform
        assert transform is not None
        assert case.call.kind not in MODES or case.call.kind in GRADIENTS + VALUES
        assert (transform.upstream is None) == (case.call.kind in (*VALUES, "jvp", "vmap"))


@pytest.mark.parametrize(("profile", "most"), [("quick", 2**16), ("ci", 2**17), ("nightly", 2**17)])
def test_targets_lie_at_the_ends_of_blocks_and_inside(profile: str, most: int) -> None:
    sizes = SIZES[profile].classes
    assert max(sizes) == most + 1
    for classes in sizes:
        structure = Structure((4, classes), "float32", targets="blocks", mask="no", asks="gradient")
        for case in cases(structure, "gradient"):
            labels = case.call["target"].tolist()
            assert classes - 1 in labels
            assert any(0 < label % 2**15 < 2**15 - 1 for label in labels)
            assert sum(label >= 2**15 for label in labels) >= (3 if classes > 2**16 else 1)
            assert "GRAD-12" in case.clauses


def test_blocks_of_few_classes_are_classes() -> None:
    for classes in (1, 2, 3, 32768):
        labels = values.targets("blocks", Stream("test"), 10, classes)
        assert ((labels >= 0) & (labels < classes)).all()
        assert classes - 1 in labels


def test_exploration_draws_what_the_subject_has() -> None:
    (numpy,) = registry.backend("numpy").subjects(NLL_LOSS, "cpu")
    assert drawn._asks(Draw("float32", "quick", 0, 3, lacks=numpy.capabilities.lacks)) == ()
    one = subject("torch", "the native one").capabilities
    assert drawn._asks(Draw("float32", "quick", 0, 3, lacks=one.lacks)) == MODES
    assert drawn._asks(Draw("float64", "quick", 0, 3, lacks=one.lacks)) == MODES[:-1]
    assert drawn._asks(Draw("float32", "quick", 0, 2, lacks=one.lacks)) == ()


@pytest.mark.parametrize(
    ("kind", "feature"),
    [
        ("gradient_again", "second backward"),
        ("gradient_between", "training"),
        ("value_in_training", "training"),
        ("autocast", "autocast"),
    ],
)
def test_numpy_declines_with_a_reason(kind: str, feature: str) -> None:
    """It has a gradient, but no graph."""
    (one,) = registry.backend("numpy").subjects(NLL_LOSS, "cpu")
    (case, *_) = (case for case in asked() if case.call.kind == kind)
    assert feature in FEATURES
    assert (one.capabilities.refuses(case.call) or "").startswith(f"{feature}: ")
    assert isinstance(execute(one, case.call)[0], Unsupported)


def test_the_second_pass_is_returned_and_the_first_had_another_upstream() -> None:
    """Watched from inside of the graph: g is doubled for the first pass and as it is for the second."""
    torch = pytest.importorskip("torch")
    seen: list[float] = []

    class Watching(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.sum()

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            seen.append(upstream[0].item())
            return upstream[0].expand(2, 3)

    def watched(input: Any, target: Any, **options: Any) -> Any:
        return Watching.apply(input)

    backend = registry.backend("torch")
    (one,) = user.subjects(NLL_LOSS, watched, user.target_of(watched, "torch", signature=NLL_LOSS), backend, "cpu")
    (case,) = cases(Structure((2, 3), "float32", asks="gradient_again", upstream="random", reductions=("sum",)), "test")
    assert case.call.transform is not None
    g = case.call.transform.upstream
    assert g is not None
    result = one.read(one.prepare(case.call)())
    assert seen == [2 * g.item(), g.item()]
    assert (np.asarray(result) == g).all()
