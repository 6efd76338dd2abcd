"""What the report says of each cell and of a whole run: states, families, verdicts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import msgspec
import pytest
import sample_facts
from lossparity.reports import html
from lossparity.reports.matrix import Cell, Kind, State, cells, family_table
from lossparity.reports.records import Run
from lossparity.reports.severity import Severity
from lossparity.reports.verdict import Outlook, summarise

from .sample_pages import Page, small

# --- the cell model --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "level", "state"),
    [
        (Kind("pass", True, None), "MUST", State.PASS),
        (Kind("pass", True, "sometimes"), "MUST", State.PASS),
        (Kind("pass", False, "fixed"), "MUST", State.UNEXPECTED),
        (Kind("fail", False, None), "SHOULD", State.UNEXPECTED),
        (Kind("fail", True, "known"), "MUST", State.DIVERGENT),
        (Kind("fail", True, "known", Severity.WRONG_NUMBER), "MUST", State.WRONG_NUMBER),
        (Kind("fail", True, "known", Severity.WRONG_GRADIENT), "MUST", State.WRONG_GRADIENT),
        (Kind("fail", True, "known", Severity.MISSING_ERROR), "MUST", State.MISSING_ERROR),
        (Kind("crash", True, "known", Severity.REFUSAL), "MUST", State.REFUSAL),
        (Kind("fail", True, "known", Severity.LAST_DIGITS), "SHOULD", State.LAST_DIGITS),
        (Kind("fail", False, "known", Severity.LAST_DIGITS), "MUST", State.UNEXPECTED),
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
    assert matrix.cells["ACC-3", "torch"].state is State.LAST_DIGITS
    assert matrix.cells["REL-3", "jax:jit"].state is State.NOT_JUDGED
    assert matrix.cells["ACC-1", "numpy"].state is State.PASS
    assert matrix.cells["ACC-1", "numpy"].partial
    assert not matrix.cells["VALUE-1", "numpy"].partial


def test_families_add_up_their_clauses(loud: Run) -> None:
    matrix = cells([loud])
    table = family_table(matrix)
    assert list(table) == [subject.name for subject in matrix.subjects]
    assert sum(cell.states.total() for cell in table["torch"].values()) == len(sample_facts.CLAUSES)
    assert table["torch:compile"]["IGN"].state is State.UNEXPECTED
    assert table["torch:compile"]["IGN"].text == "✗ 1"


CALM = Kind("pass", True, None)
WRONG = Kind("fail", True, "known", Severity.WRONG_NUMBER)
ROUGH = Kind("fail", True, "other", Severity.LAST_DIGITS)
ALL = ("float16", "bfloat16", "float32", "float64")


@pytest.mark.parametrize(
    ("dtypes", "note"),
    [
        ({CALM: ALL, WRONG: ("float32",)}, "f32"),
        ({CALM: ALL, WRONG: ("float16", "bfloat16")}, "half"),
        ({CALM: ALL, WRONG: ("bfloat16", "float64")}, "bf16 f64"),
        ({CALM: ALL, WRONG: ALL}, "all"),
        ({CALM: ALL[2:], WRONG: ALL[:2]}, "half"),
        ({WRONG: ALL[2:]}, "all"),
        ({WRONG: ("float32",)}, "f32"),
        ({CALM: ALL, WRONG: ("int32",)}, "int32"),
        ({CALM: ALL, WRONG: ("float64",), ROUGH: ALL}, "f64"),
        ({CALM: ALL}, ""),
    ],
    ids=str,
)
def test_a_cell_says_in_which_dtypes_it_is_so(dtypes: dict[Kind, tuple[str, ...]], note: str) -> None:
    cell = Cell(sample_facts.CLAUSES[0], "torch", Counter(dict.fromkeys(dtypes, 3)), dtypes)
    assert cell.note == note
    if WRONG in dtypes:
        assert cell.state is State.WRONG_NUMBER
        assert f"3 fail as known says in {', '.join(dtypes[WRONG])}" in cell.describe()


def test_a_pass_by_nan_instead_of_an_exception_is_no_bare_tick(quiet: Run) -> None:
    """The sample's jax:jit does that under ERR-1, where jax raises."""
    matrix = cells([quiet])
    jit, eager = matrix.cells["ERR-1", "jax:jit"], matrix.cells["ERR-1", "jax"]
    assert (jit.state, jit.note) == (State.PASS, f"{jit.nans} NaN")
    assert dataclasses.replace(jit, nans=sum(jit.counts.values())).note == "NaN"
    assert (eager.state, eager.note) == (State.PASS, "")
    assert "returned NaN instead of an exception" in jit.describe()
    assert "NaN" not in eager.describe()
    table = family_table(matrix)
    assert "1 with NaN instead of an exception" in table["jax:jit"]["ERR"].describe()


def test_a_refusal_paints_no_cell_as_a_wrong_number(quiet: Run) -> None:
    """A row about every clause that only raises: every cell that it touches says refusal."""
    matrix = cells([quiet])
    cell = matrix.cells["SHAPE-6", "tensorflow:xla"]
    assert cell.state is State.REFUSAL
    assert cell.state.rank > State.MISSING_ERROR.rank > State.WRONG_NUMBER.rank
    assert cell.state.symbol != State.WRONG_NUMBER.symbol


def test_all_states_occur_in_the_sample(loud: Run) -> None:
    assert {cell.state for cell in cells([loud]).cells.values()} == set(State) - {State.UNKNOWN}


# --- the verdict -----------------------------------------------------------------------------------------


def test_a_quiet_run_says_so(quiet: Run) -> None:
    summary = summarise(cells([quiet]))
    assert summary.outlook is Outlook.EXPECTED
    assert "Everything came out as expected: 6 known divergences" in summary.sentence
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
