"""The vectors as a reader without Python meets them: examples/vectors.mjs, run with Node.js."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lossparity.specs.call import FLOAT_DTYPES
from lossparity.specs.encoding import encode_call
from lossparity.specs.nll_loss.corpus import corpus
from lossparity.specs.vectors import describe, vectors

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "vectors.mjs"
NODE = shutil.which("node")
_LARGEST = 9223372036854775807

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [NODE or "node", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def counts(stdout: str) -> tuple[int, int, int, int]:
    """passed, failed, uninformative, skipped; the reasons for skipping have to add up."""
    last = stdout.splitlines()[-1]
    found = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) uninformative, (\d+) skipped:(.*)", last)
    assert found, stdout
    passed, failed, uninformative, skipped = map(int, found.groups()[:4])
    assert sum(map(int, re.findall(r" (\d+) [a-z_]+", found[5]))) == skipped
    return passed, failed, uninformative, skipped


def failed_ids(stdout: str) -> set[str]:
    return {line.split()[1] for line in stdout.splitlines() if line.startswith("FAILED ")}


def write(path: Path, *cases: dict[str, Any], **head: Any) -> Path:
    path.write_text(json.dumps({"format": 1, "loss": "nll_loss", "vectors": cases} | head), encoding="utf-8")
    return path


def vector(id: str, clauses: tuple[str, ...], call: dict[str, Any], expect: dict[str, Any]) -> dict[str, Any]:
    flags = ["DroppedTail"]
    return {"id": id, "comment": "of a test", "clauses": clauses, "flags": flags, "call": call, "expect": expect}


def small(target: int, ignore_index: int, expect: dict[str, Any], *clauses: str, **more: Any) -> dict[str, Any]:
    call = {
        "input": {"dtype": "float32", "shape": [2, 1], "values": ["-0x1.0000000000000p+0", "-0x1.8000000000000p+1"]},
        "target": {"dtype": "int64", "shape": [2], "values": [0, target]},
        "ignore_index": ignore_index,
        "reduction": "none",
    }
    return vector("small", clauses, call | more, expect)


def has_no_slack(call: dict[str, Any], clauses: tuple[str, ...], expect: dict[str, Any]) -> bool:
    """Whether the neighbour of a right result is a wrong one, and a number where an error is due is, too."""
    if set(clauses) <= {"SHAPE-4", "DTYPE-1", "GRAD-4"}:
        return False  # decided by shape or dtype
    if "values" in expect:
        return not call.get("weight")
    if "exact" in expect:
        return "ACC-5S" in clauses or ("ACC-5" in clauses and call["reduction"] == "sum")
    return "raises" in expect or len(expect.get("one_of", ())) == 1


def is_run(call: dict[str, Any], expect: dict[str, Any], experiment: str) -> bool:
    asked = call.get("transform", "gradient") == "gradient" and "layouts" not in call
    return asked and not experiment and "unspecified" not in expect


def frozen() -> Iterator[dict[str, Any]]:
    """Small cases of the corpus as vectors: some three hundred of each dtype."""
    for family, dtype in itertools.product(("value", "ignore", "weight", "special", "dtype", "gradient"), FLOAT_DTYPES):
        few = (case for case in corpus(family, dtype, "quick", 0) if case.call["input"].size <= 200)
        for number, case in enumerate(itertools.islice(few, 0, 300, 6)):
            id = f"{family}-{dtype}-{number}"
            yield vector(id, case.clauses, encode_call(case.call), describe(case.expectation))


def test_the_program_is_short() -> None:
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
    assert max(map(len, lines)) <= 120


def test_all_vectors_that_are_run_pass() -> None:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    passed, failed, uninformative, skipped = counts(done.stdout)
    assert failed == 0
    assert passed + uninformative + skipped == len(vectors())
    expected = sum(is_run(v.call, v.expect, v.experiment) for v in vectors().values())
    assert passed + uninformative == expected > len(vectors()) // 4
    assert passed > uninformative


def test_spoiled_results_fail() -> None:
    done = run("--spoil")
    assert done.returncode == 1
    strict = {
        v.id
        for v in vectors().values()
        if is_run(v.call, v.expect, v.experiment) and has_no_slack(v.call, v.clauses, v.expect)
    }
    assert len(strict) >= 10
    assert strict <= failed_ids(done.stdout)
    assert counts(done.stdout)[1] == len(failed_ids(done.stdout))


def test_cases_of_the_corpus_pass_and_fail_when_spoiled(tmp_path: Path) -> None:
    cases = list(frozen())
    file = write(tmp_path / "corpus.json", *cases)
    done = run(file)
    assert done.returncode == 0, done.stdout + done.stderr
    passed, failed, _, skipped = counts(done.stdout)
    assert failed == 0
    assert passed > len(cases) * 0.9
    assert skipped == sum(not is_run(case["call"], case["expect"], "") for case in cases)
    strict = {
        case["id"]
        for case in cases
        if is_run(case["call"], case["expect"], "") and has_no_slack(case["call"], case["clauses"], case["expect"])
    }
    assert len(strict) > len(cases) * 0.2
    assert strict <= failed_ids(run("--spoil", file).stdout)


def test_a_changed_value_is_reported_with_clause_and_numbers(tmp_path: Path) -> None:
    wrong = {"shape": [2], "values": ["0x1.0000000000000p+0", "0x1.8000020000000p+1"]}
    done = run(write(tmp_path / "wrong.json", small(0, -100, wrong, "ACC-1", "VALUE-1")))
    assert done.returncode == 1
    assert counts(done.stdout) == (0, 1, 0, 0)
    assert "FAILED small ACC-1: observed 1,3, expected" in done.stdout
    assert "0x1.8000020000000p+1" in done.stdout


@pytest.mark.parametrize("far", [_LARGEST, -_LARGEST - 1])
def test_integers_beyond_doubles_are_exact(far: int, tmp_path: Path) -> None:
    first = {"shape": [2], "values": ["0x1.0000000000000p+0", "0x0.0p+0"]}
    refused = {"raises": ["index"], "traced_may_return_nan": True}
    beside = far - 1 if far > 0 else far + 1
    cases = [small(far, far, first, "IGN-4"), small(far, beside, refused, "ERR-1", "ERR-2")]
    done = run(write(tmp_path / "far.json", *cases))
    assert (done.returncode, counts(done.stdout)) == (0, (2, 0, 0, 0)), done.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps({"format": 99, "loss": "nll_loss", "vectors": []}), "format 99"),
        ("{", "JSON"),
        ("{}", "format undefined"),
    ],
    ids=["format", "json", "empty"],
)
def test_a_file_that_cannot_be_read_is_named(content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "unreadable.json"
    file.write_text(content, encoding="utf-8")
    done = run(file)
    assert done.returncode == 2
    assert "unreadable.json" in done.stderr
    assert said in done.stderr


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    done = run(tmp_path / "nowhere.json")
    assert done.returncode == 2
    assert "nowhere.json" in done.stderr


def test_nothing_judged_is_no_success(tmp_path: Path) -> None:
    laid = small(0, -100, {"shape": [2], "values": ["0x1.0p+0"]}, "LAYOUT-1", layouts={"input": "fortran"})
    done = run(write(tmp_path / "laid.json", laid))
    assert (done.returncode, counts(done.stdout)) == (1, (0, 0, 0, 1))
