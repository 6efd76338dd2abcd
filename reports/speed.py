"""What a bench run says in words: durations, the first sentence, and whether it is worth it to switch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .bench import Bench, Contestant
from .ratios import NOISY, Board, Timing
from .verdict import plural


def duration(seconds: float) -> str:
    """Seconds with three digits and the unit that suits them."""
    if not 0 < seconds < math.inf:
        return f"{seconds:g} s"
    exponent = min(0, math.floor(math.log10(seconds) / 3))
    unit = {0: "s", -1: "ms", -2: "µs"}.get(exponent, "ns")
    number = seconds * 1000.0 ** min(3, -exponent)
    digits = max(0, 2 - max(0, math.floor(math.log10(number)))) if number >= 1 else 2
    return f"{number:.{digits}f} {unit}"


def size(count: float) -> str:
    """Bytes with three digits and a decimal unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def processes(bench: Bench, boards: Sequence[Board]) -> int:
    """In how many processes each point was measured, at least; a run that was resumed may have more than planned."""
    return min((one.processes for one in boards), default=bench.header.processes)


def speed_sentence(bench: Bench, boards: Sequence[Board]) -> str:
    """What was timed and how sure it is."""
    claims = Counter(row.claim for one in boards for row in one.rows)
    points = len({one.point for one in boards})
    noisy = sum(one.spread > NOISY for one in boards)
    sentences = [
        f"{plural(len(bench.header.contestants), 'contestant')} at {plural(points, 'point')}, "
        f"each in {plural(processes(bench, boards), 'process')} of at least {plural(bench.header.rounds, 'round')}: "
        f"{claims['faster']} faster than {bench.header.baseline}, {claims['slower']} slower, "
        f"{plural(claims['tie'], 'tie')}.",
    ]
    if noisy:
        sentences.append(
            f"At {noisy} of {len(boards)} the machine was too noisy for any claim (A/A beyond {NOISY:.0%}): run it "
            "again on an idle machine."
        )
    invalid = sum(row.is_invalid for one in boards for row in one.rows)
    if invalid:
        sentences.append(f"Marked INVALID, as if the limit had been beaten: {plural(invalid, 'time')}.")
    if bench.footer is None:
        sentences.append("The run was cut off; go on with --resume.")
    elif bench.footer.left:
        sentences.append(f"{plural(bench.footer.left, 'more point')} would have needed a larger --budget.")
    return " ".join(sentences)


@dataclass(frozen=True, slots=True)
class Instead:
    """A baseline beside the fastest form of its framework."""

    info: Contestant
    seconds: float
    ratio: float  # its time over that form's
    slow: bool  # too slow for rounds: the ratio is one of a few calls


@dataclass(frozen=True, slots=True)
class Switch:
    """What one framework's own forms and what users write instead come to at a point."""

    backend: str
    best: Timing  # among the forms that the suite judges
    instead: tuple[Instead, ...]  # fastest first

    @property
    def is_best(self) -> bool:
        """Whether no baseline is faster."""
        return all(one.ratio >= 1 for one in self.instead)


def switches(bench: Bench, board: Board) -> list[Switch]:
    """By framework: the fastest judged form, and each baseline beside it."""
    found: list[Switch] = []
    info = {one.name: one for one in bench.header.contestants}
    for backend in dict.fromkeys(one.backend for one in bench.header.contestants):
        rows = [row for row in board.rows if info[row.contestant].backend == backend]
        judged = [row for row in rows if info[row.contestant].kind != "baseline"]
        if not judged:
            continue
        best = min(judged, key=lambda row: row.ratio.estimate)
        instead = [
            Instead(info[row.contestant], row.spread.median, row.ratio.estimate / best.ratio.estimate, False)
            for row in rows
        ]
        instead += [
            Instead(info[name], seconds, seconds / best.spread.median, True)
            for name, seconds in board.slow.items()
            if info[name].backend == backend
        ]
        baselines = sorted((one for one in instead if one.info.kind == "baseline"), key=lambda one: one.ratio)
        found.append(Switch(backend, best, tuple(baselines)))
    return found
