"""A full disk, a reader that goes away, a locale without characters, little memory: what was done is kept, and said."""

from __future__ import annotations

import itertools
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sample_run
from lossparity.conformance.console import streams
from lossparity.conformance.items import breadcrumb
from lossparity.reports import charts, engine, framed, html, matrix, records
from lossparity.reports.guard import NotDrawn
from lossparity.reports.records import Item
from lossparity.specs.errors import NotDrawable, NotWritten
from lossparity.specs.nll_loss.generate import case_of_call

from .test_cli import ROOT, lossparity
from .test_crashes import flat

RUN = (sys.executable, "-m", "lossparity.conformance.cli", "run", "-b", "numpy", "-n", "1")
WEIGHT = ("--family", "weight")


def only(text: str) -> str:
    """The one line of a text."""
    (line,) = text.splitlines()
    return line


# --- a full disk -------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a folder that holds so many kilobytes."""
    mounted: list[Path] = []

    def make(kilobytes: int) -> Path:
        folder = tmp_path / f"small-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "lossparity", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount here")
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_at_once_is_said_in_a_line(small: Callable[[int], Path]) -> None:
    out = small(16)
    done = lossparity(*RUN[3:], *WEIGHT, "--out", str(out))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "records.jsonl could not be written: No space left on device; make room" in only(done.stderr)


def test_what_was_finished_before_a_disk_was_full_is_there(small: Callable[[int], Path], tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    families = ("--family", "weight", "--family", "value", "--family", "special")
    assert lossparity(*RUN[3:], *families, "--out", str(whole)).returncode == 0
    out = small((whole / "records.jsonl").stat().st_size * 2 // 3 // 1024)
    done = lossparity(*RUN[3:], *families, "--out", str(out))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "could not be written: No space left on device" in only(done.stderr)
    assert "`lossparity report` reads it" in done.stderr
    assert not (out / "index.html").exists()  # rather than half of one
    read = records.read(out / "records.jsonl")
    items = {item.id: item.statuses for item in read.of(Item)}
    assert items
    assert items.items() < {item.id: item.statuses for item in records.read(whole / "records.jsonl").of(Item)}.items()
    merged = lossparity("report", str(out), "--out", str(tmp_path / "site"))
    assert merged.returncode == 0, merged.stdout + merged.stderr
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "was cut off" in page or "was interrupted" in page


def test_a_page_that_finds_no_room_leaves_the_records_and_no_half_page(
    small: Callable[[int], Path], tmp_path: Path
) -> None:
    run = sample_run.sample(tmp_path / "records.jsonl")
    out = small(64)
    with pytest.raises(NotWritten, match=r"index\.html could not be written: No space left on device"):
        html.write_site([run], out)
    assert {one.name for one in out.iterdir()} <= {"summary.md"}


def test_a_writer_keeps_whole_lines_only(small: Callable[[int], Path], tmp_path: Path) -> None:
    run = sample_run.sample(tmp_path / "records.jsonl")
    file = small(128) / "records.jsonl"
    writer = framed.Writer(file, run.header)
    fitting = itertools.takewhile(lambda record: _fits(writer, record), itertools.cycle(run.records))
    count = sum(1 for _ in fitting)
    assert count > 0
    assert file.read_bytes().endswith(b"}\n")
    for record in run.records:
        writer.write(record)  # is dropped: it might fit, and would stand behind a gap
    assert len(records.read(file).records) == count
    assert run.footer is not None
    writer.close(run.footer)  # for which there is room
    assert records.read(file).footer == run.footer
    assert len(records.read(file).records) == count


def _fits(writer: framed.Writer, record: records.Record) -> bool:
    try:
        writer.write(record)
    except NotWritten:
        return False
    return True


def test_breadcrumbs_that_find_no_room_say_so(small: Callable[[int], Path]) -> None:
    folder = small(16)
    trail = breadcrumb.Trail(folder, "main", 60.0)
    with trail.item("shape[one-float32]", 1), pytest.raises(NotWritten, match=rf"{folder} could not be written"):
        trail.drop(case_of_call(flat(10_000), "shape", 1, "test"))


def test_a_full_disk_for_temporary_files_ends_a_run_in_a_line(small: Callable[[int], Path], tmp_path: Path) -> None:
    done = lossparity(*RUN[3:], *WEIGHT, "--out", str(tmp_path / "out"), TMPDIR=str(small(64)))
    assert done.returncode == 3, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("engine error: ")]
    assert "could not be written: No space left on device" in only("\n".join(said))
    assert "Traceback" not in done.stdout + done.stderr
    assert (tmp_path / "out" / "index.html").exists()


def test_output_into_a_full_disk_is_an_error_and_the_run_is_kept(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*RUN, *WEIGHT, "--out", str(tmp_path), "--json"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            check=False,
        )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1] == ("lossparity: standard output could not be written: No space left on device")
    assert (tmp_path / "index.html").exists()


# --- a reader that goes away -------------------------------------------------------------------------------


def piped(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command whose output `head -1` reads; the last line is its exit code."""
    words = " ".join([sys.executable, "-m", "lossparity.conformance.cli", *arguments])
    script = f"{words} | head -1; echo ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)


def test_head_costs_a_run_nothing_but_what_it_prints(tmp_path: Path) -> None:
    done = piped("run", "-b", "tests.bad_adapters:WRONG", "--family", "shape", "--out", str(tmp_path))
    assert done.stdout.splitlines() == ["Looking at what is installed ...", "1"]
    assert only(done.stderr) == f"Nobody read to the end, and the run went on. Report: {tmp_path / 'index.html'}"
    assert records.read(tmp_path / "records.jsonl").footer is not None
    assert (tmp_path / "index.html").exists()


def test_head_ends_a_table_quietly() -> None:
    done = piped("clauses", "--json")
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


# --- a locale without characters ---------------------------------------------------------------------------

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def in_ascii(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    words = [sys.executable, "-m", "lossparity.conformance.cli", *arguments]
    return subprocess.run(
        words, capture_output=True, cwd=ROOT, timeout=300, check=False, env={**environment, **ASCII, "COLUMNS": "200"}
    )


def test_a_run_without_utf_8_prints_plainly_and_writes_utf_8(tmp_path: Path) -> None:
    out = tmp_path / "größe"
    done = in_ascii("run", "-b", "tests.bad_adapters:WRONG", "--family", "shape", "--out", str(out))
    assert done.returncode == 1, done.stdout + done.stderr
    assert b"\nx unexpected  o recorded  . no case\n" in done.stdout
    assert f"Report: {out}".encode() in done.stdout  # its bytes, as they were given
    assert b"\xe2" not in done.stdout + done.stderr
    assert done.stderr == b""
    read = records.read(out / "records.jsonl")
    assert str(out) in read.header.command
    page = (out / "index.html").read_text("utf-8")
    assert "✗" in page
    assert str(out) in page


@pytest.mark.parametrize("arguments", [("clauses",), ("losses",), ("backends",), ("run", "-b", "nünpy")], ids=str)
def test_other_commands_without_utf_8(arguments: tuple[str, ...]) -> None:
    done = in_ascii(*arguments)
    assert done.returncode == (4 if arguments[0] == "run" else 0), done.stderr
    assert b"Traceback" not in done.stderr


def test_the_symbols_of_cells_are_told_apart_in_ascii() -> None:
    plain = [streams._byte_or_plain(state.symbol) if not state.symbol.isascii() else state.symbol.encode()
             for state in matrix.State]  # fmt: skip
    assert len(set(plain)) == len(plain)
    assert {len(one) for one in plain} == {1}


# --- little memory -----------------------------------------------------------------------------------------

LIMIT = 4 << 30  # bytes of address space: more than NumPy needs, and less than the chart engine


def test_a_page_is_written_without_charts_where_their_engine_cannot_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [*RUN, *WEIGHT, "--out", str(tmp_path)], capture_output=True, text=True, cwd=ROOT, timeout=300, check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of the report failed to draw: The chart “Largest error found against size”" in only(done.stderr)
    assert "the chart engine was ended by SIG" in done.stderr
    page = (tmp_path / "index.html").read_text("utf-8")
    assert len(re.findall(r'role="alert">The chart “[^”]*” could not be drawn: [^<]*ulimit -v', page)) == 2
    assert "<table" in page


def test_the_engine_says_why_it_does_not_draw_and_goes_on() -> None:
    with pytest.raises(NotDrawable, match="ValueError"):
        engine.svg({"mark": "no such mark", "data": 3})
    good = {"data": {"values": [{"a": 1}]}, "mark": "point", "encoding": {"x": {"field": "a", "type": "quantitative"}}}
    assert engine.svg(good).startswith("<svg")
    (process,) = engine._running.values()
    process.kill()
    process.wait(60)
    with pytest.raises(NotDrawable, match=r"was ended by SIGKILL and said: nothing"):
        engine.svg(good)
    assert engine.svg(good).startswith("<svg")  # by another


def test_an_engine_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine._end()
    monkeypatch.setattr(engine, "_WORK", engine._WORK.replace("import vl_convert", "import vl_convert_is_not_here"))
    run = sample_run.sample(tmp_path / "records.jsonl")
    with pytest.warns(NotDrawn, match="exit code 1 and said: ModuleNotFoundError: No module named 'vl_convert_is_no"):
        page = html.write_site([run], tmp_path)
    assert "<table" in page.read_text("utf-8")
    assert charts.altair_module()
