"""`lossparity check`: the suite on a user's own function, from the command line."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from lossparity.adapters import registry, user
from lossparity.conformance.items.spec import Request
from lossparity.conformance.planning import plan
from lossparity.reports import records
from lossparity.reports.records import Accuracy, Finding, Footer, Item, Run, Tally
from lossparity.specs.domain import Domain
from lossparity.specs.errors import UsageError

from .test_cli import lossparity

EXAMPLES = "examples/my_losses.py"
BAD = "tests/bad_losses.py"
SHORT = ("--family", "shape", "--dtypes", "float32")


def check(
    out: Path, target: str, *arguments: str, framework: str = "numpy", **options: Any
) -> tuple[subprocess.CompletedProcess[str], Run]:
    done = lossparity("check", target, "--framework", framework, "--out", str(out), *arguments, **options)
    assert (out / "records.jsonl").exists(), done.stdout + done.stderr
    read = records.read(out / "records.jsonl")
    assert read.footer is not None
    assert read.footer.planned == sum(read.footer.statuses.values()) == sum(item.planned for item in read.of(Item))
    assert read.footer.exit_code == done.returncode
    assert (out / "index.html").exists()
    assert "Traceback" not in done.stderr
    return done, read


def footer(read: Run) -> Footer:
    """How a run ended; `check` has seen that it has one."""
    assert read.footer is not None
    return read.footer


def wrong(read: Run) -> list[Finding]:
    return [finding for finding in read.of(Finding) if not finding.expected]


def test_a_correct_function_is_as_expected(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{EXAMPLES}:correct")
    assert done.returncode == 0, done.stdout + done.stderr
    (subject,) = read.header.subjects
    assert (subject.name, subject.backend, subject.binding) == ("numpy:my_losses.correct", "numpy", "user")
    assert subject.target_dtypes == ("int64",)
    assert any(note.endswith("examples/my_losses.py:correct") for note in subject.notes)
    assert "no target int32: not asked for: --targets int64" in subject.notes
    assert read.header.divergences == ()
    assert set(footer(read).statuses) <= {"pass", "uninformative", "unsupported"}
    assert "ACC-4" not in done.stdout
    assert not any(one.deep for one in read.of(Accuracy))


def test_a_failure_can_be_mended_from_its_message_alone(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{EXAMPLES}:mean_over_all", "--family", "value", "--dtypes", "float32")
    assert done.returncode == 1
    assert footer(read).ended == "complete"
    for words in (
        "unexpected: The loss is wrong by 100 %: -2, exact -1 (a number outside the bound of",
        "  subject   numpy:my_losses.mean_over_all/nll_loss, float32\n",
        "  hint      observed / exact = 2 = the sum of the kept targets' weights\n",
        "  WEIGHT-1  MUST: weight has shape (C,) and input's dtype; class c is scaled by w[c], once, in numerator and",
        "  call      input=float32",
        "  input     [1.0]\n",
        "  target    0\n",
        "  observed  float32 -2.0 ",
        "rounds to",
        " ulp; ",
        "  again     lossparity replay ",
        ", made smaller)\n",
    ):
        assert words in done.stdout
    assert "flushes" not in done.stdout  # its mean of subnormal numbers is too small, but not 0


def test_each_kind_of_failure_shows_its_smallest_call_and_most_telling_clauses(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{EXAMPLES}:nan_at_ignored", "--family", "value", "--dtypes", "float32")
    assert done.returncode == 1
    first = done.stdout.partition("unexpected: ")[2].partition("unexpected: ")[0]
    assert "NaN where a number is due" in first
    assert "IGN-5     MUST: NaN or inf in ignored rows" in first
    smallest = min(wrong(read), key=lambda finding: math.prod(finding.call["input"]["shape"]))
    assert smallest.summary in first


def test_x_stops_at_the_first_unexpected_result_and_counts_the_rest(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{EXAMPLES}:mean_over_all", "-x")
    assert done.returncode == 1, done.stdout + done.stderr
    assert footer(read).ended == "stopped"
    assert footer(read).seconds < 60
    assert 1 <= footer(read).unexpected <= 10
    assert footer(read).statuses["not_run"] > 0.8 * footer(read).planned
    complete = {spec.id for spec in plan.items({"nll_loss": ["numpy:my_losses.mean_over_all"]}, Request())}
    assert {item.id for item in read.of(Item)} == complete
    assert "stopped" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "  subject   numpy:my_losses.mean_over_all/nll_loss" in done.stdout
    assert "engine error" not in done.stdout


def test_x_stops_after_a_call_that_does_not_come_back(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{BAD}:sleeps", "-x", "--timeout", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert footer(read).ended == "stopped"
    assert 1 <= footer(read).statuses["timeout"] <= 4
    assert set(footer(read).statuses) == {"timeout", "not_run"}


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)])
def test_the_last_lines_say_what_a_running_sum_amounts_to(options: tuple[str, ...], code: int, tmp_path: Path) -> None:
    arguments = ("--family", "accuracy", "--dtypes", "float32", *options)
    done, read = check(tmp_path, f"{BAD}:running_sum", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines()[-6:] if "ACC-4" in line]
    assert "running_sum's sums lose accuracy as they grow: float32 sum and mean up to 0." in line
    assert " % off at 65,537 terms, where a careful sum is at most 0.0006 % off (ACC-4, SHOULD)." in line
    worst = max((one.deep for one in read.of(Accuracy) if one.deep is not None), key=lambda deep: deep.error)
    unit, terms = 2.0**-24, 65_537
    assert 100 * 98 * unit < worst.error < (terms - 1) * unit  # far beyond a tree of 64 + 2 ceil(log2 N) additions
    sums, quotients = (math.expm1(roundings * math.log1p(unit)) for roundings in (98, 98 + 2))  # as a reciprocal
    assert sums <= worst.bound <= quotients * (1 + 2.0**-39)  # the suite's own evaluation is rounded upwards by 2^-40
    assert worst.terms == terms
    for file in ("index.html", "summary.md"):
        assert "off at 65,537 terms" in (tmp_path / file).read_text(encoding="utf-8")


def test_x_leaves_a_correct_function_alone(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{EXAMPLES}:correct", "-x", *SHORT)
    assert (done.returncode, footer(read).ended) == (0, "complete")
    assert "not_run" not in footer(read).statuses


@pytest.mark.parametrize(
    ("name", "observed", "because"),
    [
        ("exits", "SystemExit: done for today", "A legal call raised: SystemExit: done for today."),
        ("raises", "RuntimeError: not written yet", "A legal call raised: RuntimeError: not written yet."),
        ("returns_floats", "float, which is no numpy.ndarray", "The call did not simply return an array."),
        ("spoils_its_target", "a result, and target modified in place", "The call did not simply return an array."),
    ],
)
def test_misbehaviour_is_a_clear_verdict(name: str, observed: str, because: str, tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{BAD}:{name}", *SHORT)
    assert done.returncode == 1, done.stdout + done.stderr
    assert because in done.stdout
    assert observed in done.stdout
    assert "error" not in footer(read).statuses
    assert "not_run" not in footer(read).statuses


def test_no_result_is_no_error(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{BAD}:returns_none_for_errors", "--family", "error", "--dtypes", "float32")
    assert done.returncode == 1
    due = {finding.because for finding in wrong(read)}
    assert due == {
        f"A value where an error is due: one of category {one}." for one in ("dtype", "index", "shape", "value")
    }
    assert "NoneType, which is no numpy.ndarray" in done.stdout


def test_what_a_function_prints_is_not_shown(tmp_path: Path) -> None:
    done, _ = check(tmp_path, f"{BAD}:prints", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "called with" not in done.stdout + done.stderr


SOUND = {"pass", "unsupported", "uninformative"}


def test_a_crash_costs_one_item_and_says_where(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{BAD}:segfaults_on_five_axes", "--family", "shape")
    assert done.returncode == 1, done.stdout + done.stderr
    statuses = {item.dtype: item.statuses for item in read.of(Item)}
    assert statuses["float16"]["crash"] == 1
    assert statuses["float16"]["not_run"] > 100
    assert all(set(statuses[dtype]) <= SOUND for dtype in ("bfloat16", "float32", "float64"))
    assert "called by segfaults_on_five_axes at" in done.stdout
    assert "calls before it in the same process" in done.stdout
    assert "target=uint8" not in done.stdout  # not asked for, so that no such call ran
    assert "Fatal Python error" not in done.stderr


def test_a_function_that_always_crashes_is_a_verdict_too(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{BAD}:segfaults", *SHORT)
    assert done.returncode == 1, done.stdout + done.stderr
    assert footer(read).statuses["crash"] == 1
    (subject,) = read.header.subjects
    assert any("not probed" in note for note in subject.notes)


def test_a_hang_is_a_timeout_and_says_where(tmp_path: Path) -> None:
    done, read = check(tmp_path, f"{BAD}:sleeps_on_empty", *SHORT, "--timeout", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert footer(read).statuses["timeout"] == 1
    assert footer(read).statuses["pass"] > 10
    assert "timeout, in sleeps_on_empty at" in done.stdout


def test_what_is_not_asked_for_is_not_planned(tmp_path: Path) -> None:
    arguments = ("--family", "shape", "--dtypes", "float32,float64", "--targets", "int64,int32")
    done, read = check(tmp_path, f"{EXAMPLES}:correct", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    (subject,) = read.header.subjects
    assert (subject.dtypes, subject.target_dtypes) == (("float32", "float64"), ("int32", "int64"))
    assert "no float16: not asked for: --dtypes float32,float64" in subject.notes
    statuses = {item.dtype: set(item.statuses) for item in read.of(Item)}
    assert statuses.keys() == {"float32", "float64"}
    assert all("pass" in one and "unsupported" not in one for one in statuses.values())


def test_a_ledger_can_name_the_function(tmp_path: Path) -> None:
    ledger = tmp_path / "known.toml"
    row = {
        "id": "mine",
        "title": "divides by all positions",
        "mode": "sometimes",
        "fallback": "nothing",
        "cause": "by_design",
        "explanation": "so be it",
        "reproducer": "",
        "vector": "torch-half-overflow",
    }
    lines = [f'{name} = "{value}"' for name, value in row.items()]
    lines += ['subjects = ["numpy:my_losses.mean_over_all"]', 'clauses = ["*"]', 'selector = { reduction = "mean" }']
    lines += ['signature = ["value", "inaccurate", "number", "nan", "inf", "overflow", "scaling"]']
    ledger.write_text("[[divergence]]\n" + "\n".join(lines))
    done, read = check(tmp_path, f"{EXAMPLES}:mean_over_all", *SHORT, "--ledger", str(ledger))
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(tally.divergence == "mine" for tally in read.of(Tally))


def test_modules_are_found_in_the_current_directory(tmp_path: Path) -> None:
    package = tmp_path / "mypackage"
    package.mkdir()
    (package / "losses.py").write_text("from lossparity.adapters.numpy import nll_loss as nll\n")
    done, read = check(tmp_path, "mypackage.losses:nll", *SHORT, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read.header.subjects[0].name == "numpy:mypackage.losses.nll"


def test_a_file_may_import_its_neighbours_and_lie_anywhere(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("from lossparity.adapters.numpy import nll_loss\n")
    (tmp_path / "math.py").write_text("from neighbour import nll_loss\nclass Losses:\n    nll = nll_loss\n")
    done, read = check(tmp_path, f"{tmp_path}/math.py:Losses.nll", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read.header.subjects[0].name == "numpy:math.Losses.nll"


@pytest.mark.parametrize(
    ("target", "framework", "code", "words"),
    [
        ("examples/my_losses.py", "numpy", 4, ("MODULE:FUNCTION",)),
        ("examples/mine.py:correct", "numpy", 4, ("examples/mine.py", "no file")),
        ("examples.mine:correct", "numpy", 4, ("no module 'examples.mine'", "path/to/file.py:FUNCTION")),
        (f"{EXAMPLES}:corect", "numpy", 4, ("no 'corect'", "did you mean correct?")),
        (f"{BAD}:number", "numpy", 4, ("of type int", "name a function")),
        (f"{BAD}:takes_two", "numpy", 4, ("takes (input, target)", "weight=None, ignore_index=-100")),
        (f"{EXAMPLES}:correct", "nunpy", 4, ("nunpy", "did you mean numpy?")),
        (f"{EXAMPLES}:correct --dtypes float31", "numpy", 4, ("float31", "did you mean float32")),
        (f"{EXAMPLES}:correct --targets int65", "numpy", 4, ("int65", "did you mean int64")),
        (f"{EXAMPLES}:correct --profile quik", "numpy", 4, ("did you mean quick?",)),
        (f"{EXAMPLES}:correct --family ignored", "numpy", 4, ("no family 'ignored'", "did you mean ignore?")),
        (f"{EXAMPLES}:correct --device cuda", "numpy", 6, ("cuda", "--device")),
        ("broken.py:nll", "numpy", 4, ("broken.py does not import: ZeroDivisionError", "broken.py:2")),
        ("invalid.py:nll", "numpy", 4, ("invalid.py does not import: SyntaxError", "line 1")),
        ("needy.py:nll", "numpy", 4, ("needy.py does not import", "No module named 'not_there'", "needy.py:1")),
        ("leaving.py:nll", "numpy", 4, ("leaving.py does not import: SystemExit",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_targets_say_what_where_and_what_to_do(
    target: str, framework: str, code: int, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("a = 1\nb = a / 0\n")
    (tmp_path / "invalid.py").write_text("def nll(:\n")
    (tmp_path / "needy.py").write_text("import not_there\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(0)\n")
    name, *more = target.split()
    folder = None if name.startswith(("examples", "tests")) else tmp_path
    done = lossparity("check", name, "--framework", framework, "--out", str(tmp_path), *more, folder=folder)
    assert done.returncode == code, done.stdout + done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_framework_that_is_not_installed_exits_6_with_its_install_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['jax'] = None\n")
    arguments = ("check", f"{EXAMPLES}:correct", "--framework", "jax", "--out", str(tmp_path))
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = lossparity(*arguments, PYTHONPATH=path)
    assert done.returncode == 6, done.stdout + done.stderr
    assert "pip install 'lossparity[jax]'" in done.stderr


def test_a_framework_has_to_be_named() -> None:
    done = lossparity("check", f"{EXAMPLES}:correct")
    assert done.returncode == 4
    assert "--framework" in done.stderr


@pytest.mark.parametrize(
    ("framework", "right", "to_numpy", "kind"),
    [
        ("torch", "torch.nn.functional.nll_loss", "numpy()", "torch.Tensor"),
        ("jax", "lossparity.adapters.jax.nll_loss", "__array__()", "Array"),
        ("tensorflow", "lossparity.adapters.tensorflow.nll_loss", "numpy()", "Tensor"),
    ],
)
def test_each_framework(framework: str, right: str, to_numpy: str, kind: str, tmp_path: Path) -> None:
    """Right as long as it hands out the framework's arrays; where it hands out NumPy's, the fault is not ours."""
    pytest.importorskip(framework)
    (tmp_path / "mine.py").write_text(
        f"import {right.rpartition('.')[0]}\n"
        "def nll(input, target, weight=None, ignore_index=-100, reduction='mean'):\n"
        f"    result = {right}(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)\n"
        f"    return result if reduction != 'sum' else result.{to_numpy}\n"
    )
    arguments = ("--family", "shape", "--dtypes", "float64", "--timeout", "120", "-n", "1")
    done, read = check(tmp_path, "mine.py:nll", *arguments, framework=framework, folder=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert {finding.call["reduction"] for finding in wrong(read)} == {"sum"}
    for one in wrong(read):
        assert one.observed.startswith("numpy.")
        assert f"{kind}: " in one.observed
    assert footer(read).statuses["pass"] > footer(read).statuses["fail"] > 10


# --- the name by which every process finds a function ------------------------------------------------------


def test_a_key_leads_back_to_its_target() -> None:
    found = user.target("numpy", f"{EXAMPLES}:correct", Domain(dtypes=("float32",), targets=("int64", "int8")))
    assert user.parse(found.key) == found
    assert user.parse("numpy@a.b:c") == user.target("numpy", "a.b:c")
    assert registry.backend(found.key) is registry.backend(found.key)
    assert plan.key_of(registry.backend(found.key), (found.key,)) == found.key
    assert plan.key_of(registry.backend("numpy"), ("numpy",)) == "numpy"


def test_subjects_of_users_have_names_that_no_variant_has() -> None:
    assert user.target("jax", "jit:jit").subject == "jax:jit.jit"
    assert user.target("jax", "/a b/my-losses.py:nll").subject == "jax:my_losses.nll"


def test_an_adapter_without_wrap_cannot_check() -> None:
    with pytest.raises(UsageError, match=r"Backend\.wrap"):
        registry.backend("lossparity.adapters.template.adapter:BACKEND@a:b")
