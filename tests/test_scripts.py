"""Scripts that reproduce a finding: the words of each framework, and which results they accept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossparity.adapters import registry
from lossparity.adapters.execution import execute
from lossparity.conformance.findings import reproducer
from lossparity.conformance.findings.acceptance import Unspeakable, accepted, failing
from lossparity.conformance.findings.literals import definition
from lossparity.conformance.judging.judge import Traits
from lossparity.specs.call import BFLOAT16, TRANSFORMS, VALUES, Array, Call, Returned
from lossparity.specs.case import Case
from lossparity.specs.layouts import LAYOUTS, lay
from lossparity.specs.nll_loss.clauses import RULES
from lossparity.specs.nll_loss.corpus import corpus
from lossparity.specs.nll_loss.signature import NLL_LOSS

from .reproducing import run_all

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
    subjects = [one for one in registry.backend(backend).subjects(NLL_LOSS, "cpu") if one.name != "torch:compile"]
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
