"""`lossparity check` on functions whose backward is wrong in one way, in three frameworks."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bad_gradients import FAULTS

FRAMEWORKS = ("torch", "jax", "tensorflow")
ROOT = Path(__file__).parents[1]


def check(framework: str, fault: str, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Check one function in float32: gradients and arrangements in memory, nothing that such functions lack."""
    if importlib.util.find_spec(framework) is None:  # found, not imported: torch has to come first in a process
        pytest.skip(f"{framework} is not installed")
    lacking = [part for name in ("jvp", "second order", "vmap", "weight gradient") for part in ("--without", name)]
    return subprocess.run(
        [sys.executable, "-m", "lossparity.conformance.cli", "check", f"tests.bad_gradients.in_{framework}:{fault}"]
        + ["--framework", framework, "--dtypes", "float32", "--family", "gradient", "--family", "layout", "-n", "1"]
        + [*lacking, *options, "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(framework: str, fault: str, tmp_path: Path) -> None:
    done = check(framework, fault, tmp_path, "-x")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "GRAD-" in done.stdout or "LAYOUT-2" in done.stdout


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_without_a_fault_nothing_is_found(framework: str, tmp_path: Path) -> None:
    """The same backward, with nothing planted: what the others are found for is the fault."""
    done = check(framework, "none", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
