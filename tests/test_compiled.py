"""Functions of users that are compiled, and JAX's without 64-bit types: recognised, and judged as what they are."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")  # first of all: its OpenMP does not like to come after the others'
pytest.importorskip("jax")
pytest.importorskip("tensorflow")

import jax
import tensorflow as tf
import torch
import torch._dynamo
from lossparity.adapters import handover, registry, user
from lossparity.adapters.base import Subject
from lossparity.adapters.execution import execute
from lossparity.adapters.numpy import nll_loss
from lossparity.adapters.torch import compiling
from lossparity.conformance.items.spec import Request, planned_cases
from lossparity.conformance.planning import plan
from lossparity.conformance.testing import conformance_tests
from lossparity.reports.records import Item
from lossparity.specs.call import Call, Raised, Returned, Transform, Unsupported
from lossparity.specs.errors import BridgeError, CannotCompile, UsageError
from lossparity.specs.nll_loss.signature import NLL_LOSS
from torch._dynamo.utils import counters

from . import compiled_jax, compiled_tensorflow, compiled_torch
from .test_check import check, wrong
from .test_cli import lossparity
from .test_testing_kit import failure, ids, run

OURS = {"torch": compiled_torch, "jax": compiled_jax, "tensorflow": compiled_tensorflow}


def subjects(framework: str, name: str, **options: Any) -> list[Subject]:
    """A function of these modules as `lossparity check` runs it."""
    backend = registry.backend(framework)
    registry.start(backend)
    target = user.target(framework, f"{OURS[framework].__name__}:{name}", **options)
    return user.subjects(getattr(OURS[framework], name), target, backend, "cpu")


def call(shape: tuple[int, ...] = (4, 3), target: Any = (0, 2, 1, -100), **more: Any) -> Call:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return NLL_LOSS.call(x, np.array(target), **more)


def bad(**more: Any) -> Call:
    return call(target=(0, 3, 1, 2), **more)


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


# --- without 64-bit types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["eager", "jitted"])
def test_without_64_bit_types_correct_functions_are_judged_broadly(name: str) -> None:
    test = conformance_tests(
        getattr(compiled_jax, name), framework="jax", families=("ignore", "error"), dtypes="float32"
    )
    assert ids(test) == ["ignore-float32", "error-float32", "ignore-float32-x32", "error-float32-x32"]
    for id in ids(test)[2:]:
        run(test, id)


@pytest.mark.parametrize(("name", "told"), [("narrow_counts", "  IGN-2 "), ("narrow_overflows", "OverflowError")])
def test_a_fault_without_64_bit_types_is_seen_there_only(name: str, told: str) -> None:
    test = conformance_tests(getattr(compiled_jax, name), framework="jax", families="ignore", dtypes="float32")
    run(test, "ignore-float32")
    assert told in failure(test, "ignore-float32-x32")


def test_most_calls_reach_a_function_without_64_bit_types() -> None:
    wide, narrow = subjects("jax", "eager")
    families = ("value", "ignore", "weight", "shape", "gradient")
    specs = [spec for spec in plan.items([narrow.name], Request(families=families)) if spec.dtype == "float32"]
    quick = Request()
    cases = [case for spec in specs for case in planned_cases(spec, quick, narrow)[0]]
    taken = [case for case in cases if not wide.capabilities.refuses(case.call)]
    lost = [case for case in taken if narrow.capabilities.refuses(case.call)]
    assert len(taken) > 500
    assert len(lost) < 0.1 * len(taken)


def test_integers_are_narrowed_as_jax_does_where_they_fit() -> None:
    arrived: list[tuple[str, ...]] = []

    def tells(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
        arrived.append((str(target.dtype), str(input.dtype), type(ignore_index).__name__))
        return compiled_jax.eager(input, target, weight, ignore_index, reduction)

    target = user.target("jax", "a:tells", target_dtypes=("int64", "uint64", "int8"))
    _, narrow = user.subjects(tells, target, registry.backend("jax"), "cpu")
    assert narrow.capabilities.notes[-1].startswith("int64 and uint64 targets arrive as int32 and uint32")
    for dtype in (np.int64, np.uint64, np.int8):
        assert isinstance(execute(narrow, call(target=np.array([0, 2, 1, 0], dtype), ignore_index=2**40))[0], Returned)
    assert arrived == [("int32", "float32", "int"), ("uint32", "float32", "int"), ("int8", "float32", "int")]
    for wide in (np.array([0, 2, 1, 2**31]), np.array([0, 2, 1, -(2**40)]), np.array([0, 2, 1, 2**32], np.uint64)):
        outcome, _ = execute(narrow, call(target=wide))
        assert isinstance(outcome, Unsupported)
        assert outcome.reason.startswith("wide targets: without 64-bit types JAX makes 32-bit targets")
    outcome, _ = execute(narrow, call(weight=np.ones(3)))
    assert outcome == Unsupported("float64: jax_enable_x64 is off, as it is unless a user switches it on")
    integers = NLL_LOSS.call(call()["input"].astype(np.int64), call()["target"])
    assert isinstance(execute(narrow, integers)[0], Raised)
    assert len(arrived) == 4


def test_a_narrowing_that_loses_numbers_is_not_made_up_for_by_echo() -> None:
    _, narrow = subjects("jax", "eager")
    inner: Any = narrow.__dict__["_inner"]
    assert handover.checked(narrow, call()) == ""
    assert inner.echo(call())["target"].dtype == np.int64
    with pytest.raises(BridgeError, match="int64 became int32 on the way in"):
        inner.echo(call(target=(0, 1, 2, 2**31)))


# --- never eager unseen ------------------------------------------------------------------------------------------


@pytest.fixture
def _settings() -> Iterator[None]:
    """Whatever a test switches on is switched off again."""
    yield
    torch.compiler.set_stance("default")
    tf.config.run_functions_eagerly(False)


@pytest.mark.usefixtures("_settings")
def test_compiled_code_that_would_run_eagerly_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ((compiled,), (graph,)) = subjects("torch", "compiled"), subjects("tensorflow", "graph")
    jitted, _ = subjects("jax", "jitted")
    config: Any = torch._dynamo.config
    for name in ("disable", "suppress_errors"):
        with config.patch(**{name: True}), pytest.raises(BridgeError, match=rf"config\.{name} .*switch it off"):
            execute(compiled, call())
    torch.compiler.set_stance("force_eager")
    with pytest.raises(BridgeError, match=r"torch.compiler.set_stance\('force_eager'\) is in effect"):
        execute(compiled, call())
    torch.compiler.set_stance("default")
    tf.config.run_functions_eagerly(True)
    with pytest.raises(BridgeError, match=r"run_functions_eagerly\(True\) is in effect"):
        execute(graph, call())
    tf.config.run_functions_eagerly(False)
    with jax.disable_jit(), pytest.raises(BridgeError, match="jax_disable_jit is on"):
        execute(jitted, call())
    for one in (compiled, graph, jitted):
        assert isinstance(execute(one, call())[0], Returned)


def test_no_graph_at_all_is_our_error() -> None:
    (never,) = subjects("torch", "compiled_never")
    before = counters["stats"]["unique_graphs"]
    with pytest.raises(BridgeError, match="captured no graph at all: the function ran eagerly"):
        execute(never, call())
    assert counters["stats"]["unique_graphs"] == before


def test_a_graph_that_breaks_is_the_functions_own_business() -> None:
    (broken,) = subjects("torch", "broken_graph")
    for shape, target in (((4, 3), (0, 2, 1, -100)), ((3,), 0), ((4, 3), (0, 2, 1, 1)), ((2, 3, 1), ((0,), (2,)))):
        assert isinstance(execute(broken, call(shape, target))[0], Returned)


def test_a_limit_of_recompilations_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
        return compiled_torch.eager(input, target, weight, ignore_index, reduction)

    monkeypatch.setattr(compiling, "_RECOMPILE_LIMIT", 2)
    target = user.target("torch", "a:loss", compiled=True)
    (subject,) = user.subjects(loss, target, registry.backend("torch"), "cpu")
    config: Any = torch._dynamo.config
    with config.patch(recompile_limit=8, accumulated_recompile_limit=8, fail_on_recompile_limit_hit=False):
        for size in (2, 3):
            assert isinstance(execute(subject, call((size, 3), [0] * size))[0], Returned)
        with pytest.raises(BridgeError, match="gave up at its limit of recompilations"):
            execute(subject, call((4, 3), [0] * 4))


def test_compilation_switched_off_by_the_environment_is_told(tmp_path: Path) -> None:
    arguments = ("check", "tests/compiled_torch.py:eager", "--framework", "torch", "--compiled", "--out", str(tmp_path))
    for variable, words in (("TORCH_COMPILE_DISABLE", "config.disable"), ("TORCHDYNAMO_DISABLE", "switched off")):
        done = lossparity(*arguments, **{variable: "1"})
        assert done.returncode in (3, 4), done.stdout + done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


# --- what cannot be compiled -------------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", OURS)
def test_a_function_that_cannot_be_compiled_is_not_accused(framework: str) -> None:
    (first, *_) = subjects(framework, "looks", compiled=True)
    with pytest.raises(CannotCompile, match=r"looks cannot be compiled as a whole: .*without `compiled`"):
        execute(first, call(reduction="sum"))
    assert isinstance(execute(subjects(framework, "looks")[0], call(reduction="sum"))[0], Returned)


@pytest.mark.parametrize(
    ("target", "options", "code", "words"),
    [
        ("torch:looks", "--compiled", 4, ("cannot be compiled as a whole", "Data-dependent branching")),
        ("torch:compiled", "--compiled", 4, ("compiled already, by torch.compile",)),
        ("jax:jitted", "--compiled", 4, ("compiled already, by jax.jit", "leave `compiled` out")),
        ("tensorflow:graph", "--compiled", 4, ("compiled already, by tf.function",)),
        ("jax:eager", "--compiled --device cuda", 6, ("jax has no device 'cuda'; it has cpu",)),
    ],
)
def test_what_cannot_be_done_says_what_can(
    target: str, options: str, code: int, words: tuple[str, ...], tmp_path: Path
) -> None:
    framework, _, name = target.partition(":")
    place = f"tests/compiled_{framework}.py:{name}"
    done = lossparity("check", place, "--framework", framework, "--out", str(tmp_path), *options.split())
    assert done.returncode == code, done.stdout + done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_numpy_compiles_nothing(tmp_path: Path) -> None:
    place = ("check", "examples/my_losses.py:correct", "--framework", "numpy")
    done = lossparity(*place, "--compiled", "--out", str(tmp_path))
    assert done.returncode == 4
    assert "nothing compiles functions on arrays of numpy" in done.stderr
    assert "torch, jax or tensorflow" in done.stderr


@pytest.mark.parametrize("framework", ["numpy", *OURS])
def test_the_kit_tells_when_the_tests_are_made(framework: str) -> None:
    made = {"torch": compiled_torch.compiled, "jax": compiled_jax.jitted, "tensorflow": compiled_tensorflow.graph}
    words = "is compiled already, by" if framework in made else "nothing compiles functions on arrays of numpy"
    with pytest.raises(UsageError, match=words):
        conformance_tests(made.get(framework, nll_loss), framework=framework, compiled=True)


# --- how it is found again ---------------------------------------------------------------------------------------


def test_options_travel_in_the_key() -> None:
    for options in ({"compiled": True}, {"traced": True}, {"compiled": True, "traced": True}, {}):
        found = user.target("jax", "a.b:c", ("float32",), ("int8",), ("second order", "jvp"), **options)
        assert user.parse(found.key) == found
        found = user.target("jax", "a.b:c", **options)
        assert user.parse(found.key) == found
        assert found.target_dtypes == ()


@pytest.mark.parametrize(
    ("framework", "targets"), [("numpy", ("int64",)), ("torch", ("int64",)), ("jax", ("int32", "int64")),
                               ("tensorflow", ("int32", "int64"))]
)  # fmt: skip
def test_targets_are_those_of_the_framework_unless_told_otherwise(framework: str, targets: tuple[str, ...]) -> None:
    backend = registry.backend(framework)
    for asked, due in (((), targets), (("uint8",), ("uint8",))):
        target = user.target(framework, "a:b", target_dtypes=asked)
        found = user.subjects(compiled_jax.eager, target, backend, "cpu")
        assert {one.capabilities.target_dtypes for one in found} == {due}


def test_a_finding_without_64_bit_types_is_replayed_as_such(tmp_path: Path) -> None:
    arguments = ("--family", "ignore", "--dtypes", "float32", "-x")
    done, read = check(tmp_path / "out", "tests/compiled_jax.py:narrow_counts", *arguments, framework="jax")
    assert done.returncode == 1, done.stdout + done.stderr
    finding = next(one for one in wrong(read) if not one.clauses[0].startswith("REL"))
    assert finding.subject == "jax:compiled_jax.narrow_counts:x32"
    again = lossparity("replay", f"{tmp_path}/out#{finding.digest}", "--script", str(tmp_path / "script.py"))
    assert again.returncode == 1, again.stdout + again.stderr
    script = (tmp_path / "script.py").read_text(encoding="utf-8")
    assert "jax_enable_x64" not in script
    assert "t = jax.device_put(" in script


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
