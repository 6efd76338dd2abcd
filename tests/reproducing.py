"""Runs scripts that reproduce a finding in fresh processes, and reads issues, for tests of `lossparity replay`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from .test_cli import ROOT


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
