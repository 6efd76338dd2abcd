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


class Aspect(enum.StrEnum):
    """From where an outcome is looked at. The head of clauses.toml explains those that decide clauses."""

    RETURNED = "returned"  # no exception, and the right shape and dtype: else every clause of the call fails
    COARSE = "coarse"  # decides no clause: what known divergences are held to where no bound says anything
    RAISES = "raises"
    SHAPE = "shape"
    DTYPE = "dtype"
    VALUE = "value"
    ACCURACY = "accuracy"
    DEPTH = "depth"
    ROUNDING = "rounding"
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
    """One normative sentence; the head of clauses.toml explains the fields."""

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

    `texts` stands for files where there is no package. Two specifications may have clauses of one id: what is
    remembered of a clause is remembered of these Rules.
    """

    package: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    _flags_of: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict, init=False, repr=False)

    @functools.cached_property
    def clauses(self) -> Mapping[str, Clause]:
        """All clauses by id, in the order of the table; raises SpecError when the table is broken."""
        rows = load_table(self.text("clauses.toml"), "clause", Clause, "clauses.toml", SpecError)
        for row in rows:
            if row.level not in LEVELS:
                raise SpecError(f"clauses.toml: {row.id}: level {row.level!r}; {nearest(row.level, LEVELS)}")
            for aspect in set(row.judges) - DECIDING:
                raise SpecError(f"clauses.toml: {row.id}: judges {aspect!r}; {nearest(aspect, DECIDING)}")
        return {row.id: row for row in rows}

    @functools.cached_property
    def flags(self) -> Mapping[str, Flag]:
        """All flags by name; raises SpecError when the table is broken."""
        rows = load_table(self.text("flags.toml"), "flag", Flag, "flags.toml", SpecError, name="name")
        return {row.name: row for row in rows}

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
        """A data file of the specification."""
        if name in self.texts:
            return self.texts[name]
        return resources.files(self.package).joinpath(name).read_text(encoding="utf-8")
