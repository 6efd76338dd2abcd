"""What a bench run remembers: raw seconds by round, and the file they are kept in, one JSON object a line.

A file opens with a `Header` and, once complete, closes with a `Footer`. Points, exclusions, cold starts and memory
stand between them as they were measured, so a run that was cut off can be resumed. Nothing here is a conclusion:
`lossparity.reports.ratios` and `lossparity.reports.limits` draw them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..specs.speed import Point
from . import bench_1, framed

FORMAT = 3
FILE = "bench.jsonl"
PAGE = "bench.html"

# What runs in each round beside the contestants.
TWIN, EMPTY, STREAM, GATHER = "twin", "empty", "stream", "gather"
ROOFS = (STREAM, GATHER)
REFERENCES = (TWIN, EMPTY, *ROOFS)
EXPONENTIALS = "exponentials"  # a roof of its own for each backend


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """A subject or a baseline that is timed."""

    name: str
    backend: str
    version: str
    kind: str  # native, composed, user or baseline
    style: str
    says: str = ""  # of a baseline: how it is written,
    differs: str = ""  # and what it means otherwise than the specification


class Header(msgspec.Struct, frozen=True, kw_only=True, tag="header"):
    """First line: what is timed, how, where."""

    format: int
    loss: str = bench_1.LOSS  # format 1 did not say
    lossparity: str
    started: str  # ISO 8601, UTC
    command: str
    budget: float  # seconds
    processes: int
    rounds: int  # in each process, at least
    seed: int
    device: str
    baseline: str
    machine: dict[str, str]
    environment: dict[str, str]  # variables set in the processes of one thread
    contestants: tuple[Contestant, ...]
    absent: dict[str, str]  # backend -> the line that installs it

    @property
    def settings(self) -> tuple[object, ...]:
        """What has to be equal for a run to be resumed."""
        return self.format, self.lossparity, self.loss, self.seed, self.device


class Memory(msgspec.Struct, frozen=True, kw_only=True, tag="memory"):
    """By how many bytes a process grows at most while a call runs, its result included."""

    backend: str
    points: tuple[Point, ...]
    peaks: dict[str, dict[str, int]]  # name of a point -> contestant -> bytes
    failed: dict[str, str] = {}  # contestant -> why something is missing


class Cold(msgspec.Struct, frozen=True, kw_only=True, tag="cold"):
    """What a fresh process pays before anything is warm."""

    process: int
    backend: str
    import_seconds: float
    first: dict[str, float]  # contestant -> seconds of its first call, compilation included
    second: dict[str, float]
    compilations: dict[str, int]
    failed: dict[str, str] = {}  # contestant -> why there is no first call


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag="measured"):
    """One point in one process: seconds per call, one number per round and contestant."""

    threads: str  # 1 or all
    process: int
    point: Point
    baseline: str  # what the twin is a twin of
    seconds: dict[str, list[float]]  # contestants and REFERENCES
    loops: dict[str, int]  # calls in a sample
    slow: dict[str, float] = {}  # contestant -> seconds of a single call: too slow for rounds
    read: int  # bytes that have to be moved
    written: int
    lines: int
    exponentials: int = 0  # that have to be computed,
    exponential_seconds: dict[str, list[float]] = {}  # and the time that a backend's own take in each round
    switches: int  # involuntary, of this process, while the rounds ran
    stolen: float  # share of the machine's time that its host gave to others meanwhile
    device_seconds: dict[str, list[float]] = {}  # by events of an accelerator, where there are any
    flushed: dict[str, list[float]] = {}  # with the accelerator's cache emptied before each call


class Excluded(msgspec.Struct, frozen=True, kw_only=True, tag="excluded"):
    """Why a contestant is not timed at a point."""

    threads: str
    point: str
    contestant: str
    reason: str
    kind: str  # unsupported, wrong, raised, crash, timeout


class Footer(msgspec.Struct, frozen=True, kw_only=True, tag="footer"):
    """Last line of a complete run."""

    finished: str
    seconds: float
    complete: bool  # whether every point of the sweep was measured
    left: int  # points that the budget had no time for


Record = Cold | Memory | Measured | Excluded
Line = Header | Record | Footer
_decode = msgspec.json.Decoder(Line).decode


def _decode_1(line: str) -> Line:
    """A line of format 1."""
    return msgspec.convert(bench_1.renewed(msgspec.json.decode(line, type=dict[str, Any])), Line)


@dataclasses.dataclass(frozen=True)
class Bench:
    """A bench file, read."""

    path: str
    header: Header
    records: tuple[Record, ...]
    footer: Footer | None

    @property
    def measured(self) -> list[Measured]:
        """In the order of measuring."""
        return [one for one in self.records if isinstance(one, Measured)]

    @property
    def excluded(self) -> list[Excluded]:
        """Each contestant once per point and number of threads."""
        found = {(one.threads, one.point, one.contestant): one for one in self.records if isinstance(one, Excluded)}
        return list(found.values())

    @property
    def cold(self) -> list[Cold]:
        """In the order of measuring."""
        return [one for one in self.records if isinstance(one, Cold)]

    @property
    def memory(self) -> list[Memory]:
        """In the order of measuring."""
        return [one for one in self.records if isinstance(one, Memory)]


def read(path: Path) -> Bench:
    """Read a bench file, or the one in a folder; raises RecordsError naming the file, the line and what to do.

    A run that was resumed has footers of its earlier parts in between; the last line alone says how it ended.
    """
    path = path / FILE if path.is_dir() else path
    where = f"`lossparity bench --out DIR` writes {FILE}"
    header, lines = framed.read(
        path, Header, _decode, FORMAT, "bench file", "lossparity bench", where, older={1: _decode_1}
    )
    footer = lines[-1] if lines and isinstance(lines[-1], Footer) else None
    return Bench(str(path), header, tuple(one for one in lines if not isinstance(one, Header | Footer)), footer)


def read_all(paths: Sequence[Path]) -> tuple[Bench, ...]:
    """The last of these files for each loss, in the order in which losses are first met; raises as `read` does."""
    return tuple({found.header.loss: found for found in map(read, paths)}.values())
