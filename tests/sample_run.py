"""Sample runs, made up but shaped like real ones, for the tests of everything that reads records."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from lossparity.reports import framed, records
from lossparity.reports.records import (
    Accuracy,
    ClauseInfo,
    DivergenceInfo,
    Finding,
    Item,
    Observation,
    Run,
    SubjectInfo,
    Tally,
)
from lossparity.specs.call import BFLOAT16, Call, dtype_of
from lossparity.specs.encoding import encode_call
from lossparity.specs.grades import Excess
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.stopwatch import PARTS
from sample_facts import CLAUSES, DIVERGENCES, DTYPES, MISSES, SHOWS, VARIANTS, subjects

_ROUNDOFF = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
HOSTILE = "<script>alert('&amp;')</script> \"quoted\" `ticked` | piped"


def sample(
    path: Path,
    *,
    backends: Sequence[str] = tuple(VARIANTS),
    started: str = "2026-07-14T02:30:00+00:00",
    unexpected: bool = False,
    ended: str | None = "complete",
    seed: int = 1,
    clauses: Sequence[ClauseInfo] = CLAUSES,
    divergences: Sequence[DivergenceInfo] = DIVERGENCES,
) -> Run:
    """Write a sample run to `path` and read it back; `ended=None` leaves it cut off, without a footer."""
    header = _header(backends, started, seed, clauses, divergences)
    writer = framed.Writer(path, header)
    written = [record for subject in header.subjects for record in _subject(subject, header, unexpected, seed)]
    for record in written:
        writer.write(record)
    items = [record for record in written if isinstance(record, Item)]
    statuses = records.count_statuses(items)
    if ended:
        writer.close(
            records.Footer(
                ended=ended,
                exit_code=2 if ended != "complete" else int(unexpected),
                seconds=sum(item.seconds for item in items) / 2,
                planned=sum(item.planned for item in items),
                statuses=dict(statuses),
                unexpected=sum(item.unexpected for item in items),
            )
        )
    return records.read(path)


def _header(
    backends: Sequence[str],
    started: str,
    seed: int,
    clauses: Sequence[ClauseInfo],
    divergences: Sequence[DivergenceInfo],
) -> records.Header:
    return records.Header(
        format=records.FORMAT,
        lossparity="0.1.0",
        started=started,
        command=f"lossparity run {' '.join('-b ' + backend for backend in backends)} --profile quick",
        profile="quick",
        seed=seed,
        strict=False,
        machine={
            "system": "Linux 6.8 x86_64",
            "processor": "AMD EPYC 7R13, 2 cores",
            "python": "3.12.11",
            "threads": "2",
        },
        subjects=subjects(backends),
        absent=tuple(
            records.AbsentBackend(name, f"pip install 'lossparity[{name}]'")
            for name in VARIANTS
            if name not in backends
        ),
        clauses=tuple(clauses),
        divergences=tuple(d for d in divergences if any(s.split(":")[0] in backends for s in d.subjects)),
    )


def _subject(subject: SubjectInfo, header: records.Header, unexpected: bool, seed: int) -> list[records.Record]:
    rng = random.Random(f"{seed} {subject.name}")
    made: list[records.Record] = []
    for family in dict.fromkeys(clause.family for clause in header.clauses):
        for dtype in DTYPES:
            tallies, findings = _clauses(subject, family, dtype, header, unexpected, rng)
            made += [_item(subject, family, dtype, tallies, rng), *tallies, *findings]
    return made + _observations(subject, rng) + _accuracy(subject, rng)


def _clauses(
    subject: SubjectInfo,
    family: str,
    dtype: str,
    header: records.Header,
    unexpected: bool,
    rng: random.Random,
) -> tuple[list[Tally], list[Finding]]:
    tallies: list[Tally] = []
    findings: list[Finding] = []
    for clause in (clause for clause in header.clauses if clause.family == family):
        for kind, count in _kinds(subject, clause, dtype, unexpected, rng).items():
            status, expected, divergence = kind
            key = {
                "subject": subject.name,
                "device": subject.device,
                "family": family.lower(),
                "dtype": dtype,
                "clause": clause.id,
            }
            outcome = {"status": status, "expected": expected, "divergence": divergence, "count": count}
            tallies.append(Tally(**key, **outcome))
            if status not in ("pass", "unsupported", "not_run") or not expected:
                findings += [_finding(subject, clause, dtype, kind, rng) for _ in range(min(2, count))]
    return tallies, findings


def _kinds(
    subject: SubjectInfo, clause: ClauseInfo, dtype: str, unexpected: bool, rng: random.Random
) -> dict[tuple[str, bool, str | None], int]:
    calls = rng.randint(20, 120)
    where = (clause.id, subject.name)
    if clause.id == "VALUE-9" or (clause.id.startswith("SPECIAL-4") and subject.backend == "numpy"):
        return {}
    if dtype not in subject.dtypes or (clause.family == "LAYOUT" and subject.backend in ("jax", "tensorflow")):
        return {("unsupported", True, None): calls}
    if clause.id == "PURE-5" and subject.backend == "tensorflow":
        return {("not_run", True, None): calls}
    if clause.id == "REL-3" and subject.name == "jax:jit":
        return {("uninformative", True, None): calls}
    kinds: dict[tuple[str, bool, str | None], int] = {("pass", True, None): calls}
    if where in SHOWS:
        kinds["crash" if clause.id == "SHAPE-6" else "fail", True, SHOWS[where]] = rng.randint(3, 900)
    if where in MISSES:
        kinds["fail", True, None] = rng.randint(1, 40)
    if clause.family in ("ACC", "REL"):
        kinds["uninformative", True, None] = rng.randint(0, 5) or 1
    if unexpected:
        kinds |= _surprises(where, dtype)
    return kinds


def _surprises(where: tuple[str, str], dtype: str) -> dict[tuple[str, bool, str | None], int]:
    if where == ("IGN-4", "torch:compile") and dtype == "float32":
        return {("fail", False, None): 3}
    if where == ("GRAD-2", "torch:compile") and dtype == "float64":
        return {("pass", False, "torch-compile-long-gone"): 1}
    if where == ("GRAD-8", "tensorflow") and dtype == "float32":
        return {("timeout", True, None): 1}
    if where == ("VALUE-6", "jax:jit") and dtype == "bfloat16":
        return {("crash", False, None): 1}
    return {}


def _item(subject: SubjectInfo, family: str, dtype: str, tallies: list[Tally], rng: random.Random) -> Item:
    statuses: Counter[str] = Counter()
    for tally in tallies:
        statuses[tally.status] += tally.count
    planned, compiled = statuses.total(), subject.style == "compiled"
    seconds = planned * rng.uniform(0.5, 2.0) * (4e-3 if compiled else 1e-3)
    inside = seconds * rng.uniform(0.2, 0.8)
    return Item(
        id=f"{family.lower()}[{subject.name}-{dtype}]",
        subject=subject.name,
        device=subject.device,
        family=family.lower(),
        dtype=dtype,
        planned=planned,
        statuses=dict(statuses),
        unexpected=sum(tally.count for tally in tallies if not tally.expected),
        seconds=seconds,
        framework_seconds=inside,
        compilations=rng.randint(1, 6) if compiled else 0,
        compile_seconds=seconds * 0.3 if compiled else 0.0,
        heartbeats=4,
        split={part: inside if part == "framework" else (seconds - inside) / (len(PARTS) - 1) for part in PARTS},
    )


def call(rng: random.Random, dtype: str, *, large: bool = False) -> Call:
    """A legal call with weights."""
    n, c = (3000, 7) if large else (rng.randint(2, 6), rng.randint(2, 5))
    values = np.array([rng.uniform(-9, 0) for _ in range(n * c)]).reshape(n, c)
    weight = np.array([rng.uniform(0.5, 2) for _ in range(c)])
    target = np.array([rng.randrange(c) for _ in range(n)], dtype=np.int64)
    kind = BFLOAT16 if dtype == "bfloat16" else dtype_of(dtype)
    return NLL_LOSS.call(values.astype(kind), target, weight.astype(kind), -100, rng.choice(["none", "sum", "mean"]))


def _finding(
    subject: SubjectInfo,
    clause: ClauseInfo,
    dtype: str,
    kind: tuple[str, bool, str | None],
    rng: random.Random,
) -> Finding:
    status, expected, divergence = kind
    made = call(rng, dtype, large=rng.random() < 0.1)
    because = {
        "crash": "the process ended by SIGABRT while the call ran",
        "timeout": "no answer within 60 s",
        "pass": "a known divergence no longer shows: remove its row or narrow its versions",
        "uninformative": "the error bound is wider than half the exact value",
    }.get(status, "the result is 11.2 times as far from the exact value as its error bound allows")
    return Finding(
        subject=subject.name,
        device=subject.device,
        family=clause.family.lower(),
        dtype=dtype,
        clauses=(clause.id, "ACC-2") if clause.id == "VALUE-3" else (clause.id,),
        flags=("ShortAccumulator",) if divergence else (),
        status=status,
        expected=expected,
        divergence=divergence,
        because=because if expected else f"{because}; {HOSTILE}",
        observed="" if status in ("crash", "timeout") else "8.0 (0x1.0000000000000p+3)",
        exact="3.5439453125 (0x1.c5a0000000000p+1)",
        distance="2,281 ulp, 11.2 bounds" if status == "fail" else "",
        call=encode_call(made),
        summary=made.describe(),
        digest=made.digest(),
        origin="corpus",
    )


def _observations(subject: SubjectInfo, rng: random.Random) -> list[records.Record]:
    seen: dict[str, list[str]] = {
        "SHAPE-8": [
            "C=0, N=0: mean is NaN",
            "C=0, all ignored: raised" if subject.backend == "torch" else "C=0, all ignored: 0",
        ],
        "SPECIAL-4": ["ignored position: +0", "sum of nothing: -0"],
        "ERR-10": [
            {"torch": "target >= C: IndexError: Target 7 is out of bounds."}.get(
                subject.backend, "target >= C: ValueError"
            )
        ],
        "ERR-1": [records.INSTEAD] if subject.name == "jax:jit" else [],
        "GRAD-9": ["all-ignored mean: gradient 0" if subject.backend == "jax" else "all-ignored mean: gradient NaN"],
    }
    return [
        Observation(
            subject=subject.name, device=subject.device, dtype=dtype, clause=clause, what=what, count=rng.randint(1, 30)
        )
        for clause, texts in seen.items()
        for what in texts
        for dtype in subject.dtypes
    ]


def _accuracy(subject: SubjectInfo, rng: random.Random) -> list[records.Record]:
    return [
        _accurate(subject, dtype, reduction, decade, rng)
        for dtype in subject.dtypes
        for reduction in ("none", "sum", "mean")
        for decade in range(5)
    ] + _outside(subject, rng)


def _outside(subject: SubjectInfo, rng: random.Random) -> list[records.Record]:
    """Wrong numbers: some that a known divergence explains, infinities among them, and some that nothing does."""
    made = {
        "tensorflow": [(2, SHOWS["IGN-8", "tensorflow"], 3e9, 250.0), (3, SHOWS["IGN-8", "tensorflow"], 0.0, None)],
        "torch": [(1, records.UNEXPLAINED, 7e6, 0.42)],
    }
    return [
        msgspec.structs.replace(
            _accurate(subject, "float32", "sum", decade, rng),
            **{"outside": outside, "ulps": {f"{ulps:.2g}": 3} if ulps else {}, "judged": 3, "levels": {"X": 3}},
            **{"worst_ulps": ulps, "worst_relative": relative, "worst_depth": 0, "deep": None},
        )
        for decade, outside, ulps, relative in made.get(subject.name, [])
    ]


def _accurate(subject: SubjectInfo, dtype: str, reduction: str, decade: int, rng: random.Random) -> Accuracy:
    growth = {"numpy": 0.15, "torch": 0.3, "jax": 0.45, "tensorflow": 0.75}[subject.backend]
    if dtype in ("float16", "bfloat16"):
        growth = 0.9 if subject.backend == "torch" and reduction == "mean" else 0.0
    worst = (
        0.5
        if reduction == "none" or decade == 0
        else float(f"{0.5 + 10 ** (growth * decade) * rng.uniform(0.1, 0.6):.2g}")
    )
    ulps, levels = _errors(rng, worst)
    judged, made = sum(ulps.values()), call(rng, dtype)
    return Accuracy(
        subject=subject.name,
        device=subject.device,
        dtype=dtype,
        reduction=reduction,
        decade=decade,
        judged=judged,
        uninformative=rng.randint(0, 9) if reduction != "none" else 0,
        correctly_rounded=levels.get("E0", 0) + levels.get("E1", 0),
        ulps=ulps,
        levels=levels,
        worst_ulps=worst,
        worst_relative=worst * _ROUNDOFF[dtype],
        worst_utilisation=0.0 if reduction == "none" else min(1.0, 0.05 + worst / 3000),
        worst_depth=0 if reduction == "none" else int(worst * 2) + 1,
        worst_call=encode_call(made),
        worst_observed="-0x1.8p+3",
        worst_exact="-0x1.7ffffep+3",
        deep=_deep(subject, dtype, reduction, decade),
    )


def _deep(subject: SubjectInfo, dtype: str, reduction: str, decade: int) -> Excess | None:
    """A running sum's error, where the sample misses ACC-4."""
    if ("ACC-4", subject.name) not in MISSES or reduction == "none" or decade < 3:
        return None
    terms = 7 * 10**decade
    return {"float32": Excess(2.0**-24 * terms, 98 * 2.0**-24, terms)}.get(dtype)


def _errors(rng: random.Random, worst: float) -> tuple[dict[str, int], dict[str, int]]:
    ulps: Counter[str] = Counter()
    for _ in range(rng.randint(40, 120)):
        ulps[f"{min(worst, max(0.0, rng.lognormvariate(-2, 1.4)) * max(1.0, worst / 6)):.2g}"] += 1
    ulps[f"{worst:.2g}"] += 1
    errors: Any = [(float(error), number) for error, number in ulps.items()]
    levels = {
        "E0": ulps.get("0", 0),
        "E1": sum(n for e, n in errors if 0 < e <= 0.5),
        "E2": sum(n for e, n in errors if 0.5 < e <= 1.5),
        "E5": sum(n for e, n in errors if e > 1.5),
    }
    return dict(ulps), {level: number for level, number in levels.items() if number}
