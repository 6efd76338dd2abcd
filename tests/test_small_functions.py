"""Functions that do less than their loss asks: what is asked of them, how they are called, what is said of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossparity.adapters.binding import Binding
from lossparity.adapters.domains import domain_of
from lossparity.adapters.numpy import nll_loss
from lossparity.conformance.testing import conformance_tests
from lossparity.reports.coverage import coverages
from lossparity.reports.records import Item
from lossparity.specs.errors import NothingRan, UsageError
from lossparity.specs.nll_loss.signature import NLL_LOSS

from . import small_losses
from .kit import failure, run
from .test_check import check, footer, wrong
from .test_cli import lossparity

SMALL = "tests/small_losses.py"
PLAIN = ("--no-weight", "--no-ignore-index")
MEANS = ("--dtypes", "float32", "--ranks", "2", "--reductions", "mean", *PLAIN, "--no-empty")


# --- functions of a small domain ---------------------------------------------------------------------------


def test_a_correct_small_function_conforms_for_what_it_is_for(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{SMALL}:mean", *MEANS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert footer(read).seconds < 60
    assert set(footer(read).statuses) == {"pass", "uninformative"}
    assert footer(read).statuses["pass"] > 500
    (covered,) = coverages(read.header.subjects, read.of(Item))
    assert covered.share > 0.9
    domain = "float32, 2-d input, int64 targets, reduction mean, no weight, no ignore_index, no empty arrays"
    assert f"numpy:small_losses.mean conforms for {domain}: " in done.stdout
    assert covered.sentence in done.stdout.splitlines()[-3]
    for file in ("index.html", "summary.md"):
        assert "conforms for float32, 2-d input" in (tmp_path / file).read_text(encoding="utf-8")
    assert {item.dtype for item in read.of(Item)} == {"float32"}
    assert {finding.call["reduction"] for finding in wrong(read)} == set()


def test_what_a_function_says_that_it_does_not_do_is_counted_with_its_words(tmp_path: Path) -> None:
    arguments = (*MEANS[:4], "--reductions", "mean,sum", *MEANS[6:], "--json")
    done, read = check(tmp_path, f"{SMALL}:mean_of_few", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    (said,) = json.loads(done.stdout)["domains"]
    assert said["unexpected"] == 0
    (reason,) = said["declined"]  # numbers aside, it is one
    assert reason.startswith("NotImplementedError: at most 1000 rows, not ")
    assert said["declined"][reason] == footer(read).statuses["unsupported"] > 10
    assert said["judged"] + said["undecided"] + said["declined"][reason] == said["planned"]
    assert said["share"] == said["judged"] / said["planned"] < 0.99


def test_a_function_that_does_nothing_does_not_conform(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{SMALL}:never", *PLAIN, "--family", "shape")
    assert done.returncode == 5, done.stdout + done.stderr
    assert set(footer(read).statuses) == {"unsupported"}
    assert "numpy:small_losses.never was not judged, asked for" in done.stdout
    assert "NotImplementedError: OnlyOnTuesdays: not today" in done.stdout
    assert "no legal call came back with a result" in done.stderr
    assert "Nothing ran" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_no_implementation_is_no_excuse_where_an_error_is_due() -> None:
    """An exception is an exception there, so that nothing is unsupported."""
    options: Any = {"framework": "numpy", "dtypes": "float32", "no_weight": True, "no_ignore_index": True}
    test = conformance_tests(small_losses.never, **options, families="error")
    with pytest.raises(pytest.skip.Exception):  # its legal calls
        run(conformance_tests(small_losses.never, **options, families="shape"), "shape-float32")
    run(test, "error-float32")


@pytest.mark.parametrize(
    ("name", "family", "clause"),
    [
        ("forgets_the_last_row", "value", "VALUE-3"),
        ("forgets_the_last_row", "accuracy", "VALUE-3"),
        ("takes_any_class", "error", "ERR-1"),
    ],
)
def test_what_is_wrong_inside_is_found(name: str, family: str, clause: str) -> None:
    message = failure(small(getattr(small_losses, name), families=family), f"{family}-float32")
    assert clause in message
    assert "unexpected" in message


def small(function: Any, **options: Any) -> Any:
    asked = {"dtypes": "float32", "ranks": 2, "reductions": "mean", "no_weight": True, "no_ignore_index": True}
    return conformance_tests(function, framework="numpy", **(asked | {"no_empty": True} | options))


def test_flushing_is_recognised_within_a_domain_too() -> None:
    for family in ("special", "value"):
        run(small(small_losses.flushing, families=family), f"{family}-float32")


def test_what_is_wrong_outside_is_not_asked() -> None:
    run(small(small_losses.off_for_no_rows, families="shape"), "shape-float32")
    message = failure(small(small_losses.off_for_no_rows, families="shape", no_empty=False), "shape-float32")
    assert "A number where NaN" in message


def test_without_a_domain_a_small_function_is_accused() -> None:
    with pytest.raises(UsageError, match="--no-weight"):
        conformance_tests(small_losses.mean, framework="numpy")
    options: Any = {"framework": "numpy", "no_weight": True, "no_ignore_index": True}
    message = failure(conformance_tests(small_losses.mean_or_sum, **options, families="dtype"), "dtype-float64")
    assert "TypeError" in message or "ValueError" in message or "NotImplementedError" not in message


def test_a_small_function_on_torch(tmp_path: Path) -> None:
    """With the gradient that autograd takes; second derivatives are not asked."""
    pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def nll(x, t):\n"
        "    if x.dtype != torch.float32 or x.ndim != 2 or t.dtype not in (torch.int64,):\n"
        "        raise NotImplementedError('float32, 2-d')\n"
        "    if t.shape != x.shape[:1] or ((t < 0) | (t >= x.shape[1])).any():\n"
        "        raise IndexError('target')\n"
        "    return -x.gather(1, t[:, None]).sum() / len(t)\n"
    )
    spared = [word for name in ("vmap", "jvp", "second order") for word in ("--without", name)]
    arguments = (*MEANS, *spared, "--family", "gradient", "--family", "shape", "--family", "relation")
    done, read = check(tmp_path, "mine.py:nll", *arguments, framework="torch", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = {item.family: item.statuses.get("pass", 0) for item in read.of(Item)}
    assert min(passed.values()) > 20
    assert "without vmap, without jvp, without second order" in done.stdout


# --- what is left of nothing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--ranks", "1", "--no-unbatched"), "--ranks 1 and --no-unbatched"),
        (("--ranks", "9"), "--ranks 9"),
        (("--ranks", "9", "--dtypes", "float32"), "--ranks 9 leave"),
        ((*PLAIN, "--family", "weight"), "--no-weight and --family weight"),
    ],
)
def test_a_domain_that_leaves_nothing_names_the_options(options: tuple[str, ...], named: str, tmp_path: Path) -> None:
    arguments = ("check", f"{SMALL}:mean", "--framework", "numpy", "--out", str(tmp_path), *options)
    done = lossparity(*arguments)
    assert done.returncode == 5, done.stdout + done.stderr
    assert f"nothing is left to ask: {named}" in done.stderr
    assert not (tmp_path / "records.jsonl").exists()


def test_so_does_the_kit() -> None:
    with pytest.raises(NothingRan, match="--ranks 1 and --no-unbatched leave no call of nll_loss"):
        small(small_losses.mean, ranks=1, no_unbatched=True)


# --- how a function is called -------------------------------------------------------------------------------


def test_a_function_may_spell_its_arguments_in_its_own_way(tmp_path: Path) -> None:
    names = "input=scores,target=labels,weight=w,ignore_index=skip,reduction=how"
    short = ("--family", "weight", "--family", "error", "--dtypes", "float32")
    done, read = check(tmp_path, f"{SMALL}:in_another_order", *short, "--arguments", names)
    assert done.returncode == 0, done.stdout + done.stderr
    assert footer(read).statuses["pass"] > 300


def test_arguments_that_go_by_position_only_are_placed() -> None:
    binding = Binding(NLL_LOSS, names={"input": "scores", "target": "labels"})
    binding.require_fit(small_losses.by_position, "here")
    arrays = np.array([[-1.0, -2.0]]), np.array([1])
    assert binding.bound(small_losses.by_position)(*arrays, reduction="sum") == 2


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"inputs": "x"}, "nll_loss has no argument 'inputs'; did you mean input"),
        ({"input": "y"}, r"takes \(x, target\), and no 'y'"),
        ({"input": "x"}, "missing a required argument: 'target'|unexpected keyword"),
    ],
)
def test_arguments_that_are_not_there_are_told(names: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Binding(NLL_LOSS, names=names).require_fit(small_losses.mean, "here")


def test_a_function_that_wraps_another_is_bound_by_its_own_arguments() -> None:
    run(small(small_losses.wraps_more, families="value"), "value-float32")
    test = conformance_tests(small_losses.wraps_less, framework="numpy", families="weight", dtypes="float32")
    run(test, "weight-float32")
    with pytest.raises(UsageError, match=r"takes \(x, target\)"):
        conformance_tests(small_losses.wraps_more, framework="numpy")


def test_what_a_function_does_not_need_is_not_passed() -> None:
    seen: list[dict[str, Any]] = []

    def open_to_all(*arrays: Any, **options: Any) -> Any:
        seen.append(options)
        return nll_loss(*arrays, **options)

    domain = domain_of(NLL_LOSS, no=("weight", "ignore_index"), only={"reduction": ("sum",)})
    bound = Binding(NLL_LOSS, domain).bound(open_to_all)
    bound(np.zeros((1, 2)), np.zeros(1, int), weight=None, ignore_index=-100, reduction="sum")
    assert seen == [{"reduction": "sum"}]
    with pytest.raises(NotImplementedError, match="it takes no ignore_index"):
        bound(np.zeros((1, 2)), np.zeros(1, int), weight=None, ignore_index=3, reduction="sum")
    assert Binding(NLL_LOSS).bound(open_to_all) is open_to_all


def test_what_a_compiler_made_is_recognised_behind_a_binding() -> None:
    jax = pytest.importorskip("jax")
    from lossparity.adapters.jax.compiling import COMPILER

    def nll(x: Any, t: Any) -> Any:
        return -x[0, t[0]]

    domain = domain_of(NLL_LOSS, no=("weight", "ignore_index"), only={"reduction": ("mean",)})
    bound = Binding(NLL_LOSS, domain).bound(jax.jit(nll))
    assert bound is not nll
    assert COMPILER.made(bound) == "jax.jit"
    compiled = COMPILER.compile(NLL_LOSS, Binding(NLL_LOSS, domain).bound(nll))
    x, t = jax.numpy.ones((1, 2)), jax.numpy.zeros(1, int)
    assert compiled(x, t, weight=None, ignore_index=-100, reduction="mean") == -1


def test_a_finding_of_a_small_function_has_a_script_and_shrinks_inside(tmp_path: Path) -> None:
    arguments = ("--family", "value", "-x", *MEANS, "--arguments", "input=x")
    done, read = check(tmp_path / "out", f"{SMALL}:forgets_the_last_row", *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    script = tmp_path / "script.py"
    place = f"{tmp_path}/out#{wrong(read)[0].digest}"
    again = lossparity("replay", place, "--shrink", "--script", str(script))
    assert again.returncode == 1, again.stdout + again.stderr
    assert "input=float32[2, " in again.stdout
    assert "return its_own(x=input, target=target)" in script.read_text(encoding="utf-8")
