"""Functions of users that are compiled: recognised, judged as what they are, and found again."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")  # first of all: its OpenMP does not like to come after the others'
pytest.importorskip("jax")
pytest.importorskip("tensorflow")

import torch
from lossparity.adapters import registry, user
from lossparity.adapters.execution import execute
from lossparity.conformance.testing import conformance_tests
from lossparity.reports.records import Item
from lossparity.specs.call import Raised, Returned, Transform
from lossparity.specs.domain import Domain
from lossparity.specs.nll_loss.signature import NLL_LOSS

from . import compiled_jax, compiled_tensorflow
from .compiled import OURS, bad, call, subjects
from .kit import failure, ids, run
from .test_check import check, wrong
from .test_cli import lossparity

# --- recognised --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("framework", "name", "style", "traced", "tier"),
    [
        ("torch", "eager", "eager", False, 3),
        ("torch", "compiled", "recognised as compiled by torch.compile", True, 1),
        ("torch", "compiled_counts", "recognised as compiled by torch.compile", True, 1),
        ("torch", "scripted", "recognised as compiled by torch.jit", True, 2),
        ("torch", "scripted_clamps", "recognised as compiled by torch.jit", True, 2),
        ("torch", "never", "eager", False, 3),
        ("jax", "eager", "eager", False, 2),
        ("jax", "jitted", "recognised as compiled by jax.jit", True, 2),
        ("jax", "hidden", "eager", False, 2),
        ("tensorflow", "eager", "eager", False, 3),
        ("tensorflow", "graph", "recognised as compiled by tf.function", True, 2),
        ("tensorflow", "whole", "recognised as compiled by tf.function, XLA", True, 2),
    ],
)
def test_what_is_compiled_is_recognised(framework: str, name: str, style: str, traced: bool, tier: int) -> None:
    first, *others = subjects(framework, name)
    can = first.capabilities
    assert (can.style, can.traced, can.tier) == (style, traced, tier)
    assert [(one.name, one.capabilities.style) for one in others] == [
        (f"{first.name}{mode}", f"{style}, 64-bit types off") for mode in registry.backend(framework).modes[1:]
    ]


@pytest.mark.parametrize("framework", OURS)
def test_an_optimized_module_is_compiled_too(framework: str) -> None:
    made = {
        "torch": lambda: torch.compile(torch.nn.NLLLoss()),
        "jax": lambda: functools.partial(compiled_jax.jitted, reduction="sum"),
        "tensorflow": lambda: functools.partial(compiled_tensorflow.graph, reduction="sum"),
    }
    compiler = registry.backend(framework).compiler
    assert compiler is not None
    assert compiler.made(made[framework]())
    assert compiler.made(OURS[framework].eager) == ""


@pytest.mark.parametrize("framework", OURS)
def test_what_is_traced_may_poison_and_what_is_not_must_raise(framework: str) -> None:
    (compiled, *_), (eager, *_) = subjects(framework, "eager", compiled=True), subjects(framework, "eager")
    outcome, _ = execute(compiled, bad())
    assert isinstance(outcome, Returned)
    assert np.isnan(outcome.value)
    assert isinstance(execute(eager, bad())[0], Raised)
    assert compiled.capabilities.traced
    assert compiled.capabilities.style.startswith("compiled for this by ")
    assert not eager.capabilities.traced


def test_what_cannot_be_recognised_can_be_declared() -> None:
    hidden = subjects("jax", "hidden", traced=True)
    assert [one.capabilities.style for one in hidden] == [
        "eager, declared as traced",
        "eager, 64-bit types off, declared as traced",
    ]
    assert all(one.capabilities.traced for one in hidden)


@pytest.mark.parametrize("framework", OURS)
def test_gradients_are_taken_of_what_is_compiled(framework: str) -> None:
    asked = call(transform=Transform("gradient", np.ones((), np.float32)))
    for name in ("eager", *{"torch": ("compiled", "scripted"), "jax": ("jitted",)}.get(framework, ("graph", "whole"))):
        for one in subjects(framework, name):
            outcome, _ = execute(one, asked)
            assert isinstance(outcome, Returned), (name, outcome)
            assert np.flatnonzero(outcome.value).tolist() == [0, 5, 7]


# --- judged ------------------------------------------------------------------------------------------------------


RIGHT = [
    ("torch", "scripted", ("error", "value")),
    ("jax", "jitted", ("error", "ignore")),
    ("tensorflow", "graph", ("error", "gradient")),
    ("tensorflow", "relaxed", ("shape",)),
]
FAULTY = [
    ("torch", "scripted_clamps", "error", "ERR-1"),
    ("jax", "jitted_clamps", "error", "ERR-1"),
    ("jax", "jitted_counts", "value", "VALUE-3"),
    ("tensorflow", "graph_clamps", "error", "ERR-1"),
    ("tensorflow", "graph_counts", "value", "VALUE-3"),
]


@pytest.mark.parametrize(("framework", "name", "families"), RIGHT, ids=lambda value: str(value))
def test_a_correct_compiled_function_is_not_accused(framework: str, name: str, families: tuple[str, ...]) -> None:
    test = conformance_tests(
        getattr(OURS[framework], name), framework=framework, families=families, dtypes="float32", targets="int64"
    )
    for id in ids(test):
        run(test, id)


@pytest.mark.parametrize(("framework", "name", "family", "clause"), FAULTY, ids=lambda value: str(value))
def test_a_fault_of_compiled_code_is_seen(framework: str, name: str, family: str, clause: str) -> None:
    test = conformance_tests(
        getattr(OURS[framework], name), framework=framework, families=family, dtypes="float32", targets="int64"
    )
    assert f"  {clause} " in failure(test, f"{family}-float32")


def test_what_poisons_without_being_traced_is_accused() -> None:
    options: dict[str, Any] = {"framework": "jax", "families": "error", "dtypes": "float32", "targets": "int64"}
    assert "  ERR-1 " in failure(conformance_tests(compiled_jax.hidden, **options), "error-float32")
    run(conformance_tests(compiled_jax.hidden, traced=True, **options), "error-float32")


@pytest.mark.parametrize("name", ["compiled", "broken_graph"])
def test_torch_compiles_correct_functions(name: str, tmp_path: Path) -> None:
    arguments = ("--family", "value", "--dtypes", "float32", "-n", "1", "--timeout", "300")
    done, read = check(tmp_path, f"tests/compiled_torch.py:{name}", *arguments, framework="torch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "recognised as compiled by torch.compile: asked about input of float32, target of int64" in done.stdout
    assert sum(item.compilations for item in read.of(Item)) > 3


@pytest.mark.parametrize(("name", "family"), [("compiled_clamps", "error"), ("compiled_counts", "value")])
def test_torch_compiles_faulty_functions(name: str, family: str, tmp_path: Path) -> None:
    arguments = ("--family", family, "--dtypes", "float32", "-n", "1", "--timeout", "300", "-x")
    done, read = check(tmp_path, f"tests/compiled_torch.py:{name}", *arguments, framework="torch")
    assert done.returncode == 1, done.stdout + done.stderr
    assert any({"ERR-1", "IGN-2", "VALUE-3"} & set(finding.clauses) for finding in wrong(read))


# --- how it is found again ---------------------------------------------------------------------------------------


def test_options_travel_in_the_key() -> None:
    asked = Domain(dtypes=("float32",), targets=("int8",), spared=("second order", "jvp"))
    for options in ({"compiled": True}, {"traced": True}, {"compiled": True, "traced": True}, {}):
        found = user.target("jax", "a.b:c", asked, **options)
        assert user.parse(found.key) == found
        found = user.target("jax", "a.b:c", **options)
        assert user.parse(found.key) == found
        assert found.domain.targets == ()


@pytest.mark.parametrize(
    ("framework", "targets"), [("numpy", ("int64",)), ("torch", ("int64",)), ("jax", ("int32", "int64")),
                               ("tensorflow", ("int32", "int64"))]
)  # fmt: skip
def test_targets_are_those_of_the_framework_unless_told_otherwise(framework: str, targets: tuple[str, ...]) -> None:
    backend = registry.backend(framework)
    for asked, due in (((), targets), (("uint8",), ("uint8",))):
        target = user.target(framework, "a:b", Domain(targets=asked))
        found = user.subjects(NLL_LOSS, compiled_jax.eager, target, backend, "cpu")
        assert {one.capabilities.target_dtypes for one in found} == {due}


def test_a_finding_of_a_function_compiled_for_this_is_replayed_compiled(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from tests.compiled_jax import _compute\n"
        "import jax\n"
        "def nll(input, target, weight=None, ignore_index=-100, reduction='mean'):\n"
        "    count = isinstance(target, jax.core.Tracer)\n"
        "    return _compute(input, target, weight, ignore_index, reduction, count=count)\n"
    )
    arguments = ("--family", "value", "--dtypes", "float32", "--compiled", "-x")
    place = f"{tmp_path}/mine.py:nll"
    done, read = check(tmp_path / "out", place, *arguments, framework="jax")
    assert done.returncode == 1, done.stdout + done.stderr
    finding = next(one for one in wrong(read) if one.subject == "jax:mine.nll")
    again = lossparity("replay", f"{tmp_path}/out#{finding.digest}", "--script", str(tmp_path / "script.py"))
    assert again.returncode == 1, again.stdout + again.stderr
    assert "nll_loss = jax.jit(nll_loss, static_argnames=" in (tmp_path / "script.py").read_text(encoding="utf-8")
