"""Variants of log_softmax and cross_entropy by themselves: what they compute, without the suite's own judgement."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from lossparity.adapters import registry, user
from lossparity.adapters.base import Subject
from lossparity.adapters.execution import execute
from lossparity.conformance.mutants import zoo
from lossparity.conformance.mutants.zoo import Variant
from lossparity.specs.call import Raised, Returned
from softmax_calls import SIGNATURES, calls

VARIANTS = [variant for loss in SIGNATURES for variant in zoo.rows(loss).values()]
# What only gigabytes, or several threads at once, can show.
ELSEWHERE = {"VALUE-9", "PURE-5"}


def named(variant: Variant) -> str:
    return f"{variant.loss}-{variant.name}"


def subject(variant: Variant) -> Subject:
    """A variant as `lossparity check` runs it."""
    pytest.importorskip(variant.framework)
    backend = registry.backend(variant.framework)
    registry.start(backend)
    wrap = user.require_wrap(backend)
    return wrap(SIGNATURES[variant.loss], zoo.function(variant), variant.name, "cpu")[0]


def test_there_are_enough() -> None:
    for loss, wrong, right in (("log_softmax", 30, 6), ("cross_entropy", 100, 15)):
        rows = list(zoo.rows(loss).values())
        assert sum(not one.correct for one in rows) >= wrong
        assert sum(one.correct for one in rows) >= right


@pytest.mark.parametrize("variant", VARIANTS, ids=named)
def test_a_variant_is_a_small_edit(variant: Variant) -> None:
    assert variant.correct or zoo.source(variant) != zoo.source(zoo.base(variant))
    assert sum(new.count("\n") - old.count("\n") for old, new in variant.edits) <= 10


# --- a fault changes something ---------------------------------------------------------------------------


def answers(variant: Variant) -> Iterator[Any]:
    """What comes of each call, bit for bit, and what it leaves of its arguments and of the global generator."""
    one, held = subject(variant), []
    np.random.seed(0)
    for call in calls(variant.loss, variant.framework):
        before = {name: array.copy() for name, array in call.arrays()}
        outcome, _ = execute(one, call)
        yield _bits(outcome), {name: array.tobytes() for name, array in call.arrays()}
        for name, array in call.arrays():
            if array.flags.writeable:
                array[...] = before[name]
        held += [outcome.value] if isinstance(outcome, Returned) and outcome.value.size < 100 else []
    yield [array.tobytes() for array in held], np.random.random(), getattr(one, "random_state", lambda: b"")()


def _bits(outcome: Any) -> Any:
    match outcome:
        case Returned(value):
            return value.dtype.name, value.shape, np.where(np.isnan(value), np.nan, value).tobytes()
        case Raised(kind):
            return kind
        case _:
            return type(outcome).__name__


@functools.cache
def right_answers(loss: str, framework: str) -> list[Any]:
    some = next(one for one in VARIANTS if (one.loss, one.framework) == (loss, framework))
    return list(answers(zoo.base(some)))


@pytest.mark.parametrize("variant", [one for one in VARIANTS if not one.correct], ids=named)
def test_a_fault_changes_an_answer(variant: Variant) -> None:
    if ELSEWHERE & set(variant.clauses):
        pytest.skip("needs gigabytes or threads")
    due = right_answers(variant.loss, variant.framework)
    assert any(answer != right for answer, right in zip(answers(variant), due, strict=True))
