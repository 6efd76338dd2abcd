"""What the command line loads before it is known what it has to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SLOW = ("torch", "jax", "tensorflow", "hypothesis", "pytest", "altair", "jinja2")
_CODE = """
import contextlib, io, sys
from lossparity.conformance import cli
with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
    cli.main({arguments!r})
assert said.getvalue(), "it said nothing"
print(",".join(name for name in {slow!r} if name in sys.modules))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["losses"], ["run", "--help"], ["clauses", "VALUE-1"]])
def test_what_reads_tables_only_loads_nothing_slow(arguments: list[str]) -> None:
    code = _CODE.format(arguments=arguments, slow=_SLOW)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stdout + done.stderr
