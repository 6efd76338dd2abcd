"""What `lossparity mutants` found: the kill matrix, as it is stored in mutants.json and shown on a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from ..specs.errors import RecordsError
from .records import EARLY_LOSS
from .verdict import plural
from .whole import write_bytes

FORMAT = 2
FILE, PAGE = "mutants.json", "mutants.html"


class Edit(msgspec.Struct, frozen=True):
    """One edit of the correct loss."""

    before: str
    after: str


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """A wrong implementation and what sees it."""

    name: str
    framework: str
    says: str  # the fault in words
    edits: tuple[Edit, ...]
    flags: tuple[str, ...]
    named: tuple[str, ...]  # clauses that must see it by their own checks alone
    families: dict[str, int]  # that kill it -> calls until they do
    clauses: tuple[str, ...]  # that see it, in the calls that were run
    vectors: tuple[str, ...]  # that kill it
    calls: int  # of the plan until the first kill
    seconds: float  # that they took, without the start of the process
    because: str  # the first kill in words
    caught_by: dict[str, bool]  # rival -> whether it notices

    @property
    def killed(self) -> bool:
        """Whether any family kills it."""
        return bool(self.families)

    @property
    def missed_by(self) -> tuple[str, ...]:
        """The clauses that should see it and do not."""
        return tuple(clause for clause in self.named if clause not in self.clauses)


class Correct(msgspec.Struct, frozen=True, kw_only=True):
    """A correct implementation, and what it was accused of."""

    name: str
    framework: str
    says: str  # how it differs
    edits: tuple[Edit, ...]
    departs: tuple[str, ...]  # SHOULD clauses that it need not meet
    calls: int
    alarms: tuple[str, ...]  # accusations in words; each is a fault of the suite
    caught_by: dict[str, bool]  # rival -> whether it accuses it, too


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """A test that users would write, or take, instead; `absent` says why it was not run."""

    name: str
    says: str
    checks: int = 0
    absent: str = ""


class Vacuous(msgspec.Struct, frozen=True):
    """A vector that kills no mutant, or not the ones that it says it kills; no reason to be there is a defect."""

    id: str
    why: str
    lies: tuple[str, ...] = ()


class Zoo(msgspec.Struct, frozen=True, kw_only=True):
    """A run of one loss's variants."""

    lossparity: str
    started: str
    command: str
    machine: dict[str, str]
    loss: str = EARLY_LOSS
    profile: str
    seeds: int  # that the correct ones were run with
    thorough: bool  # every case was run, not only those that could add a family or a named clause
    families: tuple[str, ...]
    mutants: tuple[Mutant, ...]
    correct: tuple[Correct, ...]
    rivals: tuple[Rival, ...]
    vectors: int
    vacuous: tuple[Vacuous, ...]
    absent: dict[str, str]  # framework -> why its variants were not run
    seconds: float

    @property
    def survivors(self) -> tuple[Mutant, ...]:
        """Mutants that nothing kills."""
        return tuple(mutant for mutant in self.mutants if not mutant.killed)

    @property
    def killed(self) -> int:
        """How many mutants are killed."""
        return len(self.mutants) - len(self.survivors)

    @property
    def accused(self) -> int:
        """How many correct implementations are accused."""
        return sum(bool(one.alarms) for one in self.correct)

    @property
    def blind(self) -> tuple[tuple[str, str], ...]:
        """(clause, mutant): clauses that do not see a mutant named for them."""
        return tuple((clause, mutant.name) for mutant in self.mutants for clause in mutant.missed_by)

    @property
    def alarms(self) -> tuple[str, ...]:
        """Accusations of correct implementations."""
        return tuple(f"{one.name}: {alarm}" for one in self.correct for alarm in one.alarms)

    @property
    def unjustified(self) -> tuple[str, ...]:
        """Vectors that kill nothing and give no reason."""
        return tuple(vector.id for vector in self.vacuous if not vector.why)

    @property
    def is_sound(self) -> bool:
        """Whether everything is as it has to be."""
        return not (self.survivors or self.blind or self.alarms or self.unjustified)

    def caught(self, rival: str) -> tuple[int, int, int]:
        """How many mutants a rival notices, of how many it was tried on, and how many correct ones it accuses."""
        tried = [one.caught_by[rival] for one in self.mutants if rival in one.caught_by]
        return sum(tried), len(tried), sum(one.caught_by.get(rival, False) for one in self.correct)

    def by_clause(self) -> dict[str, list[Mutant]]:
        """The mutants named for each clause."""
        found: dict[str, list[Mutant]] = {}
        for mutant in self.mutants:
            for clause in mutant.named:
                found.setdefault(clause, []).append(mutant)
        return found

    def headline(self) -> str:
        """The result in one line."""
        killed = f"{self.killed} of {len(self.mutants)} mutants killed"
        return f"{self.loss}: {killed}, {plural(len(self.alarms), 'false alarm')}"

    def sentence(self) -> str:
        """What was done, in one sentence."""
        calls = sum(one.calls for one in self.correct)
        return (
            f"{plural(len(self.correct), 'correct implementation')} passed through {calls:,} calls with "
            f"{plural(self.seeds, 'seed')}; {plural(len(self.by_clause()), 'clause')} judged alone, "
            f"{len(self.blind)} blind to a mutant of theirs; {plural(self.vectors, 'vector')}."
        )

    def typical(self) -> tuple[float, int]:
        """Medians of the seconds and of the calls until the first kill."""
        killed = [one for one in self.mutants if one.killed]
        if not killed:
            return 0.0, 0
        return median(one.seconds for one in killed), round(median(one.calls for one in killed))


class _Head(msgspec.Struct, frozen=True):
    """What a file of any format begins with."""

    format: int


class _File(msgspec.Struct, frozen=True):
    """A file of format 2; one of format 1 was the run of a single loss."""

    format: int
    zoos: tuple[Zoo, ...]


def write(zoos: Sequence[Zoo], out: Path) -> Path:
    """Write OUT/mutants.json, the runs of several losses, and return its path."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / FILE
    write_bytes(file, msgspec.json.format(msgspec.json.encode(_File(FORMAT, tuple(zoos))), indent=1) + b"\n")
    return file


def read(file: Path) -> tuple[Zoo, ...]:
    """The runs that `write` wrote; raises RecordsError for a file that is none, or newer than this lossparity."""
    try:
        text = file.read_bytes()
        format = msgspec.json.decode(text, type=_Head).format
        if format == 1:
            return (msgspec.json.decode(text, type=Zoo),)
        if format <= FORMAT:
            return msgspec.json.decode(text, type=_File).zoos
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordsError(f"{file}: {error}; write it anew with `lossparity mutants`") from error
    raise RecordsError(f"{file}: format {format}, this lossparity reads up to {FORMAT}; upgrade lossparity")
