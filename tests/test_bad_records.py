"""Records that hold what nobody wrote: refused with file, line and reason, within a second and a gigabyte."""

from __future__ import annotations

import base64
import json
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_run
from lossparity.reports import kills, records
from lossparity.specs.encoding import check_call, decode_array, encode_array
from lossparity.specs.errors import RecordsError, VectorError

from .test_cli import ROOT

GIGABYTE = 1 << 30


def bomb(size: int) -> str:
    """So many zero bytes, compressed."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 24)
    parts = [packer.compress(block) for _ in range(size >> 24)]
    return base64.b64encode(b"".join([*parts, packer.flush()])).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Path(sample_run.sample(tmp_path / "records.jsonl", unexpected=True).path)


def changed(file: Path, change: Callable[[dict[str, Any]], None], kind: str = "finding") -> int:
    """Change the first record of a kind, and return its line."""
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    number = next(number for number, line in enumerate(lines) if line["type"] == kind)
    change(lines[number])
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return number + 1


def of_call(array: Any) -> Callable[[dict[str, Any]], None]:
    def change(line: dict[str, Any]) -> None:
        line["call"]["input"] = array

    return change


ARRAYS = {
    "many": ({"dtype": "float32", "shape": [4_000_000_000], "values": ["0x1.0p+0"]}, "4,000,000,000 elements"),
    "many, few of them not 0": ({"dtype": "int8", "shape": [4_000_000_000], "at": [0], "values": [1]}, "elements"),
    "bomb": ({"dtype": "float32", "shape": [2], "zlib": bomb(1 << 32)}, "more compressed bytes than the 8"),
    "bomb in its shape": ({"dtype": "int8", "shape": [1 << 36], "zlib": bomb(1 << 28)}, "elements"),
    "few": ({"dtype": "float32", "shape": [200], "zlib": bomb(0)}, "fewer compressed bytes than the 800"),
    "cut": ({"dtype": "int8", "shape": [1 << 20], "zlib": bomb(1 << 24)[:1000]}, "few"),
    "no base64": ({"dtype": "int8", "shape": [9], "zlib": "a"}, "Error"),
    "no dtype": ({"dtype": "float31", "shape": [9], "values": [1]}, "float31"),
    "less than nothing": ({"dtype": "int8", "shape": [-1, -1], "values": [1]}, "elements"),
}  # fmt: skip


@pytest.mark.parametrize(("array", "words"), ARRAYS.values(), ids=ARRAYS)
def test_an_array_that_nobody_wrote_is_refused(array: Any, words: str, file: Path) -> None:
    number = changed(file, of_call(array))
    start = time.monotonic()
    with pytest.raises(RecordsError) as caught:
        records.read(file)
    assert time.monotonic() - start < 1
    for said in (f"{file}:{number}: call.input: ", words, "lossparity run"):
        assert said in str(caught.value)


@pytest.mark.parametrize(("array", "words"), ARRAYS.values(), ids=ARRAYS)
def test_nor_is_it_decoded(array: Any, words: str) -> None:
    start = time.monotonic()
    with pytest.raises(VectorError):
        decode_array(array)
    assert time.monotonic() - start < 1


def test_the_worst_call_and_calls_before_a_crash_are_looked_at_too(file: Path) -> None:
    array, _ = ARRAYS["many"]
    before = {"subject": "a", "experiment": "", "summary": "", "digest": "", "call": {"input": array}}
    text = file.read_bytes()
    number = changed(file, lambda line: line.update(before=[before]))
    with pytest.raises(RecordsError, match=f":{number}: call.input: .*4,000,000,000"):
        records.read(file)
    file.write_bytes(text)
    number = changed(file, lambda line: line.update(worst_call={"input": array}), "accuracy")
    with pytest.raises(RecordsError, match=f":{number}: call.input: .*4,000,000,000"):
        records.read(file)


@pytest.mark.parametrize("what", ["utf-8", "many", "bomb"])
def test_every_command_refuses_it_within_a_gigabyte(what: str, file: Path, tmp_path: Path) -> None:
    if what == "utf-8":
        lines = file.read_bytes().split(b"\n")
        number = next(number for number, line in enumerate(lines, 1) if b'"because":"' in line)
        lines[number - 1] = lines[number - 1].replace(b'"because":"', b'"because":"\xff\xfe', 1)
        file.write_bytes(b"\n".join(lines))
    else:
        number = changed(file, of_call(ARRAYS[what][0]))
    for command in (["report", str(file), "--out", str(tmp_path / "site")], ["replay", f"{file}#00"]):
        done = subprocess.run(
            [sys.executable, "-m", "lossparity.conformance.cli", *command],
            capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (GIGABYTE, GIGABYTE)),
        )  # fmt: skip
        assert done.returncode == 4, done.stdout + done.stderr
        assert done.stderr.startswith(f"lossparity: {file}:{number}: ")
        assert done.stderr.count("\n") == 1


def test_invalid_utf_8_in_the_header_and_in_the_last_line_is_named(file: Path) -> None:
    lines = file.read_bytes().splitlines()
    for number in (1, len(lines)):
        damaged = [*lines]
        damaged[number - 1] = damaged[number - 1].replace(b'":"', b'":"\xff', 1)
        file.write_bytes(b"\n".join([*damaged, b""]))
        with pytest.raises(RecordsError, match=f"{file}:{number}: .*"):
            records.read(file)
    file.write_bytes(b"\n".join(damaged))  # without its end a last line was cut off
    assert records.read(file).footer is None


def test_invalid_utf_8_in_a_kill_matrix_is_named(tmp_path: Path) -> None:
    (tmp_path / kills.FILE).write_bytes(b'{"format": 1, "lossparity": "\xff"}')
    with pytest.raises(RecordsError, match="write it anew"):
        kills.read(tmp_path / kills.FILE)


def test_what_is_written_is_accepted() -> None:
    ones = np.ones((1 << 20, 2), np.float16)
    odd = np.arange(100, dtype=np.int16).reshape(4, 25)
    large = np.broadcast_to(np.zeros((), np.float32), (1 << 31, 1))
    for array in (ones, odd, large, np.zeros((0, 3), np.float64), np.array(1.5, np.float32), odd.astype(np.complex64)):
        encoded = encode_array(array)
        check_call({"input": encoded, "reduction": "mean", "weight": None})
        decoded = decode_array(encoded)
        assert (decoded.dtype, decoded.shape) == (array.dtype, array.shape)
        if array.nbytes < GIGABYTE:
            assert decoded.tobytes() == array.tobytes()
