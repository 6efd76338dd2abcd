"""The HTML report of sample runs, as text and as a tree."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import sample_facts
import sample_run
from lossparity.reports import findings, html, tolerance
from lossparity.reports.effort import efforts
from lossparity.reports.matrix import State, cells
from lossparity.reports.records import ClauseInfo, Finding, Item, Run
from lossparity.reports.severity import Severity
from lossparity.reports.verdict import summarise
from lossparity.specs.encoding import encode_call
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.stopwatch import PARTS

from .sample_pages import Page, small

_MOST_BYTES = 3_000_000
_LONGEST_LINE = 120  # of templates, as of everything else that is written by hand


# --- the templates ---------------------------------------------------------------------------------------


def test_no_line_of_a_template_is_too_long_to_read() -> None:
    templates = {
        file.name: file.read_text(encoding="utf-8").splitlines()
        for file in importlib.resources.files("lossparity.reports.site").iterdir()
        if file.name.endswith(".html")
    }
    assert "index.html" in templates
    assert too_long(templates) == [], "break lines at tags, or inside a tag before an attribute"


def test_a_long_line_is_named() -> None:
    assert too_long({"a.html": ["<p>", "·" * 120, "·" * 121]}) == ["a.html:3"]


def too_long(texts: Mapping[str, Sequence[str]]) -> list[str]:
    """Where lines are longer than they may be."""
    return [
        f"{name}:{number}"
        for name, lines in texts.items()
        for number, line in enumerate(lines, 1)
        if len(line) > _LONGEST_LINE
    ]


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
    """One finding of each kind, and none of them twice."""
    text = Page(index.read_text()).text
    wrong = [finding for finding in loud.of(sample_run.Finding) if not finding.expected]
    chosen = findings.one_of_each(wrong, 99)  # of one clause each
    assert 1 < len(chosen) < len(wrong)
    for finding, _ in chosen:
        where = text.index(finding.digest)
        assert where < text.index("Subjects at a glance")
        assert " ".join(finding.summary.split()) in text
        assert finding.exact in text[where:]
    first = text[: text.index("Subjects at a glance")]
    assert sum(finding.digest in first for finding in wrong) == len(chosen)


def test_hostile_words_are_escaped(index: Path) -> None:
    text = index.read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&#39;&amp;amp;&#39;)&lt;/script&gt;" in text
    summary = (index.parent / "summary.md").read_text()
    assert "<script>" not in re.sub(r"\\<", "", summary)


def test_known_divergences_come_with_all_that_explains_them(index: Path) -> None:
    text = Page(index.read_text()).text
    for divergence in sample_facts.DIVERGENCES:
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
    new = small(tmp_path / "new.jsonl", backends=["jax"], clauses=(*sample_facts.CLAUSES[1:], extra))
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


def test_a_loss_that_does_not_reduce_is_titled_by_its_dtype(quiet: Run) -> None:
    records = [msgspec.structs.replace(one, reduction="") for one in quiet.of(sample_run.Accuracy)]
    groups = tolerance.table(records)
    assert [group.title for group in groups] == [group.dtype for group in groups]
    assert {row.title for group in groups for row in group.rows} == {group.dtype for group in groups}
    assert {group.title for group in tolerance.table(quiet.of(sample_run.Accuracy))} >= {"float32 none", "float32 sum"}


def test_only_who_stands_out_is_called_best_or_worst(quiet: Run) -> None:
    groups = {(group.dtype, group.reduction): group for group in tolerance.table(quiet.of(sample_run.Accuracy))}
    assert groups["float32", "none"].worst == groups["float32", "none"].best == ()
    assert groups["float32", "mean"].worst[0].startswith("tensorflow")
    assert groups["float32", "mean"].best == ("numpy",)


def test_wrong_numbers_have_rows_of_their_own_and_are_no_rounding_errors(index: Path, loud: Run) -> None:
    found = loud.of(sample_run.Accuracy)
    (group,) = [one for one in tolerance.table(found) if (one.dtype, one.reduction) == ("float32", "sum")]
    assert [(row.subject, row.outside) for row in group.outside] == [
        ("tensorflow", "tf-uint8-sentinel-wraps"),
        ("torch", "unexplained"),
    ]
    assert max(row.worst_ulps for row in group.outside) == 3e9
    assert max(row.worst_ulps for row in group.rows) < 1000
    assert len({row.subject for row in group.rows}) == len(group.rows)
    assert tolerance.bars([group])(max(row.worst_ulps for row in group.rows)) == 1
    page = Page(index.read_text())
    after = page.text[page.text.index("No rounding errors") :]
    row = re.search(r"tensorflow tf-uint8-sentinel-wraps (.*?) X 6", after)
    assert row is not None
    assert row[1].split()[0] == "6"
    assert "25,000 %" in row[1]
    assert "torch unexplained" in after


def test_one_fault_is_one_kind_whatever_its_calls_exercise_besides(loud: Run) -> None:
    """The smallest of three calls, led by the clause that most of its calls broke; another fault is another kind."""
    first = next(one for one in loud.of(sample_run.Finding) if not one.expected)

    def found(clauses: tuple[str, ...], rows: int, dtype: str, symptom: str) -> Finding:
        call = encode_call(NLL_LOSS.call(np.zeros((rows, 2), np.float32), np.zeros(rows, np.int64)))
        return msgspec.structs.replace(first, clauses=clauses, dtype=dtype, symptom=symptom, call=call)

    wrong = [
        found(("SHAPE-1", "IGN-2"), 9, "float32", "value"),
        found(("IGN-2", "VALUE-3"), 4, "float16", "value"),
        found(("IGN-2",), 5, "float32", "value"),
        found(("IGN-2",), 1, "float32", "crash"),
        found(("SHAPE-1",), 2, "float32", "value"),
    ]
    shares = {(first.loss, first.subject, "IGN-2"): 0.9, (first.loss, first.subject, "SHAPE-1"): 0.1}
    assert findings.one_of_each(wrong, 9, shares) == [(wrong[1], ("float32",)), (wrong[3], ()), (wrong[4], ())]
    assert findings.one_of_each(wrong, 1, shares) == [(wrong[1], ("float32",))]
    assert findings.telling_first(wrong[0], shares) == ("IGN-2", "SHAPE-1")


def test_a_relative_error_stands_beside_ulps(index: Path, loud: Run) -> None:
    """1,900 ulp of bfloat16 are 1,500 %, of float64 nothing."""
    rows = {(g.dtype, g.reduction, r.subject): r for g in tolerance.table(loud.of(sample_run.Accuracy)) for r in g.rows}
    text = Page(index.read_text()).text
    for key in (("bfloat16", "mean", "torch"), ("float64", "mean", "tensorflow")):
        row = rows[key]
        assert f"{tolerance.in_ulps(row.worst_ulps)}" in text
        assert f"{tolerance.relative(row.worst_relative)}" in text
        assert (
            f"{tolerance.in_ulps(row.worst_ulps)} ({tolerance.relative(row.worst_relative)}, "
            in (index.parent / "summary.md").read_text()
        )


@pytest.mark.parametrize(
    ("error", "said"),
    [(None, "–"), (0.984, "98 %"), (0.0038, "0.38 %"), (3.14e-8, "3.1e-08"), (250.0, "25,000 %"), (1e30, "1e+30")],
)
def test_a_relative_error_is_said_in_two_digits(error: float | None, said: str) -> None:
    assert tolerance.relative(error) == said


def test_the_ledger_says_the_most_severe_first(index: Path) -> None:
    text = Page(index.read_text()).text
    ledger = text[text.index("Departures that are recorded") : text.index("Rounding errors alone")]
    words = [str(one) for one in Severity]
    assert [ledger.index(word) for word in words] == sorted(ledger.index(word) for word in words)
    summary = (index.parent / "summary.md").read_text()
    assert "| silent wrong number | `tf-uint8-sentinel-wraps` |" in summary
    assert summary.index("silent wrong number") < summary.index("missing error") < summary.index("| last digits")


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
    snippet = findings.snippet(finding.call, finding.loss)
    assert snippet is not None
    exec(snippet, {})
    assert capsys.readouterr().out.strip() == f"{finding.digest} {finding.summary}"


def test_an_unreadable_or_endless_call_does_not_break_the_page() -> None:
    assert findings.arrays_of({"input": 3}, "nll_loss")[0].kind == "unreadable"
    assert findings.snippet({"input": "x" * 100_000}, "nll_loss") is None


def test_references_link_only_where_they_are_addresses() -> None:
    assert findings.link("onnx/onnx#8433") == "https://github.com/onnx/onnx/issues/8433"
    assert findings.link("https://example.org/a") == "https://example.org/a"
    assert findings.link("javascript:alert(1)") is None
    assert findings.link("measured here") is None
