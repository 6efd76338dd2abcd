"""What compiles nothing, or would run eagerly unseen, is told and never judged as compiled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")  # first of all: its OpenMP does not like to come after the others'
pytest.importorskip("jax")
pytest.importorskip("tensorflow")

import jax
import tensorflow as tf
import torch
import torch._dynamo
from lossparity.adapters import registry, user
from lossparity.adapters.execution import execute
from lossparity.adapters.numpy import nll_loss
from lossparity.adapters.torch import compiling
from lossparity.conformance.testing import conformance_tests
from lossparity.specs.call import Returned
from lossparity.specs.errors import BridgeError, CannotCompile, UsageError
from lossparity.specs.nll_loss.signature import NLL_LOSS
from torch._dynamo.utils import counters

from . import compiled_jax, compiled_tensorflow, compiled_torch
from .compiled import OURS, call, subjects
from .test_cli import lossparity

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
    (subject,) = user.subjects(NLL_LOSS, loss, target, registry.backend("torch"), "cpu")
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
