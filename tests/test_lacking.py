"""Subjects whose tools this machine has not: left out and named, and nobody is accused for it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .test_cli import ROOT

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

WHY = "torch.compile needs a C++ compiler, and none is found: install g++ or clang, or name one in CXX"


def without_compilers(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line where no program at all is on the path."""
    command = [sys.executable, "-m", "lossparity.conformance.cli", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "CXX"} | {"PATH": str(ROOT / "nowhere")}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


def test_a_run_goes_without_what_it_has_no_compiler_for(tmp_path: Path) -> None:
    done = without_compilers("run", "-b", "torch", "--family", "weight", "-n", "1", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"  torch:compile is left out: {WHY}\n" in done.stdout
    assert "device cpu: torch, torch:module\n" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "-b", "torch:compile"),
        ("check", "torch.nn.functional:nll_loss", "--framework", "torch", "--compiled"),
    ],
    ids=["subject", "function"],
)
def test_what_cannot_work_is_refused(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = without_compilers(*arguments, "--out", str(tmp_path / "out"))
    assert done.returncode == 6, done.stdout + done.stderr
    assert WHY in done.stderr
    assert "Traceback" not in done.stderr


def test_backends_says_so() -> None:
    done = without_compilers("backends")
    assert (done.returncode, f"torch:compile is left out: {WHY}" in done.stdout) == (0, True), done.stdout + done.stderr
