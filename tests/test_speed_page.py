"""Bench files, and the speed report made of them."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sample_run
from click.testing import CliRunner
from lossparity.conformance import cli
from lossparity.reports import bench, bench_1, guard, ratios, speed_charts, speed_page
from lossparity.reports.bench import Measured
from lossparity.specs.errors import RecordsError
from lossparity.specs.nll_loss.speed import point, points
from lossparity.specs.speed import Point
from sample_bench import a_bench, everything, measured, stored

# --- files -----------------------------------------------------------------------------------------------


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    whole = stored(tmp_path / bench.FILE, everything())
    found = bench.read(tmp_path)
    assert (found.header, found.records, found.footer) == (whole.header, whole.records, whole.footer)


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    stored(tmp_path / bench.FILE, everything(), footer=False)
    text = (tmp_path / bench.FILE).read_bytes()
    (tmp_path / bench.FILE).write_bytes(text[:-40])
    found = bench.read(tmp_path)
    assert found.footer is None
    assert len(found.records) == len(everything()) - 1


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda text: b"", "not a header"),
        (lambda text: b"{}\n" + text, "not a header"),
        (lambda text: text.replace(b'"format":3', b'"format":4', 1), "upgrade"),
        (lambda text: text.replace(b'"type":"cold"', b'"type":"gold"', 1), "damaged"),
    ],
)
def test_bad_files_are_named_with_what_to_do(spoil: Any, told: str, tmp_path: Path) -> None:
    stored(tmp_path / bench.FILE, everything())
    file = tmp_path / bench.FILE
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(RecordsError, match=told) as error:
        bench.read(file)
    assert str(file) in str(error.value)


def test_a_file_of_format_1_is_read_as_one_of_nll_loss() -> None:
    found = bench.read(Path(__file__).parent / "bench_format_1.jsonl")
    assert (found.header.format, found.header.loss) == (1, "nll_loss")
    assert found.footer is not None
    assert len(found.cold) == 1
    (board,) = ratios.boards(found)
    assert board.point == point(n=65536, classes=256)
    assert board.processes == 2
    assert {row.contestant for row in board.rows} == {"numpy", "numpy:take_along_axis"}
    compared = ratios.changes(found, a_bench(measured(np.random.default_rng(0), {"numpy": 1e-3})))
    assert [one.contestant for one in compared] == ["numpy"], "points of both formats are the same"


def test_a_file_of_format_2_is_read(tmp_path: Path) -> None:
    """It knew neither exponentials nor memory but by point, which was wrong and is left out."""
    whole = stored(tmp_path / bench.FILE, everything())
    text = (tmp_path / bench.FILE).read_bytes().replace(b'"format":3', b'"format":2', 1)
    (tmp_path / bench.FILE).write_bytes(text.replace(b'"exponentials":0', b'"peaks":{"base":4096}'))
    found = bench.read(tmp_path)
    assert found.header.format == 2
    assert b'"peaks"' in (tmp_path / bench.FILE).read_bytes()
    assert found.records == whole.records


def test_every_point_of_format_1_is_the_same_one_now() -> None:
    for one in points():
        n, classes, *spatial = one.sizes.values()
        old = {"n": n, "classes": classes, "spatial": spatial, "dtype": one.dtype, "work": one.work} | one.choices
        new = bench_1.renewed({"type": "measured", "point": old})["point"]
        assert msgspec.convert(new, Point) == one


def test_a_damaged_line_of_format_1_is_named(tmp_path: Path) -> None:
    whole = (Path(__file__).parent / "bench_format_1.jsonl").read_text(encoding="utf-8")
    file = tmp_path / bench.FILE
    file.write_text(whole.replace('"classes":256', '"classes":"many"', 1), encoding="utf-8")
    with pytest.raises(RecordsError, match=r":2: .*the file is damaged"):
        bench.read(file)


def test_no_file_says_which_command_writes_one(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="lossparity bench"):
        bench.read(tmp_path / "nothing")


# --- the page --------------------------------------------------------------------------------------------


def test_the_page_shows_everything(tmp_path: Path, open_page: Any) -> None:
    path, boards = speed_page.write_bench(a_bench(everything()), tmp_path)
    assert {one.threads for one in boards} == {"1", "all"}
    page = open_page(path)
    text = page.inner_text("main")
    for words in ("slower", "INVALID", "wrong by 3", "twin of base", "7 more points would have needed"):
        assert words in text
    assert page.locator("svg").count() >= 2  # ratios and cold costs
    data = page.evaluate("JSON.parse(document.getElementById('data').textContent)")
    assert len(data) == 1 + len(everything())
    assert data[0]["contestants"][0]["says"] == "another </script> way"


@pytest.mark.parametrize("in_folders", [True, False])
def test_a_merged_site_has_the_speed_report(in_folders: bool, tmp_path: Path) -> None:
    """Folders that hold a run, another one below, nothing but a bench file; or the files themselves."""
    folders = tmp_path / "run", tmp_path / "speed"
    files = folders[0] / "numpy" / "records.jsonl", folders[1] / bench.FILE
    for folder in (files[0].parent, folders[1]):
        folder.mkdir(parents=True)
    sample_run.sample(files[0], backends=["numpy"])
    stored(files[1], everything())
    site = tmp_path / "site"
    done = CliRunner().invoke(cli.main, ["report", *map(str, folders if in_folders else files), "--out", str(site)])
    assert done.exit_code == 0, done.output
    assert 'href="bench.html"' in (site / "index.html").read_text(encoding="utf-8")
    assert 'href="index.html"' in (site / "bench.html").read_text(encoding="utf-8")


def test_each_loss_has_a_page_of_its_own(tmp_path: Path) -> None:
    """The last file of each loss counts."""
    sample_run.sample(tmp_path / "run" / "records.jsonl", backends=["numpy"])
    for folder, loss in {"a": "nll_loss", "b": "squares", "c": "nll_loss"}.items():
        stored(tmp_path / folder / bench.FILE, everything()[:-1] if folder == "c" else everything(), loss=loss)
    site = tmp_path / "site"
    done = CliRunner().invoke(cli.main, ["report", str(tmp_path), "--out", str(site)])
    assert done.exit_code == 0, done.output
    assert {page.name for page in site.glob("bench*.html")} == {"bench.html", "bench-squares.html"}
    first, other = ((site / name).read_text(encoding="utf-8") for name in ("bench.html", "bench-squares.html"))
    assert "<h1>nll_loss: who is fast</h1>" in first
    assert "wrong by 3" not in first
    assert 'href="bench-squares.html">Speed of squares<' in first
    assert "<h1>squares: who is fast</h1>" in other
    assert 'href="bench.html">Speed of nll_loss<' in other
    assert 'href="index.html"' in other


def test_a_loss_that_gathers_nothing_has_neither_that_column_nor_fits(tmp_path: Path) -> None:
    records = [
        msgspec.structs.replace(one, seconds={name: s for name, s in one.seconds.items() if name != bench.GATHER})
        if isinstance(one, Measured)
        else one
        for one in everything()
    ]
    text = speed_page.write_bench(a_bench(records, loss="squares"), tmp_path)[0].read_text(encoding="utf-8")
    assert "of limit" in text
    for words in ("of gather", ", gather ", "What the time is made of", "both limits"):
        assert words not in text
        assert words in speed_page.write_bench(a_bench(everything()), tmp_path)[0].read_text(encoding="utf-8")
    found = ratios.changes(a_bench(records), a_bench(records))
    assert {one.claim for one in found} == {"tie"}, "compared with the stream then"


def test_times_are_drawn_along_each_size() -> None:
    rng, boards = np.random.default_rng(0), []
    for sizes in ({"rows": 64, "width": 64}, {"rows": 64, "width": 128}, {"rows": 8, "width": 64}):
        for work in ("forward", "both"):
            place = Point(loss="squares", sizes=sizes, work=work)
            boards += ratios.boards(a_bench(measured(rng, {"base": 1e-3}, point=place)))
    drawn = speed_charts.time_by_size(boards, {"base": (1, 1)})
    assert drawn is not None
    for words in ("against rows, width = 64", "against width, rows = 64", "rows or width"):
        assert words in drawn
    assert "both rows" not in drawn
    assert speed_charts.time_by_size(boards[:2], {"base": (1, 1)}) is None, "a single point is no line"


def test_a_speed_report_alone_is_no_run(tmp_path: Path) -> None:
    stored(tmp_path / bench.FILE, everything())
    done = CliRunner().invoke(cli.main, ["report", str(tmp_path), "--out", str(tmp_path / "site")])
    assert done.exit_code == 4
    assert "lossparity run" in done.output


def test_an_accelerators_own_times_have_columns(tmp_path: Path) -> None:
    records = [
        msgspec.structs.replace(one, device_seconds={"other": [4e-5] * 3}, flushed={"base": [7e-4] * 3})
        for one in measured(np.random.default_rng(0), {"base": 1e-3, "other": 2e-3})
    ]
    text = speed_page.write_bench(a_bench(records), tmp_path)[0].read_text(encoding="utf-8")
    assert "cache emptied" in text
    assert "40.0 µs" in text
    assert "700 µs" in text
    assert "cache emptied" not in speed_page.write_bench(a_bench(everything()), tmp_path)[0].read_text(encoding="utf-8")


def test_the_page_of_an_empty_run_says_so(tmp_path: Path) -> None:
    path, boards = speed_page.write_bench(a_bench([], footer=False), tmp_path)
    assert not boards
    assert "Nothing was timed" in path.read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "default::lossparity.reports.guard.NotDrawn")
@pytest.mark.parametrize("seconds", [0.0, -0.0, 5e-324, 1.7e308, math.inf, math.nan, -1.0], ids=repr)
@pytest.mark.parametrize("who", ["base", "other", bench.STREAM, bench.TWIN])
def test_no_odd_time_costs_the_page(seconds: float, who: str, tmp_path: Path) -> None:
    """What cannot be computed with is named where it would be; all else is there."""
    records = [
        msgspec.structs.replace(one, seconds=one.seconds | {who: [seconds] * len(one.seconds[who])})
        if isinstance(one, Measured)
        else one
        for one in everything()
    ]
    with warnings.catch_warnings(record=True) as noted:
        text = speed_page.write_bench(a_bench(records), tmp_path)[0].read_text(encoding="utf-8")
    failed = [str(one.message) for one in noted if issubclass(one.category, guard.NotDrawn)]
    assert text.count("could not be drawn") == len(failed)
    assert "How it was measured" in text


def test_a_speed_chart_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr(speed_page.speed_charts, "forest", failing)
    with pytest.warns(guard.NotDrawn):
        text = speed_page.write_bench(a_bench(everything()), tmp_path)[0].read_text(encoding="utf-8")
    assert "The chart of ratios could not be drawn: ValueError: no ink." in text
    assert "The chart of times" not in text
