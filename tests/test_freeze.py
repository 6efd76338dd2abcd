"""`lossparity freeze`, files of vectors, and the shrinker."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
from lossparity.adapters.numpy.ports.nll_loss import nll_loss
from lossparity.conformance.findings import freeze, shrink
from lossparity.conformance.findings.locate import Located, locate, of_vector
from lossparity.conformance.findings.replay import Session
from lossparity.conformance.findings.smaller import smaller
from lossparity.conformance.items.spec import Request
from lossparity.specs.call import Call, Transform
from lossparity.specs.encoding import encode_call
from lossparity.specs.errors import NotReproduced, VectorError
from lossparity.specs.log_softmax.signature import LOG_SOFTMAX
from lossparity.specs.nll_loss.corpus import corpus
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.vectors import Vector, case_of, describe, parse

from .test_cli import ROOT, lossparity

EXAMPLES = str(ROOT / "examples" / "my_losses.py")
PINNED = resources.files("lossparity.specs.nll_loss.vectors").joinpath("pinned.json").read_text(encoding="utf-8")
SCHEMA = json.loads(resources.files("lossparity.specs").joinpath("vectors.schema.json").read_text(encoding="utf-8"))


def validate(text: str) -> list[Vector]:
    """Against the schema and against our own reader."""
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(text))
    return list(parse(text, "test"))


def large() -> Located:
    """A call with a good deal in it that `mean_over_all` gets wrong: weights and ignored positions."""
    values = np.random.default_rng(1).normal(size=(12, 7, 3)).astype(np.float32)
    target = np.arange(36).reshape(12, 3) % 7
    target[::3] = 4
    call = NLL_LOSS.call(values, target, np.linspace(0.5, 2, 7, dtype=np.float32), 4, "mean")
    return Located(encode_call(call), "value", "test", ())


# --- freezing ------------------------------------------------------------------------------------------------


def test_from_a_finding_to_a_vector(tmp_path: Path) -> None:
    """Found by `check`, frozen, failing again on the function, passing on the port."""
    out, file = tmp_path / "out", tmp_path / "mine.json"
    arguments = ("--family", "weight", "--dtypes", "float32", "-n", "1", "--json", "--out", str(out))
    done = lossparity("check", f"{EXAMPLES}:mean_over_all", "--framework", "numpy", *arguments)
    assert done.returncode == 1
    digest = json.loads(done.stdout)["findings"][0]["digest"]
    done = lossparity("freeze", f"{out}#{digest}", "--id", "mine-1", "--comment", "a mean", "--out", str(file))
    assert done.returncode == 0, done.stderr
    assert "vector mine-1" in done.stderr
    (vector,) = validate(file.read_text(encoding="utf-8"))
    assert (vector.id, vector.comment) == ("mine-1", "a mean")
    assert vector.expect == describe(case_of(vector).expectation)
    assert np.prod(vector.call["input"]["shape"]) == 1
    done = lossparity("replay", str(file), "-b", f"numpy@{EXAMPLES}:mean_over_all", "-b", "numpy", "--json")
    assert done.returncode == 1
    mine, port = json.loads(done.stdout)
    assert {one["clause"] for one in mine["verdicts"] if one["status"] == "fail"} >= set(vector.clauses)
    assert {one["status"] for one in port["verdicts"]} == {"pass"}
    done = lossparity("freeze", f"{out}#{digest}", "--id", "mine-1", "--out", str(file))
    assert done.returncode == 4
    assert "there is a vector 'mine-1' already" in done.stderr
    assert len(validate(file.read_text(encoding="utf-8"))) == 1


def test_a_vector_is_printed_without_a_file() -> None:
    pytest.importorskip("torch")
    done = lossparity("freeze", "torch-half-accumulator", "-b", "torch")
    assert done.returncode == 0, done.stderr
    (vector,) = validate(done.stdout)
    assert set(vector.clauses) <= {"ACC-3", "ACC-5"}
    assert vector.call["input"]["shape"][0] < 15
    assert "seen again" in done.stderr


def test_what_passes_is_not_frozen() -> None:
    done = lossparity("freeze", "torch-half-accumulator", "-b", "numpy")
    assert done.returncode == 3
    assert "does not fail on numpy: nothing to freeze" in done.stderr


def test_a_vector_that_does_not_fail_again_is_refused() -> None:
    """As where a function is right every other time: here the answer to the second question is another one's."""
    with (
        Session(f"numpy@{EXAMPLES}:mean_over_all", "nll_loss", Request(seconds=30)) as wrong,
        Session(f"numpy@{EXAMPLES}:correct", "nll_loss", Request(seconds=30)) as right,
    ):
        found = wrong.run(large(), "numpy:my_losses.mean_over_all")
        assert freeze.freeze(wrong, found, "", "").clauses == found.failed
        right.run = lambda located, subject, run=right.run: run(located, "numpy:my_losses.correct")
        with pytest.raises(NotReproduced, match="does not fail"):
            freeze.freeze(right, found, "", "")
        for id, words in (("Mine", "is no id"), ("torch-weight-rank", "already")):
            with pytest.raises(VectorError, match=words):
                freeze.freeze(wrong, found, id, "")


def test_a_loss_without_a_reduction_is_frozen(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "import numpy as np\n\ndef over_all(input, dim=-1):\n    return input - np.log(np.exp(input).sum())\n",
        encoding="utf-8",
    )
    call = LOG_SOFTMAX.call(np.array([[1, 2, 4], [0, 0, 1]], np.float32), 1)
    with Session(f"numpy@{own}:over_all", "log_softmax", Request(seconds=30)) as session:
        (subject,) = session.subjects("")
        found = session.run(Located(encode_call(call), "value", "test", (), loss="log_softmax"), subject)
        vector = freeze.freeze(session, found, "own-1", "sums over all axes")
    assert (vector.loss, vector.clauses) == ("log_softmax", found.failed)
    (again,) = validate(freeze.render([freeze.as_data(vector)], vector.loss))
    assert again.call == vector.call


def test_what_a_vector_has_no_words_for_is_refused() -> None:
    with Session(f"numpy@{EXAMPLES}:mean_over_all", "nll_loss", Request(seconds=30)) as session:
        found = session.run(large(), "numpy:my_losses.mean_over_all")
        case = dataclasses.replace(found.case, call=found.case.call.replace(reduction=7))
        with pytest.raises(VectorError, match="reduction is a string or null, not 7"):
            freeze.freeze(session, dataclasses.replace(found, case=case), "", "")


# --- files ---------------------------------------------------------------------------------------------------


def test_the_layout_of_our_own_file_is_kept() -> None:
    assert freeze.render(json.loads(PINNED)["vectors"], "nll_loss") == PINNED


def sample(id: str) -> Vector:
    (vector,) = (one for one in parse(PINNED, "pinned") if one.id == "torch-weight-rank")
    return msgspec.structs.replace(vector, id=id, comment="c", kills=(), why="")


def test_appending_adds_one_line_and_changes_no_other(tmp_path: Path) -> None:
    file = tmp_path / "pinned.json"
    file.write_text(PINNED, encoding="utf-8")
    freeze.append(sample("new"), file)
    text = file.read_text(encoding="utf-8")
    before, after = PINNED.splitlines(), text.splitlines()
    assert len(after) == len(before) + 1
    assert [line for line in after if line.rstrip(",") not in {one.rstrip(",") for one in before}] == [after[-3]]
    assert validate(text)[-1].id == "new"
    with pytest.raises(VectorError, match="already"):
        freeze.append(sample("new"), file)
    assert file.read_text(encoding="utf-8") == text


def test_nothing_is_lost_on_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "v.json"
    file.write_text("{ not json", encoding="utf-8")
    with pytest.raises(VectorError):
        freeze.append(sample("new"), file)
    assert file.read_text(encoding="utf-8") == "{ not json"
    file.write_text(PINNED, encoding="utf-8")

    def full(*args: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        freeze.append(sample("new"), file)
    assert file.read_text(encoding="utf-8") == PINNED
    assert list(tmp_path.iterdir()) == [file]


# --- shrinking -----------------------------------------------------------------------------------------------


def shrunk(call: Call, fails: Callable[[Call], bool]) -> Call:
    assert fails(call)
    smallest, tried = shrink.shrink(call, fails, seconds=60)
    assert fails(smallest)
    assert tried <= shrink.RUNS
    return smallest


def call_of(located: Located) -> Call:
    return located.case().call


def test_all_that_does_not_matter_goes() -> None:
    call = shrunk(call_of(large()), lambda call: True)
    assert (call["input"].shape, call["target"].shape, call["weight"]) == ((0, 1), (0,), None)
    assert (call["reduction"], call["ignore_index"]) == ("sum", -100)


@pytest.mark.parametrize(
    ("matters", "shape"),
    [
        (lambda call: call["weight"] is not None and call["reduction"] == "mean", (1, 1)),
        (lambda call: (call["target"] == call["ignore_index"]).sum() >= 2, (2, 1)),
        (lambda call: call["input"].ndim == 3 and call["input"].shape[2] >= 2, (1, 1, 2)),
        (lambda call: len(np.unique(call["target"])) >= 3, (1, 3, 3)),
    ],
)
def test_what_matters_stays(matters: Callable[[Call], bool], shape: tuple[int, ...]) -> None:
    call = shrunk(call_of(large()), matters)
    assert call["input"].size <= np.prod(shape)
    assert nll_loss(call["input"], call["target"], call["weight"], call["ignore_index"], call["reduction"]) is not None


def test_numbers_become_simple_and_legal_calls_stay_legal() -> None:
    call = shrunk(call_of(large()), lambda call: bool((call["input"] < -0.7).any()))
    assert call["input"].tolist() == [[-1.0]]
    for case in list(corpus("gradient", "float32", "quick", 0))[:40]:
        for candidate in list(shrink.candidates(case.call))[:25]:
            nll_loss(
                candidate["input"],
                candidate["target"],
                candidate["weight"],
                candidate["ignore_index"],
                candidate["reduction"],
            )
            upstream = candidate.transform.upstream if candidate.transform is not None else None
            if upstream is not None:
                assert upstream.shape == (candidate["target"].shape if candidate["reduction"] == "none" else ())


def test_it_is_bounded_and_deterministic() -> None:
    seen: list[str] = []

    def fails(call: Call) -> bool:
        seen.append(call.digest())
        return call["input"].size > 20

    first, tried = shrink.shrink(call_of(large()), fails, runs=30)
    assert tried == len(seen) <= 30
    again, _ = shrink.shrink(call_of(large()), fails, runs=30)
    assert first.digest() == again.digest()


def test_layouts_and_transforms_come_along() -> None:
    values = np.zeros((2, 3, 2, 2), np.float32)
    transform = Transform("gradient", np.ones((2, 2, 2), np.float32))
    layouts = (("input", "channels_last"),)
    call = NLL_LOSS.call(
        values, np.zeros((2, 2, 2), np.int64), None, -100, "none", transform=transform, layouts=layouts
    )
    located = Located(encode_call(call), "layout", "test", ())
    call = shrunk(call_of(located), lambda call: bool(call.layouts) and call["input"].ndim == 4)
    assert call.transform is not None
    assert call.transform.upstream is not None
    assert (call["input"].shape, call.transform.upstream.shape) == ((1, 1, 1, 1), (1, 1, 1))


def test_the_same_clause_fails_with_the_same_symptom() -> None:
    with Session(f"numpy@{EXAMPLES}:mean_over_all", "nll_loss", Request(seconds=30)) as session:
        found = session.run(large(), "numpy:my_losses.mean_over_all")
        small = smaller(session, found)
    assert small.case.call["input"].size < found.case.call["input"].size / 20
    assert found.failed[0] in small.failed
    assert small.judgement.symptom == found.judgement.symptom


def test_a_known_divergence_shrinks_to_the_same_one() -> None:
    pytest.importorskip("torch")
    (located,) = locate("torch-half-count")
    with Session("torch", "nll_loss", Request(seconds=60)) as session:
        found = session.run(located, "torch")
        small = smaller(session, found)
        assert [row.id for row in small.rows] == [row.id for row in found.rows]
        assert small.is_expected
        vector = freeze.freeze(session, small, "", "")
    assert of_vector(vector).case().call.digest() == small.case.call.digest()
