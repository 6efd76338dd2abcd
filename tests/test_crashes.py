"""Crashes and hangs: known ones are expected, all are survived, and those who may be to blame are named."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.items import breadcrumb
from lossparity.conformance.items.isolation import Isolation
from lossparity.reports import records
from lossparity.reports.records import Finding, Item, Run, Tally
from lossparity.specs.call import Call, Crashed, Returned, TimedOut
from lossparity.specs.nll_loss.generate import case_of_call
from lossparity.specs.nll_loss.signature import NLL_LOSS

from .test_cli import lossparity, run

VECTOR = "value-2-sum-averaged-over-spatial-axes-float16-sum"
CUBE = NLL_LOSS.call(np.zeros((2, 3, 4, 5), np.float16), np.zeros((2, 4, 5), np.int64))


def flat(rows: int) -> Call:
    return NLL_LOSS.call(np.zeros((rows, 3), np.float32), np.zeros(rows, np.int64))


def ledger(folder: Path, subject: str, symptom: str, mode: str = "always") -> str:
    """A file with a row that expects cubes to crash, or to hang."""
    file = folder / "known.toml"
    file.write_text(
        "[[divergence]]\n"
        f'id = "cubes"\ntitle = "four axes in float16"\nsubjects = ["{subject}"]\nclauses = ["*"]\n'
        'selector = { dtype = "float16", rank = 4, faults = "none" }\n'
        f'signature = ["{symptom}"]\nfallback = "nothing"\nmode = "{mode}"\ncause = "by_design"\n'
        f'explanation = "as planned"\nreproducer = ""\nvector = "{VECTOR}"\n'
    )
    return str(file)


def ended(done: subprocess.CompletedProcess[str], read: Run, code: int) -> None:
    """A run that came to its end, with that exit code."""
    assert done.returncode == code, done.stdout + done.stderr
    assert read.footer is not None
    assert (read.footer.ended, read.footer.exit_code) == ("complete", code)
    assert "engine error" not in done.stdout


# --- known ones --------------------------------------------------------------------------------------------


def test_a_known_crash_is_expected_of_every_case_that_its_row_selects(tmp_path: Path) -> None:
    rows = ledger(tmp_path, "aborts_on_cubes", "crash")
    families = [word for name in ("vectors", "shape", "relation") for word in ("--family", name)]
    done, read = run(tmp_path, "-b", "tests.bad_adapters:ABORTS_ON_CUBES", "--ledger", rows, *families)
    ended(done, read, 0)
    statuses = {item.id: item.statuses for item in read.of(Item)}
    assert statuses["shape[aborts_on_cubes/nll_loss-float16]"]["crash"] > 10
    assert statuses["relation[aborts_on_cubes/nll_loss-float16]"]["crash"] > 10  # experiments, in whole
    assert all("not_run" not in one for one in statuses.values())
    assert {tally.divergence for tally in read.of(Tally) if tally.status == "crash"} == {"cubes"}
    finding = next(one for one in read.of(Finding) if one.status == "crash")
    assert finding.observed == "the process died: killed by SIGABRT, with 1 thread"
    assert finding.before == ()  # alone it crashes too


def test_a_known_hang_is_expected(tmp_path: Path) -> None:
    rows = ledger(tmp_path, "hangs_on_cubes", "timeout")
    arguments = ("--ledger", rows, "--family", "vectors", "--timeout", "2")
    done, read = run(tmp_path, "-b", "tests.bad_adapters:HANGS_ON_CUBES", *arguments)
    ended(done, read, 0)
    assert {tally.divergence for tally in read.of(Tally) if tally.status == "timeout"} == {"cubes"}


def test_a_known_crash_that_passes_is_unexpected(tmp_path: Path) -> None:
    rows = ledger(tmp_path, "passes_on_cubes", "crash")
    done, read = run(tmp_path, "-b", "tests.bad_adapters:PASSES_ON_CUBES", "--ledger", rows, "--family", "vectors")
    ended(done, read, 1)
    wrong = [one for one in read.of(Finding) if not one.expected]
    assert {(one.status, one.divergence) for one in wrong} == {("pass", "cubes")}


# --- children ----------------------------------------------------------------------------------------------


@pytest.fixture
def children() -> Iterator[Callable[..., Isolation]]:
    made: list[Isolation] = []

    def make(name: str, seconds: float = 60) -> Isolation:
        made.append(Isolation(f"tests.bad_adapters:{name}", "cpu", seconds))
        return made[-1]

    yield make
    for one in made:
        one.close()


def subject(name: str) -> NumpySubject:
    return NumpySubject(lambda *args, **kwargs: None, name)


def test_what_died_of_an_earlier_call_says_so(children: Callable[..., Isolation]) -> None:
    isolation, corrupts = children("CORRUPTS"), subject("corrupts")
    outcomes = [isolation.run(corrupts, call, Returned) for call in (flat(1), CUBE)]
    assert all(isinstance(one, Returned) for one in outcomes)
    last = [flat(2), flat(3), flat(4)]
    assert isinstance(isolation.run(corrupts, last[0], Returned), Returned)
    died = isolation.run(corrupts, last[1], Returned)
    assert isinstance(died, Crashed)
    assert died.how == (
        "killed by SIGSEGV, with 1 thread, after 3 other calls in the same process; "
        "alone it does not crash: it returns a value"
    )
    assert [one.call.digest() for one in died.before] == [one.digest() for one in (last[0], CUBE, flat(1))]
    assert {one.subject for one in died.before} == {"corrupts"}


def test_what_dies_alone_too_is_to_blame(children: Callable[..., Isolation]) -> None:
    isolation, aborts = children("ABORTS_ON_CUBES"), subject("aborts_on_cubes")
    assert isinstance(isolation.run(aborts, flat(1), Returned), Returned)
    assert isolation.run(aborts, CUBE, Returned) == Crashed("killed by SIGABRT, with 1 thread")
    assert isinstance(isolation.run(aborts, flat(1), Returned), Returned)


def test_a_hang_is_waited_for_once(children: Callable[..., Isolation]) -> None:
    isolation, hangs = children("HANGS_ON_CUBES", 4), subject("hangs_on_cubes")
    isolation.run(hangs, flat(1), Returned)
    start = time.monotonic()
    outcome = isolation.run(hangs, CUBE, Returned)
    assert time.monotonic() - start < 7.5
    assert isinstance(outcome, TimedOut)
    assert [one.call.digest() for one in outcome.before] == [flat(1).digest()]
    assert isinstance(isolation.run(hangs, flat(1), Returned), Returned)


def test_children_are_used_until_one_dies(children: Callable[..., Isolation]) -> None:
    isolation, aborts = children("ABORTS_ON_CUBES"), subject("aborts_on_cubes")
    isolation.run(aborts, flat(1))
    first = dict(isolation._children)
    for rows in range(20):
        isolation.run(aborts, flat(rows))
    assert isolation._children == first
    start = time.monotonic()
    for _ in range(20):
        isolation.run(aborts, CUBE)
    assert time.monotonic() - start < 20  # what a child needs is imported once, for all of them


# --- calls before a crash ----------------------------------------------------------------------------------


def test_the_calls_before_a_crash_are_recorded_and_shown(tmp_path: Path) -> None:
    done, read = run(tmp_path, "-b", "tests.bad_adapters:CORRUPTS", "--family", "shape", "-n", "1")
    ended(done, read, 1)
    (finding,) = (one for one in read.of(Finding) if one.status == "crash")
    assert 2 <= len(finding.before) <= 5
    guilty = finding.before[1]
    assert (guilty.subject, guilty.call is not None) == ("corrupts", True)
    assert "float16[2, 3, 4, 5]" in guilty.summary
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    for text in (done.stdout, page):
        assert "efore it in the same process, newest first: if memory was corrupted, one of these did it" in text
        for one in finding.before:
            assert one.digest in text
    assert guilty.digest in (tmp_path / "summary.md").read_text(encoding="utf-8")
    again = lossparity("replay", f"{tmp_path}#{finding.digest}")
    assert again.returncode == 1, again.stdout + again.stderr
    count = len(finding.before)
    assert f"killed by SIGSEGV, after the {count} recorded calls before it; alone it comes back" in again.stdout


def test_a_trail_keeps_the_last_calls_and_each_its_own_arrays(tmp_path: Path) -> None:
    """Whatever runs in other processes meanwhile leaves it alone."""
    trail = breadcrumb.Trail(tmp_path, "main", 60.0)
    calls = [flat(rows) for rows in range(1, 40)]
    with trail.item("shape[one-float32]", 40):
        for number, call in enumerate(calls):
            trail.drop(case_of_call(call, "shape", 1, "test"))
            if number % 3 != 0:
                trail.pause()
    here = [call.digest() for number, call in enumerate(calls) if number % 3 == 0]
    crumb = breadcrumb.read(tmp_path, "main")
    assert crumb is not None
    assert crumb.call.digest() == calls[-1].digest()  # it ran elsewhere, and was the last thing that was known
    assert [one.call.digest() for one in crumb.before] == here[:-6:-1]


def test_calls_of_one_base_share_their_arrays(tmp_path: Path) -> None:
    trail = breadcrumb.Trail(tmp_path, "main", 60.0)
    with trail.item("shape[one-float32]", 3):
        for reduction in ("none", "sum", "mean"):
            call = NLL_LOSS.call(CUBE["input"], CUBE["target"], reduction=reduction)
            trail.drop(case_of_call(call, "shape", 1, "test"))
    crumb = breadcrumb.read(tmp_path, "main")
    assert crumb is not None
    assert (crumb.call["reduction"], [one.call["reduction"] for one in crumb.before]) == ("mean", ["sum", "none"])
    assert sum(file.stat().st_size > 0 for file in tmp_path.glob("*.arrays")) == 1


# --- while subnormal numbers are probed --------------------------------------------------------------------

PROBED = ("--family", "special")


def notes(read: Run) -> dict[str, str]:
    """What is said about probing, by subject."""
    found = {subject.name: [note for note in subject.notes if "not probed" in note] for subject in read.header.subjects}
    return {name: note for name, (note,) in ((name, said) for name, said in found.items() if said)}


def test_a_subject_that_dies_while_it_is_probed_is_named_and_runs(tmp_path: Path) -> None:
    done, read = run(tmp_path, "-b", "tests.bad_adapters:PROBED_TO_DEATH", *PROBED)
    ended(done, read, 1)
    keeps = {subject.name: subject.gradual_underflow["float16"] for subject in read.header.subjects}
    assert keeps == {"first": False, "bad": True, "last": False}  # the others were probed all the same
    (note,) = notes(read).values()
    assert set(notes(read)) == {"bad"}
    for words in (
        "not probed in float16",
        "killed by SIGABRT, in _abort at",
        "input=float16[",
        "took its process down",
    ):
        assert words in note
    assert note in done.stdout
    assert note.partition(":")[2].partition("the call ")[2][:16] in (tmp_path / "index.html").read_text("utf-8")
    wrong = {(one.subject, one.status) for one in read.of(Finding) if not one.expected}
    assert wrong == {("bad", "crash")}  # by a call of the run


def test_a_subject_that_hangs_while_it_is_probed_costs_one_time_limit(tmp_path: Path) -> None:
    start = time.monotonic()
    done = lossparity(
        "run", "-b", "tests.bad_adapters:PROBED_FOR_EVER", "--timeout", "7", *PROBED, "--out", str(tmp_path)
    )
    assert time.monotonic() - start < 250
    read = records.read(tmp_path / "records.jsonl")
    ended(done, read, 1)
    assert (
        "waiting for tests.bad_adapters:PROBED_FOR_EVER to probe subnormal numbers of bad with the call " in done.stdout
    )
    ((name, note),) = notes(read).items()
    assert name == "bad"
    assert "did not come back within 7 s, in _sleep at" in note
    assert {(one.subject, one.status) for one in read.of(Finding) if not one.expected} == {("bad", "timeout")}


def test_what_does_not_even_start_says_what_it_wrote_last(tmp_path: Path) -> None:
    done = lossparity("run", "-b", "tests.bad_adapters:NEVER_STARTS", "--out", str(tmp_path))
    assert done.returncode == 6, done.stdout + done.stderr
    for words in (
        "killed by SIGABRT, in _never_starts at",
        "it wrote last:\n  the licence server is down",
        "reinstall",
    ):
        assert words in done.stderr
    assert not (tmp_path / "records.jsonl").exists()


# --- outside of any call -----------------------------------------------------------------------------------


def test_workers_that_die_outside_of_any_call_end_the_run_with_its_records(tmp_path: Path) -> None:
    backends = ("-b", "tests.bad_adapters:NEVER_WORKS", "-b", "tests.bad_adapters:PASSES_ON_CUBES")
    families = ("--family", "shape", "--family", "value", "--family", "weight")
    done, read = run(tmp_path, *backends, *families)
    assert done.returncode == 3, done.stdout + done.stderr
    assert read.footer is not None
    assert {item.subject for item in read.of(Item)} == {"passes_on_cubes"}
    assert len(read.of(Item)) == 12
    problems = [line for line in done.stdout.splitlines() if line.startswith("engine error")]
    assert 1 <= len(problems) <= 2
    assert "outside of any call, in _never_works at" in problems[-1]
    assert "never_works is given up" in problems[-1]


def test_a_worker_that_dies_once_outside_of_any_call_costs_one_item(tmp_path: Path) -> None:
    environment = {"LOSSPARITY_TEST_FILE": str(tmp_path / "died")}
    done, read = run(
        tmp_path, "-b", "tests.bad_adapters:WORKS_AT_SECOND_TRY", "--family", "shape", "-n", "1", **environment
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert len(read.of(Item)) == 3
    (problem,) = (line for line in done.stdout.splitlines() if line.startswith("engine error"))
    assert "run it alone with -b works_at_second_try" in problem
