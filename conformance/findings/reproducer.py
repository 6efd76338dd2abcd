"""Writes a failing call down as a script that needs nothing of this suite, and runs it to see the fault show.

A script holds the arrays bit for bit, calls the function with exactly the arguments that it had, prints what it
observes and what is exact, and exits with 1 if the fault shows, with 0 if it does not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...adapters import registry, user
from ...adapters.base import on_cpu
from ...adapters.spelling import Spelling, names
from ...specs.call import SPARSE_BYTES, Call, Crashed, Outcome, Raised, Returned, TimedOut
from ...specs.case import Case, Raises, Status
from ..judging import explain
from ..judging.judge import Judgement, Traits, poisoned
from .acceptance import Accepted, Unspeakable, accepted, failing
from .literals import definition

_LONGEST = 100_000  # characters of a script that anybody may want to read or paste
_PATIENCE_SECONDS = 600
_SHOWN = 16  # elements of a result that a script prints

_STANDARD = ("base64", "faulthandler", "os", "subprocess", "sys", "zlib")
_BASES = ("SystemExit", "KeyboardInterrupt", "GeneratorExit")
_IMPORT = ("import ", "from ")
OBSERVED, EXPECTED = "observed:", "expected:"


@dataclass(frozen=True, slots=True)
class Reproducer:
    """A script that was seen to show a fault, and what it printed; or, where there is none, why."""

    text: str = ""
    output: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A call that failed, with all that a script about it needs; `key` is the name by which -b finds the backend."""

    case: Case
    outcome: Outcome
    judgement: Judgement
    traits: Traits
    subject: str
    key: str
    device: str

    @property
    def expected(self) -> str:
        """What is due, in words."""
        return explain.exact(self.case, self.judgement)


def reproducer(fault: Fault, headline: Iterable[str]) -> Reproducer:
    """A script that was run in a fresh process and showed the fault; `headline` are its first comments."""
    try:
        text = script(fault, headline)
    except Unspeakable as reason:
        return Reproducer(why_not=f"no standalone reproducer: {reason}")
    code, output = run(text, _import_folders(fault.key))
    if code == 1 and (OBSERVED in output or "Timeout (" in output):
        return Reproducer(text, output)
    ended = f"it ended with {code}" if code else "the fault did not show"
    return Reproducer(why_not=f"no standalone reproducer: written as a script the call does not reproduce; {ended}")


def run(text: str, folders: Iterable[str] = ()) -> tuple[int, str]:
    """Run a script in a fresh process, with these folders importable: its exit code, and what it printed."""
    with tempfile.TemporaryDirectory(prefix="lossparity-") as folder:
        file = Path(folder) / "reproducer.py"
        file.write_text(text, encoding="utf-8")
        path = os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            done = subprocess.run(
                [sys.executable, str(file)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE_SECONDS,
                check=False,
                env={**os.environ, "PYTHONPATH": path},
            )
        except subprocess.TimeoutExpired:
            return -1, ""
    return done.returncode, done.stdout if OBSERVED in done.stdout else done.stdout + done.stderr


def _import_folders(key: str) -> list[str]:
    """Where the module of a user's function is found."""
    if user.SIGN not in key:
        return []
    target = user.parse(key)
    return [*([str(Path(target.module).parent)] if target.is_file else []), os.getcwd()]


# --- writing -------------------------------------------------------------------------------------------------


def script(fault: Fault, headline: Iterable[str]) -> str:
    """The script's text; raises Unspeakable with the reason where there can be none."""
    spelling = _spelling(fault)
    body = [*_body(fault, spelling)]
    arrays = [*array_lines(fault.case.call, spelling)]
    comments = [line for text in headline for line in textwrap.wrap(text, 110)]
    said = [f"# {line}" for line in (*comments, *_needs(fault.key))]
    text = "\n".join([*said, *import_lines([*arrays, *body], spelling), "", *arrays, *body, ""])
    if len(text) > _LONGEST:
        raise Unspeakable(f"it would be {len(text):,} characters long, most of them numbers (--shrink may help)")
    return text


def _spelling(fault: Fault) -> Spelling:
    """The framework's words for the call; raises Unspeakable where it has none."""
    call, backend = fault.case.call, registry.backend(fault.key)
    if backend.spell is None:
        raise Unspeakable(f"backend {backend.name} does not say how to spell a call (Backend.spell)")
    if not on_cpu(fault.device):
        raise Unspeakable(f"scripts are written for CPUs, and this is about {fault.device}")
    if any(array.nbytes > SPARSE_BYTES for _, array in call.arrays()):
        raise Unspeakable("the arrays take hundreds of megabytes")
    if user.SIGN not in fault.key:
        return backend.spell(fault.subject, call)
    spelling, target = backend.spell(fault.subject, call), user.parse(fault.key)
    function = (*_users_function(target, call.signature.loss), *target.binding(call.signature).lines())
    if target.compiled and backend.compiler is not None:
        options = json.dumps([*call.signature.defaults])
        function = (*function, backend.compiler.line.format(name=call.signature.loss, options=options))
    return dataclasses.replace(spelling, function=function)


def _users_function(target: user.Target, loss: str) -> tuple[str, ...]:
    """Lines that import a user's function under the name of the loss."""
    module = Path(target.module).stem if target.is_file else target.module
    first, *rest = target.function.split(".")
    if not all(part.isidentifier() for part in module.split(".")):
        return ("import importlib", f'{loss} = importlib.import_module("{module}").{target.function}')
    if rest:
        return (f"from {module} import {first}", f"{loss} = {target.function}")
    return (f"from {module} import {first} as {loss}",)


def _needs(key: str) -> list[str]:
    """What has to be there besides the framework."""
    if user.SIGN not in key:
        return []
    target = user.parse(key)
    return [f"Run it where {Path(target.module).name if target.is_file else target.module} can be imported."]


def import_lines(lines: list[str], spelling: Spelling) -> Iterator[str]:
    """Import what the lines use, then the framework and the function."""
    used = set(re.findall(r"\b(\w+)\.", "\n".join(lines)))
    standard = [name for name in _STANDARD if name in used]
    yield from (f"import {name}" for name in standard)
    yield from [""] * bool(standard)
    yield from ["import ml_dtypes"] * ("ml_dtypes" in used)
    yield "import numpy as np"
    lines = [*spelling.imports, *spelling.function]
    yield from (line for line in lines if line.startswith(_IMPORT))
    if settings := [line for line in lines if not line.startswith(_IMPORT)]:
        yield from ("", *settings)


def array_lines(call: Call, spelling: Spelling) -> Iterator[str]:
    """Make the framework's arrays; raises Unspeakable where one lies in memory as no line can put it."""
    layouts = dict(call.layouts)
    for given, array in call.arrays():
        name, layout = call.signature.letters[given], layouts.get(given, "")
        held, conversion = spelling.put(array, given in layouts)
        lines = definition(name, held, layout)
        if lines is None:
            raise Unspeakable(f"{given} lies in memory as no line of NumPy can put it: {layout}")
        if len(lines) == 1 and conversion != "{}":
            yield f"{name} = {conversion.format(lines[0].removeprefix(f'{name} = '))}"
            continue
        yield from lines
        if conversion != "{}":
            yield f"{name} = {conversion.format(name)}"


def _body(fault: Fault, spelling: Spelling) -> Iterator[str]:
    """The call and the comparison."""
    case, outcome, call = fault.case, fault.outcome, f"result = {spelling.result}"
    yield from spelling.prepare
    match outcome:
        case _ if fault.judgement.symptom == "arguments" or _modified(outcome):
            yield from _watching(case.call, spelling)
        case Crashed():
            yield from _in_another_process(fault, call)
        case TimedOut(seconds):
            yield from _with_a_limit(seconds, call)
        case Raised(kind):
            yield from _raised(fault, kind, spelling)
        case Returned(value) if value.dtype.kind == "U":
            yield call
            yield f"observed, agrees = type(result), isinstance(result, {spelling.array})"
            yield from _said(f"an array: {spelling.array}")
        case Returned() if case.experiment:
            raise Unspeakable(
                f"{case.experiment} is about several calls: {case.rules.clauses[case.experiment].statement}"
            )
        case Returned() if isinstance(case.expectation, Raises):
            yield from _returned_for_an_error(fault, outcome, spelling)
        case Returned():
            definitions, right = _comparison(fault, _decided(fault, outcome), spelling)
            yield from definitions
            yield call
            yield f"observed = {spelling.take.format('result')}"
            yield f"agrees = {right}"
            yield from _said(fault.expected, _seen(fault, outcome))
        case _:
            raise Unspeakable("nothing failed")


def _modified(outcome: Outcome) -> bool:
    """Whether a user's function wrote to its arguments; lossparity.adapters.user words it so."""
    return isinstance(outcome, Returned) and outcome.value.dtype.kind == "U" and "in place" in str(outcome.value)


def _decided(fault: Fault, outcome: Returned) -> list[str]:
    """The clauses that this result alone decides and fails, MUST ones if there are any."""
    ids = failing(fault.case, outcome, fault.traits)
    if not ids:
        told = ", ".join(one.clause for one in fault.judgement.verdicts if one.status is Status.FAIL)
        raise Unspeakable(f"{told}: more calls than this one decide, and this one alone is right")
    return [id for id in ids if fault.case.rules.clauses[id].level == "MUST"] or list(ids)


def _returned_for_an_error(fault: Fault, outcome: Returned, spelling: Spelling) -> Iterator[str]:
    definitions: list[str] = []
    right = "False"
    if poisoned(fault.case, fault.traits) is not None:
        definitions, right = _comparison(fault, _decided(fault, outcome), spelling)
    yield from definitions
    yield "try:"
    yield f"    result = {spelling.result}"
    yield from _caught("Exception", agrees=True)
    yield "else:"
    yield f"    observed = {spelling.take.format('result')}"
    yield f"    agrees = {right}"
    yield from _said(fault.expected)


def _raised(fault: Fault, kind: str, spelling: Spelling) -> Iterator[str]:
    """A legal call that raised; if it does so no more, its value has to be right."""
    definitions, right = [], "True"
    if not fault.case.experiment:
        with contextlib.suppress(Unspeakable):
            definitions, right = _comparison(fault, [one.clause for one in fault.judgement.verdicts], spelling)
    yield from definitions
    yield "try:"
    yield f"    result = {spelling.result}"
    yield from _caught("BaseException" if kind in _BASES else "Exception", agrees=False)
    yield "else:"
    yield f"    observed = {spelling.take.format('result')}"
    yield f"    agrees = {right}"
    yield from _said(fault.expected)


def _caught(kind: str, *, agrees: bool) -> Iterator[str]:
    yield f"except {kind} as error:"
    yield f'    observed, agrees = f"{{type(error).__name__}}: {{error}}", {agrees}'


def _said(expected: str, observed: str = "observed") -> Iterator[str]:
    """The script's last lines."""
    yield f'print("{OBSERVED}", {observed})'
    yield f'print("{EXPECTED}", "{_quoted(expected)}")'
    yield 'print("agrees:  ", agrees)'
    yield "raise SystemExit(not agrees)"


def _seen(fault: Fault, outcome: Returned) -> str:
    """What a script prints of a result: all, or the element in question."""
    if outcome.value.size <= _SHOWN:
        return "observed.tolist(), result.dtype"
    where = fault.judgement.where
    return f"observed{list(where)}, result.dtype" if len(where) == outcome.value.ndim else "observed, result.dtype"


def _comparison(fault: Fault, ids: list[str], spelling: Spelling) -> tuple[list[str], str]:
    """Lines that define what `observed` is compared with, and the expression that compares them."""
    if fault.judgement.symptom == "dtype":
        return [], f'{spelling.dtype} == "{fault.case.call.dtype}"'
    answer = accepted(fault.case, ids, fault.traits)
    shape = f"observed.shape == {answer.low.shape}"
    if answer.low.ndim:
        return _by_element(answer, shape)
    low, high = float(answer.low), float(answer.high)
    if not answer.is_exact:
        return [], f"{shape} and {_float(low)} <= observed <= {_float(high)}"
    return [], f"{shape} and " + ("np.isnan(observed)" if np.isnan(low) else f"observed == {_float(low)}")


def _by_element(answer: Accepted, shape: str) -> tuple[list[str], str]:
    """NaN is right where NaN is due."""
    wide = np.float32 if answer.low.dtype.name == "bfloat16" else answer.low.dtype  # what every framework gives back
    low, high = answer.low.astype(wide), answer.high.astype(wide)
    if answer.is_exact:
        return definition("exact", low) or [], "np.array_equal(observed, exact, equal_nan=True)"
    lines = [*(definition("low", low) or ()), *(definition("high", high) or ())]
    right = "(low <= observed) & (observed <= high)"
    if np.isnan(low).any():
        right += " | np.isnan(low) & np.isnan(observed)"
    if answer.free.any():
        lines += definition("free", answer.free) or ()
        right += " | free"
    return lines, f"{shape} and ({right}).all()"


def _in_another_process(fault: Fault, call: str) -> Iterator[str]:
    """A call that ends its process; at two threads, where compiled code is parallel."""
    yield "if len(sys.argv) == 1:  # the call ends its process: make it in another one"
    yield '    two = {**os.environ, "OMP_NUM_THREADS": "2"}'
    yield '    code = subprocess.run([sys.executable, __file__, "call"], env=two, capture_output=True).returncode'
    yield '    observed, agrees = f"the process ended with {code}", code == 0'
    yield from (f"    {line}" for line in _said(fault.expected))
    yield "try:"
    yield f"    {call}"
    yield "except Exception as error:"
    yield "    print(error)"


def _with_a_limit(seconds: float, call: str) -> Iterator[str]:
    """A call that does not come back."""
    yield f"faulthandler.dump_traceback_later({seconds:g}, exit=True)  # ends with 1, and shows where the call is"
    yield call
    yield f'print("{OBSERVED}", "an answer within {seconds:g} s")'


def _watching(call: Call, spelling: Spelling) -> Iterator[str]:
    """Arguments that must be left as they are."""
    everything = names(call)
    arguments = f"({everything},)" if "," not in everything else f"({everything})"
    yield "def bits(array):"
    yield f"    return {spelling.take.format('array')}.tobytes()"
    yield f"before = [bits(array) for array in {arguments}]"
    yield "try:"
    yield f"    result = {spelling.result}"
    yield "except Exception as error:"
    yield "    print(error)"
    yield f"after = [bits(array) for array in {arguments}]"
    yield f'observed = [name for name, a, b in zip("{everything.replace(", ", "")}", before, after) if a != b]'
    yield "agrees = not observed"
    yield from _said("the arguments as they were", 'observed, "written to"')


def _quoted(text: str) -> str:
    """Text that can stand between double quotation marks."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _float(value: float) -> str:
    """A number as Python text."""
    return repr(value) if np.isfinite(value) else f'float("{value!r}")'
