"""The records file: what is written is read back, and what cannot be read says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema.protocols
import msgspec
import pytest
from lossparity.reports import records
from lossparity.reports.framed import Writer
from lossparity.reports.records import (
    Accuracy,
    Finding,
    Item,
    Observation,
    Run,
    Tally,
    count_statuses,
    find,
    read,
    schema,
)
from lossparity.specs.case import Status
from lossparity.specs.errors import RecordsError

from .short_records import (
    ACCURACY,
    FINDING,
    FOOTER,
    HEADER,
    ITEM,
    OBSERVATION,
    RECORDS,
    TALLY,
    refusal,
    replace_line,
    write,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A complete file with one record of each kind."""
    return write(tmp_path / "records.jsonl", *RECORDS)


# --- round trip ------------------------------------------------------------------------------------------


def test_what_is_written_is_read(file: Path) -> None:
    run = read(file)
    assert run == Run(str(file), HEADER, RECORDS, FOOTER)
    assert [type(record) for record in run.records] == [Item, Tally, Finding, Accuracy, Observation]


def test_one_json_object_a_line_header_first_footer_last(file: Path) -> None:
    kinds = [json.loads(line)["type"] for line in file.read_text(encoding="utf-8").splitlines()]
    assert kinds == ["header", "item", "tally", "finding", "accuracy", "observation", "footer"]


def test_records_are_selected_by_type(file: Path) -> None:
    run = read(file)
    assert run.of(Item) == [ITEM]
    assert run.of(Finding) == [FINDING]
    assert [run.of(kind) for kind in (Tally, Accuracy, Observation)] == [[TALLY], [ACCURACY], [OBSERVATION]]


def test_an_item_from_before_the_split_is_read(file: Path) -> None:
    assert ITEM.split == {}
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert lines[1].pop("split") == {}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert read(file).of(Item) == [ITEM]


def test_lines_are_on_disk_as_soon_as_they_are_written(tmp_path: Path) -> None:
    """An interrupted run keeps what it had."""
    path = tmp_path / "deep" / "folder" / "records.jsonl"
    writer = Writer(path, HEADER)
    assert read(path).records == ()
    writer.write(ITEM)
    assert read(path).records == (ITEM,)
    assert read(path).footer is None
    writer.close(FOOTER)
    assert read(path).footer == FOOTER


def test_a_new_run_replaces_the_old_file(file: Path) -> None:
    write(file, TALLY)
    assert read(file).records == (TALLY,)


@pytest.mark.parametrize("value", [5e-324, 1.7976931348623157e308, 0.1, -0.0], ids=repr)
def test_every_float_a_grade_can_hold_survives(tmp_path: Path, value: float) -> None:
    """JSON has no infinity: a grade caps its ratios at the largest float64."""
    record = msgspec.structs.replace(ACCURACY, worst_utilisation=value)
    assert read(write(tmp_path / "records.jsonl", record)).records == (record,)


@pytest.mark.parametrize("depth", [2**31, 2**63 - 1, 2**70])
def test_every_depth_a_grade_can_hold_survives(tmp_path: Path, depth: int) -> None:
    """`Grade.depth` is ceil(error / (u M)), without limit."""
    record = msgspec.structs.replace(ACCURACY, worst_depth=depth)
    assert read(write(tmp_path / "records.jsonl", record)).records == (record,)


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x0bb", "a\x1cb", "a\x85b", "a\u2028b", "a\u2029b", "∞ 🙂", ""])
def test_any_message_of_a_framework_survives(tmp_path: Path, text: str) -> None:
    """A line ends at a newline only: other separators that Python knows may stand in a message."""
    record = msgspec.structs.replace(FINDING, observed=text)
    assert read(write(tmp_path / "records.jsonl", record, ITEM)).records == (record, ITEM)


def test_statuses_are_those_of_the_verdicts() -> None:
    assert set(records.STATUSES) == {status.value for status in Status}
    assert len(records.STATUSES) == len(set(records.STATUSES))


def test_count_statuses() -> None:
    other = msgspec.structs.replace(ITEM, statuses={"pass": 5, "crash": 1})
    assert count_statuses([ITEM, other]) == {"pass": 7, "fail": 1, "crash": 1}
    assert count_statuses([]) == {}


# --- runs that were cut off ------------------------------------------------------------------------------


def test_a_file_without_footer_is_a_run_that_was_cut_off(tmp_path: Path) -> None:
    run = read(write(tmp_path / "records.jsonl", *RECORDS, footer=None))
    assert (run.records, run.footer) == (RECORDS, None)


def test_half_a_last_line_is_left_out(file: Path) -> None:
    """Cut anywhere behind the header, whole records before the cut remain."""
    data = file.read_bytes()
    starts = [0] + [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    for number in range(1, len(starts) - 1):
        start, end = starts[number], starts[number + 1] - 1
        for cut in (start, start + 1, (start + end) // 2, end - 1):
            file.write_bytes(data[:cut])
            run = read(file)
            assert (run.records, run.footer) == (RECORDS[: number - 1], None)


def test_a_cut_within_a_character_is_a_cut(file: Path) -> None:
    """The finding's text holds a character of three bytes."""
    data = file.read_bytes()
    middle = data.index("≠".encode()) + 1
    file.write_bytes(data[:middle])
    run = read(file)
    assert (run.records, run.footer) == (RECORDS[:2], None)


# --- files that are refused ------------------------------------------------------------------------------


def newer(line: str) -> str:
    return json.dumps(json.loads(line) | {"format": records.FORMAT + 1})


def test_a_newer_format_is_refused_and_says_what_to_do(file: Path) -> None:
    message = refusal(replace_line(file, 1, newer))
    assert str(file) in message
    assert f"format {records.FORMAT + 1}" in message
    assert f"up to {records.FORMAT}" in message
    assert "upgrade lossparity" in message


def test_a_newer_header_of_another_shape_is_still_recognised(file: Path) -> None:
    """The next format may rename what it likes, except `format`."""
    for line in ('{"type":"header","format":99}', '{"type":"preamble","format":99,"x":[1]}', '{"format":99}'):
        message = refusal(replace_line(file, 1, lambda _, line=line: line))
        assert "format 99" in message
        assert "upgrade lossparity" in message


def test_a_newer_file_is_called_newer_not_damaged(file: Path) -> None:
    """Its header may be readable and its records not: a record type that this version does not know."""
    replace_line(file, 1, newer)
    message = refusal(replace_line(file, 3, lambda _: '{"type":"trace","subject":"numpy"}'))
    assert "upgrade lossparity" in message
    assert "damaged" not in message


@pytest.mark.parametrize("number", [2, 4, 6])
@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[: len(line) // 2],
        lambda line: "",
        lambda line: '{"type":"nothing"}',
        lambda line: line * 2,
    ],
    ids=["half", "empty", "unknown", "doubled"],
)
def test_a_damaged_line_is_named(file: Path, number: int, damage: Callable[[str], str]) -> None:
    message = refusal(replace_line(file, number, damage))
    assert f"{file}:{number}:" in message
    assert "lossparity run" in message


def test_a_record_with_a_wrong_type_is_damage(file: Path) -> None:
    message = refusal(replace_line(file, 3, lambda line: line.replace('"count":1', '"count":"1"')))
    assert f"{file}:3:" in message
    assert "count" in message


def test_bytes_that_are_no_text_are_damage(file: Path) -> None:
    data = file.read_bytes().split(b"\n")
    data[3] = data[3][:20] + b"\xff\xfe" + data[3][20:]
    file.write_bytes(b"\n".join(data))
    message = refusal(file)
    assert str(file) in message
    assert "lossparity run" in message


@pytest.mark.parametrize("text", ["", "\n", "hello\n", "[1, 2]\n", '{"format": 1}\n', '{"type":"footer"}\n', "{"])
def test_other_files_are_not_records(tmp_path: Path, text: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(text)
    message = refusal(path)
    assert str(path) in message
    assert "not a records file" in message


def test_a_file_that_begins_with_a_record_is_not_a_records_file(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(lines[1:]) + "\n", encoding="utf-8")
    assert "not a records file" in refusal(file)


def test_two_runs_in_one_file_are_damage(file: Path) -> None:
    """A header or a footer in the middle would otherwise vanish, and two runs be counted as one."""
    text = file.read_text(encoding="utf-8")
    file.write_text(text + text, encoding="utf-8")
    assert f"{file}:" in refusal(file)


def test_a_missing_file_and_a_folder_say_what_to_name(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.jsonl", tmp_path):
        message = refusal(path)
        assert str(path) in message
        assert "name a records.jsonl or a folder that holds one" in message


def test_the_error_carries_the_exit_code() -> None:
    assert RecordsError.exit_code == 4


# --- finding files ---------------------------------------------------------------------------------------


def test_find_searches_folders_and_takes_files_as_they_are(tmp_path: Path) -> None:
    second = write(tmp_path / "b" / "records.jsonl")
    first = write(tmp_path / "a" / "deep" / "records.jsonl")
    other = write(tmp_path / "a" / "old.jsonl")
    assert find([tmp_path]) == [first, second]
    assert find([second, other]) == [second, other]
    assert find([tmp_path / "b", tmp_path / "a"]) == [second, first]


def test_find_refuses_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "full" / "records.jsonl")
    with pytest.raises(RecordsError) as caught:
        find([tmp_path / "full", tmp_path / "empty"])
    message = str(caught.value)
    assert str(tmp_path / "empty") in message
    assert "lossparity run --out" in message


# --- schema ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> jsonschema.protocols.Validator:
    """The published schema of one line; it has to be a schema itself."""
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


def test_the_schema_accepts_every_written_line(file: Path, validator: jsonschema.protocols.Validator) -> None:
    for line in file.read_text(encoding="utf-8").splitlines():
        validator.validate(json.loads(line))


@pytest.mark.parametrize(
    "change",
    [{"type": "nothing"}, {"count": "one"}, {"clause": None}, {"expected": 1}, {"divergence": 3}],
    ids=str,
)
def test_the_schema_refuses_what_the_reader_refuses(
    file: Path, validator: jsonschema.protocols.Validator, change: dict[str, Any]
) -> None:
    line = json.loads(file.read_text(encoding="utf-8").splitlines()[2]) | change
    assert not validator.is_valid(line)
    assert f"{file}:3:" in refusal(replace_line(file, 3, lambda _: json.dumps(line)))


def test_the_schema_refuses_a_line_that_lacks_a_field(file: Path, validator: jsonschema.protocols.Validator) -> None:
    for text, written in zip(file.read_text(encoding="utf-8").splitlines(), (HEADER, *RECORDS, FOOTER), strict=True):
        line = json.loads(text)
        for field in msgspec.structs.fields(written):
            without = {key: value for key, value in line.items() if key != field.name}
            assert validator.is_valid(without) is not field.required
        assert not validator.is_valid({key: value for key, value in line.items() if key != "type"})


def test_the_published_schema_is_current() -> None:
    """`reports/records.schema.json` is for readers without Python."""
    file = resources.files("lossparity.reports").joinpath("records.schema.json")
    assert json.loads(file.read_text(encoding="utf-8")) == json.loads(json.dumps(schema()))


def test_records_of_format_1_are_read(file: Path) -> None:
    """They say no loss, and their device in the header alone."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        newer = {"plan", "part", "families", "places"} if line["type"] == "header" else {"loss", "device"}
        for name in newer:
            line.pop(name, None)
        for table in ("subjects", "clauses", "divergences"):
            for row in line[table] if line["type"] == "header" else ():
                row.pop("loss", None)
    lines[0]["format"] = 1
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    early = read(file)
    assert early.matters == [("nll_loss", "cpu")]
    assert {(one.loss, one.device) for one in early.records} == {("nll_loss", "cpu")}
    assert (early.header.plan, early.header.part, early.header.places) == ("", None, {})
    lines[0]["format"] = 3
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert "format 3, this lossparity reads up to 2" in refusal(file)
