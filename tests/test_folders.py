"""Folders of runs: one run at a time, none lost, the newest found, and nothing of another program overwritten."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sample_run
from lossparity.reports import folder, html, kills, lock, ours, records, whole
from lossparity.reports.records import Finding, Item
from lossparity.specs.errors import NotWritten, UsageError

from .test_cli import ROOT, lossparity

COMMAND = [sys.executable, "-m", "lossparity.conformance.cli"]
QUICK = ("run", "-b", "numpy", "--family", "weight", "-n", "1")


def runs(path: Path) -> list[str]:
    """The folders of runs in a folder, the oldest first."""
    return sorted(one.name for one in path.iterdir() if folder.is_dated(one))


def names(path: Path) -> set[str]:
    return {one.name for one in path.iterdir()}


def page(path: Path) -> Path:
    """The smallest thing that passes for a page of ours."""
    path.write_bytes(folder.MARK)
    return path


# --- one run at a time -------------------------------------------------------------------------------------


def test_of_two_runs_started_at_once_into_one_folder_one_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    both = [
        subprocess.Popen(
            [*COMMAND, *QUICK, "--out", str(out)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = {one.returncode: err.decode() for one, (_, err) in ((one, one.communicate(timeout=200)) for one in both)}
    assert set(said) == {0, 4}, said
    (winner,) = (one for one in both if one.returncode == 0)
    for words in (str(out), f"process {winner.pid} on ", "--family weight", "wait until it has ended", "--out"):
        assert words in said[4]
    assert said[4].count("\n") == 1
    read = records.read(out / "records.jsonl")
    assert read.footer is not None
    assert read.footer.exit_code == 0
    assert runs(out) == []  # nothing was kept aside for the one that was refused


def test_the_lock_is_let_go_of_by_whoever_is_killed(tmp_path: Path) -> None:
    hold = "import sys, time; from pathlib import Path; from lossparity.reports import lock\n"
    hold += "with lock.held(Path(sys.argv[1]), 'lossparity run -b jax'): print('held', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=r"`lossparity run -b jax`, process \d+ on"), lock.held(tmp_path, "mine"):
            pass
        assert not lock.is_free(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait(60)
    with lock.held(tmp_path, "mine"):
        assert json.loads((tmp_path / lock.FILE).read_text("utf-8"))["command"] == "mine"


def test_a_file_system_without_locks_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlockable(descriptor: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unlockable)
    with pytest.warns(lock.NoLock, match="start no second run there"), lock.held(tmp_path, "mine"):
        pass


def test_two_runs_at_once_in_the_default_folder_have_folders_of_their_own(tmp_path: Path) -> None:
    both = [
        subprocess.Popen([*COMMAND, *QUICK], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=200)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    out = tmp_path / "reports-out"
    assert len(runs(out)) == 2
    for name in runs(out):
        assert records.read(out / name / "records.jsonl").footer is not None
        assert (out / name / "index.html").exists()


# --- the default folder ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `reports-out` after three runs, one of which is a `check`."""
    place = tmp_path_factory.mktemp("three")
    mine = str(ROOT / "examples" / "my_losses.py")
    check = ("check", f"{mine}:mean_over_all", "--framework", "numpy", "--family", "weight", "--dtypes", "float32")
    for arguments, code in ((QUICK, 0), (QUICK, 0), (check, 1)):
        done = lossparity(*arguments, folder=place)
        assert done.returncode == code, done.stdout + done.stderr
    return place


def test_each_run_has_a_folder_and_latest_leads_to_the_newest(three: Path) -> None:
    out = three / "reports-out"
    assert names(out) == {*runs(out), "latest", "check"}
    assert len(runs(out)) == 2
    assert (out / "latest").resolve().name == runs(out)[-1]
    assert names(out / "check") == {*runs(out / "check"), "latest"}
    for name in ("index.html", "records.jsonl", "summary.md"):
        assert (out / "latest" / name).exists()
        assert (out / "check" / "latest" / name).exists()


def test_a_report_of_the_folder_takes_the_newest_of_each(three: Path) -> None:
    out = three / "reports-out"
    done = lossparity("report", "reports-out", "--out", "site", "--json", folder=three)
    assert done.returncode == 0, done.stdout + done.stderr
    read = json.loads(done.stdout)["runs"]
    newest = (f"reports-out/{runs(out)[-1]}", f"reports-out/check/{runs(out / 'check')[-1]}")
    assert sorted(read) == sorted(f"{one}/records.jsonl" for one in newest)
    done = lossparity("site", "mine=reports-out", "--out", "laid", folder=three)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "In several runs" not in (three / "laid" / "mine" / "index.html").read_text("utf-8")


def test_an_earlier_run_is_read_where_it_is_named(three: Path) -> None:
    earlier = f"reports-out/{runs(three / 'reports-out')[0]}"
    done = lossparity("report", earlier, "--out", "old", "--json", folder=three)
    assert json.loads(done.stdout)["runs"] == [f"{earlier}/records.jsonl"]


def test_a_finding_is_found_in_earlier_runs_too(three: Path, tmp_path: Path) -> None:
    checked = three / "reports-out" / "check"
    name = runs(checked)[0]
    finding = next(one for one in records.read(checked / name / "records.jsonl").of(Finding) if not one.expected)
    text = (checked / name / "index.html").read_text("utf-8")
    assert f"lossparity replay reports-out/check#{finding.digest}" in text
    later = tmp_path / "later"
    for one in (name, "2999-01-01T00-00-00"):
        (later / one).mkdir(parents=True)
    (later / name / "records.jsonl").write_bytes((checked / name / "records.jsonl").read_bytes())
    sample_run.sample(later / "2999-01-01T00-00-00" / "records.jsonl")
    assert folder.latest(later) == later / "2999-01-01T00-00-00"
    done = lossparity("replay", f"{later}#{finding.digest}", "--json")
    assert done.returncode == 1, done.stdout + done.stderr


def test_pages_beside_the_runs_and_the_newest_of_them_link_to_each_other(tmp_path: Path) -> None:
    out = tmp_path / "out"
    place = out / "2026-11-28T14-40-12"
    place.mkdir(parents=True)
    (out / "latest").symlink_to(place.name)
    sample_run.sample(place / "records.jsonl")
    assert (folder.address(out), folder.address(place)) == ("latest/index.html", "index.html")
    page(out / kills.PAGE)
    text = html.write_site([records.read(place / "records.jsonl")], place).read_text("utf-8")
    assert 'href="../mutants.html"' in text
    assert folder.newest(out) == place


def test_without_links_a_page_leads_to_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refused)
    found = []
    for _ in range(2):
        with folder.claimed(tmp_path / "out", dated=True, keep=None, command="mine") as begin:
            found.append(begin())
            sample_run.sample(found[-1] / "records.jsonl")
    assert f"url=../{found[-1].name}/index.html" in (tmp_path / "out" / "latest" / "index.html").read_text("utf-8")
    assert records.find([tmp_path / "out"]) == [found[-1] / "records.jsonl"]


def test_what_never_began_leaves_no_folder(tmp_path: Path) -> None:
    done = lossparity("run", "-b", "tests.bad_adapters:MISSING", folder=tmp_path, PYTHONPATH=_path())
    assert done.returncode == 6, done.stdout + done.stderr
    assert not (tmp_path / "reports-out").exists()


def _path() -> str:
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))


# --- a folder that was named -------------------------------------------------------------------------------


def test_the_run_before_is_kept_inside_and_counted_nowhere(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        done = lossparity(*QUICK, "--out", str(out))
        assert done.returncode == 0, done.stdout + done.stderr
        page(out / kills.PAGE)
        html.write_site([records.read(out / "records.jsonl")], out)
    third = lossparity(*QUICK, "--out", str(out), "--keep", "2")
    assert third.returncode == 0, third.stdout + third.stderr
    (kept,) = runs(out)
    read = records.read(out / kept / "records.jsonl")
    assert re.sub(r"[T:]", "-", read.header.started[:19]) == re.sub("T", "-", kept)
    assert 'href="../mutants.html"' in (out / kept / "index.html").read_text("utf-8")
    assert 'href="mutants.html"' in (out / "index.html").read_text("utf-8")
    assert records.find([out]) == [out / "records.jsonl"]
    assert records.find([out], earlier=True) == [out / kept / "records.jsonl", out / "records.jsonl"]
    assert records.find([out / kept]) == [out / kept / "records.jsonl"]


def test_ctrl_c_during_a_run_costs_neither_it_nor_the_one_before(tmp_path: Path) -> None:
    sample_run.sample(tmp_path / "records.jsonl", unexpected=True)
    before = (tmp_path / "records.jsonl").read_bytes()
    process = subprocess.Popen(
        [*COMMAND, "run", "-b", "numpy", "--profile", "ci", "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    records_now = tmp_path / "records.jsonl"  # gone for a moment, when the run before has been moved
    _wait(lambda: runs(tmp_path) and records_now.exists() and b'"type":"item"' in records_now.read_bytes())
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 2
    (kept,) = runs(tmp_path)
    assert (tmp_path / kept / "records.jsonl").read_bytes() == before
    assert records.read(tmp_path / "records.jsonl").of(Item)


def _wait(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# --- keeping so many ---------------------------------------------------------------------------------------


def _folder_of_runs(out: Path, number: int) -> list[str]:
    for day in range(1, number + 1):
        sample_run.sample(out / f"2026-01-{day:02}T00-00-00" / "records.jsonl")
    return runs(out)


def test_the_oldest_go_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    made = _folder_of_runs(tmp_path, 5)
    (tmp_path / made[0] / "notes.txt").write_text("mine")
    (tmp_path / "2020-01-01T00-00-00").mkdir()
    (tmp_path / "2020-01-01T00-00-00" / "photo.jpg").write_text("not a run")
    with lock.held(tmp_path / made[1], "lossparity run"):
        folder.prune(tmp_path, 2)
    assert runs(tmp_path) == ["2020-01-01T00-00-00", made[0], made[1], *made[3:]]
    assert names(tmp_path / made[0]) == {"notes.txt"}
    assert names(tmp_path / "2020-01-01T00-00-00") == {"photo.jpg"}
    assert (tmp_path / made[1] / "records.jsonl").exists()  # somebody is at work there


def test_the_run_in_the_folder_itself_is_one_of_them(tmp_path: Path) -> None:
    made = _folder_of_runs(tmp_path, 3)
    sample_run.sample(tmp_path / "records.jsonl")
    folder.prune(tmp_path, 2)
    assert runs(tmp_path) == made[-1:]
    folder.prune(tmp_path, 1)
    assert runs(tmp_path) == []
    assert (tmp_path / "records.jsonl").exists()


def test_several_in_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    for _ in range(3):
        sample_run.sample(tmp_path / "records.jsonl")
        assert folder.set_aside(tmp_path) is not None
    assert len(runs(tmp_path)) == 3
    assert folder.set_aside(tmp_path) is None


# --- folders of others -------------------------------------------------------------------------------------

THEIRS = {
    "index.html": "<!doctype html><title>Documentation of lossparity</title>",
    "records.jsonl": '{"type":"header","format":1}\n',
    "summary.md": "# Minutes",
    "mutants.json": "[]",
}


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (QUICK, "index.html"),
        (QUICK, "records.jsonl"),
        (("report", "{run}"), "summary.md"),
        (("site", "mine={run}"), "index.html"),
        (("bench",), "mutants.json"),
        (("mutants",), "mutants.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_folder_of_another_program_is_refused(command: tuple[str, ...], name: str, tmp_path: Path) -> None:
    out, content = tmp_path / "theirs", THEIRS[name]
    out.mkdir()
    (out / name).write_text(content, encoding="utf-8")
    arguments = [word.format(run=sample_run.sample(tmp_path / "records.jsonl").path) for word in command]
    done = lossparity(*arguments, "--out", str(out))
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"{out / name} was not written by lossparity" in done.stderr
    assert "--out" in done.stderr
    assert "Traceback" not in done.stderr
    assert (out / name).read_text("utf-8") == content
    assert names(out) == {name}


def test_whatever_we_write_is_ours(tmp_path: Path) -> None:
    run = sample_run.sample(tmp_path / "records.jsonl")
    html.write_site([run], tmp_path)
    ours.require(tmp_path)
    (tmp_path / "records.jsonl").unlink()  # a merged report
    ours.require(tmp_path)
    (tmp_path / "index.html").unlink()
    with pytest.raises(UsageError, match=r"summary\.md was not written by lossparity"):
        ours.require(tmp_path)


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = lossparity(*QUICK, "--out", str(tmp_path / "file" / "out"))
    assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
    assert "name another folder with --out" in done.stderr


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("before")
    (tmp_path / ".page.html.new").mkdir()
    with pytest.raises(NotWritten, match=r"page\.html could not be written: Is a directory"):
        whole.write_text(tmp_path / "page.html", "after")
    assert (tmp_path / "page.html").read_text() == "before"
