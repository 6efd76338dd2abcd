"""The command line end to end: what it writes, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from lossparity.conformance.running import controller
from lossparity.reports import records
from lossparity.reports.records import Finding, Item, Run, Tally
from lossparity.specs.nll_loss.clauses import RULES
from lossparity.specs.stopwatch import PARTS

ROOT = Path(__file__).parent.parent


def lossparity(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lossparity.conformance.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=folder or ROOT,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def run(out: Path, *arguments: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], Run]:
    done = lossparity("run", "--out", str(out), *arguments, **environment)
    assert (out / "records.jsonl").exists(), done.stderr
    return done, records.read(out / "records.jsonl")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Run, Path]:
    out = tmp_path_factory.mktemp("quick")
    done, read = run(out, "-b", "numpy", "-v")
    return done, read, out


def test_a_whole_run_of_numpy(quick: tuple[subprocess.CompletedProcess[str], Run, Path]) -> None:
    done, read, out = quick
    assert done.returncode == 0, done.stdout + done.stderr
    assert read.footer is not None
    assert (read.footer.exit_code, read.footer.unexpected, read.footer.ended) == (0, 0, "complete")
    assert read.footer.planned == sum(read.footer.statuses.values()) == sum(item.planned for item in read.of(Item))
    assert set(read.footer.statuses) <= {"pass", "uninformative", "unsupported"}
    judged = {tally.clause for tally in read.of(Tally) if tally.status == "pass"}
    without = {"GRAD-6", "GRAD-7", "GRAD-8", "REL-8"}  # NumPy does not differentiate, and has one subject
    without |= {"GRAD-10", "GRAD-11", "VALUE-10", "VALUE-11"}  # nor has it a graph, or automatic mixed precision
    assert judged == {c.id for c in RULES.clauses.values() if c.level != "RECORD"} - without - {"VALUE-9"}
    mapped = {"ERR-1", "ERR-2", "IGN-9", "GRAD-12"}  # decided by other calls as well as by those that NumPy cannot map
    assert {tally.clause for tally in read.of(Tally) if tally.status == "unsupported"} == without | mapped
    assert str(out / "index.html") in done.stdout
    assert "calls/s" in done.stdout
    heads = next(line for line in done.stdout.splitlines() if line.startswith("time spent on"))
    assert heads.split()[3:] == list(PARTS)
    for item in read.of(Item):
        assert item.split["framework"] == item.framework_seconds
        assert min(item.split.values()) >= 0
        assert sum(item.split.values()) <= item.seconds


def test_the_page_is_whole(quick: tuple[subprocess.CompletedProcess[str], Run, Path]) -> None:
    _, _, out = quick
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "nothing unexpected" in page.lower() or "as expected" in page.lower()
    for clause in RULES.clauses:
        assert clause in page
    assert (out / "summary.md").exists()


def test_records_follow_their_schema(quick: tuple[subprocess.CompletedProcess[str], Run, Path]) -> None:
    _, _, out = quick
    validator = jsonschema.Draft202012Validator(records.schema())
    lines = (out / "records.jsonl").read_text(encoding="utf-8").split("\n")
    for line in [line for line in lines if line][:: max(1, len(lines) // 200)]:
        validator.validate(json.loads(line))


def test_the_corpus_is_the_same_each_time(
    quick: tuple[subprocess.CompletedProcess[str], Run, Path], tmp_path: Path
) -> None:
    _, read, _ = quick
    again = run(tmp_path, "-b", "numpy", "--family", "error", "-n", "1")[1]
    before = {item.id: item.statuses for item in read.of(Item) if item.family == "error"}
    assert {item.id: item.statuses for item in again.of(Item)} == before


def test_reports_merge(quick: tuple[subprocess.CompletedProcess[str], Run, Path], tmp_path: Path) -> None:
    _, _, out = quick
    done = lossparity("report", str(out), "--out", str(tmp_path / "site"), "--json")
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["index"]).exists()


def test_a_wrong_function_exits_1(tmp_path: Path) -> None:
    done, read = run(tmp_path, "-b", "tests.bad_adapters:WRONG", "--family", "shape")
    assert done.returncode == 1
    assert read.footer is not None
    assert read.footer.unexpected > 100
    assert "unexpected: The loss is wrong by 100 %: " in done.stdout
    assert "  subject   wrong/nll_loss, float16\n" in done.stdout
    assert "calls/s" not in done.stdout  # tables of speed come with -v
    finding = next(f for f in read.of(Finding) if not f.expected)
    assert finding.observed
    assert finding.exact
    assert finding.call["input"]["dtype"]


def test_what_looks_like_markup_is_printed_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "a [red] folder"
    done, _ = run(out, "-b", "numpy", "--family", "weight", "-n", "1")
    assert done.returncode == 0, done.stderr
    assert f"Records: {out / 'records.jsonl'}\nReport: {out / 'index.html'}\n" in done.stdout


def test_a_crash_costs_one_item(tmp_path: Path) -> None:
    done, read = run(tmp_path, "-b", "tests.bad_adapters:SEGFAULT", "--family", "shape", "--family", "error")
    assert done.returncode == 1, done.stdout + done.stderr
    statuses = {item.id: item.statuses for item in read.of(Item)}
    assert statuses["shape[segfault/nll_loss-float16]"]["crash"] == 1
    assert statuses["shape[segfault/nll_loss-float16]"]["not_run"] > 100
    assert "crash" not in statuses["shape[segfault/nll_loss-float32]"]
    assert len(statuses) == 8
    (finding,) = (f for f in read.of(Finding) if f.status == "crash")
    assert finding.call["reduction"] == "mean"


def test_a_hang_is_a_timeout(tmp_path: Path) -> None:
    done, read = run(tmp_path, "-b", "tests.bad_adapters:HANG", "--family", "shape", "--timeout", "5")
    assert done.returncode == 1, done.stdout + done.stderr
    statuses = {item.id: item.statuses for item in read.of(Item)}
    assert statuses["shape[hang/nll_loss-float16]"]["timeout"] == 1
    assert len(statuses) == 4


def test_a_broken_bridge_is_ours(tmp_path: Path) -> None:
    done, read = run(tmp_path, "-b", "tests.bad_adapters:BROKEN", "--family", "shape")
    assert done.returncode == 3, done.stdout + done.stderr
    assert read.footer is not None
    assert read.footer.statuses["error"] > 0
    assert "fail" not in read.footer.statuses
    assert any("the bridge is out" in f.because for f in read.of(Finding))


def test_a_heartbeat_that_is_switched_off_is_an_engine_error(tmp_path: Path) -> None:
    done, _ = run(tmp_path, "-b", "numpy", "--family", "shape", LOSSPARITY_WITHOUT_HEARTBEAT="1")
    assert done.returncode == 3
    assert "heartbeat" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "-b", "nunpy"), 4, "numpy"),
        (("run", "-b", "numpy:fast"), 4, "numpy"),
        (("run", "-b", "numpy", "--profile", "quik"), 4, "quick"),
        (("run", "-b", "numpy", "--family", "shap"), 4, "shape"),
        (("run", "-b", "numpy", "--device", "cuda"), 6, "cpu"),
        (("run", "-b", "numpy", "--device", "cudda"), 4, "cuda"),
        (("run", "-b", "numpy", "--device", "cuda:x"), 4, "cuda:1"),
        (("run", "-b", "tests.bad_adapters:MISSING"), 6, "pip install a-framework-that-is-not-there"),
        (("run", "-b", "tests.bad_adapters:NOT_A_BACKEND"), 4, "Backend"),
        (("run", "-b", "tests.bad_adapters:NOWHERE"), 4, "NOWHERE"),
        (("run", "-b", "numpy", "--ledger", "nowhere.toml"), 4, "nowhere.toml"),
        (("run", "-b", "numpy", "--forget", "some-row"), 4, "some-row"),
        (("run", "--no-such-option"), 4, "no-such-option"),
        (("clauses", "VALU-1"), 4, "VALUE-1"),
        (("report", "nowhere", "--out", "x"), 4, "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_names_what_is_near(arguments: tuple[str, ...], code: int, words: str, tmp_path: Path) -> None:
    extra = ("--out", str(tmp_path)) if arguments[0] == "run" and "--no-such-option" not in arguments else ()
    done = lossparity(*arguments, *extra)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_ledger_names_file_row_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[divergence]]\nid = "mine"\n')
    done = lossparity("run", "-b", "numpy", "--ledger", str(file), "--out", str(tmp_path))
    assert done.returncode == 4
    for word in ("mine.toml", "row 1 (mine)", "title"):
        assert word in done.stderr


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lossparity.conformance.cli", "run", "-b", "numpy", "--profile", "ci"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs in the background ignores it
    )
    file = tmp_path / "records.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (file.exists() and b'"type":"item"' in file.read_bytes()):
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 2
    read = records.read(file)
    assert read.footer is not None
    assert read.footer.ended == "interrupted"
    assert read.of(Item)


def test_a_night_ends_after_so_many_minutes_with_what_was_judged(tmp_path: Path) -> None:
    families = ("--family", "error", "--family", "dtype", "--family", "value")
    arguments = ("-b", "numpy", "--profile", "nightly", "--seed", "1", "--limit", "0.15", *families)
    done = lossparity("run", *arguments, "--out", str(tmp_path), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    footer = records.read(tmp_path / "records.jsonl").footer
    assert footer is not None
    assert (footer.ended, footer.unexpected, footer.exit_code) == ("stopped", 0, 0)
    assert footer.statuses["not_run"] > 0
    assert footer.statuses["pass"] > 0
    assert footer.planned == sum(footer.statuses.values())
    assert "Incomplete, nothing unexpected so far" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_limit_leaves_a_finding_what_it_is(tmp_path: Path) -> None:
    arguments = ("--profile", "nightly", "--seed", "1", "--limit", "0.15", "--family", "shape", "--family", "value")
    done, read = run(tmp_path, "-b", "tests.bad_adapters:WRONG", *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert read.footer is not None
    assert read.footer.ended == "stopped"
    assert read.footer.unexpected > 0


def test_a_limit_within_which_nothing_ran_is_no_success() -> None:
    assert controller.judged(Counter(not_run=5160), 0) == 5
    assert controller.judged(Counter(not_run=5159, **{"pass": 1}), 0) == 0
    assert controller.judged(Counter(not_run=5159, crash=1), 1) == 1


def test_reading_commands_speak_json() -> None:
    for arguments in (("clauses", "--json"), ("clauses", "IGN-10", "--json"), ("lint", "--json")):
        done = lossparity(*arguments)
        assert done.returncode == 0, done.stderr
        assert isinstance(json.loads(done.stdout), list)


def test_clauses_show_their_bug_classes() -> None:
    done = lossparity("clauses", "ign-8")
    assert done.returncode == 0
    assert "uint8 target 156 is not -100" in done.stdout
    assert "SentinelCast" in done.stdout


def test_backends_say_what_is_here(tmp_path: Path) -> None:
    done = lossparity("backends", "--json")
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    (subject,) = (one for one in content["subjects"] if one["name"] == "numpy")
    assert subject["gradual_underflow"] == dict.fromkeys(("float16", "bfloat16", "float32", "float64"), True)


def test_lint_is_content() -> None:
    done = lossparity("lint")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "are consistent" in done.stdout


def test_help_says_how_it_ends() -> None:
    done = lossparity("--help")
    assert "Exit codes" in done.stdout
