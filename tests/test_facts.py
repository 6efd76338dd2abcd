"""What can be said about a call in a number or a word each: there, or said not to be."""

from __future__ import annotations

import contextlib

import pytest
from lossparity.specs.case import NoFact
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
