"""A bench run whose true times are known, for tests of what is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lossparity.reports import bench, framed
from lossparity.reports.bench import Bench, Cold, Contestant, Excluded, Footer, Header, Measured
from lossparity.specs.nll_loss.speed import point
from lossparity.specs.speed import Point

CORE = point(n=65536, classes=256)
NOISE = 0.003  # of a sample, as a share: what a quiet machine does


def measured(
    rng: np.random.Generator,
    true: dict[str, float],
    *,
    noise: float = NOISE,
    processes: int = 2,
    rounds: int = 20,
    point: Point = CORE,
    threads: str = "1",
) -> list[Measured]:
    """Samples of contestants whose times are known; each round shifts all of them together."""  # fmt: skip
    base = next(iter(true))
    true = true | {bench.TWIN: true[base], bench.EMPTY: 2e-8, bench.STREAM: 1e-4, bench.GATHER: 3e-4}
    found = []
    for process in range(processes):
        common = np.exp(rng.normal(0, 0.1, rounds))
        samples = {name: (t * common * np.exp(rng.normal(0, noise, rounds))).tolist() for name, t in true.items()}
        found.append(
            Measured(
                threads=threads, process=process, point=point, baseline=base, seconds=samples,
                loops=dict.fromkeys(true, 1), read=5 << 20, written=4, lines=65536, switches=3, stolen=0.0,
            )
        )  # fmt: skip
    return found


def a_bench(
    records: list[Any], *, footer: bool = True, names: tuple[str, ...] = ("base", "other"), loss: str = "nll_loss"
) -> Bench:
    """A bench run of contestants with these names."""
    header = Header(
        format=bench.FORMAT, loss=loss, lossparity="0", started="2026-01-01T00:00:00+00:00", command="lossparity bench",
        budget=300, processes=2, rounds=20, seed=0, device="cpu", baseline="base", machine={"cache L3": "8M"},
        environment={}, absent={},
        contestants=tuple(
            Contestant(name=name, backend="numpy", version="2", kind="composed" if name == "base" else "baseline",
                       style="eager", says="another </script> way", differs="nothing")
            for name in names
        ),
    )  # fmt: skip
    end = Footer(finished="2026-01-01T00:05:00+00:00", seconds=290.0, complete=False, left=7)
    return Bench("bench.jsonl", header, tuple(records), end if footer else None)


def stored(path: Path, records: list[Any], footer: bool = True, loss: str = "nll_loss") -> Bench:
    """The same, written to a file."""
    whole = a_bench(records, footer=footer, loss=loss)
    writer = framed.Writer(path, whole.header)
    for one in (*records, *[whole.footer] * footer):
        writer.write(one)
    return whole


def everything() -> list[Any]:
    """Records of every kind."""
    rng = np.random.default_rng(0)
    records: list[Any] = measured(rng, {"base": 1e-3, "other": 2e-3})
    records += measured(rng, {"base": 1e-3, "other": 0.9e-4}, threads="all")
    records.append(Cold(process=0, backend="numpy", import_seconds=0.1, first={"base": 0.2, "other": 0.1},
                        second={"base": 0.1, "other": 0.1}, compilations={"base": 0, "other": 1}))  # fmt: skip
    records.append(Excluded(threads="1", point=CORE.name, contestant="third", reason="wrong by 3", kind="wrong"))
    return records
