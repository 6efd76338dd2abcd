"""Rows of known divergences: what they select, what they expect, and what they lend to functions of users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from lossparity.conformance import testing
from lossparity.conformance.findings.locate import locate, of_vector
from lossparity.conformance.findings.replay import Session
from lossparity.conformance.items.spec import VECTORS, ItemSpec, Request
from lossparity.conformance.judging import explain, rows
from lossparity.conformance.judging.judge import Judgement
from lossparity.conformance.judging.ledger import Divergence, Ledger, Resolved
from lossparity.conformance.lint import SUBJECTS
from lossparity.conformance.planning import plan
from lossparity.specs.call import Call, Transform
from lossparity.specs.case import Status, Verdict
from lossparity.specs.nll_loss.generate import case_of_call
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.vectors import case_of, vectors

from .own_vectors import vector, weighted, write
from .test_cli import lossparity

# --- selectors -------------------------------------------------------------------------------------------


def selects(selector: dict[str, Any], call: Call) -> bool:
    row = rows.brought_along("torch", SUBJECTS["torch"])[0]
    return msgspec.structs.replace(row, selector=selector).selects(case_of_call(call, "error", 1, "test"))


@pytest.mark.parametrize("spelt", ["@None", ["sum", "@None"], {"==": "@None"}, {"in": ["@None", 1]}, {"!=": "none"}])
def test_none_can_be_selected(spelt: Any) -> None:
    assert selects({"reduction": spelt}, weighted(reduction=None))
    assert not selects({"reduction": spelt}, weighted(reduction="none"))


def test_what_cannot_be_compared_is_not_selected() -> None:
    assert not selects({"reduction": {"<": 3}}, weighted(reduction=None))
    assert selects({"reduction": {"<": 3}}, weighted(reduction=2))
    assert not selects({"reduction": "none"}, weighted(reduction=None))


def test_another_fact_may_stand_anywhere() -> None:
    call = NLL_LOSS.call(np.zeros((2, 3), np.float32), np.zeros(2, np.int64))
    assert selects({"n": "@batch"}, call)
    assert not selects({"n": "@classes"}, call)
    assert selects({"n": [7, "@batch"]}, call)
    assert not selects({"n": {"not in": ["@batch"]}}, call)


@pytest.mark.parametrize(
    ("fact", "value", "call"),
    [
        ("omitted", "none", weighted()),
        ("omitted", "ignore_index+reduction", weighted(omitted=("reduction", "ignore_index"))),
        ("reduction_type", "NoneType", weighted(reduction=None)),
        ("reduction_type", "bool", weighted(reduction=True)),
        ("reduction_type", "str", weighted()),
        ("batch", 1, NLL_LOSS.call(np.zeros(3, np.float32), np.array(0))),
        ("batch", 2, NLL_LOSS.call(np.zeros((2, 3, 4), np.float32), np.zeros((2, 4), np.int64))),
        ("normaliser", 1.25, weighted()),
        ("normaliser", -1.25, weighted(-1.25)),
        ("normaliser", float("inf"), weighted(float("nan"))),
        ("normaliser", 2.0, NLL_LOSS.call(np.zeros((2, 3), np.float32), np.zeros(2, np.int64))),
    ],
)
def test_facts_for_strangers(fact: str, value: Any, call: Call) -> None:
    assert case_of_call(call, "value", 1, "test").facts[fact] == value
    assert selects({fact: value}, call)


# --- what rows expect ------------------------------------------------------------------------------------


def judged(row: Divergence, clause: str, status: Status, symptom: str, *, strict: bool = False) -> Resolved:
    """What one clause came to in a call inside a row, which its own vector does not make."""
    judgement = Judgement({}, (Verdict(clause, status),), symptom, status=status)
    case = case_of(row.pinned, "elsewhere")
    (resolved,) = Ledger((row,)).resolve(case, judgement, strict)
    return resolved


@pytest.fixture
def star(tmp_path: Path) -> Divergence:
    """A row about every clause of a call, which expects a wrong number."""
    return rows.load_file(write(tmp_path), ["mine"])[0]


def test_a_should_that_a_row_does_not_explain_stays_a_should(star: Divergence) -> None:
    assert judged(star, "ACC-5S", Status.FAIL, "not_rounded")[:3] == (("ACC-5S", "fail"), True, None)
    assert not judged(star, "ACC-5S", Status.FAIL, "not_rounded", strict=True).expected
    assert not judged(star, "VALUE-3", Status.FAIL, "not_rounded").expected  # a MUST
    assert not judged(star, "ACC-5S", Status.CRASH, "crash").expected  # not met is one thing, and dead another
    assert judged(star, "ACC-5S", Status.FAIL, "value").divergence == star.id


def test_a_vector_must_fail_in_its_rows_way_also_where_a_should_does(star: Divergence) -> None:
    judgement = Judgement({}, (Verdict("ACC-5S", Status.FAIL),), "not_rounded", status=Status.FAIL)
    (resolved,) = Ledger((star,)).resolve(star.case, judgement, strict=False)
    assert (resolved.expected, resolved.divergence) == (False, None)


def test_always_is_said_of_rows_that_say_it(star: Divergence) -> None:
    always = msgspec.structs.replace(star, mode="always")
    said = explain.fixed(judged(always, "VALUE-3", Status.PASS, ""))
    assert said == "Passes, although the known divergence mine-mean says that it always fails: is it fixed?"
    assert judged(star, "VALUE-3", Status.PASS, "").expected  # sometimes
    judgement = Judgement({}, (Verdict("VALUE-3", Status.PASS),))
    for row, words in ((star, "is shown by this very vector"), (always, "says that it always fails")):
        (resolved,) = Ledger((row,)).resolve(row.case, judgement, strict=False)
        assert not resolved.expected
        assert words in explain.fixed(resolved)


# --- a framework's machinery -----------------------------------------------------------------------------


ON_TENSORFLOW = "tensorflow@lossparity.adapters.tensorflow:nll_loss"
# Forward mode goes through what a function computes, also inside of tf.custom_gradient, whose own backward it ignores.
FORWARD = """
import tensorflow as tf
from lossparity.adapters.tensorflow import nll_loss

def avoids(input, target, weight=None, ignore_index=-100, reduction="mean"):
    chosen = -tf.gather(input, target, axis=1, batch_dims=1)
    times = tf.gather(weight, target)
    return tf.stack([tf.add_n([chosen[i]] * int(times[i])) for i in range(2)])  # nothing is multiplied

def twice(input, target, weight=None, ignore_index=-100, reduction="mean"):
    loss = nll_loss(input, target, weight, ignore_index, reduction)
    return 2 * loss - tf.stop_gradient(loss)
"""


def test_only_machinery_is_lent_to_users_functions() -> None:
    names = ["tensorflow:a.b", "tensorflow:a.b:other"]
    (row,) = plan.machinery("tensorflow", names)
    assert (row.id, row.subjects) == ("tensorflow-jvp-nan", tuple(names))
    assert row.title.startswith("of tensorflow itself: forward mode")
    assert "met by functions that it differentiates" in row.explanation
    assert plan.machinery("torch", names) == []  # its rows are about its nll_loss
    assert plan.machinery("lossparity.adapters.template.adapter:BACKEND", names) == []


def test_what_is_lent_need_not_show(star: Divergence) -> None:
    """Neither always nor on its own vector, while a failure of its kind is expected still."""
    always = msgspec.structs.replace(star, mode="always")
    lent = always.lend("numpy", ("numpy:a.b",))
    judgement = Judgement({}, (Verdict("VALUE-3", Status.PASS),))
    for row, expected in ((always, False), (star, False), (lent, True)):
        (resolved,) = Ledger((row,)).resolve(row.case, judgement, strict=False)
        assert resolved.expected is expected
    assert judged(lent, "VALUE-3", Status.FAIL, "value").divergence == "mine-mean"
    assert not judged(lent, "VALUE-3", Status.FAIL, "nan").expected


def finite() -> Call:
    """A forward derivative of finite numbers, weighted."""
    x, t = -np.arange(1, 5, dtype=np.float32).reshape(2, 2), np.array([0, 1])
    return NLL_LOSS.call(
        x, t, np.array([2, 4], np.float32), reduction="none", transform=Transform("jvp", None, np.ones_like(x))
    )


@pytest.mark.parametrize(
    ("function", "nan_fails", "finite_fails"),
    [("", True, False), ("avoids", False, False), ("twice", True, True)],
)
def test_a_framework_is_not_told_as_the_users_fault(
    tmp_path: Path, function: str, nan_fails: bool, finite_fails: bool
) -> None:
    """One that meets it, one that avoids it, one that is wrong by itself, which shows on finite numbers."""
    pytest.importorskip("tensorflow")
    (tmp_path / "forward.py").write_text(FORWARD, encoding="utf-8")
    (pinned,) = locate("tensorflow-jvp-nan")
    key = f"tensorflow@{tmp_path}/forward.py:{function}" if function else ON_TENSORFLOW
    with Session(key, "nll_loss", Request()) as session:
        (name,) = session.subjects("")
        nan = session.run(pinned, name)
        other = session.run(of_vector(vector(finite(), clauses=("GRAD-7",))), name)
    assert nan.is_expected
    assert bool(nan.failed) is nan_fails
    assert [row.title[:22] for row in nan.rows] == ["of tensorflow itself: "] * nan_fails
    assert (bool(other.failed), other.is_expected) == (finite_fails, not finite_fails)
    assert other.rows == ()


def test_it_is_forgotten_on_demand() -> None:
    pytest.importorskip("tensorflow")
    done = lossparity("replay", "tensorflow-jvp-nan", "-b", ON_TENSORFLOW, "--forget", "tensorflow-jvp-nan")
    assert done.returncode == 1, done.stdout + done.stderr


def test_conformance_tests_know_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    from lossparity.adapters.tensorflow import nll_loss

    case = case_of(vectors()["tensorflow-jvp-nan"])
    monkeypatch.setattr("lossparity.conformance.items.spec.vector_cases", lambda loss, dtype, asks=None: [case])
    spec = ItemSpec("tensorflow:lossparity.adapters.tensorflow.ports.nll_loss.nll_loss", VECTORS, "float32")
    testing.conformance_tests(nll_loss, framework="tensorflow")(spec)
    monkeypatch.setattr(plan, "machinery", lambda framework, subjects: [])
    with pytest.raises(pytest.fail.Exception, match="GRAD-7"):
        testing.conformance_tests(nll_loss, framework="tensorflow")(spec)
