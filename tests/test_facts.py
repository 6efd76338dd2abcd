"""What can be said about a call in a number or a word each: there, or said not to be."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from lossparity.specs.call import Parameter, Signature, Transform
from lossparity.specs.case import NoFact
from lossparity.specs.facts import CallFacts
from lossparity.specs.nll_loss.facts import MEANINGS, Facts
from lossparity.specs.vectors import Vector, case_of, vectors


@pytest.mark.parametrize("vector", vectors().values(), ids=lambda vector: vector.id)
def test_a_fact_is_there_or_said_not_to_be(vector: Vector) -> None:
    """Selectors ask any fact of any call, of illegal ones too."""
    facts = case_of(vector).facts
    for name in MEANINGS:
        with contextlib.suppress(NoFact):
            assert facts[name] is not None or name == "reduction"


def test_a_bug_inside_a_fact_is_no_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row would silently select nothing."""
    monkeypatch.setattr(Facts, "batch", property(lambda facts: facts.call.no_such_thing))
    facts = case_of(next(iter(vectors().values()))).facts
    with pytest.raises(AttributeError, match="no_such_thing"):
        facts["batch"]
    with pytest.raises(NoFact):
        facts["no_such_fact"]


class HalfSquare(CallFacts):
    """Facts of a loss of one's own."""

    meanings = {"dtype": "", "kind": "", "batched": "", "unit_upstream": "", "omitted": "", "entries": ""}  # noqa: RUF012

    @property
    def entries(self) -> int:
        return self.call["input"].size


def test_a_loss_of_ones_own_has_what_is_true_of_any_call() -> None:
    arrays = (Parameter("input", "x", differentiable=True), Parameter("weight", "w", optional=True))
    upstream = np.array([1, 2], np.float16)
    transform = Transform("vmap_gradient", upstream=upstream, batched=("input",))
    signature = Signature("half_square", arrays)
    facts = HalfSquare(signature.call(np.ones(2, np.float16), transform=transform, omitted=("weight",)))
    told = {name: facts[name] for name in HalfSquare.meanings}
    assert told == {
        **{"dtype": "float16", "kind": "vmap_gradient", "batched": "input", "unit_upstream": False},
        **{"omitted": "weight", "entries": 2},
    }
    assert facts.layout("input") == "c"
    with pytest.raises(NoFact):
        facts["layout"]  # not among the meanings
