"""`lossparity.conformance.testing` in pytest suites of users, and the example project."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import hypothesis.configuration
import pytest
from lossparity.adapters.numpy import nll_loss

from .kit import on_numpy, pytest_in, run
from .test_cli import ROOT

PROJECT = ROOT / "examples" / "my_project"


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
    assert "numpy:test_mine.faulty/nll_loss, float32" in message
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
    shown = readme[readme.index("    The loss is inf") : readme.index("    ...")].rstrip()
    assert "origin" in shown
    assert "\n".join(line.removeprefix("    ") for line in shown.splitlines()) in done.stdout
