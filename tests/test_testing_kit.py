"""`lossparity.conformance.testing` in pytest suites of users, the example project, and what `--json` prints."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import hypothesis.configuration
import numpy as np
import pytest
from lossparity.adapters.numpy import nll_loss
from lossparity.conformance.items import heartbeat, runner
from lossparity.conformance.judging.judge import Traits
from lossparity.conformance.testing import conformance_tests
from lossparity.reports import records
from lossparity.reports.records import Finding
from lossparity.specs.errors import BridgeError, LedgerError, UsageError

from . import bad_losses
from .test_cli import ROOT, lossparity

PROJECT = ROOT / "examples" / "my_project"


def _examples() -> Any:
    spec = importlib.util.spec_from_file_location("my_losses", ROOT / "examples" / "my_losses.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


my_losses = _examples()
on_numpy = functools.partial(conformance_tests, framework="numpy", dtypes="float32")


def mark(test: Any, name: str) -> Any:
    return next(mark for mark in test.pytestmark if mark.name == name)


def ids(test: Any) -> list[str]:
    return mark(test, "parametrize").kwargs["ids"]


def run(test: Callable[..., None], id: str) -> None:
    """Call one test of the parametrized ones."""
    test(mark(test, "parametrize").args[1][ids(test).index(id)])


def failure(test: Callable[..., None], id: str) -> str:
    """The message with which a test fails."""
    with pytest.raises(pytest.fail.Exception) as caught:
        run(test, id)
    assert not caught.value.pytrace
    return str(caught.value)


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Another pytest, as a user would start it."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1", "OMP_WAIT_POLICY": "PASSIVE"},
    )


# --- what is collected -----------------------------------------------------------------------------------


def test_there_is_a_test_for_each_family_and_dtype_vectors_first() -> None:
    found = ids(conformance_tests(nll_loss, framework="numpy"))
    assert sorted(found[:4]) == [f"vectors-{name}" for name in ("bfloat16", "float16", "float32", "float64")]
    assert found[4] == "shape-float32"
    assert len(found) == len(set(found)) == 13 * 4
    assert "relation-bfloat16" in found
    assert ids(on_numpy(nll_loss, families=("ignore", "vectors"))) == ["vectors-float32", "ignore-float32"]
    assert ids(conformance_tests(nll_loss, framework="numpy", families="shape", dtypes=["float64", "float16"])) == [
        "shape-float16",
        "shape-float64",
    ]


def takes_two(input: Any, target: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (nll_loss, {"framework": "nunpy"}, "no backend 'nunpy'; did you mean numpy"),
        (nll_loss, {"framework": "lossparity.adapters.template.adapter:BACKEND"}, r"Backend\.wrap"),
        (nll_loss, {"dtypes": "float31"}, "^dtypes: there is no 'float31'; did you mean float32"),
        (nll_loss, {"targets": ["int65"]}, "^targets: there is no 'int65'; did you mean int64"),
        (nll_loss, {"without": ["gradients"]}, "^without: there is no 'gradients'; did you mean gradient"),
        (nll_loss, {"families": ["ignored"]}, "no family 'ignored'; did you mean ignore"),
        (nll_loss, {"profile": "quik"}, "did you mean quick"),
        (nll_loss, {"profile": "large"}, "lossparity check"),
        ("my_losses:nll", {}, "'my_losses:nll' is of type str; pass the function itself"),
        (None, {}, "None is of type NoneType"),
        (takes_two, {}, r"test_testing_kit:takes_two takes \(input, target\), but is called with .*weight=None"),
    ],
)
def test_wrong_arguments_are_told_when_the_tests_are_made(
    function: Any, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        conformance_tests(function, **{"framework": "numpy", **options})


def test_a_ledger_is_read_when_the_tests_are_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"known\.toml: No such file"):
        on_numpy(nll_loss, ledger=tmp_path / "known.toml")


# --- what a test comes to --------------------------------------------------------------------------------


def test_a_correct_function_passes() -> None:
    test = on_numpy(my_losses.correct, families=("vectors", "shape", "error"))
    for id in ids(test):
        run(test, id)


def test_partial_functions_and_objects_are_functions_too() -> None:
    class Loss:
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            return nll_loss(*arguments, **options)

    for function in (functools.partial(nll_loss), Loss()):
        run(on_numpy(function, families="vectors"), "vectors-float32")


def test_a_failure_can_be_mended_from_its_message_alone() -> None:
    message = failure(on_numpy(my_losses.mean_over_all, families="value"), "value-float32")
    first, second, *_ = message.splitlines()
    assert first.startswith("IGN-2: A number where NaN, an infinity or 0 is due. ")  # a summary shows this line
    assert " calls unexpected" in first
    assert "profile quick, seed 0" in second
    for words in (
        "numpy:my_losses.mean_over_all, family value, float32: A number outside the bound",
        "  VALUE-3   MUST: mean gives -S/W, W being the sum of w[t] over kept positions",
        "  call      input=float32",
        "  input     [[",
        "  target    [",
        "  observed  float32 ",
        "rounds to",
        " ulp, ",
        "  origin    ",
    ):
        assert words in message


def test_a_long_failure_shows_three_kinds_and_says_that_there_are_more() -> None:
    def wrong(*arguments: Any, **options: Any) -> Any:
        result: Any = nll_loss(*arguments, **options)
        return result + np.float32(1) if np.ndim(result) else np.full_like(result, np.nan)

    message = failure(on_numpy(wrong, families="value"), "value-float32")
    assert message.count("\n  observed  ") == 3
    assert "more kind" in message.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("exits", "SystemExit: done for today"),
        ("raises", "RuntimeError: not written yet"),
        ("returns_floats", "float, which is no numpy.ndarray"),
        ("spoils_its_target", "a result, and target modified in place"),
    ],
)
def test_misbehaviour_is_a_clear_verdict(name: str, words: str) -> None:
    assert words in failure(on_numpy(getattr(bad_losses, name), families="shape"), "shape-float32")


def test_what_is_not_asked_for_is_skipped_with_its_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match="gradient: not asked for: --without 'gradient'"):
        run(on_numpy(nll_loss, families="gradient", without="gradient"), "gradient-float32")
    with pytest.raises(pytest.skip.Exception, match="gradient: a NumPy function has none"):
        run(on_numpy(nll_loss, families="gradient"), "gradient-float32")


def test_known_divergences_are_expected_under_the_name_of_the_module(tmp_path: Path) -> None:
    ledger = tmp_path / "known.toml"
    ledger.write_text(
        "[[divergence]]\n"
        'id = "mine"\ntitle = "divides by all positions"\nmode = "sometimes"\nfallback = "nothing"\n'
        'cause = "by_design"\nexplanation = "so be it"\nreproducer = ""\nvector = "torch-half-overflow"\n'
        'subjects = ["numpy:my_losses.mean_over_all"]\nclauses = ["*"]\nselector = { reduction = "mean" }\n'
        'signature = ["value", "inaccurate", "number", "nan", "inf", "overflow", "scaling"]\n'
    )
    run(on_numpy(my_losses.mean_over_all, families="weight", ledger=ledger), "weight-float32")
    assert "VALUE-3" in failure(on_numpy(my_losses.mean_over_all, families="weight"), "weight-float32")


def test_should_clauses_count_when_strict() -> None:
    def promotes(input: Any, target: Any, weight: Any = None, **options: Any) -> Any:
        weight = weight.astype(input.dtype) if weight is not None and weight.dtype.kind == "f" else weight
        return nll_loss(input, target, weight, **options)

    run(on_numpy(promotes, families="error"), "error-float32")
    assert failure(on_numpy(promotes, families="error", strict=True), "error-float32").startswith("DTYPE-4: ")


# --- a suite that cannot fail must not pass ----------------------------------------------------------------


def test_a_judge_that_lets_wrong_outcomes_pass_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "survivors", lambda *_: ["nan"])
    message = failure(on_numpy(nll_loss, families="shape"), "shape-float32")
    assert message.startswith("engine error: ")
    assert "wrong outcomes (nan) pass" in message


def test_an_item_without_heartbeat_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "suits", lambda *_: "")
    assert "no heartbeat" in failure(on_numpy(nll_loss, families="shape"), "shape-float32")


def test_a_bridge_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def collapses(*_: Any) -> Any:
        raise BridgeError("a pile gave way")

    test = on_numpy(nll_loss, families="shape")
    monkeypatch.setattr("lossparity.conformance.testing.probe", lambda *_: Traits())
    monkeypatch.setattr(runner, "execute", collapses)
    message = failure(test, "shape-float32")
    assert "our own bridge failed" in message
    assert "a pile gave way" in message


def test_flushed_subnormals_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "keeps_subnormals", lambda: False)
    assert "EngineError" in failure(on_numpy(nll_loss, families="shape"), "shape-float32")


# --- a process that is not ours ----------------------------------------------------------------------------


def test_importing_the_kit_imports_no_framework() -> None:
    program = (
        "import sys, lossparity.conformance.testing as kit\n"
        "kit.conformance_tests(lambda input, target, **options: 0, framework='torch')\n"
        "print({'torch', 'jax', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_warnings_and_the_folder_of_hypothesis_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def warns(*arguments: Any, **options: Any) -> Any:
        warnings.warn("deprecated", FutureWarning, stacklevel=2)
        return nll_loss(*arguments, **options)

    hypothesis.configuration.set_hypothesis_home_dir(tmp_path / "home")
    try:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        warnings.simplefilter("error")  # as `filterwarnings = error` would
        run(on_numpy(warns, families="shape"), "shape-float32")
        assert hypothesis.configuration.storage_directory().path == tmp_path / "home"
    finally:
        hypothesis.configuration.set_hypothesis_home_dir(None)
    assert not list(recwarn)
    assert not list(tmp_path.iterdir())


USERS = """
import sys
from lossparity.adapters.numpy import nll_loss
from lossparity.conformance.judging.judge import Traits
from lossparity.conformance.testing import conformance_tests


def faulty(input, target, weight=None, ignore_index=-100, reduction="mean"):
    return nll_loss(input, target, weight, ignore_index, reduction) * input.dtype.type(2)


sys.modules["jax"] = None  # as if it were not installed
test_right = conformance_tests(nll_loss, framework="numpy", dtypes="float32", families=("shape", "gradient"))
test_faulty = conformance_tests(faulty, framework="numpy", dtypes="float32", families="shape")
test_absent = conformance_tests(nll_loss, framework="jax", dtypes="float32", families=("shape", "value"))
"""


def test_a_suite_of_a_user_with_xdist(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(USERS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    done = pytest_in(tmp_path, "-n", "2", "-ra", "-v", "--junit-xml=results.xml")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed, 5 skipped" in done.stdout
    assert "<-" not in done.stdout  # every test stands in the user's file
    assert "testing.py" not in done.stdout  # no traceback into ours
    found = {case.attrib["name"]: case for case in ElementTree.parse(tmp_path / "results.xml").iter("testcase")}
    assert set(found) == {
        *("test_right[shape-float32]", "test_right[gradient-float32]", "test_faulty[shape-float32]"),
        *(f"test_absent[{family}-float32{mode}]" for family in ("shape", "value") for mode in ("", "-x32")),
    }
    message = "".join(found["test_faulty[shape-float32]"].itertext())
    assert "numpy:test_mine.faulty, family shape, float32" in message
    assert "MUST: " in message
    assert "jax is not installed; install it with: pip install 'lossparity[jax]'" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"test_mine.py", "pytest.ini", "results.xml"}


def test_wrong_arguments_are_errors_of_collection(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(USERS.replace('framework="jax"', 'framework="jacks"'))
    done = pytest_in(tmp_path, "-k", "right")
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout + done.stderr
    assert "UsageError: no backend 'jacks'; did you mean jax?" in done.stdout


# --- the example project -----------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    pytest.importorskip("torch")
    return shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__", ".*"))


def test_the_example_project_passes(project: Path) -> None:
    assert "pytest makes 52 tests of it" in (project / "README.md").read_text(encoding="utf-8")
    before = set(project.rglob("*"))
    done = pytest_in(project, "-k", "bfloat16 or vectors")  # one dtype, on account of time
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 passed, 36 deselected" in done.stdout
    assert set(project.rglob("*")) == before


def test_the_readme_of_the_example_project_shows_what_a_fault_looks_like(project: Path) -> None:
    readme = (project / "README.md").read_text(encoding="utf-8")
    losses = project / "src" / "my_project" / "losses.py"
    right, faulty = "wide = torch.promote_types(input.dtype, torch.float32)", "wide = input.dtype"
    assert f"write `{faulty}` in place of\n`{right}`" in readme
    source = losses.read_text(encoding="utf-8")
    assert source.count(right) == 1
    losses.write_text(source.replace(right, faulty), encoding="utf-8")
    done = pytest_in(project, "-k", "vectors-float16")
    assert done.returncode == 1, done.stdout + done.stderr
    shown = readme[readme.index("    torch:my_project") : readme.index("    ...")].rstrip()
    assert "origin" in shown
    assert "\n".join(line.removeprefix("    ") for line in shown.splitlines()) in done.stdout


# --- --json ------------------------------------------------------------------------------------------------


def test_check_speaks_json(tmp_path: Path) -> None:
    arguments = ("examples/my_losses.py:mean_over_all", "--framework", "numpy", "--dtypes", "float32")
    done = lossparity("check", *arguments, "--family", "value", "--out", str(tmp_path), "--json")
    content = json.loads(done.stdout)
    assert done.returncode == content["exit_code"] == 1
    assert content["ended"] == "complete"
    assert content["planned"] == sum(content["statuses"].values())
    assert content["unexpected"] > 0
    assert content["problems"] == []
    assert [subject["name"] for subject in content["subjects"]] == ["numpy:my_losses.mean_over_all"]
    assert Path(content["report"]).exists()
    read = records.read(Path(content["records"]))
    kept = {finding.digest for finding in read.of(Finding) if not finding.expected}
    for finding in content["findings"]:
        assert finding["digest"] in kept
        for words in (finding["because"], finding["observed"], finding["exact"], finding["summary"]):
            assert words in finding["text"]
    assert content["findings"][0]["text"] in done.stderr  # where a person may still read along
    assert "exit code 1" in done.stderr


def test_run_speaks_json_and_users_prints_do_not(tmp_path: Path) -> None:
    done = lossparity("run", "-b", "numpy", "--family", "vectors", "--out", str(tmp_path / "run"), "--json")
    content = json.loads(done.stdout)
    assert (done.returncode, content["exit_code"], content["unexpected"], content["findings"]) == (0, 0, 0, [])
    arguments = ("tests/bad_losses.py:prints", "--framework", "numpy", "--dtypes", "float32", "--family", "vectors")
    done = lossparity("check", *arguments, "--out", str(tmp_path / "check"), "--json")
    assert json.loads(done.stdout)["statuses"]["pass"] > 0


def test_an_engine_error_speaks_json(tmp_path: Path) -> None:
    arguments = ("run", "-b", "numpy", "--family", "shape", "--out", str(tmp_path), "--json")
    done = lossparity(*arguments, LOSSPARITY_WITHOUT_HEARTBEAT="1")
    content = json.loads(done.stdout)
    assert done.returncode == content["exit_code"] == 3
    assert any("no heartbeat" in problem for problem in content["problems"])


def test_a_run_that_cannot_start_prints_no_json(tmp_path: Path) -> None:
    done = lossparity("check", "examples/my_losses.py:corect", "--framework", "numpy", "--out", str(tmp_path), "--json")
    assert (done.returncode, done.stdout) == (4, "")
    assert "did you mean correct?" in done.stderr
