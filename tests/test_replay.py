"""`lossparity replay`: a case again, its explanation, and scripts that reproduce it in a fresh process."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossparity.adapters import registry
from lossparity.adapters.execution import execute
from lossparity.conformance.findings import issue, reproducer
from lossparity.conformance.findings.acceptance import Unspeakable, accepted, failing
from lossparity.conformance.findings.literals import definition
from lossparity.conformance.findings.locate import Located, locate
from lossparity.conformance.findings.replay import Session
from lossparity.conformance.items.spec import Request
from lossparity.conformance.judging import rows
from lossparity.conformance.judging.judge import Traits, judge
from lossparity.conformance.lint import SUBJECTS
from lossparity.reports import html, records
from lossparity.reports.records import Finding
from lossparity.specs.call import BFLOAT16, TRANSFORMS, VALUES, Array, Call, Returned
from lossparity.specs.case import Case, Status
from lossparity.specs.encoding import encode_call
from lossparity.specs.errors import UsageError
from lossparity.specs.layouts import LAYOUTS, lay
from lossparity.specs.nll_loss.clauses import RULES
from lossparity.specs.nll_loss.corpus import corpus
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.vectors import case_of, vectors

from .test_cli import ROOT, lossparity

EXAMPLES = str(ROOT / "examples" / "my_losses.py")
BAD = str(ROOT / "tests" / "bad_losses.py")


ROWS = rows.brought_along("torch", SUBJECTS["torch"])


def run_script(text: str, folder: Path, *importable: Path) -> subprocess.CompletedProcess[str]:
    """A script in a fresh process, in an empty folder."""
    file = folder / "script.py"
    file.write_text(text, encoding="utf-8")
    path = ":".join(map(str, importable))
    command = f"import os, sys; os.environ['PYTHONPATH'] = {path!r}; os.execv(sys.executable, sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", command, sys.executable, str(file)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=folder,
    )


# --- known divergences ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch() -> Iterator[Session]:
    pytest.importorskip("torch")
    with Session("torch", Request(seconds=200)) as session:
        yield session


# Runs each script of a file as if it were alone, and prints how it ended and what it said.
PROGRAM = """
import contextlib, io, json, sys
ended = {}
for name, text in json.load(open("texts.json")).items():
    said, code = io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(said):
            exec(text, {})
    except SystemExit as end:
        code = int(end.code)
    ended[name] = code, said.getvalue()
    if "torch" in sys.modules:
        sys.modules["torch"].compiler.reset()  # it counts what it compiled
print(json.dumps(ended))
"""


def run_all(texts: dict[str, str], folder: Path) -> dict[str, tuple[int, str]]:
    """Scripts in one fresh process: importing torch for each would take minutes."""
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    done = run_script(PROGRAM, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_known_divergence_is_reproduced_by_a_script(torch: Session, tmp_path: Path) -> None:
    """Each pinned vector has a script, which shows the fault: it ends with 1."""
    texts: dict[str, str] = {}
    for row in ROWS:
        (located,) = locate(row.vector)
        found = torch.run(located, row.subjects[0])
        assert found.judgement.status in (Status.FAIL, Status.CRASH)
        assert found.is_expected
        assert row.id in {known.id for known in found.rows}
        texts[row.id] = text = reproducer.script(found.fault, [])
        imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
        imported = {line.split()[1].split(".")[0] for line in imports}
        assert imported <= {"os", "subprocess", "sys", "numpy", "torch"}
    assert len(texts) == len(ROWS)
    code, said = reproducer.run(texts.pop("compile-abort"))  # it starts itself again, so it needs a file
    assert (code, "the process ended with -6" in said) == (1, True)
    for name, (code, said) in run_all(texts, tmp_path).items():
        assert code == 1, (name, said)
        assert "observed: " in said
        assert said.rstrip().endswith("agrees:   False")


def test_a_script_is_shown_only_if_it_reproduces(torch: Session) -> None:
    """The same fault, said to be of the compiled subject, which has not got it."""
    (located,) = locate("torch-weight-rank")
    found = torch.run(located, "torch")
    assert found.reproduce().text
    script = dataclasses.replace(found, subject="torch:compile").reproduce()
    assert script.text == ""
    assert "does not reproduce; the fault did not show" in script.why_not


def test_what_several_calls_decide_has_no_script(torch: Session) -> None:
    (located,) = locate("compile-half-disagrees")
    reason = "no standalone reproducer: REL-8 is about several calls: " + RULES.clauses["REL-8"].statement
    assert torch.run(located, "torch").reproduce().why_not == reason


def test_what_passes_has_no_script(torch: Session) -> None:
    (located,) = locate("compile-half-overflow")
    passed = dataclasses.replace(torch.run(located, "torch"), outcome=Returned(np.array(40000.0, np.float16)))
    passed = dataclasses.replace(passed, judgement=judge(passed.case, passed.outcome, Traits()))
    assert passed.judgement.status is Status.PASS
    assert "nothing failed" in passed.reproduce().why_not


# --- the words of each framework -----------------------------------------------------------------------------


def asked(kind: str, dtype: Any = np.float32) -> Call:
    """A weighted call of each kind, on numbers that a wrong axis, argument or factor would change."""
    numbers = np.arange(1, 13, dtype=np.float64).reshape(4, 3) / -7
    target = np.array([2, 0, -1, 1])
    upstream, direction = np.array([0.5, 2, 4, -1]), numbers[::-1] * 3
    batched = ()
    if kind.startswith("vmap"):
        numbers, target, batched = np.stack([numbers, -numbers]), np.stack([target, target[::-1]]), ("input", "target")
    transform = None
    if kind != "value":
        transform = dataclasses.replace(
            NLL_LOSS.kinds[kind],
            upstream=upstream.astype(dtype) if kind not in ("jvp", "vmap", *VALUES) else None,
            direction=direction.astype(dtype) if kind in ("jvp", "second", "second_upstream") else None,
            batched=batched,
        )
    weight = np.array([1, 2, 0.5]).astype(dtype)
    return NLL_LOSS.call(numbers.astype(dtype), target, weight, -1, "none", transform=transform)


def words(subject: str, backend: str, call: Call) -> str:
    """The lines of a script; instead of comparing they print the result."""
    spell = registry.backend(backend).spell
    assert spell is not None
    spelling = spell(subject, call)
    arrays = list(reproducer.array_lines(call, spelling))
    result = [f"result = {spelling.result}", f"observed = {spelling.take.format('result')}"]
    shown = "print(json.dumps(observed.astype('float64').tolist()))"
    lines = [*arrays, *spelling.prepare, *result, shown]
    mode = "import jax\njax.config.update('jax_enable_x64', False)\n" * (subject == "jax:x32")  # others left it on
    return mode + "\n".join(["import json", *reproducer.import_lines(lines, spelling), *lines])


@pytest.mark.parametrize("backend", registry.BUILT_IN)
def test_scripts_ask_for_what_adapters_ask_for(backend: str, tmp_path: Path) -> None:
    """Each kind of call on each subject, spelt out: the same numbers as through the adapter."""
    pytest.importorskip(backend)
    subjects = [one for one in registry.backend(backend).subjects("cpu") if one.name != "torch:compile"]
    texts: dict[str, str] = {}
    expected: dict[str, list[Any]] = {}
    for subject in subjects:
        for dtype in (np.dtype(np.float32), np.dtype(BFLOAT16)):
            for kind in ("value", *TRANSFORMS, "weight_gradient") if dtype == np.float32 else ("value", "gradient"):
                outcome, _ = execute(subject, call := asked(kind, dtype))
                if isinstance(outcome, Returned):
                    name = f"{subject.name} {kind} {dtype.name}"
                    texts[name] = words(subject.name, backend, call)
                    expected[name] = outcome.value.astype(np.float64).tolist()
    ended = run_all(texts, tmp_path)
    assert {code for code, _ in ended.values()} == {0}
    seen = {name: json.loads(said) for name, (_, said) in ended.items()}
    assert seen == expected
    assert len(seen) >= (2 if backend == "numpy" else 9)
    assert len({str(numbers) for numbers in seen.values()}) > len({name.split()[1] for name in seen}) // 2


def test_omitted_arguments_are_left_out() -> None:
    call = asked("value").replace(weight=None, omitted=("weight", "reduction"))
    assert "result = nll_loss(x, t, ignore_index=-1)" in words("numpy", "numpy", call)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64", "uint8", "bool", "complex64"])
def test_arrays_are_written_down_bit_for_bit(dtype: str) -> None:
    numbers = np.random.default_rng(0).normal(size=1000)
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-7, -0.1, 3])
    kind = np.dtype(BFLOAT16) if dtype == "bfloat16" else np.dtype(dtype)
    samples = [numbers[:n].reshape(shape) for n, shape in ((1, ()), (6, (2, 3)), (1000, (10, 100)), (0, (0, 3)))]
    samples += [np.full((3, 50), -0.1), np.resize(numbers[:8], (5, 32)), np.where(np.arange(90) == 7, 2.5, -1.0)]
    samples += [special] * (kind.kind in "fV")
    for sample in samples:
        array = (sample * 50 if kind.kind in "iu" else sample).astype(np.int64 if kind.kind in "iu" else kind)
        array = array.astype(kind)
        again = written(array)
        assert (again.dtype, again.shape) == (array.dtype, array.shape)
        assert again.tobytes() == array.tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 4), (5,)])
def test_arrangements_in_memory_are_written_down(layout: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    if layout == "page":
        assert definition("x", array, layout) is None
        return
    laid, again = lay(array, layout), written(array, layout)
    assert (again == laid).all()
    assert (again.strides, again.flags.writeable) == (laid.strides, laid.flags.writeable)


def written(array: Array, layout: str = "") -> Array:
    import base64
    import zlib

    import ml_dtypes

    space: dict[str, Any] = {"np": np, "ml_dtypes": ml_dtypes, "zlib": zlib, "base64": base64}
    exec("\n".join(definition("x", array, layout) or ()), space)
    return space["x"]


# --- what a script accepts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_script_accepts_what_the_judge_accepts_and_no_number_more(dtype: str) -> None:
    """The ends of the range pass, their outer neighbours fail."""
    ranges = 0
    for case in [case for case in corpus("value", dtype, "quick", 0) if case.call["reduction"] != "none"][:150]:
        try:
            answer = accepted(case, [id for id in case.clauses if RULES.clauses[id].level == "MUST"], Traits())
        except Unspeakable:
            continue
        for end, outwards in ((answer.low, -1), (answer.high, 1)):
            if not np.isfinite(end):
                continue
            ranges += 1
            assert not musts(case, end)
            assert musts(case, np.nextafter(end, np.array(outwards * np.inf, end.dtype)))
    assert ranges > 50


def musts(case: Case, value: Array) -> list[str]:
    return [id for id in failing(case, Returned(value), Traits()) if RULES.clauses[id].level == "MUST"]


def test_elements_are_accepted_as_judged() -> None:
    accepted_some = 0
    for case in [case for case in corpus("gradient", "float32", "quick", 0) if case.call.kind == "gradient"][:60]:
        try:
            answer = accepted(case, case.clauses, Traits())
        except Unspeakable:
            continue
        for end in (answer.low, answer.high):
            assert not musts(case, np.where(answer.free, 0, end).astype(end.dtype))
            accepted_some += 1
    assert accepted_some > 40


# --- a user's function, from the command line ----------------------------------------------------------------


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a faulty function and the run that found it."""
    folder = tmp_path_factory.mktemp("checked")
    shutil.copy(EXAMPLES, folder / "mine.py")
    arguments = ("--family", "value", "--dtypes", "float32", "-n", "1")
    done = lossparity("check", "mine.py:mean_over_all", "--framework", "numpy", *arguments, folder=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "  again     lossparity replay reports-out#" in done.stdout
    return folder


def one_finding(folder: Path, status: str = "fail") -> Finding:
    found = records.read(folder / "reports-out" / "records.jsonl").of(Finding)
    return next(one for one in found if not one.expected and one.status == status and "ACC-2" in one.clauses)


def test_from_a_finding_to_a_script_and_an_issue(checked: Path, tmp_path: Path) -> None:
    finding = one_finding(checked)
    script, report = tmp_path / "reproduce.py", tmp_path / "issue.md"
    name = f"reports-out#{finding.digest[:12]}"
    done = lossparity("replay", name, "--script", str(script), "--issue", str(report), folder=checked)
    assert done.returncode == 1, done.stdout + done.stderr
    for words in ("unexpected: numpy:mine.mean_over_all", "VALUE-3", finding.observed, finding.exact, "  fail      "):
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


def check_issue(text: str, observed: str, exact: str, script: str) -> None:
    assert text.startswith("# nll_loss: ")
    assert script.strip() in text
    for words in (
        f"Observed: {observed}",
        f"Exact: {exact}",
        "(MUST): ",
        "Source: ",
        "Effect: ",
        "Of the same class: [",
    ):
        assert words in text
    assert f"Python {sys.version.split()[0]}" in text
    assert np.__version__ in text
    for private in (str(Path.home()), str(ROOT), "/tmp/"):
        assert private not in text


def test_an_issue_tells_of_the_known_divergence(torch: Session) -> None:
    (located,) = locate("torch-weight-rank")
    found = torch.run(located, "torch")
    text = issue.issue(found, found.reproduce())
    (row,) = found.rows
    check_issue(text, found.finding.observed, found.finding.exact, found.reproduce().text)
    for words in (row.title, row.id, row.explanation, "PyTorch's documentation", f"torch {torch.hello.version}"):
        assert words in text
    flag = RULES.flags[RULES.clauses["ERR-5"].flags[0]]
    assert flag.effect in text
    assert flag.seen_in[0] in text


def test_paths_of_this_machine_are_left_out_of_issues() -> None:
    said = 'File "/home/ann/my loss/mine.py", line 3; see https://pytorch.org/docs/a.html, 1/2 and a/b'
    assert issue.anonymous(said) == 'File "mine.py", line 3; see https://pytorch.org/docs/a.html, 1/2 and a/b'


def test_replay_as_json(checked: Path) -> None:
    finding = one_finding(checked)
    done = lossparity("replay", f"reports-out/records.jsonl#{finding.digest}", "--json", folder=checked)
    assert done.returncode == 1
    (one,) = json.loads(done.stdout)
    assert (one["subject"], one["expected"]) == ("numpy:mine.mean_over_all", False)
    assert one["finding"]["digest"] == finding.digest
    assert set(finding.clauses) == {each["clause"] for each in one["verdicts"] if each["status"] == "fail"}
    assert "raise SystemExit" in one["script"]


def test_a_call_is_made_smaller_first_if_asked_to(checked: Path) -> None:
    found = records.read(checked / "reports-out" / "records.jsonl").of(Finding)
    finding = max(found, key=lambda one: np.prod(one.call["input"]["shape"]))
    done = lossparity("replay", f"reports-out#{finding.digest}", "--shrink", "--json", folder=checked)
    assert done.returncode == 1, done.stderr
    (one,) = json.loads(done.stdout)
    assert np.prod(one["finding"]["call"]["input"]["shape"]) < np.prod(finding.call["input"]["shape"])


def test_on_another_function_a_recorded_call_passes(checked: Path) -> None:
    name = f"reports-out#{one_finding(checked).digest}"
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
    name = next(line.split()[-1] for line in done.stdout.splitlines() if "lossparity replay" in line)
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
    name = next(line.split()[-1] for line in done.stdout.splitlines() if "lossparity replay" in line)
    done = lossparity("replay", name, "--json", folder=tmp_path)
    (one,) = json.loads(done.stdout)
    assert (done.returncode, one["reproduced"], one["runs"]) == (1, True, 2), done.stderr


def test_a_function_that_is_gone_is_asked_for(checked: Path, tmp_path: Path) -> None:
    lines = (checked / "reports-out" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    moved = [lines[0].replace(str(checked), "/nowhere"), *lines[1:]]
    (tmp_path / "records.jsonl").write_text("\n".join(moved) + "\n", encoding="utf-8")
    done = lossparity("replay", f"{tmp_path}#{one_finding(checked).digest}")
    assert done.returncode == 4
    assert "-b FRAMEWORK@path/to/file.py:FUNCTION" in done.stderr


def test_the_page_tells_how_to_replay(checked: Path) -> None:
    run = records.read(checked / "reports-out" / "records.jsonl")
    page = html.render(html.cells([run]))
    assert f"reports-out#{one_finding(checked).digest}" in page


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
    with Session(f"numpy@{BAD}:{name}", Request(seconds=1.0)) as session:
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
    with Session("tests.bad_adapters:WRONG", Request()) as session:
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
        assert "  lossparity replay reports-out#" in done.stderr


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


def test_a_forgotten_divergence_is_unexpected(torch: Session) -> None:
    (located,) = locate("torch-weight-rank")
    assert torch.run(located, "torch").is_expected
    with Session("torch", Request(forgotten=("torch-weight-rank",))) as session:
        assert not session.run(located, "torch").is_expected


def test_a_located_case_is_the_vectors_own() -> None:
    for vector in vectors().values():
        (located,) = locate(vector.id)
        assert located.case().clauses == case_of(vector).clauses
        assert located.case().call.digest() == case_of(vector).call.digest()
