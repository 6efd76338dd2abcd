"""How much memory the calls of a bench run took, in multiples of the input's bytes."""

from __future__ import annotations

from dataclasses import dataclass

from ..specs.speed import Point
from .bench import Bench


@dataclass(frozen=True, slots=True)
class Table:
    """By contestant, bytes and multiples at each point; both None where nothing was measured."""

    points: tuple[Point, ...]
    rows: dict[str, tuple[tuple[int | None, float | None], ...]]
    failed: dict[str, str]


def table(bench: Bench) -> Table | None:
    """What was measured, contestants in the order of the header; None where nothing was."""
    if not bench.memory:
        return None
    points = bench.memory[0].points
    peaks: dict[str, dict[str, int]] = {point.name: {} for point in points}
    for one in bench.memory:
        for point, found in one.peaks.items():
            peaks[point] |= found

    def cell(name: str, point: Point) -> tuple[int | None, float | None]:
        found = peaks[point.name].get(name)
        return found, None if found is None else found / point.nbytes

    names = [one.name for one in bench.header.contestants if any(one.name in found for found in peaks.values())]
    rows = {name: tuple(cell(name, point) for point in points) for name in names}
    return Table(points, rows, {name: why for one in bench.memory for name, why in one.failed.items()})
