"""How many calls each subject ran, and where the time went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..specs.stopwatch import PARTS
from .records import Item, count_statuses


@dataclass(frozen=True, slots=True)
class Effort:
    """One subject's calls and seconds. `ran` leaves out calls that were unsupported or not run."""

    subject: str
    planned: int
    ran: int
    statuses: dict[str, int]
    unexpected: int
    seconds: float
    framework_seconds: float
    compilations: int
    compile_seconds: float
    heartbeats: int
    split: dict[str, float]  # seconds by part of the work, empty where the records are older than that

    @property
    def rate(self) -> float:
        """Calls per second, checking included."""
        return self.ran / self.seconds if self.seconds else 0.0

    def share(self, part: str) -> float | None:
        """Share of the time that went into a part of the work (PARTS), None where it is not known."""
        spent = self.framework_seconds if part == "framework" else self.split.get(part)
        return None if spent is None or not self.seconds else spent / self.seconds

    @property
    def adds_up(self) -> bool:
        """Whether the calls planned are the sum over their statuses."""
        return self.planned == sum(self.statuses.values())


def efforts(items: Iterable[Item], subjects: Sequence[str]) -> list[Effort]:
    """Add up items by subject, in the order of `subjects`."""
    found: dict[str, list[Item]] = {name: [] for name in subjects}
    for item in items:
        found.setdefault(item.subject, []).append(item)
    return [_effort(name, mine) for name, mine in found.items()]


def _effort(subject: str, items: list[Item]) -> Effort:
    statuses = count_statuses(items)
    planned = sum(item.planned for item in items)
    return Effort(
        subject,
        planned,
        planned - statuses["unsupported"] - statuses["not_run"],
        dict(statuses),
        sum(item.unexpected for item in items),
        sum(item.seconds for item in items),
        sum(item.framework_seconds for item in items),
        sum(item.compilations for item in items),
        sum(item.compile_seconds for item in items),
        sum(item.heartbeats for item in items),
        {part: sum(item.split.get(part, 0.0) for item in items) for part in PARTS if any(item.split for item in items)},
    )
