"""Performs experiments (REL, PURE) on functions on NumPy arrays, for tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from lossparity.adapters.execution import execute
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.items import experiments
from lossparity.conformance.items.experiments import Setup
from lossparity.conformance.judging.judge import Judgement, Traits
from lossparity.specs.case import Case, Status

MAIN_ONLY = {"weight gradient": "the function has a gradient with respect to input only"}


def subject(
    function: Callable[..., Any], gradient: Callable[..., Any] | None = None, without: Mapping[str, str] | None = None
) -> NumpySubject:
    """A function on NumPy arrays that has siblings; `without` explains what it lacks."""
    made = NumpySubject(function, "mine", gradient=gradient, without=MAIN_ONLY)
    lacks = {name: why for name, why in made.capabilities.without.items() if name != "siblings"}
    made.capabilities = dataclasses.replace(made.capabilities, without=lacks | dict(without or {}))
    return made


def setup_of(one: NumpySubject, *siblings: NumpySubject, traits: Traits = Traits(), calls: int = 50) -> Setup:  # noqa: B008 - frozen
    """What an experiment on a subject works with."""
    return Setup(lambda call: execute(one, call)[0], one, siblings, traits, calls=calls)


def judgements(cases: Iterable[Case], on: Setup) -> Iterator[tuple[Case, Judgement]]:
    """Each experiment with what came of it."""
    for case in cases:
        yield case, experiments.run(case, on)[1]


def failures(cases: Iterable[Case], on: Setup) -> dict[str, int]:
    """How many cases of each experiment failed, of those that failed."""
    found: dict[str, int] = {}
    for case, judgement in judgements(cases, on):
        if judgement.status is Status.FAIL:
            found[case.experiment] = found.get(case.experiment, 0) + 1
    return found
