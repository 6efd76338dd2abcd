"""The HTML report and the Markdown summary, on sample runs: as text, as a tree, and in a browser."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
import sample_run
from click.testing import CliRunner
from hypothesis import strategies as st
from lossparity.conformance import cli
from lossparity.reports import charts, findings, guard, html, tolerance
from lossparity.reports.effort import efforts
from lossparity.reports.matrix import Kind, State, cells, family_table
from lossparity.reports.records import ClauseInfo, Item, Run
from lossparity.reports.speed import duration
from lossparity.reports.verdict import Outlook, summarise
from lossparity.specs.accuracy import Excess
from lossparity.specs.stopwatch import PARTS

_VOID = {"meta", "link", "input", "br", "col", "img", "hr", "line", "path", "rect"}
_MOST_BYTES = 3_000_000


class Page(HTMLParser):
    """Ids, links and loaded addresses of a page; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []
        self.cells: list[dict[str, str | None]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if "id" in found:
            self.ids[found["id"] or ""] += 1
        if tag == "a":
            self.links.append(found["href"] or "")
        if tag == "a" and "cell" in (found.get("class") or "").split():
            self.cells.append(found)
        if tag != "a":
            self.loads += [
                found[name] or "" for name in ("src", "href", "xlink:href", "data", "action") if name in found
            ]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self._open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which all is as expected."""
    return sample_run.sample(tmp_path_factory.mktemp("quiet") / "records.jsonl")


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with unexpected results."""
    return sample_run.sample(tmp_path_factory.mktemp("loud") / "records.jsonl", unexpected=True)


@pytest.fixture(scope="module")
def index(loud: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the run with unexpected results."""
    return html.write_site([loud], tmp_path_factory.mktemp("site"))


def small(path: Path, **options: Any) -> Run:
    """A sample run of NumPy alone, unless told otherwise, quick to make and to draw."""
    return sample_run.sample(path, **{"backends": ["numpy"], **options})


# --- the cell model --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "level", "state"),
    [
        (Kind("pass", True, None), "MUST", State.PASS),
        (Kind("pass", True, "sometimes"), "MUST", State.PASS),
        (Kind("pass", False, "fixed"), "MUST", State.UNEXPECTED),
        (Kind("fail", False, None), "SHOULD", State.UNEXPECTED),
        (Kind("fail", True, "known"), "MUST", State.DIVERGENT),
        (Kind("crash", True, "known"), "MUST", State.DIVERGENT),
        (Kind("crash", True, None), "MUST", State.BROKEN),
        (Kind("error", True, None), "MUST", State.BROKEN),
        (Kind("fail", True, None), "SHOULD", State.SHOULD_MISS),
        (Kind("uninformative", True, None), "MUST", State.NOT_JUDGED),
        (Kind("unsupported", True, None), "MUST", State.UNSUPPORTED),
        (Kind("not_run", True, None), "MUST", State.NOT_RUN),
        (Kind("pass", True, None), "RECORD", State.RECORDED),
        (Kind("a status of the future", True, None), "MUST", State.BROKEN),
    ],
)
def test_one_place_decides_the_state(kind: Kind, level: str, state: State) -> None:
    assert kind.state(level) is state


def test_states_are_told_apart_without_colour() -> None:
    assert len({state.symbol for state in State}) == len({state.label for state in State}) == len(State)


def test_the_worst_state_wins_and_a_pass_with_unjudged_calls_says_so(loud: Run) -> None:
    matrix = cells([loud])
    assert matrix.cells["IGN-4", "torch:compile"].state is State.UNEXPECTED
    assert matrix.cells["ACC-3", "torch"].state is State.DIVERGENT
    assert matrix.cells["REL-3", "jax:jit"].state is State.NOT_JUDGED
    assert matrix.cells["ACC-1", "numpy"].state is State.PASS
    assert matrix.cells["ACC-1", "numpy"].partial
    assert not matrix.cells["VALUE-1", "numpy"].partial


def test_families_add_up_their_clauses(loud: Run) -> None:
    matrix = cells([loud])
    table = family_table(matrix)
    assert list(table) == [subject.name for subject in matrix.subjects]
    assert sum(cell.states.total() for cell in table["torch"].values()) == len(sample_run.CLAUSES)
    assert table["torch:compile"]["IGN"].state is State.UNEXPECTED
    assert table["torch:compile"]["IGN"].text == "✗ 1"


def test_all_states_occur_in_the_sample(loud: Run) -> None:
    assert {cell.state for cell in cells([loud]).cells.values()} == set(State) - {State.UNKNOWN}


# --- the verdict -----------------------------------------------------------------------------------------


def test_a_quiet_run_says_so(quiet: Run) -> None:
    summary = summarise(cells([quiet]))
    assert summary.outlook is Outlook.EXPECTED
    assert "Everything came out as expected: 4 known divergences" in summary.sentence
    assert summary.ran == summary.planned - summary.statuses["unsupported"] - summary.statuses["not_run"]
    assert f"9 subjects ran {summary.ran:,} calls." in summary.sentence


def test_a_loud_run_says_how_many_and_where(loud: Run) -> None:
    summary = summarise(cells([loud]))
    assert summary.outlook is Outlook.UNEXPECTED
    assert summary.sentence.startswith("9 subjects ran")
    assert "5 unexpected results on torch:compile and jax:jit" in summary.sentence


@pytest.mark.parametrize(("ended", "word"), [(None, "was cut off"), ("interrupted", "was interrupted")])
def test_an_unfinished_run_is_never_a_success(tmp_path: Path, ended: str | None, word: str) -> None:
    run = small(tmp_path / "records.jsonl", ended=ended)
    assert summarise(cells([run])).outlook is Outlook.INCOMPLETE
    page = Page(html.write_site([run], tmp_path).read_text())
    assert word in page.text
    assert page.text.index(word) < page.text.index("Subjects at a glance")
    assert word in (tmp_path / "summary.md").read_text()


def test_a_footer_that_knows_more_than_the_records_is_believed(tmp_path: Path) -> None:
    run = small(tmp_path / "records.jsonl")
    assert run.footer is not None
    worse = msgspec.structs.replace(run, footer=msgspec.structs.replace(run.footer, unexpected=2))
    assert summarise(cells([worse])).unexpected == 2
    broken = msgspec.structs.replace(run, footer=msgspec.structs.replace(run.footer, exit_code=3))
    assert summarise(cells([broken])).outlook is Outlook.BROKEN
    odd = msgspec.structs.replace(run, footer=msgspec.structs.replace(run.footer, planned=1))
    assert "do not add up" in summarise(cells([odd])).warnings[0]


def test_nothing_ran_is_said(tmp_path: Path) -> None:
    run = small(tmp_path / "records.jsonl")
    empty = msgspec.structs.replace(run, records=())
    assert summarise(cells([empty])).outlook is Outlook.EMPTY
    Page(html.write_site([empty], tmp_path).read_text())


# --- the page --------------------------------------------------------------------------------------------


def test_the_page_is_one_sound_file(index: Path) -> None:
    page = Page(index.read_text())
    assert index.stat().st_size < _MOST_BYTES
    assert [name for name, times in page.ids.items() if times > 1] == []
    assert [address for address in page.loads if not address.startswith("data:")] == []
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert [name for name in inside if name not in page.ids and name != "closed"] == []
    assert all(link.startswith(("#", "https://", "http://")) for link in page.links)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", index.read_text())


def test_every_cell_opens_and_says_in_words_what_it_shows(index: Path, loud: Run) -> None:
    page = Page(index.read_text())
    matrix = cells([loud])
    for (clause, subject), cell in matrix.cells.items():
        assert html.anchor(clause, subject) in page.ids
        assert any(found["aria-label"] == cell.describe() for found in page.cells), cell.describe()
    for state in set(State) - {State.UNKNOWN}:
        assert state.label in page.text


def test_what_is_unexpected_comes_first_and_in_full(index: Path, loud: Run) -> None:
    text = Page(index.read_text()).text
    wrong = [finding for finding in loud.of(sample_run.Finding) if not finding.expected]
    for finding in wrong:
        where = text.index(finding.digest)
        assert where < text.index("Subjects at a glance")
        assert " ".join(finding.summary.split()) in text
        assert finding.exact in text[where:]


def test_hostile_words_are_escaped(index: Path) -> None:
    text = index.read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&#39;&amp;amp;&#39;)&lt;/script&gt;" in text
    summary = (index.parent / "summary.md").read_text()
    assert "<script>" not in re.sub(r"\\<", "", summary)


def test_known_divergences_come_with_all_that_explains_them(index: Path) -> None:
    text = Page(index.read_text()).text
    for divergence in sample_run.DIVERGENCES:
        assert divergence.title.replace("`", "") in text.replace("mean  of", "mean of")
        assert " ".join(divergence.explanation.split()) in text
        assert " ".join(divergence.reproducer.split()) in text
    assert 'href="https://github.com/pytorch/pytorch/issues/61523"' in index.read_text()
    assert "not seen" in text


def test_planned_is_shown_as_the_sum_of_statuses(index: Path, loud: Run) -> None:
    summary = summarise(cells([loud]))
    shown = re.search(r"([\d,]+) calls planned = (.*?) Clauses by subject", Page(index.read_text()).text)
    assert shown is not None
    numbers = [int(number.replace(",", "")) for number in re.findall(r"[\d,]+", shown[2])]
    assert int(shown[1].replace(",", "")) == sum(numbers) == summary.planned


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    run = small(tmp_path / "records.jsonl")
    assert html.render(cells([run])) == html.render(cells([run]))


def test_where_the_time_went_is_shown_by_subject(index: Path, loud: Run) -> None:
    (numpy,) = efforts([item for item in loud.of(Item) if item.subject == "numpy"], ["numpy"])
    shares = [numpy.share(part) for part in PARTS]
    assert sum(share or 0.0 for share in shares) == pytest.approx(1)
    assert "calls/s " + " ".join(PARTS) in Page(index.read_text()).text
    assert (
        f"| numpy | {numpy.seconds:,.1f} | {numpy.rate:,.0f} | " + " | ".join(f"{share:.0%}" for share in shares) + " |"
        in (index.parent / "summary.md").read_text()
    )


def test_records_that_do_not_say_where_the_time_went_show_the_framework_alone(tmp_path: Path) -> None:
    run = small(tmp_path / "records.jsonl")
    early = tuple(msgspec.structs.replace(one, split={}) if isinstance(one, Item) else one for one in run.records)
    (effort,) = efforts([item for item in early if isinstance(item, Item)], ["numpy"])
    assert {part for part in PARTS if effort.share(part) is not None} == {"framework"}
    html.write_site([msgspec.structs.replace(run, records=early)], tmp_path)
    assert re.search(r"\| – \| – \| – \| \d+% \| – \| – \|", (tmp_path / "summary.md").read_text())


# --- several runs ----------------------------------------------------------------------------------------


def test_runs_are_merged_and_the_newer_one_wins(tmp_path: Path) -> None:
    old = sample_run.sample(
        tmp_path / "old.jsonl",
        backends=["numpy", "torch"],
        started="2026-07-12T02:30:00+00:00",
        unexpected=True,
    )
    new = sample_run.sample(tmp_path / "new.jsonl", backends=["torch", "jax"], seed=2)
    matrix = cells([new, old])
    assert [subject.name for subject in matrix.subjects] == [
        "numpy",
        "torch",
        "torch:compile",
        "jax",
        "jax:x32",
        "jax:jit",
    ]
    assert matrix.cells["IGN-4", "torch:compile"].state is State.PASS
    assert summarise(matrix).planned == sum(
        item.planned
        for run, names in ((old, ("numpy",)), (new, ("torch", "jax")))
        for item in run.of(sample_run.Item)
        if item.subject.split(":")[0] in names
    )
    text = Page(html.write_site([new, old], tmp_path).read_text()).text
    assert "In several runs: torch, torch:compile. Shown from the run of 2026-07-14" in text
    assert [backend.name for backend in matrix.merged.absent] == ["tensorflow"]
    assert "pip install 'lossparity[tensorflow]'" in text


def test_different_sets_of_clauses_are_told_from_no_case(tmp_path: Path) -> None:
    extra = ClauseInfo("NEW-1", "NEW", "MUST", "something new", "D")
    old = small(tmp_path / "old.jsonl", started="2026-07-12T02:30:00+00:00")
    new = small(tmp_path / "new.jsonl", backends=["jax"], clauses=(*sample_run.CLAUSES[1:], extra))
    matrix = cells([old, new])
    assert matrix.cells["NEW-1", "numpy"].state is State.UNKNOWN
    assert matrix.cells["VALUE-9", "numpy"].state is State.NO_CASE
    assert matrix.cells["SHAPE-1", "jax"].state is State.UNKNOWN
    page = Page(html.write_site([old, new], tmp_path).read_text())
    assert "different sets of clauses" in page.text


def test_no_run_is_an_error() -> None:
    with pytest.raises(ValueError, match="no run"):
        cells([])


# --- accuracy and findings -------------------------------------------------------------------------------


def test_decades_merge_into_one_row(quiet: Run) -> None:
    records = [
        record
        for record in quiet.of(sample_run.Accuracy)
        if (record.subject, record.dtype, record.reduction) == ("torch", "bfloat16", "mean")
    ]
    (group,) = tolerance.table(records)
    (row,) = group.rows
    assert row.judged == sum(record.judged for record in records) == row.ulps.total()
    assert row.worst_ulps == max(record.worst_ulps for record in records)
    assert row.worst is not None
    assert row.worst.worst_ulps == row.worst_ulps
    assert [part.decade for part in row.decades] == [0, 1, 2, 3, 4]
    errors = sorted(float(error) for record in records for error, number in record.ulps.items() for _ in range(number))
    assert row.median_ulps == errors[(len(errors) - 1) // 2]


def test_only_who_stands_out_is_called_best_or_worst(quiet: Run) -> None:
    groups = {(group.dtype, group.reduction): group for group in tolerance.table(quiet.of(sample_run.Accuracy))}
    assert groups["float32", "none"].worst == groups["float32", "none"].best == ()
    assert groups["float32", "mean"].worst[0].startswith("tensorflow")
    assert groups["float32", "mean"].best == ("numpy",)


def test_what_a_sum_that_is_too_deep_amounts_to_is_said_at_a_glance(index: Path, loud: Run, tmp_path: Path) -> None:
    sentence = (
        "torch:compile's sums lose accuracy as they grow: float32 sum and mean up to 0.42 % off at 70,000 terms, where "
        "a careful sum is at most 0.00058 % off (ACC-4, SHOULD)"
    )
    assert sentence in tolerance.deep_sentences(loud.of(sample_run.Accuracy))
    assert len(tolerance.deep_sentences(loud.of(sample_run.Accuracy))) == 2
    text = Page(index.read_text()).text
    assert text.index("Subjects at a glance") < text.index(sentence) < text.index("Clauses by subject")
    assert 'href="#ACC-4/torch:compile">0.42 % at 70,000</a>' in index.read_text()
    assert sentence in (index.parent / "summary.md").read_text()
    quiet = html.write_site([small(tmp_path / "records.jsonl")], tmp_path)
    assert "lose accuracy" not in quiet.read_text()
    assert "off by (ACC-4)" not in quiet.read_text()


def test_the_snippet_of_a_finding_runs(loud: Run, capsys: pytest.CaptureFixture[str]) -> None:
    finding = loud.of(sample_run.Finding)[0]
    snippet = findings.snippet(finding.call)
    assert snippet is not None
    exec(snippet, {})
    assert capsys.readouterr().out.strip() == f"{finding.digest} {finding.summary}"


def test_an_unreadable_or_endless_call_does_not_break_the_page() -> None:
    assert findings.arrays_of({"input": 3})[0].kind == "unreadable"
    assert findings.snippet({"input": "x" * 100_000}) is None


def test_references_link_only_where_they_are_addresses() -> None:
    assert findings.link("onnx/onnx#8433") == "https://github.com/onnx/onnx/issues/8433"
    assert findings.link("https://example.org/a") == "https://example.org/a"
    assert findings.link("javascript:alert(1)") is None
    assert findings.link("measured here") is None


# --- odd values, and what fails to draw ------------------------------------------------------------------


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


# --- in a browser ----------------------------------------------------------------------------------------


@pytest.fixture
def page(open_page: Callable[[Path], Any], index: Path) -> Any:
    """The page of a sample run."""
    return open_page(index)


def test_pressing_a_divergent_cell_shows_its_clause_and_finding(page: Any, tmp_path: Path) -> None:
    result = page.locator('[id="ACC-3/torch"]')
    assert not result.is_visible()
    page.locator('td a.cell[href="#ACC-3/torch"]').click()
    result.wait_for(state="visible")
    panel = page.locator('[id="ACC-3"]')
    assert "accumulator plus one final rounding" in panel.inner_text()
    assert "torch-half-mean-saturates" in result.inner_text()
    assert "observed" in result.inner_text()
    assert page.evaluate("document.querySelector('td a.cell[aria-current]').hash") == "#ACC-3/torch"
    picture = tmp_path / "cell.png"
    page.screenshot(path=picture)
    assert picture.stat().st_size > 10_000


def test_keyboard_opens_walks_and_closes(page: Any) -> None:
    page.locator('td a.cell[href="#ACC-3/numpy"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator('[id="ACC-3/torch"]').wait_for(state="visible")
    page.keyboard.press("Escape")
    page.locator('[id="ACC-3/torch"]').wait_for(state="hidden")
    assert page.evaluate("document.activeElement.hash") == "#ACC-3/torch"


def test_an_address_opens_its_cell(page: Any, index: Path) -> None:
    page.goto("about:blank")
    page.goto(index.as_uri() + "#IGN-4/torch:compile")
    box = page.locator('[id="IGN-4"]').bounding_box()
    assert box is not None
    assert 0 < box["y"] < 450


def test_it_fits_the_window_in_light_dark_and_narrow(page: Any) -> None:
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 420)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_reads_without_script(browser: Any, index: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(index.as_uri() + "#VALUE-3/torch")
    assert opened.locator('[id="VALUE-3/torch"]').is_visible()
    assert opened.locator(".extra").first.is_visible() == opened.locator("details.group").first.evaluate(
        "it => it.open"
    )
    context.close()
