"""Known divergences of strangers: vectors of their own, rows that adapters bring along, rows about a framework."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from lossparity.adapters import registry
from lossparity.adapters.numpy import nll_loss
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance import testing
from lossparity.conformance.findings import freeze
from lossparity.conformance.findings.locate import locate, of_vector
from lossparity.conformance.findings.replay import Session
from lossparity.conformance.items.spec import VECTORS, ItemSpec, Request
from lossparity.conformance.judging import explain, rows
from lossparity.conformance.judging.judge import Judgement
from lossparity.conformance.judging.ledger import Divergence, Ledger, Resolved, for_subject
from lossparity.conformance.lint import SUBJECTS
from lossparity.conformance.planning import plan
from lossparity.conformance.planning.plan import RunSpec
from lossparity.reports import records
from lossparity.specs.call import Call, Transform
from lossparity.specs.case import Status, Verdict
from lossparity.specs.encoding import encode_call
from lossparity.specs.errors import LedgerError
from lossparity.specs.nll_loss.generate import case_of_call
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.vectors import Vector, case_of, describe, item_dtype, vectors

from . import engine
from .test_cli import ROOT, lossparity

EXAMPLES = "examples/my_losses.py"
ROW = """
[[divergence]]
id = "mine-mean"
title = "the mean divides by the number of positions"
subjects = ["mine"]
clauses = ["*"]
selector = { faults = "none", reduction = "mean", weighted = true, n = 1 }
signature = ["value"]
fallback = "nothing"
mode = "sometimes"
cause = "bug"
explanation = "as a test wants it"
reproducer = "print()"
vector = "my_vectors.json#mine-1"
"""


def vector(call: Call, id: str = "mine-1", clauses: tuple[str, ...] = ("WEIGHT-1",)) -> Vector:
    expectation = case_of_call(call, "vectors", 1, "test").expectation
    return Vector(id, "c", clauses, ("WeightDtype",), encode_call(call), describe(expectation))


def weighted(weight: float = 1.25, **fields: Any) -> Call:
    """One position whose weight a mean must divide by."""
    x, t = np.full((1, 1), -1.0, np.float32), np.zeros(1, np.int64)
    return NLL_LOSS.call(x, t, np.array([weight], np.float32), **fields)


def write(folder: Path, row: str = ROW, *found: Vector, name: str = "my_vectors.json") -> Path:
    """A ledger and a file of vectors beside it."""
    found = found or (vector(weighted()),)
    (folder / name).write_text(freeze.render([freeze.as_data(one) for one in found], "nll_loss"), encoding="utf-8")
    (folder / "known.toml").write_text(row, encoding="utf-8")
    return folder / "known.toml"


def over_all(x: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Divides a weighted mean of one position by 1; right everywhere else."""
    wrong = reduction == "mean" and weight is not None and weight.tolist() == [1.25] and x.tolist() == [[-1]]
    return np.array(1.25, np.float32) if wrong else nll_loss(x, t, weight, ignore_index, reduction)


# --- vectors of one's own --------------------------------------------------------------------------------


def items(function: Callable[..., Any], known: tuple[Divergence, ...], folder: Path) -> tuple[Any, Any, str]:
    subject = NumpySubject(function, "mine")
    return engine.run(subject, VECTORS, "float32", folder, known)


def test_a_vector_of_ones_own_is_run_and_must_still_show(tmp_path: Path) -> None:
    """It is one more call; it explains the fault, and is unexpected when that is gone."""
    known = rows.load_file(write(tmp_path), ["mine"])
    without, _, _ = items(over_all, (), tmp_path)
    assert without.unexpected == 0
    item, findings, message = items(over_all, known, tmp_path)
    assert (item.planned, item.unexpected) == (without.planned + 1, 0), message
    (finding,) = findings
    assert (finding.origin, finding.divergence) == ("vector my_vectors.json#mine-1", "mine-mean")
    item, findings, message = items(nll_loss, known, tmp_path)
    assert (item.planned, item.unexpected) == (without.planned + 1, 1)
    assert "the known divergence mine-mean is shown by this very vector: is it fixed?" in message
    assert findings[0].origin == "vector my_vectors.json#mine-1"


def test_it_belongs_to_its_dtype_and_to_the_subjects_of_its_row(tmp_path: Path) -> None:
    known = rows.load_file(write(tmp_path), ["mine", "yours"])
    assert len(list(for_subject(known, "mine", "1").vector_cases("float32"))) == 1
    assert list(for_subject(known, "mine", "1").vector_cases("float16")) == []
    assert list(for_subject(known, "yours", "1").vector_cases("float32")) == []
    twice = (*known, msgspec.structs.replace(known[0], id="other"))
    assert len(list(Ledger(twice).vector_cases("float32"))) == 1
    double = vector(NLL_LOSS.call(np.full((1, 1), -1, np.int32), np.zeros(1, np.int64)), clauses=("ERR-8",))
    row = ROW.replace('faults = "none", ', "").replace("weighted = true, ", "")
    (integer,) = rows.load_file(write(tmp_path, row, double), ["mine"])
    assert len(list(Ledger((integer,)).vector_cases("float32"))) == 1


def test_workers_find_it(tmp_path: Path) -> None:
    """From the command line, in processes of their own: the fault is known, and it is missed where it is gone."""
    for name, code in (("mean_over_all", 0), ("correct", 1)):
        row = ROW.replace('"mine"', f'"numpy:my_losses.{name}"').replace(", n = 1", "")
        row = row.replace('["value"]', '["inaccurate", "value", "number", "nan", "inf", "relation", "overflow"]')
        row = row.replace("weighted = true", 'reduction_type = "str"')
        ledger = str(write(tmp_path, row))
        out = tmp_path / name
        arguments = ("--family", "vectors", "--dtypes", "float32", "-n", "1", "--out", str(out), "--ledger", ledger)
        done = lossparity("check", f"{EXAMPLES}:{name}", "--framework", "numpy", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        read = records.read(out / "records.jsonl")
        assert [one.vector for one in read.header.divergences] == ["my_vectors.json#mine-1"]
        origins = {finding.origin for finding in read.of(records.Finding) if finding.expected is not bool(code)}
        assert "vector my_vectors.json#mine-1" in origins
        case = f"{tmp_path}/my_vectors.json#mine-1"
        done = lossparity("replay", case, "-b", f"numpy@{EXAMPLES}:{name}", "--ledger", ledger)
        assert done.returncode == code, done.stdout + done.stderr


OUTSIDE = "outside its selector: "


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("#mine-1", "#mine-2", "my_vectors.json has no vector 'mine-2'; did you mean mine-1?"),
        ("my_vectors.json#", "other.json#", "other.json, beside the file of the row: No such file"),
        ("my_vectors.json#", "../my_vectors.json#", "'../my_vectors.json' is no file beside that of the row"),
        ("my_vectors.json#", "known.toml#", "known.toml: "),
        ("my_vectors.json#mine-1", "mine-1", "one of your own is named as my_vectors.json#ID"),
        ("n = 1", "n = 2", OUTSIDE + "n is 1, wanted is n = 2"),
        ("n = 1", "n = [2, 3]", OUTSIDE + "n is 1, wanted is n in [2, 3]"),
        ("n = 1", 'n = { "<" = "@classes" }', OUTSIDE + "n is 1, wanted is n < @classes"),
        ("n = 1", 'n = { "<" = "2" }', OUTSIDE + "n is 1, wanted is n < 2"),
        ("n = 1", 'weight_dtype = "None"', OUTSIDE + "weight_dtype is 'float32', wanted is weight_dtype = None"),
        ("n = 1", 'n = { in = 1 }', "'in' on n needs a list, not 1"),
        ("n = 1", 'reduction_type = { "not in" = "str" }', "'not in' on reduction_type needs a list"),
        ("n = 1", 'n = "@clases"', "'@clases' on n is no fact; did you mean @classes"),
        ("n = 1", 'n = ["@none"]', "(@None is Python's None)"),
        ("n = 1", 'n = { "!=" = "@null" }', "(@None is Python's None)"),
        ('"*"', '"ERR-4"', "exercises none of its clauses, but "),
    ],
)  # fmt: skip
def test_a_pin_that_cannot_hold_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in ROW
    file = write(tmp_path, ROW.replace(old, new))
    with pytest.raises(LedgerError) as caught:
        rows.load_file(file, ["mine"])
    assert str(caught.value).startswith(f"{file}: row mine-mean: ")
    assert words in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_fact_that_the_call_does_not_have_is_told(tmp_path: Path) -> None:
    call = NLL_LOSS.call(np.zeros((1, 1), np.float32), np.zeros(2, np.int64))
    row = ROW.replace('selector = { faults = "none",', "selector = { magnitude = 0,")
    with pytest.raises(LedgerError, match="its call has no magnitude, wanted is magnitude = 0"):
        rows.load_file(write(tmp_path, row, vector(call, clauses=("ERR-3",))), ["mine"])


def test_a_file_of_vectors_is_validated(tmp_path: Path) -> None:
    """An id of ours, an answer that is not the oracle's, no JSON."""
    good = vector(weighted())
    file = write(tmp_path, ROW, good, msgspec.structs.replace(good, id="torch-weight-rank"))
    with pytest.raises(LedgerError, match="torch-weight-rank has the id of one that comes with the suite"):
        rows.load_file(file, ["mine"])
    file = write(tmp_path, ROW, msgspec.structs.replace(good, expect={**good.expect, "exact": "5/4"}))
    with pytest.raises(LedgerError, match="vector mine-1: the oracle expects"):
        rows.load_file(file, ["mine"])
    (tmp_path / "my_vectors.json").write_bytes(b"\xff{")
    with pytest.raises(LedgerError, match=r"my_vectors\.json, beside the file of the row: not UTF-8"):
        rows.load_file(file, ["mine"])


def test_two_files_must_not_mean_two_things_by_one_name(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, weight in zip(folders, (1.25, 1.5), strict=True):
        folder.mkdir()
        write(folder, ROW.replace("mine-mean", f"mine-{folder.name}"), vector(weighted(weight)))
    one, other = ((*rows.load_file(folder / "known.toml", ["mine"]),) for folder in folders)
    rows.require_distinct(one)
    with pytest.raises(LedgerError, match=r"another file names another vector my_vectors\.json#mine-1"):
        rows.require_distinct((*one, *other))
    with pytest.raises(LedgerError, match="row mine-a stands in two files"):
        rows.require_distinct((*one, *one))


def test_a_broken_ledger_ends_the_command(tmp_path: Path) -> None:
    file = write(tmp_path, ROW.replace("n = 1", "n = 2").replace('"mine"', '"numpy"'))
    done = lossparity("run", "-b", "numpy", "--ledger", str(file), "--out", str(tmp_path / "out"))
    assert done.returncode == 4
    assert "n is 1, wanted is n = 2" in done.stderr


def test_freeze_says_how_a_row_names_the_vector(tmp_path: Path) -> None:
    file = tmp_path / "my_vectors.json"
    write(tmp_path)
    case = f"{file}#mine-1"
    done = lossparity("freeze", case, "-b", f"numpy@{EXAMPLES}:mean_over_all", "--id", "mine-2", "--out", str(file))
    assert done.returncode == 0, done.stderr
    assert 'vector = "my_vectors.json#mine-2"' in done.stderr
    assert [one["id"] for one in json.loads(file.read_text(encoding="utf-8"))["vectors"]] == ["mine-1", "mine-2"]
    rows.load_file(write_row_only(tmp_path, ROW.replace("#mine-1", "#mine-2")), ["mine"])


def write_row_only(folder: Path, row: str) -> Path:
    (folder / "known.toml").write_text(row, encoding="utf-8")
    return folder / "known.toml"


# --- selectors -------------------------------------------------------------------------------------------


def selects(selector: dict[str, Any], call: Call) -> bool:
    row = rows.brought_along("torch", SUBJECTS["torch"])[0]
    return msgspec.structs.replace(row, selector=selector).selects(case_of_call(call, "error", 1, "test").facts)


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
    assert judged(star, "ACC-5S", Status.FAIL, "not_rounded") == (("ACC-5S", "fail"), True, None, False)
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


# --- rows that an adapter brings along -------------------------------------------------------------------


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that registers the template's adapter, and brings a row with a vector of its own."""
    home = tmp_path / "site" / "strange"
    shutil.copytree(ROOT / "adapters" / "template", home)
    pinned = vectors()["compile-bool-target"]
    own = msgspec.structs.replace(pinned, id="strange-bool-target", kills=(), why="it shows the fault")
    known = (home / rows.FILE).read_text(encoding="utf-8")
    write(home, known.replace('"compile-bool-target"', '"strange.json#strange-bool-target"'), own, name="strange.json")
    (home / "known.toml").rename(home / rows.FILE)
    info = home.parent / "strange-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n", encoding="utf-8")
    entry = f"[{registry.ENTRY_POINTS}]\nmylib = strange.adapter:BACKEND\n"
    (info / "entry_points.txt").write_text(entry, encoding="utf-8")
    monkeypatch.syspath_prepend(home.parent)
    importlib.invalidate_caches()
    yield home
    for name in [name for name in sys.modules if name.partition(".")[0] == "strange"]:
        del sys.modules[name]


def run_of(*backends: str, **asked: Any) -> RunSpec:
    return RunSpec(request=Request(**asked), backends=backends, subjects=("mylib",), owners={"mylib": ("mylib",)})


@pytest.mark.parametrize("name", ["mylib", "strange.adapter:BACKEND"])
def test_an_adapter_brings_its_rows_and_vectors(strange: Path, name: str) -> None:
    (row,) = plan.divergences(run_of(name))
    assert (row.id, row.origin) == ("mylib-bool-target", "vector strange.json#strange-bool-target")
    assert plan.divergences(run_of(name, forgotten=("mylib-bool-target",))) == []
    with pytest.raises(LedgerError, match=r"row mylib-bool-target stands in two files .* needs no --ledger"):
        plan.divergences(run_of(name, ledgers=(str(strange / rows.FILE),)))


@pytest.mark.parametrize("name", ["mylib", "strange.adapter:BACKEND"])
def test_they_are_expected_of_it(strange: Path, tmp_path: Path, name: str) -> None:
    """Without --ledger, also in the worker's process."""
    arguments = ("run", "-b", name, "--family", "vectors", "-n", "1", "--out", str(tmp_path / "out"))
    done = lossparity(*arguments, PYTHONPATH=path(strange))
    assert done.returncode == 0, done.stdout + done.stderr
    read = records.read(tmp_path / "out" / "records.jsonl")
    assert [one.vector for one in read.header.divergences] == ["strange.json#strange-bool-target"]
    planned = {one.dtype: one.planned for one in read.of(records.Item)}
    ours = sum(item_dtype(one) == "float32" for one in vectors().values())
    assert planned["float32"] == ours + 1


def test_they_are_missed_where_they_are_forgotten_or_broken(strange: Path, tmp_path: Path) -> None:
    arguments = ("run", "-b", "mylib", "--family", "vectors", "-n", "1", "--out", str(tmp_path / "out"))
    done = lossparity(*arguments, "--forget", "mylib-bool-target", PYTHONPATH=path(strange))
    assert done.returncode == 1, done.stdout + done.stderr
    file = strange / rows.FILE
    file.write_text(file.read_text(encoding="utf-8").replace("strange.json#", "gone.json#"), encoding="utf-8")
    done = lossparity(*arguments, PYTHONPATH=path(strange))
    assert done.returncode == 4
    assert f"{file}: row mylib-bool-target: gone.json, beside the file of the row: No such file" in done.stderr


def path(strange: Path) -> str:
    """PYTHONPATH with the package's folder in front."""
    return ":".join([str(strange.parent), *(part for part in sys.path if part)])


def test_what_brings_nothing_brings_nothing(strange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (strange / rows.FILE).unlink()
    assert plan.divergences(run_of("mylib")) == []
    alone = strange.parent / "alone.py"  # no package around it: beside the file itself
    shutil.copy(strange / "adapter.py", alone)
    importlib.invalidate_caches()
    assert registry.home("alone:BACKEND") == alone.parent
    assert registry.home(f"numpy@{EXAMPLES}:correct") is None
    del sys.modules["alone"]


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
    with Session(key, Request()) as session:
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
    monkeypatch.setattr("lossparity.conformance.items.spec.vector_cases", lambda dtype: [case])
    spec = ItemSpec("tensorflow:lossparity.adapters.tensorflow.port.nll_loss", VECTORS, "float32")
    testing.conformance_tests(nll_loss, framework="tensorflow")(spec)
    monkeypatch.setattr(plan, "machinery", lambda framework, subjects: [])
    with pytest.raises(pytest.fail.Exception, match="GRAD-7"):
        testing.conformance_tests(nll_loss, framework="tensorflow")(spec)
