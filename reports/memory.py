"""How much memory the calls of a bench run took, in multiples of the input's bytes."""

from __future__ import annotations

from dataclasses import dataclass

from ..specs.speed import Point
from .bench import Bench


@dataclass(frozen=True, slots=True)
class Cell:
    """What a contestant's call took at a point."""

    nbytes: int
    multiple: float  # of the input's bytes


@dataclass(frozen=True, slots=True)
class Table:
    """By contestant a cell for each point, None where nothing was measured, and why something is missing."""

    points: tuple[Point, ...]
    rows: dict[str, tuple[Cell | None, ...]]
    failed: dict[str, str]


def table(bench: Bench) -> Table | None:
    """What was measured, contestants in the order of the header; None where nothing was."""
    if not bench.memory:
        return None
    points = bench.memory[0].points
    cells = {
        (name, point.name): Cell(grown, grown / point.nbytes)
        for one in bench.memory
        for point in one.points
        for name, grown in one.peaks.get(point.name, {}).items()
    }
    measured = {name for name, _ in cells}
    names = [one.name for one in bench.header.contestants if one.name in measured]
    rows = {name: tuple(cells.get((name, point.name)) for point in points) for name in names}
    return Table(points, rows, {name: why for one in bench.memory for name, why in one.failed.items()})
