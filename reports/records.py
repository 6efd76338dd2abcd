"""What a run remembers: the record types, and the file they are kept in, one JSON object a line.

A file opens with a `Header` and closes with a `Footer`; between them stand records in the order in which
workers finished. A file without footer is a run that was cut off, and is read as one. `FORMAT` is the version of
all this: newer files are refused. Early files (format 1) are about one loss, nll_loss, and say on which device only in
their header; they are read as if each record said it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..specs.call import Call
from ..specs.encoding import check_call, encode_call
from ..specs.errors import RecordsError
from ..specs.grades import Excess
from . import folder, framed

FILE = folder.RUN
FORMAT = 2

EARLY_LOSS = "nll_loss"  # what files of format 1 are about

UNEXPLAINED = "unexplained"  # what `Accuracy.outside` says of wrong numbers that no known divergence explains
INSTEAD = "NaN instead of an exception"  # what an `Observation` says of a call that must fail, where that is allowed

# Statuses in the order in which tables show them; the words of `lossparity.specs.case.Status`.
STATUSES = ("pass", "fail", "error", "crash", "timeout", "unsupported", "uninformative", "not_run")


class SubjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One way of executing a loss, as it was when the run started."""

    loss: str = EARLY_LOSS
    name: str
    backend: str
    version: str
    device: str
    binding: str  # native (the framework's own op), composed (our port) or user (a user's function)
    style: str  # eager, compiled, traced ...
    dtypes: tuple[str, ...]
    target_dtypes: tuple[str, ...]
    gradual_underflow: dict[str, bool]  # by dtype, probed
    notes: tuple[str, ...] = ()
    domain: str = ""  # of a user's function: what it was asked for, in words


class AbsentBackend(msgspec.Struct, frozen=True):
    """A backend that is not installed, and how to install it."""

    name: str
    install: str


class ClauseInfo(msgspec.Struct, frozen=True):
    """A clause as the run knew it, so that a report needs nothing else."""

    id: str
    family: str
    level: str  # MUST, SHOULD or RECORD
    statement: str
    source: str
    loss: str = EARLY_LOSS


class DivergenceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A known departure as the run knew it."""

    loss: str = EARLY_LOSS
    id: str
    title: str
    subjects: tuple[str, ...]
    clauses: tuple[str, ...]
    cause: str
    explanation: str
    references: tuple[str, ...]
    reproducer: str
    selector: str
    vector: str
    severity: str = ""  # in the words of reports/severity.py; empty in early files


class Part(msgspec.Struct, frozen=True, order=True):
    """Which part of a larger run one is."""

    number: int  # from 1
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class Header(msgspec.Struct, frozen=True, kw_only=True, tag="header"):
    """First line: what ran, where, on what.

    `plan` is a digest of what was to run, the same in all parts of a run; it is empty in early files.
    """

    format: int
    lossparity: str
    started: str  # ISO 8601, UTC
    command: str
    profile: str
    seed: int
    strict: bool
    machine: dict[str, str]
    subjects: tuple[SubjectInfo, ...]
    absent: tuple[AbsentBackend, ...]
    clauses: tuple[ClauseInfo, ...]
    divergences: tuple[DivergenceInfo, ...]
    plan: str = ""
    part: Part | None = None
    families: tuple[str, ...] = ()  # empty: all
    places: dict[str, str] = {}  # of losses that do not ship: where each was found


class Item(msgspec.Struct, frozen=True, kw_only=True, tag="item"):
    """One family of cases on one subject in one dtype. Counts are of calls, by the call's worst status."""

    id: str
    loss: str = EARLY_LOSS
    subject: str
    device: str = ""
    family: str
    dtype: str
    planned: int  # calls drawn, by the corpus and by exploration
    statuses: dict[str, int]
    unexpected: int  # calls whose outcome was not the expected one
    seconds: float
    framework_seconds: float  # spent inside the implementation, compilation included
    compilations: int
    compile_seconds: float
    heartbeats: int = 0  # outcomes perturbed on purpose that were all judged FAIL
    problem: str = ""  # what the suite itself got wrong here
    split: dict[str, float] = {}  # seconds by part of the work (specs/stopwatch.py); empty in early files
    returned: int = 0  # calls that came back with a result; 0 in early files
    declined: dict[str, int] = {}  # unsupported calls by the reason, numbers aside; empty in early files


class Tally(msgspec.Struct, frozen=True, kw_only=True, tag="tally"):
    """How often one clause came out one way in one item."""

    loss: str = EARLY_LOSS
    subject: str
    device: str = ""
    family: str  # of the generator; the clause has its own
    dtype: str
    clause: str
    status: str
    expected: bool
    divergence: str | None
    count: int


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """A call that ran before another one in the same process."""

    loss: str = EARLY_LOSS
    subject: str
    experiment: str  # the clause that it decides together with calls made of it, which ran too; or empty
    summary: str
    digest: str
    call: dict[str, Any] | None  # specs.encoding.encode_call; None where its arrays are large


class Finding(msgspec.Struct, frozen=True, kw_only=True, tag="finding"):
    """One call that did not simply pass, complete enough to be read and replayed alone.

    Kept for the first few of each kind in an item; tallies count them all.
    """

    loss: str = EARLY_LOSS
    subject: str
    device: str = ""
    family: str
    dtype: str
    clauses: tuple[str, ...]
    flags: tuple[str, ...]
    status: str
    expected: bool
    divergence: str | None
    because: str  # one sentence
    observed: str
    exact: str
    distance: str  # in ulp and in bounds, or empty
    symptom: str = ""  # what went wrong, in one word
    hint: str = ""  # what may be the cause, in a sentence; no verdict
    made_from: str = ""  # digest of the finding that was made smaller; no tally counts this one
    call: dict[str, Any]  # specs.encoding.encode_call
    summary: str  # the call in one line
    digest: str
    origin: str  # vector id, corpus or exploration
    # Of a crash or a timeout: the calls before it in the same process, newest first, where one of them may be to blame.
    before: tuple[Before, ...] = ()

    @classmethod
    def of(cls, call: Call, **told: Any) -> Finding:
        """A finding about a call, which says itself whose it is, how it is written, summed up and named."""
        told = {"loss": call.signature.loss} | told
        return cls(call=encode_call(call), summary=call.describe(), digest=call.digest(), **told)


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, tag="accuracy"):
    """How accurate one subject's results were in one dtype, reduction and decade of size.

    `ulps` counts errors in ulp, keyed by the error with two significant digits; `levels` counts ladder classes.
    The worst call is the one with the largest error in ulp among those judged. `deep` is the largest error, as a share,
    among those that miss ACC-4. Results that are no rounding errors are counted by themselves: `outside` names the
    known divergence that they show, or says that nothing explains them.
    """

    loss: str = EARLY_LOSS
    subject: str
    device: str = ""
    dtype: str
    reduction: str
    decade: int  # floor(log10(positions)), 0 for fewer than ten
    outside: str = ""  # empty: rounding errors; else a divergence's id, or UNEXPLAINED
    judged: int
    uninformative: int
    correctly_rounded: int
    ulps: dict[str, int]
    levels: dict[str, int]
    worst_ulps: float
    worst_relative: float | None = None  # the largest |error|/|exact|; None: nowhere defined, or an early file
    worst_utilisation: float
    worst_depth: int  # what is proven of a summation tree's height (specs/heights.py)
    worst_call: dict[str, Any] | None
    worst_observed: str
    worst_exact: str
    deep: Excess | None = None  # None: no call missed it, or an early file


class Observation(msgspec.Struct, frozen=True, kw_only=True, tag="observation"):
    """What was seen under a clause that is recorded and never judged."""

    loss: str = EARLY_LOSS
    subject: str
    device: str = ""
    dtype: str
    clause: str
    what: str
    count: int


class Footer(msgspec.Struct, frozen=True, kw_only=True, tag="footer"):
    """Last line: how the run ended. `planned` is the sum over `statuses`, checked."""

    ended: str  # complete, interrupted, or stopped: at the first unexpected result, or by a limit in minutes
    exit_code: int
    seconds: float
    planned: int
    statuses: dict[str, int]
    unexpected: int
    notes: tuple[str, ...] = ()  # sentences on what else happened, such as a worker that was killed from outside


Record = Item | Tally | Finding | Accuracy | Observation
Line = Header | Record | Footer

_decode_line = msgspec.json.Decoder(Line).decode


def _decode(text: str) -> Line:
    """A line; raises VectorError for arrays that cannot be what was written, before anybody makes them."""
    line = _decode_line(text)
    match line:
        case Finding(call=call, before=before):
            calls = [call, *(one.call for one in before)]
        case Accuracy(worst_call=call):
            calls = [call]
        case _:
            calls = []
    for call in calls:
        if call is not None:
            check_call(call)
    return line


class Matter(NamedTuple):
    """What a page is about: one loss on one device."""

    loss: str
    device: str


class Run(msgspec.Struct, frozen=True):
    """A records file, read."""

    path: str
    header: Header
    records: tuple[Record, ...]
    footer: Footer | None  # None: the run was cut off

    @property
    def matters(self) -> list[Matter]:
        """What the run is about: each loss on each device, in the order in which subjects are named."""
        return list(dict.fromkeys(Matter(one.loss, one.device) for one in self.header.subjects))

    def of(self, kind: type[Any]) -> list[Any]:
        """The records of one type, in file order."""
        return [record for record in self.records if isinstance(record, kind)]


def read(path: Path) -> Run:
    """Read a records file; raises RecordsError naming the file, the line and what to do."""
    where = "name a records.jsonl or a folder that holds one"
    header, lines = framed.read(path, Header, _decode, FORMAT, "records file", "lossparity run", where)
    for number, line in enumerate(lines, 2):
        if isinstance(line, Header) or isinstance(line, Footer) and number != len(lines) + 1:
            raise RecordsError(f"{path}:{number}: a second run begins here; keep each run in a file of its own")
    footer = lines[-1] if lines and isinstance(lines[-1], Footer) else None
    records = [line for line in lines if not isinstance(line, Header | Footer)]
    if header.format == 1:
        devices = {subject.name: subject.device for subject in header.subjects}
        records = [msgspec.structs.replace(one, device=devices.get(one.subject, "")) for one in records]
    return Run(str(path), header, tuple(records), footer)


def find(paths: Iterable[Path], *, earlier: bool = False) -> list[Path]:
    """The records files that `paths` name: files as they are, folders searched; raises RecordsError for none.

    Of several runs in folders named by their moments only the newest counts, unless `earlier` ones are asked for.
    """
    found: list[Path] = []
    for path in paths:
        inside = folder.files(path, FILE, earlier=earlier) if path.is_dir() else [path]
        if not inside:
            raise RecordsError(f"{path}: holds no {FILE}; `lossparity run --out {path}` writes one")
        found += inside
    return found


def schema() -> dict[str, Any]:
    """JSON Schema of one line of a records file; reports/records.schema.json is a copy for readers without Python."""
    return msgspec.json.schema(Line)


def count_statuses(items: Iterable[Item]) -> Counter[str]:
    """Calls by status over items."""
    total: Counter[str] = Counter()
    for item in items:
        total.update(item.statuses)
    return total
