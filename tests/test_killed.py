"""Workers that somebody else kills: what they were at runs again, and only what dies twice is accused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lossparity.conformance.items.isolation import Isolation
from lossparity.reports import records
from lossparity.reports.records import Finding, Item, Run
from lossparity.specs.call import Crashed, Returned

from .test_cli import ROOT, run
from .test_crashes import CUBE, flat, ledger, subject

SHAPE = ("--family", "shape", "-n", "1")


def statuses(read: Run) -> dict[str, dict[str, int]]:
    return {item.dtype: item.statuses for item in read.of(Item)}


def test_a_worker_that_is_killed_from_outside_costs_nothing(tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "process"
    command = ["run", "-b", "tests.bad_adapters:WAITS_TO_BE_KILLED", *SHAPE, "--out", str(out)]
    with subprocess.Popen(
        [sys.executable, "-m", "lossparity.conformance.cli", *command],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "LOSSPARITY_TEST_FILE": str(file)},
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 120
        while not file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(int(file.read_text()), signal.SIGKILL)
        said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    read = records.read(out / "records.jsonl")
    assert set(statuses(read)) == {"float16", "bfloat16", "float32", "float64"}
    assert all(set(one) <= {"pass", "uninformative"} for one in statuses(read).values())
    assert read.footer is not None
    (note,) = read.footer.notes
    for words in ("shape[waits_to_be_killed/nll_loss-float16]", "killed from outside, during ", "float16[2, 3, 4, 5]"):
        assert words in note
    assert note in said
    assert "its worker was killed from outside" in (out / "index.html").read_text("utf-8")
    assert "its worker was killed from outside" in (out / "summary.md").read_text("utf-8")


def test_a_call_that_kills_itself_is_accused(tmp_path: Path) -> None:
    done, read = run(tmp_path, "-b", "tests.bad_adapters:KILLS_ITSELF", *SHAPE)
    assert done.returncode == 1, done.stdout + done.stderr
    assert statuses(read)["float16"]["crash"] == 1
    (finding,) = (one for one in read.of(Finding) if one.status == "crash")
    assert "killed by SIGKILL during this call, twice" in finding.because
    assert "float16[2, 3, 4, 5]" in finding.summary
    assert "crash" not in statuses(read)["float32"]


def test_a_crash_of_another_kind_is_accused_at_once(tmp_path: Path) -> None:
    done, read = run(tmp_path, "-b", "tests.bad_adapters:SEGFAULT", *SHAPE)
    assert done.returncode == 1
    (finding,) = (one for one in read.of(Finding) if one.status == "crash")
    assert finding.because == "The process died during this call."
    assert read.footer is not None
    assert read.footer.notes == ()


def test_whoever_is_killed_again_and_again_is_not_accused(tmp_path: Path) -> None:
    environment = {"LOSSPARITY_TEST_FILE": str(tmp_path / "kills")}
    arguments = ("-b", "tests.bad_adapters:HUNTED", "--family", "shape", "-n", "1")
    done, read = run(tmp_path / "out", *arguments, **environment)
    assert done.returncode == 3, done.stdout + done.stderr
    assert not [one for one in read.of(Finding) if one.status == "crash"]
    problems = [line for line in done.stdout.splitlines() if line.startswith("engine error")]
    assert problems
    assert "3 workers were killed during as many calls; something kills them from outside" in problems[0]
    assert "left no record" not in done.stdout


# --- children ----------------------------------------------------------------------------------------------


@pytest.fixture
def isolation() -> Iterator[Callable[[str], Isolation]]:
    made: list[Isolation] = []

    def make(name: str) -> Isolation:
        made.append(Isolation(f"tests.bad_adapters:{name}", "cpu", 60))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_child_that_is_killed_is_tried_again(isolation: Callable[[str], Isolation]) -> None:
    killed = Path(os.environ["LOSSPARITY_TEST_FILE"])
    children, once = isolation("KILLED_ONCE"), subject("killed_once")
    assert isinstance(children.run(once, CUBE, Returned), Returned)  # the first call in its process,
    killed.unlink()
    assert isinstance(children.run(once, flat(1), Returned), Returned)
    assert isinstance(children.run(once, CUBE, Returned), Returned)  # and one that followed others
    killed.unlink()
    assert children.kills == 2


def test_a_child_that_kills_itself_is_accused(isolation: Callable[[str], Isolation]) -> None:
    children, bad = isolation("KILLS_ITSELF"), subject("kills_itself")
    assert children.run(bad, CUBE, Returned) == Crashed("killed by SIGKILL, with 1 thread")
    assert children.kills == 0


def test_the_run_notes_that_a_child_was_killed(tmp_path: Path) -> None:
    rows = ledger(tmp_path, "killed_once", "crash", mode="sometimes")
    environment = {"LOSSPARITY_TEST_FILE": str(tmp_path / "killed")}
    arguments = ("-b", "tests.bad_adapters:KILLED_ONCE", "--ledger", rows, *SHAPE)
    done, read = run(tmp_path / "out", *arguments, **environment)
    assert read.footer is not None
    (note,) = read.footer.notes
    assert "shape[killed_once/nll_loss-float16]: a child process was killed from outside" in note
    assert note in done.stdout


def test_nothing_is_left_of_mutants_that_were_killed(tmp_path: Path) -> None:
    arguments = ("mutants", "mean_by_count", "--seeds", "1", "-n", "2", "--out", str(tmp_path))
    command = [sys.executable, "-m", "lossparity.conformance.cli", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while len(started := children.read_text(encoding="ascii").split()) < 3:  # two, and what keeps track of them
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.wait()
    while any(Path(f"/proc/{child}").exists() for child in started):
        assert time.monotonic() < deadline + 60
        time.sleep(0.1)
