"""Odd values in records, and parts of the report that fail to draw: none costs another part of the page."""

from __future__ import annotations

import math
import sys
import warnings
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
import sample_run
from click.testing import CliRunner
from hypothesis import strategies as st
from lossparity.conformance import cli
from lossparity.reports import charts, guard, html, tolerance
from lossparity.reports.records import Run
from lossparity.reports.speed import duration
from lossparity.specs.grades import Excess

from .sample_pages import Page, small


def with_accuracy(run: Run, **changed: Any) -> Run:
    """The run with these fields in each of its accuracy records."""
    return msgspec.structs.replace(
        run,
        records=tuple(
            msgspec.structs.replace(one, **changed) if isinstance(one, sample_run.Accuracy) else one
            for one in run.records
        ),
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"worst_ulps": math.inf},
        {"worst_ulps": math.nan},
        {"worst_ulps": 10**400},
        {"worst_ulps": sys.float_info.max, "ulps": {"1.8e+308": 1}},
        {"worst_ulps": -0.0, "worst_utilisation": -0.0},
        {"worst_ulps": 5e-324, "worst_utilisation": 5e-324, "ulps": {"4.9e-324": 1}},
        {"worst_utilisation": math.nan},
        {"worst_depth": 2**2151},
        {"judged": 0, "ulps": {}, "levels": {}},
        {"ulps": {"0": 0}},
        {"levels": {"<script>": 3}, "worst_observed": "<" * 10_000, "worst_exact": ""},
        {"worst_call": {"input": "x" * 100_000}},
        {"deep": Excess(0.0, 5e-324, 10**30)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_no_odd_value_costs_a_part_of_the_page(changed: dict[str, Any], tmp_path: Path) -> None:
    """Nothing is left out either: a part that fails to draw warns, which is an error in these tests."""
    run = with_accuracy(small(tmp_path / "records.jsonl"), **changed)
    page = Page(html.write_site([run], tmp_path).read_text())
    assert "could not be drawn" not in page.text
    assert "Every number" in page.text
    assert "Runs and environment" in page.text


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(st.lists(st.floats(min_value=5e-324), min_size=1), st.floats() | st.integers())
def test_numbers_of_any_size_have_words_bars_and_ticks(sizes: list[float], number: float) -> None:
    finite = [size for size in sizes if math.isfinite(size)]
    if finite:
        axis = charts.powers(charts.altair_module(), [{"error": size} for size in finite], "error")
        assert all(0 < tick < math.inf for tick in axis.to_dict()["values"])
    size = tolerance.as_size(number)
    assert size >= 0
    assert tolerance.in_ulps(size)
    assert duration(number if isinstance(number, float) else float(number % 10))
    row = tolerance.row_of([msgspec.structs.replace(_ACCURATE, worst_ulps=one) for one in [*sizes, number]])
    bar = tolerance.bars([tolerance.Group("float32", "sum", (row,), (), ())])
    assert 0 <= bar(0.0) <= bar(row.worst_ulps) <= 1


_ACCURATE = sample_run.Accuracy(
    subject="numpy", dtype="float32", reduction="sum", decade=0, judged=1, uninformative=0, correctly_rounded=0,
    ulps={}, levels={}, worst_ulps=0.0, worst_utilisation=0.0, worst_depth=0, worst_call=None, worst_observed="",
    worst_exact="",
)  # fmt: skip


class Panic(BaseException):
    """What the library that draws raises when it is beside itself: no Exception."""


def failing(*_: Any, **__: Any) -> Any:
    raise Panic("no <ink> left")


@pytest.mark.parametrize(
    ("part", "name", "kept"),
    [
        ("lossparity.reports.charts.error_by_size", "The chart “Largest error found against size”", "Every number"),
        ("lossparity.reports.charts.error_distribution", "The chart “Distribution of errors”", "Every number"),
        ("lossparity.reports.tolerance.bars", "The section “Accuracy”", "Recorded, not judged"),
        ("lossparity.reports.markdown.efforts", "", "Runs and environment"),
    ],
)
def test_what_fails_to_draw_is_named_in_its_place(
    part: str, name: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small(tmp_path / "records.jsonl")
    monkeypatch.setattr(part, failing)
    with pytest.warns(guard.NotDrawn, match="could not be drawn: Panic: no <ink> left"):
        page = Page(html.write_site([run], tmp_path).read_text())
    if name:
        assert f"{name} could not be drawn: Panic: no <ink> left." in page.text
    else:
        assert "summary.md could not be drawn: Panic" in (tmp_path / "summary.md").read_text()
    assert kept in page.text
    assert "As expected" in page.text
    assert {link[1:] for link in page.links if link.startswith("#")} - set(page.ids) <= {"closed"}


def test_a_command_says_in_a_line_what_failed_to_draw(tmp_path: Path) -> None:
    small(tmp_path / "records.jsonl")
    arguments = ["report", str(tmp_path), "--out", str(tmp_path / "site")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "error_by_size", failing)
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 0
    said = "1 part of the report failed to draw: The chart “Largest error found against size” could not be drawn: Panic"
    assert said in done.output
    assert "failed to draw" not in CliRunner().invoke(cli.main, arguments).output


def test_a_part_that_fails_to_draw_fails_these_tests() -> None:
    with pytest.raises(guard.NotDrawn, match="ink"):
        guard.guarded("The chart", failing, str)


def test_an_interruption_is_none_of_that() -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guard.guarded("The chart", interrupted, str)
