"""The tables of a specification: its clauses, and the bug classes that break them."""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

import msgspec

from .errors import SpecError, UsageError, nearest
from .tables import load_table

LEVELS = ("MUST", "SHOULD", "RECORD")
COMMON = "lossparity.specs.common"  # tables of what any loss may take


class Aspect(enum.StrEnum):
    """From where an outcome is looked at. The head of common/clauses.toml explains those that decide clauses."""

    RETURNED = "returned"  # no exception, and the right shape and dtype: else every clause of the call fails
    COARSE = "coarse"  # decides no clause: what known divergences are held to where no bound says anything
    RAISES = "raises"
    SHAPE = "shape"
    DTYPE = "dtype"
    VALUE = "value"
    ACCURACY = "accuracy"
    DEPTH = "depth"
    ROUNDING = "rounding"
    CAREFUL = "careful"
    OVERFLOW = "overflow"
    CERTIFIED = "certified"
    PATTERN = "pattern"
    SCALING = "scaling"
    SUBNORMALS = "subnormals"
    ARGUMENTS = "arguments"
    ELSEWHERE = "elsewhere"
    IGNORED = "ignored"
    ALIASES = "aliases"
    STATE = "state"
    REPEATABLE = "repeatable"
    THREADS = "threads"
    RELATION = "relation"


DECIDING = frozenset(Aspect) - {Aspect.RETURNED, Aspect.COARSE}  # aspects that a clause may be decided by


class Clause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One normative sentence; the head of common/clauses.toml explains the fields."""

    id: str
    level: str
    statement: str
    source: str
    judges: tuple[str, ...]
    flags: tuple[str, ...]
    families: tuple[str, ...]

    @property
    def family(self) -> str:
        """The id without its number, e.g. SHAPE."""
        return self.id.split("-")[0]


class Flag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One bug class."""

    name: str
    fault: str
    effect: str
    seen_in: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Rules:
    """The tables of one specification, read when they are needed: clauses.toml and flags.toml of a package.

    `texts` stands for files where there is no package. Clauses may be taken from those that are common to all losses,
    and common flags are had by naming them. Two specifications may have clauses of one id: what is remembered of a
    clause is remembered of these Rules.
    """

    package: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    _flags_of: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict, init=False, repr=False)

    @functools.cached_property
    def clauses(self) -> Mapping[str, Clause]:
        """All clauses by id, in the order of the table; raises SpecError when the table is broken."""
        where = self.place("clauses.toml")
        shared = None if self.package == COMMON else common().clauses
        rows = load_table(self.text("clauses.toml"), "clause", Clause, where, SpecError, common=shared)
        for row in rows:
            if row.level not in LEVELS:
                raise SpecError(f"{where}: {row.id}: level {row.level!r}; {nearest(row.level, LEVELS)}")
            for aspect in set(row.judges) - DECIDING:
                raise SpecError(f"{where}: {row.id}: judges {aspect!r}; {nearest(aspect, DECIDING)}")
        return {row.id: row for row in rows}

    @functools.cached_property
    def flags(self) -> Mapping[str, Flag]:
        """Flags by name: common ones that clauses name, then its own; raises SpecError when the table is broken."""
        rows = load_table(self.text("flags.toml"), "flag", Flag, self.place("flags.toml"), SpecError, name="name")
        own = {row.name: row for row in rows}
        if self.package == COMMON:
            return own
        named = {flag for clause in self.clauses.values() for flag in clause.flags}
        return {name: flag for name, flag in common().flags.items() if name in named} | own

    def find(self, name: str) -> Clause:
        """The clause with this id, in any case; raises UsageError that offers the nearest ones."""
        if name.upper() not in self.clauses:
            raise UsageError(f"no clause {name!r}; {nearest(name.upper(), self.clauses)}")
        return self.clauses[name.upper()]

    def flags_of(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        """The bug classes that break any of these clauses."""
        if ids not in self._flags_of:
            self._flags_of[ids] = tuple(sorted({flag for id in ids for flag in self.clauses[id].flags}))
        return self._flags_of[ids]

    def text(self, name: str) -> str:
        """A data file of the specification; raises SpecError where there is none of this name."""
        if name in self.texts:
            return self.texts[name]
        if not self.package:
            raise SpecError(f"{name}: missing; give its text among `texts`, or the package that it lies in")
        return resources.files(self.package).joinpath(name).read_text(encoding="utf-8")

    def place(self, name: str) -> str:
        """What messages call a table: its path from where packages lie, and its name alone without a package."""
        return "/".join([*filter(None, self.package.split(".")), name])


@functools.cache
def common() -> Rules:
    """What any loss may take; no loss has just these."""
    return Rules(COMMON)
