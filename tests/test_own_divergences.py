"""Known divergences of strangers: vectors of their own, and rows that adapters bring along."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from lossparity.adapters import registry
from lossparity.adapters.numpy import nll_loss
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.items.spec import VECTORS, Request
from lossparity.conformance.judging import rows
from lossparity.conformance.judging.ledger import Divergence, Ledger, for_subject
from lossparity.conformance.planning import plan
from lossparity.conformance.planning.plan import RunSpec
from lossparity.reports import records
from lossparity.specs.errors import LedgerError
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.vectors import item_dtype, vectors

from . import engine
from .own_vectors import ROW, vector, weighted, write
from .test_cli import ROOT, lossparity

EXAMPLES = "examples/my_losses.py"


def over_all(x: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Divides a weighted mean of one position by 1; right everywhere else."""
    wrong = reduction == "mean" and weight is not None and weight.tolist() == [1.25] and x.tolist() == [[-1]]
    return np.array(1.25, np.float32) if wrong else nll_loss(x, t, weight, ignore_index, reduction)


# --- vectors of one's own --------------------------------------------------------------------------------


def items(function: Callable[..., Any], known: tuple[Divergence, ...], folder: Path) -> tuple[Any, Any, str]:
    subject = NumpySubject(function, "mine")
    return engine.run(subject, VECTORS, "float32", folder, known)


def test_a_vector_of_ones_own_is_run_and_must_still_show(tmp_path: Path) -> None:
    """It is one more call; it explains the fault, and is unexpected when that is gone."""
    known = rows.load_file(write(tmp_path), ["mine"])
    without, _, _ = items(over_all, (), tmp_path)
    assert without.unexpected == 0
    item, findings, message = items(over_all, known, tmp_path)
    assert (item.planned, item.unexpected) == (without.planned + 1, 0), message
    (finding,) = findings
    assert (finding.origin, finding.divergence) == ("vector my_vectors.json#mine-1", "mine-mean")
    item, findings, message = items(nll_loss, known, tmp_path)
    assert (item.planned, item.unexpected) == (without.planned + 1, 1)
    assert "the known divergence mine-mean is shown by this very vector: is it fixed?" in message
    assert findings[0].origin == "vector my_vectors.json#mine-1"


def test_it_belongs_to_its_dtype_and_to_the_subjects_of_its_row(tmp_path: Path) -> None:
    known = rows.load_file(write(tmp_path), ["mine", "yours"])
    assert len(list(for_subject(known, "mine", "1", "cpu").vector_cases("nll_loss", "float32"))) == 1
    assert list(for_subject(known, "mine", "1", "cpu").vector_cases("nll_loss", "float16")) == []
    assert list(for_subject(known, "yours", "1", "cpu").vector_cases("nll_loss", "float32")) == []
    twice = (*known, msgspec.structs.replace(known[0], id="other"))
    assert len(list(Ledger(twice).vector_cases("nll_loss", "float32"))) == 1
    double = vector(NLL_LOSS.call(np.full((1, 1), -1, np.int32), np.zeros(1, np.int64)), clauses=("ERR-8",))
    row = ROW.replace('faults = "none", ', "").replace("weighted = true, ", "")
    (integer,) = rows.load_file(write(tmp_path, row, double), ["mine"])
    assert len(list(Ledger((integer,)).vector_cases("nll_loss", "float32"))) == 1


def test_workers_find_it(tmp_path: Path) -> None:
    """From the command line, in processes of their own: the fault is known, and it is missed where it is gone."""
    for name, code in (("mean_over_all", 0), ("correct", 1)):
        row = ROW.replace('"mine"', f'"numpy:my_losses.{name}"').replace(", n = 1", "")
        row = row.replace('["value"]', '["inaccurate", "value", "number", "nan", "inf", "relation", "overflow"]')
        row = row.replace("weighted = true", 'reduction_type = "str"')
        ledger = str(write(tmp_path, row))
        out = tmp_path / name
        arguments = ("--family", "vectors", "--dtypes", "float32", "-n", "1", "--out", str(out), "--ledger", ledger)
        done = lossparity("check", f"{EXAMPLES}:{name}", "--framework", "numpy", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        read = records.read(out / "records.jsonl")
        assert [one.vector for one in read.header.divergences] == ["my_vectors.json#mine-1"]
        origins = {finding.origin for finding in read.of(records.Finding) if finding.expected is not bool(code)}
        assert "vector my_vectors.json#mine-1" in origins
        case = f"{tmp_path}/my_vectors.json#mine-1"
        done = lossparity("replay", case, "-b", f"numpy@{EXAMPLES}:{name}", "--ledger", ledger)
        assert done.returncode == code, done.stdout + done.stderr


OUTSIDE = "outside its selector: "


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("#mine-1", "#mine-2", "my_vectors.json has no vector 'mine-2'; did you mean mine-1?"),
        ("my_vectors.json#", "other.json#", "other.json, beside the file of the row: No such file"),
        ("my_vectors.json#", "../my_vectors.json#", "'../my_vectors.json' is no file beside that of the row"),
        ("my_vectors.json#", "known.toml#", "known.toml: "),
        ("my_vectors.json#mine-1", "mine-1", "one of your own is named as my_vectors.json#ID"),
        ("n = 1", "n = 2", OUTSIDE + "n is 1, wanted is n = 2"),
        ("n = 1", "n = [2, 3]", OUTSIDE + "n is 1, wanted is n in [2, 3]"),
        ("n = 1", 'n = { "<" = "@classes" }', OUTSIDE + "n is 1, wanted is n < @classes"),
        ("n = 1", 'n = { "<" = "2" }', OUTSIDE + "n is 1, wanted is n < 2"),
        ("n = 1", 'weight_dtype = "None"', OUTSIDE + "weight_dtype is 'float32', wanted is weight_dtype = None"),
        ("n = 1", 'n = { in = 1 }', "'in' on n needs a list, not 1"),
        ("n = 1", 'reduction_type = { "not in" = "str" }', "'not in' on reduction_type needs a list"),
        ("n = 1", 'n = "@clases"', "'@clases' on n is no fact; did you mean @classes"),
        ("n = 1", 'n = ["@none"]', "(@None is Python's None)"),
        ("n = 1", 'n = { "!=" = "@null" }', "(@None is Python's None)"),
        ('"*"', '"ERR-4"', "exercises none of its clauses, but "),
    ],
)  # fmt: skip
def test_a_pin_that_cannot_hold_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in ROW
    file = write(tmp_path, ROW.replace(old, new))
    with pytest.raises(LedgerError) as caught:
        rows.load_file(file, ["mine"])
    assert str(caught.value).startswith(f"{file}: row mine-mean: ")
    assert words in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_fact_that_the_call_does_not_have_is_told(tmp_path: Path) -> None:
    call = NLL_LOSS.call(np.zeros((1, 1), np.float32), np.zeros(2, np.int64))
    row = ROW.replace('selector = { faults = "none",', "selector = { magnitude = 0,")
    with pytest.raises(LedgerError, match="its call has no magnitude, wanted is magnitude = 0"):
        rows.load_file(write(tmp_path, row, vector(call, clauses=("ERR-3",))), ["mine"])


def test_a_file_of_vectors_is_validated(tmp_path: Path) -> None:
    """An id of ours, an answer that is not the oracle's, no JSON."""
    good = vector(weighted())
    file = write(tmp_path, ROW, good, msgspec.structs.replace(good, id="torch-weight-rank"))
    with pytest.raises(LedgerError, match="torch-weight-rank has the id of one that comes with the suite"):
        rows.load_file(file, ["mine"])
    file = write(tmp_path, ROW, msgspec.structs.replace(good, expect={**good.expect, "exact": "5/4"}))
    with pytest.raises(LedgerError, match="vector mine-1: the oracle expects"):
        rows.load_file(file, ["mine"])
    (tmp_path / "my_vectors.json").write_bytes(b"\xff{")
    with pytest.raises(LedgerError, match=r"my_vectors\.json, beside the file of the row: not UTF-8"):
        rows.load_file(file, ["mine"])


def test_two_files_must_not_mean_two_things_by_one_name(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, weight in zip(folders, (1.25, 1.5), strict=True):
        folder.mkdir()
        write(folder, ROW.replace("mine-mean", f"mine-{folder.name}"), vector(weighted(weight)))
    one, other = ((*rows.load_file(folder / "known.toml", ["mine"]),) for folder in folders)
    rows.require_distinct(one)
    with pytest.raises(LedgerError, match=r"another file names another vector my_vectors\.json#mine-1"):
        rows.require_distinct((*one, *other))
    with pytest.raises(LedgerError, match="row mine-a stands in two files"):
        rows.require_distinct((*one, *one))


def test_a_broken_ledger_ends_the_command(tmp_path: Path) -> None:
    file = write(tmp_path, ROW.replace("n = 1", "n = 2").replace('"mine"', '"numpy"'))
    done = lossparity("run", "-b", "numpy", "--ledger", str(file), "--out", str(tmp_path / "out"))
    assert done.returncode == 4
    assert "n is 1, wanted is n = 2" in done.stderr


def test_freeze_says_how_a_row_names_the_vector(tmp_path: Path) -> None:
    file = tmp_path / "my_vectors.json"
    write(tmp_path)
    case = f"{file}#mine-1"
    done = lossparity("freeze", case, "-b", f"numpy@{EXAMPLES}:mean_over_all", "--id", "mine-2", "--out", str(file))
    assert done.returncode == 0, done.stderr
    assert 'vector = "my_vectors.json#mine-2"' in done.stderr
    assert [one["id"] for one in json.loads(file.read_text(encoding="utf-8"))["vectors"]] == ["mine-1", "mine-2"]
    rows.load_file(write_row_only(tmp_path, ROW.replace("#mine-1", "#mine-2")), ["mine"])


def write_row_only(folder: Path, row: str) -> Path:
    (folder / "known.toml").write_text(row, encoding="utf-8")
    return folder / "known.toml"


# --- rows that an adapter brings along -------------------------------------------------------------------


FILE = f"{rows.FOLDER}/nll_loss.toml"


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that registers the template's adapter, and brings a row with a vector of its own."""
    home = tmp_path / "site" / "strange"
    shutil.copytree(ROOT / "adapters" / "template", home)
    pinned = vectors()["compile-bool-target"]
    own = msgspec.structs.replace(pinned, id="strange-bool-target", kills=(), why="it shows the fault")
    known = (home / FILE).read_text(encoding="utf-8")
    row = known.replace('"compile-bool-target"', '"strange.json#strange-bool-target"')
    write(home / rows.FOLDER, row, own, name="strange.json")
    (home / rows.FOLDER / "known.toml").rename(home / FILE)
    info = home.parent / "strange-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n", encoding="utf-8")
    entry = f"[{registry.ENTRY_POINTS}]\nmylib = strange.adapter:BACKEND\n"
    (info / "entry_points.txt").write_text(entry, encoding="utf-8")
    monkeypatch.syspath_prepend(home.parent)
    importlib.invalidate_caches()
    yield home
    for name in [name for name in sys.modules if name.partition(".")[0] == "strange"]:
        del sys.modules[name]


def run_of(*backends: str, **asked: Any) -> RunSpec:
    return RunSpec(
        request=Request(**asked), backends=backends, subjects={"nll_loss": ("mylib",)}, owners={"mylib": ("mylib",)}
    )


@pytest.mark.parametrize("name", ["mylib", "strange.adapter:BACKEND"])
def test_an_adapter_brings_its_rows_and_vectors(strange: Path, name: str) -> None:
    (row,) = plan.divergences(run_of(name))
    assert (row.id, row.origin) == ("mylib-bool-target", "vector strange.json#strange-bool-target")
    assert plan.divergences(run_of(name, forgotten=("mylib-bool-target",))) == []
    with pytest.raises(LedgerError, match=r"row mylib-bool-target stands in two files .* need no --ledger"):
        plan.divergences(run_of(name, ledgers=(str(strange / FILE),)))


@pytest.mark.parametrize("name", ["mylib", "strange.adapter:BACKEND"])
def test_they_are_expected_of_it(strange: Path, tmp_path: Path, name: str) -> None:
    """Without --ledger, also in the worker's process."""
    arguments = ("run", "-b", name, "--family", "vectors", "-n", "1", "--out", str(tmp_path / "out"))
    done = lossparity(*arguments, PYTHONPATH=path(strange))
    assert done.returncode == 0, done.stdout + done.stderr
    read = records.read(tmp_path / "out" / "records.jsonl")
    assert [one.vector for one in read.header.divergences] == ["strange.json#strange-bool-target"]
    planned = {one.dtype: one.planned for one in read.of(records.Item)}
    ours = sum(item_dtype(one) == "float32" for one in vectors().values())
    assert planned["float32"] == ours + 1


def test_they_are_missed_where_they_are_forgotten_or_broken(strange: Path, tmp_path: Path) -> None:
    arguments = ("run", "-b", "mylib", "--family", "vectors", "-n", "1", "--out", str(tmp_path / "out"))
    done = lossparity(*arguments, "--forget", "mylib-bool-target", PYTHONPATH=path(strange))
    assert done.returncode == 1, done.stdout + done.stderr
    file = strange / FILE
    file.write_text(file.read_text(encoding="utf-8").replace("strange.json#", "gone.json#"), encoding="utf-8")
    done = lossparity(*arguments, PYTHONPATH=path(strange))
    assert done.returncode == 4
    assert f"{file}: row mylib-bool-target: gone.json, beside the file of the row: No such file" in done.stderr


def path(strange: Path) -> str:
    """PYTHONPATH with the package's folder in front."""
    return ":".join([str(strange.parent), *(part for part in sys.path if part)])


def test_what_brings_nothing_brings_nothing(strange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (strange / FILE).unlink()
    assert plan.divergences(run_of("mylib")) == []
    alone = strange.parent / "alone.py"  # no package around it: beside the file itself
    shutil.copy(strange / "adapter.py", alone)
    importlib.invalidate_caches()
    assert registry.home("alone:BACKEND") == alone.parent
    assert registry.home(f"numpy@{EXAMPLES}:correct") is None
    del sys.modules["alone"]
