"""`lossparity replay` on functions of users: a case again, its explanation, a script and an issue."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from lossparity.conformance.findings import issue
from lossparity.conformance.findings.locate import Located, locate
from lossparity.conformance.findings.replay import Session
from lossparity.conformance.items.spec import Request
from lossparity.reports import html, records
from lossparity.reports.matrix import cells
from lossparity.reports.records import Finding
from lossparity.specs.case import Status
from lossparity.specs.encoding import encode_call
from lossparity.specs.errors import UsageError
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.vectors import case_of, vectors

from .reproducing import check_issue, run_script
from .test_cli import ROOT, lossparity

EXAMPLES = str(ROOT / "examples" / "my_losses.py")
BAD = str(ROOT / "tests" / "bad_losses.py")


# --- a user's function, from the command line ----------------------------------------------------------------


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a faulty function and the run that found it."""
    folder = tmp_path_factory.mktemp("checked")
    shutil.copy(EXAMPLES, folder / "mine.py")
    arguments = ("--family", "value", "--dtypes", "float32", "-n", "1")
    done = lossparity("check", "mine.py:mean_over_all", "--framework", "numpy", *arguments, folder=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "  again     lossparity replay reports-out/check#" in done.stdout
    return folder


def replayed_as(printed: str) -> str:
    """The name that a printed finding is replayed by."""
    return printed.partition("  again     lossparity replay ")[2].split()[0]


def one_finding(folder: Path, status: str = "fail") -> Finding:
    found = records.read(folder / "reports-out" / "check" / "latest" / "records.jsonl").of(Finding)
    return next(one for one in found if not one.expected and one.status == status and "ACC-2" in one.clauses)


def test_from_a_finding_to_a_script_and_an_issue(checked: Path, tmp_path: Path) -> None:
    finding = one_finding(checked)
    script, report = tmp_path / "reproduce.py", tmp_path / "issue.md"
    name = f"reports-out/check#{finding.digest[:12]}"
    done = lossparity("replay", name, "--script", str(script), "--issue", str(report), folder=checked)
    assert done.returncode == 1, done.stdout + done.stderr
    for words in (
        "  subject   numpy:mine.mean_over_all/nll_loss",
        "VALUE-3",
        finding.observed,
        finding.exact,
        "  fail      ",
    ):
        assert words in done.stdout
    text = script.read_text(encoding="utf-8")
    assert "from mine import mean_over_all as nll_loss" in text
    again = run_script(text, tmp_path, checked)
    assert again.returncode == 1, again.stderr
    assert "agrees:   False" in again.stdout
    mended = tmp_path / "mended"
    mended.mkdir()
    port = "from lossparity.adapters.numpy import nll_loss as mean_over_all\n"
    (mended / "mine.py").write_text(port, encoding="utf-8")
    again = run_script(text, tmp_path, mended)
    assert (again.returncode, "agrees:   True" in again.stdout) == (0, True), again.stderr
    check_issue(report.read_text(encoding="utf-8"), finding.observed, finding.exact, text)


def test_paths_of_this_machine_are_left_out_of_issues() -> None:
    said = 'File "/home/ann/my loss/mine.py", line 3; see https://pytorch.org/docs/a.html, 1/2 and a/b'
    assert issue.anonymous(said) == 'File "mine.py", line 3; see https://pytorch.org/docs/a.html, 1/2 and a/b'


def test_replay_as_json(checked: Path) -> None:
    finding = one_finding(checked)
    done = lossparity("replay", f"reports-out/check/latest/records.jsonl#{finding.digest}", "--json", folder=checked)
    assert done.returncode == 1
    (one,) = json.loads(done.stdout)
    assert (one["subject"], one["expected"]) == ("numpy:mine.mean_over_all", False)
    assert one["finding"]["digest"] == finding.digest
    assert set(finding.clauses) == {each["clause"] for each in one["verdicts"] if each["status"] == "fail"}
    assert "raise SystemExit" in one["script"]


def test_a_call_is_made_smaller_first_if_asked_to(checked: Path) -> None:
    found = records.read(checked / "reports-out" / "check" / "latest" / "records.jsonl").of(Finding)
    finding = max(found, key=lambda one: np.prod(one.call["input"]["shape"]))
    done = lossparity("replay", f"reports-out/check#{finding.digest}", "--shrink", "--json", folder=checked)
    assert done.returncode == 1, done.stderr
    (one,) = json.loads(done.stdout)
    assert np.prod(one["finding"]["call"]["input"]["shape"]) < np.prod(finding.call["input"]["shape"])


def test_on_another_function_a_recorded_call_passes(checked: Path) -> None:
    name = f"reports-out/check#{one_finding(checked).digest}"
    done = lossparity("replay", name, "-b", f"numpy@{EXAMPLES}:correct", "-b", "numpy", folder=checked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as expected: numpy:my_losses.correct, pass" in done.stdout
    assert "as expected: numpy, pass" in done.stdout


STATEFUL = """
from lossparity.adapters.numpy import nll_loss

calls = []

def loss(*arguments, **options):
    calls.append(None)
    return nll_loss(*arguments, **options) * (2 if len(calls) > {calls} else 1)
"""


def test_what_does_not_show_again_is_not_acquitted(tmp_path: Path) -> None:
    """A fault of the hundredth call on: alone the call passes, and replay says so, with 3; mended, it says that."""
    (tmp_path / "mine.py").write_text(STATEFUL.format(calls=100), encoding="utf-8")
    arguments = ("--framework", "numpy", "--family", "value", "--dtypes", "float32", "-n", "1", "-x")
    done = lossparity("check", "mine.py:loss", *arguments, folder=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    name = replayed_as(done.stdout)
    done = lossparity("replay", name, folder=tmp_path)
    assert (done.returncode, "pass" in done.stdout) == (3, True), done.stdout + done.stderr
    assert "does not reproduce: " in done.stderr
    assert "not in 10 runs now: there, other calls came before it in the same process" in done.stderr
    assert f"lossparity check mine.py:loss {' '.join(arguments)} --family value" in done.stderr
    (tmp_path / "mine.py").write_text(STATEFUL.format(calls=10_000), encoding="utf-8")
    done = lossparity("replay", name, folder=tmp_path)
    assert (done.returncode, "mine.py was changed since" in done.stderr) == (3, True), done.stdout + done.stderr


def test_what_shows_at_times_is_looked_for(tmp_path: Path) -> None:
    """Every third call is wrong, from the second one on."""
    text = STATEFUL.format(calls=0).replace("len(calls) > 0", "len(calls) % 3 == 2")
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    arguments = ("--framework", "numpy", "--family", "value", "--dtypes", "float32", "-n", "1", "-x")
    done = lossparity("check", "mine.py:loss", *arguments, folder=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    name = replayed_as(done.stdout)
    done = lossparity("replay", name, "--json", folder=tmp_path)
    (one,) = json.loads(done.stdout)
    assert (done.returncode, one["reproduced"], one["runs"]) == (1, True, 2), done.stderr


def test_a_function_that_is_gone_is_asked_for(checked: Path, tmp_path: Path) -> None:
    lines = (checked / "reports-out" / "check" / "latest" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    moved = [lines[0].replace(str(checked), "/nowhere"), *lines[1:]]
    (tmp_path / "records.jsonl").write_text("\n".join(moved) + "\n", encoding="utf-8")
    done = lossparity("replay", f"{tmp_path}#{one_finding(checked).digest}")
    assert done.returncode == 4
    assert "-b FRAMEWORK@path/to/file.py:FUNCTION" in done.stderr


def test_the_page_tells_how_to_replay(checked: Path) -> None:
    run = records.read(checked / "reports-out" / "check" / "latest" / "records.jsonl")
    page = html.render(cells([run]))
    assert f"reports-out/check#{one_finding(checked).digest}" in page


# --- functions that misbehave --------------------------------------------------------------------------------


def plain(shape: tuple[int, ...] = (6, 5), reduction: str = "mean") -> Located:
    values = np.full(shape, -1.0, np.float32)
    call = NLL_LOSS.call(values, np.zeros(shape[:1] + shape[2:], np.int64), None, -100, reduction)
    return Located(encode_call(call), "value", "test", ())


@pytest.mark.parametrize(
    ("name", "status", "observed"),
    [
        ("segfaults", Status.CRASH, "the process died: killed by SIGSEGV"),
        ("sleeps", Status.TIMEOUT, "no answer within 1 s"),
        ("exits", Status.FAIL, "SystemExit: done for today"),
        ("raises", Status.FAIL, "RuntimeError: not written yet"),
        ("returns_floats", Status.FAIL, "float, which is no numpy.ndarray"),
        ("spoils_its_target", Status.FAIL, "a result, and target modified in place"),
    ],
)
def test_misbehaviour_is_a_verdict_and_reproduced(name: str, status: Status, observed: str, tmp_path: Path) -> None:
    with Session(f"numpy@{BAD}:{name}", "nll_loss", Request(seconds=1.0)) as session:
        (subject,) = session.hello.subjects
        located = plain()
        if name == "spoils_its_target":
            call = NLL_LOSS.call(np.zeros((2, 3), np.float32), np.array([-100, 1]))
            located = dataclasses.replace(located, call=encode_call(call))
        found = session.run(located, subject)
        assert (found.judgement.status, found.is_expected) == (status, False)
        assert observed in found.finding.observed
        again = session.run(located, subject)  # the child was started again
        assert again.judgement.status is status
    script = found.reproduce()
    assert script.text, script.why_not
    assert run_script(script.text, tmp_path, ROOT / "tests").returncode == 1
    mended = tmp_path / "mended"
    mended.mkdir()
    (mended / "bad_losses.py").write_text(f"from lossparity.adapters.numpy import nll_loss as {name}\n")
    assert run_script(script.text, tmp_path, mended).returncode == 0


def test_others_run_although_one_crashes() -> None:
    arguments = ("-b", f"numpy@{BAD}:segfaults", "-b", "numpy")
    done = lossparity("replay", "compile-half-overflow", *arguments)
    assert done.returncode == 1
    assert "the process died: killed by SIGSEGV" in done.stdout
    assert "as expected: numpy, pass" in done.stdout


def test_an_adapter_that_spells_nothing_says_so() -> None:
    with Session("tests.bad_adapters:WRONG", "nll_loss", Request()) as session:
        found = session.run(plain(), next(iter(session.hello.subjects)))
    assert "does not say how to spell a call (Backend.spell)" in found.reproduce().why_not


# --- bad names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torch-weight-rnak", "did you mean torch-weight-rank"),
        ("specs/nll_loss/vectors/pinned.json", "name one of them as specs/nll_loss/vectors/pinned.json#ID"),
        ("specs/nll_loss/vectors/pinned.json#nope", "no vector 'nope'"),
    ],
)
def test_names_that_stand_for_no_case(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        locate(name)
    assert words in str(caught.value)


def test_findings_are_listed_where_one_has_to_be_chosen(checked: Path) -> None:
    for name, words in (("reports-out", "has unexpected results of"), ("reports-out#zz", "begins with zz")):
        done = lossparity("replay", name, folder=checked)
        assert done.returncode == 4
        assert words in done.stderr
        assert "  lossparity replay reports-out/check#" in done.stderr


def test_bad_subjects_and_files(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    for arguments, code in (
        (("torch-weight-rank", "-b", "nump"), 4),
        ((str(tmp_path / "x.json"),), 4),
        ((str(tmp_path),), 4),
        (("torch-weight-rank", "-b", "numpy", "--forget", "nope"), 4),
    ):
        done = lossparity("replay", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stderr.count("Traceback") == 0


def test_a_framework_that_is_absent_exits_6(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['jax'] = None\n")
    done = lossparity("replay", "torch-weight-rank", "-b", "jax", PYTHONPATH=str(tmp_path))
    assert done.returncode == 6
    assert "pip install" in done.stderr


def test_a_located_case_is_the_vectors_own() -> None:
    for vector in vectors().values():
        (located,) = locate(vector.id)
        assert located.case().clauses == case_of(vector).clauses
        assert located.case().call.digest() == case_of(vector).call.digest()
