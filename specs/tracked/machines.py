"""How an implementation may compute: the machines whose errors are followed through a formula."""

from __future__ import annotations

from dataclasses import dataclass

from ..exact import FORMATS, Format
from ..reductions import HALVES, REQUIRED


@dataclass(frozen=True, slots=True)
class Machine:
    """Arithmetic in one format, sums in any order; with `flush` subnormal numbers may be read and written as 0."""

    format: Format
    flush: bool = False

    def sum_factor(self, terms: int) -> float:
        """The largest relative error, to the sum of sizes, of adding so many terms in any order: (n - 1) u."""
        return max(terms - 1, 0) * self.format.u


@dataclass(frozen=True, slots=True)
class Machines:
    """The machines on which a storage format is judged: those of `Within`'s three bands."""

    storage: Format
    required: Machine
    flushing: Machine
    own: Machine

    @property
    def distinct(self) -> tuple[Machine, ...]:
        """Each machine once; the format's own precision is the last, or the first where it is what is required."""
        pair = (self.required, self.flushing)
        return pair if self.own == self.required else (*pair, self.own)


def machines_for(dtype: str) -> Machines:
    """The machines for a storage format, float32 being required inside of half formats; raises KeyError."""
    storage, required = FORMATS[dtype], REQUIRED[dtype]
    own = Machine(storage) if storage in HALVES else Machine(required)
    return Machines(storage, Machine(required), Machine(required, flush=True), own)
