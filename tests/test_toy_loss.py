"""A loss that does not ship, through everything: check, replay, freeze, shrinking, reports, the kit, the bench."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from lossparity.conformance.findings import shrink
from lossparity.conformance.findings.locate import Located, locate
from lossparity.conformance.testing import conformance_tests
from lossparity.reports import bench, html, records
from lossparity.reports.records import Finding, Item
from lossparity.specs import losses, vectors
from lossparity.specs.call import FLOAT_DTYPES, Returned
from lossparity.specs.case import Returns, Within
from lossparity.specs.encoding import encode_call
from lossparity.specs.loss import Draw
from lossparity.specs.nll_loss.loss import LOSS as NLL_LOSS

from . import toys
from .kit import failure, ids, run
from .test_check import check, wrong
from .test_cli import ROOT, lossparity
from .test_freeze import validate

PLACE = f"{ROOT / 'tests' / 'toy_loss.py'}:LOSS"
TOYS = f"{ROOT / 'tests' / 'toys.py'}"
LOSS = losses.find(PLACE)  # known by its name from now on, as to whoever names it with --loss
TOY = LOSS.signature
# Who is wrong, and the clause that says so.
WRONG = {"by_n_minus_1": "VALUE-3", "expanded": "VALUE-1", "broadcasting": "ERR-1"}
SHORT = ("--loss", PLACE, "--dtypes", "float32", "-n", "1")


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_a_correct_function_is_as_expected(framework: str, tmp_path: Path) -> None:
    pytest.importorskip(framework)
    done, read = check(tmp_path, f"{TOYS}:correct", "--loss", PLACE, framework=framework)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {(item.loss, item.device) for item in read.of(Item)} == {("toy_mse", "cpu")}
    assert {clause.loss for clause in read.header.clauses} == {"toy_mse"}
    assert read.header.places == {"toy_mse": PLACE}
    passed = {(tally.clause, tally.status) for tally in read.of(records.Tally)}
    gradients = framework != "numpy"  # a function on NumPy's arrays has none
    assert {(id, "pass") for id in LOSS.rules.clauses if gradients or not id.startswith("GRAD")} <= passed


@pytest.mark.parametrize("framework", ["numpy", "torch"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_one_is_told_what_is_wrong(framework: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip(framework)
    done, read = check(tmp_path, f"{TOYS}:{name}", *SHORT, framework=framework)
    assert done.returncode == 1
    statement = LOSS.rules.clauses[WRONG[name]].statement
    assert f"{WRONG[name]:<10}MUST: {statement}" in done.stdout
    assert WRONG[name] in {id for finding in wrong(read) for id in finding.clauses}


def test_a_finding_is_replayed_shrunk_and_frozen(tmp_path: Path) -> None:
    _, read = check(tmp_path, f"{TOYS}:by_n_minus_1", *SHORT)
    finding = max((one for one in wrong(read) if "VALUE-3" in one.clauses), key=lambda one: len(str(one.call)))
    place = f"{tmp_path}#{finding.digest}"
    (located,) = locate(place)
    assert (located.loss, located.call) == ("toy_mse", finding.call)
    again = lossparity("replay", place, "--script", str(tmp_path / "script.py"))
    assert again.returncode == 1, again.stdout + again.stderr
    assert "VALUE-3" in again.stdout
    assert again.stdout.startswith("unexpected: The loss is")
    assert "numpy:toys.by_n_minus_1/toy_mse" in again.stdout
    assert "\n  input     [" in again.stdout
    script = (tmp_path / "script.py").read_text(encoding="utf-8")
    assert "by_n_minus_1" in script
    frozen = tmp_path / "frozen.json"
    done = lossparity("freeze", place, "--id", "toy-mean", "--out", str(frozen))
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(frozen.read_text(encoding="utf-8"))
    assert data["loss"] == "toy_mse"
    (vector,) = validate(frozen.read_text(encoding="utf-8"))
    assert vectors.case_of(vector).call["input"].size == 2  # the smallest mean that n - 1 gets wrong
    replayed = lossparity("replay", str(frozen), "--loss", PLACE, "-b", f"numpy@{TOYS}:correct")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def test_shrinking_knows_its_axes() -> None:
    call = TOY.call(*(np.arange(24, dtype=np.float32).reshape(2, 3, 4) * sign for sign in (1, -1)))
    located = Located(encode_call(call), "value", "test", (), loss="toy_mse")
    assert {tuple(case["input"]["shape"]) for case in _simpler(located)} >= {(1, 3, 4), (2, 1, 4), (2, 3, 2)}


def _simpler(located: Located) -> list[dict[str, dict[str, object]]]:
    return [encode_call(call) for call in shrink.candidates(located.case().call)]


def test_two_losses_make_an_overview_and_a_page_each(tmp_path: Path) -> None:
    _, toy = check(tmp_path / "toy", f"{TOYS}:expanded", *SHORT)
    _, nll = check(tmp_path / "nll", "examples/my_losses.py:correct", "--dtypes", "float32", "--family", "shape")
    index = html.write_site([toy, nll], tmp_path / "site")
    text = index.read_text(encoding="utf-8")
    assert {file.name for file in index.parent.glob("*.html")} == {"index.html", "toy_mse.html", "nll_loss.html"}
    for name in ("toy_mse", "nll_loss"):
        assert f'href="{name}.html"' in text
        page = (index.parent / f"{name}.html").read_text(encoding="utf-8")
        assert f"<dt>loss</dt><dd>{name}</dd>" in page
        assert 'href="index.html"' in page
    assert "numpy:toys.expanded has nothing for this loss" in text
    assert "not as expected: toy_mse" in text
    parts = (f"all={tmp_path / name}" for name in ("toy", "nll"))
    done = lossparity("site", *parts, "--out", str(tmp_path / "laid"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ot as expected: all" in done.stdout
    assert (tmp_path / "laid" / "all" / "toy_mse.html").exists()
    alone = html.write_site([nll], tmp_path / "alone").read_text(encoding="utf-8")
    assert "<dt>loss</dt><dd>nll_loss</dd>" in alone


def test_conformance_tests_take_it() -> None:
    right = conformance_tests(toys.correct, framework="numpy", dtypes="float32", loss=LOSS)
    assert {id.partition("-")[0] for id in ids(right)} == set(LOSS.families)
    run(right, "value-float32")
    for name, clause in (("by_n_minus_1", "VALUE-3"), ("broadcasting", "ERR-1")):
        test = conformance_tests(getattr(toys, name), framework="numpy", dtypes="float32", loss="toy_mse")
        assert failure(test, f"{'error' if clause == 'ERR-1' else 'value'}-float32").startswith(clause)


def test_it_is_timed(tmp_path: Path) -> None:
    done = lossparity("bench", "--loss", PLACE, "-b", f"numpy@{TOYS}:correct", "--threads", "1", "--budget", "25",
                      "--out", str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    read = bench.read(tmp_path / "bench.jsonl")
    assert read.header.loss == "toy_mse"
    measured = [one for one in read.records if isinstance(one, bench.Measured)]
    assert measured
    assert {one.point.sizes["N"] for one in measured} <= {64, 1024}


def test_lint_and_clauses_know_it() -> None:
    done = lossparity("lint", "--loss", PLACE)
    assert (done.returncode, done.stdout) == (0, "toy_mse: 13 clauses, 7 flags and 6 families are consistent.\n")
    shown = lossparity("clauses", "VALUE-3", "--loss", PLACE)
    assert "mean divides their sum by the number of elements." in shown.stdout
    assert LOSS.rules.clauses["VALUE-3"].statement != NLL_LOSS.rules.clauses["VALUE-3"].statement


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nl_loss", "no loss 'nl_loss'; did you mean nll_loss?"),
        (f"{ROOT / 'tests' / 'toy_loss.py'}:TOY", "it must be a lossparity.specs.loss.Loss"),
        (f"{ROOT / 'tests' / 'toy_loss.py'}:LOS", "LOSS"),
        ("gone.py:LOSS", "gone.py"),
    ],
)
def test_what_is_no_loss_is_told(place: str, words: str) -> None:
    done = lossparity("check", f"{TOYS}:correct", "--framework", "numpy", "--loss", place)
    assert done.returncode == 4
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_function_of_another_loss_is_told_what_it_is_called_with() -> None:
    done = lossparity("check", f"{ROOT / 'tests' / 'any_loss.py'}:takes_one", "--framework", "numpy", "--loss", PLACE)
    assert done.returncode == 4
    assert "is called with (input, target, reduction='mean')" in done.stderr


# --- the answers themselves ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_its_bounds_hold_what_numpy_computes(dtype: str) -> None:
    """A tolerance says something: half of it at most is used, and what cancels lies beyond it."""
    inside = outside = 0
    for case in LOSS.families["value"].cases(Draw(dtype, "quick", 0, 3)):
        if not isinstance(case.expectation, Returns) or not isinstance(case.expectation.value, Within):
            continue
        due = case.expectation.value
        right = np.asarray(toys.correct(case.call["input"], case.call["target"], "none"))
        assert due.required.holds(right).all()
        beside = Returned(toys.expanded(case.call["input"], case.call["target"], "none")).value
        inside += int(due.required.holds(beside).sum())
        outside += int((~due.required.holds(beside)).sum())
    assert inside
    assert outside or dtype in ("float16", "bfloat16")  # computed in float32, and rounded


def test_findings_hold_their_loss(tmp_path: Path) -> None:
    _, read = check(tmp_path, f"{TOYS}:broadcasting", *SHORT)
    assert {finding.loss for finding in read.of(Finding)} == {"toy_mse"}
