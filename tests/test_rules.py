"""The tables of a loss of one's own, and what it takes of those that are common to all losses."""

from __future__ import annotations

import dataclasses
import re

import pytest
from lossparity.conformance import lint
from lossparity.specs import losses
from lossparity.specs.errors import SpecError
from lossparity.specs.loss import Loss
from lossparity.specs.rules import Rules, common

OWN = """
[[clause]]
common = ["PURE-2", "PURE-1"]

[[clause]]
id = "VALUE-1"
level = "MUST"
statement = "the loss is half the squared difference."
source = "D"
judges = ["value"]
flags = ["Forgotten", "OutputDtype"]
families = ["value"]

[[clause]]
common = ["REL-8"]
"""
FLAGS = """
[[flag]]
name = "Forgotten"
fault = "The factor of a half is left out."
effect = "Twice the loss."
seen_in = []
"""


def rules(clauses: str = OWN, flags: str = FLAGS) -> Rules:
    return Rules(texts={"clauses.toml": clauses, "flags.toml": flags})


def test_a_loss_of_ones_own_takes_common_clauses_where_they_belong() -> None:
    own = rules()
    assert list(own.clauses) == ["PURE-2", "PURE-1", "VALUE-1", "REL-8"]
    assert own.clauses["PURE-1"] is common().clauses["PURE-1"]
    assert own.find("rel-8") is common().clauses["REL-8"]


def test_it_has_the_common_flags_that_its_clauses_name() -> None:
    own = rules()
    assert list(own.flags) == ["CompiledSkipsValidation", "OutputDtype", "StateLeak", "Forgotten"]
    assert own.flags["StateLeak"] is common().flags["StateLeak"]
    assert own.flags_of(("PURE-1", "VALUE-1")) == ("Forgotten", "OutputDtype", "StateLeak")


def test_a_clause_of_ones_own_stands_for_a_common_one_that_is_not_taken() -> None:
    own = rules(OWN.replace('"VALUE-1"', '"PURE-3"'))
    assert own.clauses["PURE-3"].statement == "the loss is half the squared difference."


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"REL-8"', '"PURE-55"', "row 3: 'PURE-55' is none of the common ones; did you mean PURE-5"),
        ('"REL-8"', "8", "row 3: 8 is none of the common ones"),
        ('["REL-8"]', '"REL-8"', "row 3: a row that takes common ones holds nothing else"),
        ('["REL-8"]', '["REL-8"]\nlevel = "SHOULD"', "row 3: a row that takes common ones holds nothing else"),
        ('"REL-8"', '"PURE-1"', "row 3 (PURE-1): id stands twice"),
        ('"VALUE-1"', '"PURE-1"', "row 2 (PURE-1): id stands twice"),
    ],
)
def test_what_cannot_be_taken_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(SpecError, match=f"clauses.toml: {re.escape(words)}"):
        _ = rules(OWN.replace(old, new)).clauses


def test_a_table_that_is_missing_is_named() -> None:
    with pytest.raises(SpecError, match=re.escape("flags.toml: missing; give its text among `texts`")):
        _ = Rules(texts={"clauses.toml": OWN}).flags


@pytest.mark.parametrize("loss", list(losses.every()), ids=lambda loss: loss.name)
def test_a_problem_names_the_table_that_has_it(loss: Loss) -> None:
    """Each loss has a clauses.toml."""
    without = dataclasses.replace(loss, families={"value": loss.families["value"]})
    found = list(lint._clause_problems(without))
    assert f"lossparity/specs/{loss.name}/clauses.toml: VALUE-9: there is no family 'large'" in found
    with pytest.raises(SpecError, match=f"^lossparity/specs/{loss.name}/clauses.toml: not TOML"):
        _ = Rules(loss.rules.package, {"clauses.toml": "["}).clauses


def test_what_is_common_takes_nothing() -> None:
    """Else it would ask for itself."""
    table = common().text("clauses.toml")
    assert "[[clause]]\ncommon" not in table
    with pytest.raises(SpecError, match=re.escape("common/clauses.toml: row 1 (without id)")):
        _ = Rules(common().package, {"clauses.toml": '[[clause]]\ncommon = ["PURE-1"]'}).clauses


def test_common_tables_fit_together() -> None:
    clauses, flags = common().clauses.values(), common().flags
    assert {flag for clause in clauses for flag in clause.flags} == set(flags)


@pytest.mark.parametrize("loss", list(losses.every()), ids=lambda loss: loss.name)
def test_common_clauses_speak_of_no_loss(loss: Loss) -> None:
    """Nor refer to a register of ambiguities, of which each loss has its own."""
    words = rf"\b({'|'.join(set(loss.signature.names) - {'input'})})s?\b"
    assert re.search(words, f"each label of the {loss.signature.names[-1]}s")
    for clause in common().clauses.values():
        assert not re.search(words, clause.statement), clause.id
        assert set(clause.source.split(", ")) <= {"T", "I", "D", "N"}, clause.id


def test_every_common_clause_is_asked_of_some_loss() -> None:
    """Taken from there, or in its own words."""
    assert set(common().clauses) <= {id for loss in losses.every() for id in loss.rules.clauses}
