"""A short file of records, with one of each kind, for tests of reading and writing it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lossparity.reports import records
from lossparity.reports.framed import Writer
from lossparity.reports.records import (
    AbsentBackend,
    Accuracy,
    ClauseInfo,
    DivergenceInfo,
    Finding,
    Footer,
    Header,
    Item,
    Observation,
    SubjectInfo,
    Tally,
    read,
)
from lossparity.specs.errors import RecordsError

HEADER = Header(
    format=records.FORMAT,
    lossparity="0.1.0",
    started="2025-11-24T06:00:00Z",
    command="lossparity run --profile quick",
    profile="quick",
    seed=0,
    strict=False,
    machine={"cpu": "x86_64", "python": "3.11"},
    subjects=(
        SubjectInfo(
            name="numpy",
            backend="numpy",
            version="2.4",
            device="cpu",
            binding="composed",
            style="eager",
            dtypes=("float32",),
            target_dtypes=("int64",),
            gradual_underflow={"float32": True},
        ),
    ),
    absent=(AbsentBackend("torch", "pip install lossparity[torch]"),),
    clauses=(ClauseInfo("VALUE-1", "VALUE", "MUST", "-w[t] x[n, t]", "T"),),
    divergences=(
        DivergenceInfo(
            id="D-1",
            title="mean of nothing is 0",
            subjects=("keras",),
            clauses=("IGN-6",),
            cause="A-1",
            explanation="0/0",
            references=(),
            reproducer="",
            selector="",
            vector="",
        ),
    ),
)
ITEM = Item(
    id="numpy/ignore/float32",
    subject="numpy",
    device="cpu",
    family="ignore",
    dtype="float32",
    planned=3,
    statuses={"pass": 2, "fail": 1},
    unexpected=1,
    seconds=0.25,
    framework_seconds=0.125,
    compilations=0,
    compile_seconds=0.0,
)
TALLY = Tally(
    subject="numpy",
    device="cpu",
    family="ignore",
    dtype="float32",
    clause="IGN-6",
    status="fail",
    expected=True,
    divergence="D-1",
    count=1,
)
FINDING = Finding(
    subject="numpy",
    device="cpu",
    family="ignore",
    dtype="float32",
    clauses=("IGN-6",),
    flags=("empty",),
    status="fail",
    expected=False,
    divergence=None,
    because="the mean of nothing is 0 ≠ NaN",
    observed="0.0",
    exact="nan",
    distance="",
    call={"input": {"dtype": "float32", "shape": [0, 3], "values": []}, "weight": None},
    summary="input=float32[0, 3]",
    digest="0123456789abcdef",
    origin="corpus",
)
ACCURACY = Accuracy(
    subject="numpy",
    device="cpu",
    dtype="float32",
    reduction="sum",
    decade=2,
    judged=5,
    uninformative=1,
    correctly_rounded=4,
    ulps={"0": 4, "0.51": 1},
    levels={"E0": 4, "E3": 1},
    worst_ulps=0.51,
    worst_utilisation=0.125,
    worst_depth=3,
    worst_call=None,
    worst_observed="0x1p+0",
    worst_exact="1",
)
OBSERVATION = Observation(
    subject="numpy", device="cpu", dtype="float32", clause="SPECIAL-4", what="-0 under none", count=7
)
RECORDS = (ITEM, TALLY, FINDING, ACCURACY, OBSERVATION)
FOOTER = Footer(ended="complete", exit_code=1, seconds=1.5, planned=3, statuses={"pass": 2, "fail": 1}, unexpected=1)


def write(path: Path, *lines: Any, footer: Footer | None = FOOTER) -> Path:
    """A records file with these records; without footer it ends as a run that was cut off."""
    writer = Writer(path, HEADER)
    for line in lines:
        writer.write(line)
    if footer is not None:
        writer.close(footer)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(RecordsError) as caught:
        read(path)
    return str(caught.value)


def replace_line(path: Path, number: int, change: Callable[[str], str]) -> Path:
    """Change one line, counted from 1."""
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[number - 1] = change(lines[number - 1])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
