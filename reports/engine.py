"""The engine that draws charts, in a process of its own: where it cannot start, or dies, that costs the charts alone.

It is a JavaScript engine, which ends its process when it does not get the gigabytes of address space that it asks for.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import subprocess
import sys
from typing import Any

from ..specs.errors import NotDrawable

_SECONDS = 180.0  # that a chart may take, the start of the engine included
_LONGEST = 160  # of what it wrote when it died
# A line holds where modules are, each further one a chart; each answer is a line: what was drawn, or why it was not.
_WORK = """
import json, sys
sys.path[:] = json.loads(sys.stdin.readline())
import vl_convert
for line in sys.stdin:
    try:
        answer = [vl_convert.vegalite_to_svg(line), ""]
    except BaseException as error:
        answer = ["", f"{type(error).__name__}: {error}"]
    sys.stdout.write(json.dumps(answer) + "\\n")
    sys.stdout.flush()
"""


def svg(chart: dict[str, Any]) -> str:
    """A Vega-Lite chart as SVG; raises NotDrawable with the reason."""
    process = _started()
    try:
        process.stdin.write(json.dumps(chart).encode() + b"\n")
        process.stdin.flush()
        answer = _answer(process)
    except BrokenPipeError:
        answer = b""
    if not answer.endswith(b"\n"):
        raise NotDrawable(_died(process))
    drawn, why = json.loads(answer)
    if why:
        raise NotDrawable(why)
    return drawn


_running: dict[int, Any] = {}  # by the process that started it: one that was forked needs another


def _started() -> Any:
    """The engine of this process, running."""
    mine = os.getpid()
    if mine not in _running:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process: Any = subprocess.Popen([sys.executable, "-c", _WORK], **pipes)  # type: ignore[call-overload]
        _running[mine] = process
        process.stdin.write(json.dumps(sys.path).encode() + b"\n")
    return _running[mine]


def _answer(process: Any) -> bytes:
    """The next line, or nothing when none came in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if selector.select(_SECONDS) else b""


def _died(process: Any) -> str:
    """How the engine ended, and what it said; it is gone after that."""
    try:
        code = process.wait(5)
    except subprocess.TimeoutExpired:
        code = None
    said = [words for line in _end().decode("utf-8", "replace").split("\n") if (words := line.strip(" #"))]
    told = "nothing" if not said else said[-1] if said[0].startswith("Traceback") else said[0]
    if code is None:
        return f"the chart engine did not answer within {_SECONDS:g} s"
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"the chart engine {how} and said: {told[:_LONGEST]}; is memory limited, as by `ulimit -v`?"


@atexit.register
def _end() -> bytes:
    """End the engine of this process, if there is one; what it wrote to standard error."""
    process = _running.pop(os.getpid(), None)
    if process is None:
        return b""
    process.kill()
    return process.communicate()[1]
