"""The one sentence a reader reads first: what the recorded statuses add up to, said in plain words."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .coverage import coverages
from .matrix import Matrix, State
from .records import STATUSES, Item, Run, Tally, count_statuses

_NOTHING = 5  # the exit code of runs that say nothing


class Outlook(enum.Enum):
    """The state of a whole report, the worst first."""

    BROKEN = "broken"
    UNEXPECTED = "unexpected"
    EMPTY = "empty"
    INCOMPLETE = "incomplete"
    EXPECTED = "expected"


@dataclass(frozen=True, slots=True)
class Summary:
    """The verdict on a report.

    `warnings` say what a reader must know before believing anything else: runs missing, cut off, interrupted or
    contradicting themselves.
    """

    outlook: Outlook
    headline: str
    sentence: str
    warnings: tuple[str, ...]
    planned: int
    ran: int  # planned, less what was unsupported or not run
    unexpected: int
    statuses: dict[str, int]
    divergences: dict[str, int]  # observed calls by divergence id, each clause counted


def summarise(matrix: Matrix) -> Summary:
    """Add up what was recorded."""
    items = matrix.merged.of(Item)
    statuses = count_statuses(items)
    planned = sum(item.planned for item in items)
    ran = planned - statuses["unsupported"] - statuses["not_run"]
    unexpected = _unexpected(matrix, items)
    divergences = observed_divergences(matrix)
    warnings = matrix.merged.missing
    warnings += tuple(warning for run in matrix.merged.runs for warning in _warnings(run))
    warnings += tuple(_unexplained(matrix))
    outlook = _outlook(matrix, ran, unexpected)
    sentences = (
        f"{plural(len(matrix.subjects), 'subject')} ran {plural(ran, 'call')}.",
        _came_out(matrix, outlook, unexpected, divergences),
        _unjudged(planned, statuses),
        *(one.sentence for one in coverages(matrix.subjects, items)),
    )
    return Summary(
        outlook,
        _headline(outlook, unexpected),
        " ".join(filter(None, sentences)),
        warnings,
        planned,
        ran,
        unexpected,
        {status: statuses[status] for status in (*STATUSES, *sorted(set(statuses) - set(STATUSES)))},
        divergences,
    )


def plural(number: int, noun: str) -> str:
    """`1 call`, `2,000 calls`, `5 processes`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "es" if noun.endswith("s") else "s")


def observed_divergences(matrix: Matrix) -> dict[str, int]:
    """For each known divergence, how often a clause came out as it says; 0 where it did not show."""
    shown = Counter[str]()
    for tally in matrix.merged.of(Tally):
        if tally.divergence is not None and tally.status != "pass":
            shown[tally.divergence] += tally.count
    return {known: shown[known] for known in dict.fromkeys([*(d.id for d in matrix.merged.divergences), *shown])}


def _unexpected(matrix: Matrix, items: list[Item]) -> int:
    """Unexpected results: the largest of what items, clauses and footers say: none hides another."""
    by_clause = sum(
        max((_unexpected_in(matrix, clause.id, subject.name) for clause in matrix.merged.clauses), default=0)
        for subject in matrix.subjects
    )
    # A footer counts its whole run, so it says too much where a part of that is not shown.
    footers = [run.footer.unexpected for run in matrix.merged.runs if run.footer and matrix.merged.is_all]
    return max(sum(item.unexpected for item in items), by_clause, sum(footers))


def _unexpected_in(matrix: Matrix, clause: str, subject: str) -> int:
    return sum(number for kind, number in matrix.cells[clause, subject].counts.items() if not kind.expected)


def _outlook(matrix: Matrix, ran: int, unexpected: int) -> Outlook:
    footers = [run.footer for run in matrix.merged.runs]
    if any(footer and footer.exit_code in (3, 4, 6) for footer in footers):
        return Outlook.BROKEN
    if unexpected or matrix.merged.is_all and any(footer and footer.exit_code == 1 for footer in footers):
        return Outlook.UNEXPECTED
    if not ran or {footer.exit_code for footer in footers if footer} == {_NOTHING}:
        return Outlook.EMPTY
    if matrix.merged.missing or any(footer is None or footer.ended != "complete" for footer in footers):
        return Outlook.INCOMPLETE
    return Outlook.EXPECTED


def _headline(outlook: Outlook, unexpected: int) -> str:
    return {
        Outlook.BROKEN: "The suite itself failed",
        Outlook.UNEXPECTED: plural(unexpected, "unexpected result") if unexpected else "Unexpected results",
        Outlook.EMPTY: "Nothing ran",
        Outlook.INCOMPLETE: "Incomplete, nothing unexpected so far",
        Outlook.EXPECTED: "As expected",
    }[outlook]


def _came_out(matrix: Matrix, outlook: Outlook, unexpected: int, divergences: dict[str, int]) -> str:
    known = _known(matrix, divergences)
    if outlook is Outlook.BROKEN:
        return "An error of the suite's own ended a run, so its results are not to be trusted."
    if outlook is Outlook.UNEXPECTED:
        where = [
            s.name
            for s in matrix.subjects
            if any(matrix.cells[c.id, s.name].state is State.UNEXPECTED for c in matrix.merged.clauses)
        ]
        place = f" on {listed(where)}" if where else ""
        return f"{plural(unexpected, 'unexpected result')}{place}; besides, {known}."
    if outlook is Outlook.EMPTY:
        return "There is nothing to report."
    opening = (
        "Everything came out as expected" if outlook is Outlook.EXPECTED else "As far as it ran, all is as expected"
    )
    return f"{opening}: {known}, nothing unexpected."


def _known(matrix: Matrix, divergences: dict[str, int]) -> str:
    backends = {subject.name: subject.backend for subject in matrix.subjects}
    shown = [d for d in matrix.merged.divergences if divergences.get(d.id)]
    per = Counter(backend for d in shown for backend in {backends[s] for s in d.subjects if s in backends})
    if not shown:
        return "no known divergence showed"
    text = plural(len(shown), "known divergence")
    if len(per) == 1:
        return f"{text} of {next(iter(per))}"
    return f"{text} ({listed([f'{number} of {backend}' for backend, number in per.items()])})"


def _unjudged(planned: int, statuses: Counter[str]) -> str:
    words = {
        "uninformative": "could not be judged",
        "unsupported": "are not supported",
        "not_run": "were not run",
    }
    parts = [f"{statuses[status]:,} {word}" for status, word in words.items() if statuses[status]]
    return f"Of {planned:,} planned, {listed(parts)}." if parts else ""


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def worst(outlooks: Iterable[Outlook]) -> Outlook:
    """The worst of several, of which there is one at least."""
    return min(outlooks, key=list(Outlook).index)


def apart(reports: Iterable[tuple[str, Outlook, str]]) -> list[str]:
    """Which of several reports, by name, outlook and headline, are as expected, and which are not, in words."""
    good: list[str] = []
    bad: list[str] = []
    for name, outlook, said in reports:
        if outlook is Outlook.EXPECTED:
            good.append(name)
        else:
            bad.append(f"{name} ({said[:1].lower()}{said[1:]})")
    return [f"as expected: {listed(good)}"] * bool(good) + [f"not as expected: {listed(bad)}"] * bool(bad)


def _unexplained(matrix: Matrix) -> list[str]:
    """Errors, crashes and timeouts that are recorded as expected although no divergence explains them."""
    broken = [cell.describe() for cell in matrix.cells.values() if cell.state is State.BROKEN]
    return [f"No known divergence explains this: {listed(broken)}."] if broken else []


def _warnings(run: Run) -> list[str]:
    """What makes one run less than complete."""
    footer = run.footer
    if footer is None:
        return [
            f"The run of {run.header.started} was cut off: {run.path} has no last line. "
            "What it had written until then is shown."
        ]
    found = []
    if footer.ended != "complete":
        found.append(f"The run of {run.header.started} was {footer.ended} after {footer.seconds:,.0f} s ({run.path}).")
    if footer.exit_code in (3, 4, 6):
        found.append(
            f"The run of {run.header.started} ended with exit code {footer.exit_code}: "
            "an error of the suite's own or of its set-up."
        )
    if footer.planned != sum(footer.statuses.values()):
        found.append(
            f"The counts of {run.path} do not add up: {footer.planned:,} calls planned, "
            f"{sum(footer.statuses.values()):,} accounted for."
        )
    return found + [f"{note}." for note in footer.notes]
