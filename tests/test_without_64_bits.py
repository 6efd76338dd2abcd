"""JAX without 64-bit types: its functions are judged as what they are then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")  # first of all: its OpenMP does not like to come after the others'
pytest.importorskip("jax")
pytest.importorskip("tensorflow")

from lossparity.adapters import handover, registry, user
from lossparity.adapters.execution import execute
from lossparity.conformance.items.spec import Request, planned_cases
from lossparity.conformance.planning import plan
from lossparity.conformance.testing import conformance_tests
from lossparity.specs.call import Raised, Returned, Unsupported
from lossparity.specs.domain import Domain
from lossparity.specs.errors import BridgeError
from lossparity.specs.nll_loss.signature import NLL_LOSS

from . import compiled_jax
from .compiled import call, subjects
from .kit import failure, ids, run
from .test_check import check, wrong
from .test_cli import lossparity


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
    specs = [
        spec for spec in plan.items({"nll_loss": [narrow.name]}, Request(families=families)) if spec.dtype == "float32"
    ]
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

    target = user.target("jax", "a:tells", Domain(targets=("int64", "uint64", "int8")))
    _, narrow = user.subjects(NLL_LOSS, tells, target, registry.backend("jax"), "cpu")
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
