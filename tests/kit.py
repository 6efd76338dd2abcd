"""Calls the tests that `lossparity.conformance.testing` makes, without pytest, and pytest in another process."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lossparity.conformance.testing import conformance_tests

from .test_cli import ROOT


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
