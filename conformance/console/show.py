"""What the command line prints: opening, progress, tables and the last word."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...reports import matrix
from ...reports.bench import EXPONENTIALS, Bench
from ...reports.coverage import coverages
from ...reports.effort import efforts
from ...reports.guard import NotDrawn
from ...reports.kills import Zoo
from ...reports.lock import NoLock
from ...reports.overview import Overview
from ...reports.ratios import NOISY, Board, Change, Timing
from ...reports.records import STATUSES, Accuracy, ClauseInfo, Item, Run, SubjectInfo, Tally
from ...reports.severity import by_severity
from ...reports.speed import duration, size, speed_sentence
from ...reports.tolerance import deep_sentences
from ...reports.verdict import plural
from ...specs.case import FAILED
from ...specs.stopwatch import PARTS
from ..judging import explain
from ..planning.plan import RunSpec
from ..planning.survey import NOT_PROBED, Survey
from .tables import put

if TYPE_CHECKING:  # what it needs takes a while to import, and --help needs none of it
    from ..running.controller import Result

_SHOWN = 5  # kinds of unexpected results that are told in full


def aside(console: Console) -> Callable[[str], None]:
    """Says what is not the matter itself, such as what is waited for."""
    return lambda message: console.print(message, style="dim", soft_wrap=True)


@contextlib.contextmanager
def drawing(console: Console) -> Iterator[None]:
    """Say in one line, at the end, which parts of a report failed to draw."""
    failed: list[str] = []
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def noted(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, NotDrawn):
                failed.append(str(message))
            elif issubclass(category, NoLock):
                console.print(str(message), style="yellow", soft_wrap=True)
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = noted
        try:
            yield
        finally:
            if failed:
                said = f"{plural(len(failed), 'part')} of the report failed to draw: {'; '.join(failed)}"
                console.print(said, style="bold red", soft_wrap=True)


def opening(console: Console, run: RunSpec, found: Survey) -> None:
    """Say what will run, and what is missing."""
    part = f", part {run.request.part}" if run.request.part else ""
    asked = f"profile {run.request.profile}, seed {run.request.seed}, device {run.request.device}{part}"
    for loss, names in run.subjects.items():
        console.print(f"{loss}, {asked}: {', '.join(names)}", soft_wrap=True)
    chosen = [one for one in found.subjects if one.name in run.subjects.get(one.loss, ())]
    for subject in chosen:
        flushing = [dtype for dtype, keeps in subject.gradual_underflow.items() if not keeps]
        if flushing:
            console.print(f"  {subject.name} flushes subnormal numbers in {', '.join(flushing)}", style="dim")
        for note in subject.notes:
            if note.startswith(NOT_PROBED):
                console.print(f"  {subject.name}: {note}", style="yellow", soft_wrap=True)
    for line in executed(chosen):
        console.print(f"  {line}", style="dim", soft_wrap=True)
    for one in found.absent:
        console.print(f"  {one.name} is not installed; install it with: {one.install}", style="yellow")
    for sentence in [*found.missing_tools, *(f"left out: {sentence}" for sentence in found.elsewhere)]:
        console.print(f"  {sentence}", style="yellow", soft_wrap=True)


def executed(subjects: Iterable[SubjectInfo]) -> list[str]:
    """Of each user's function how it is executed, and which dtypes of input and target it is asked about."""
    return [
        f"{one.name}, {one.style}: asked about input of {', '.join(one.dtypes)}, "
        f"target of {', '.join(one.target_dtypes)}"
        for one in subjects
        if one.binding == "user"
    ]


def closing(console: Console, run: Run, found: Overview, result: Result, *, verbose: bool) -> None:
    """The summary: clause families by subject, what was unexpected, and at last the verdict.

    If `verbose`, also calls by subject, and where the time went.
    """
    if verbose:
        put(console, subject_table(run))
        put(console, split_table(run))
    family_tables(console, found)
    for message in result.problems:
        console.print(f"engine error: {message}", style="bold red", soft_wrap=True)
    unexpected(console, run, len(result.unexpected))
    for line in executed(run.header.subjects):
        console.print(line, soft_wrap=True)
    deep_sums(console, run.of(Accuracy))
    known(console, run)
    footer = result.footer
    for note in footer.notes:
        console.print(note, style="yellow", soft_wrap=True)
    parts = [f"{footer.statuses.get(name, 0):,} {name}" for name in STATUSES if footer.statuses.get(name)]
    console.print(f"{footer.planned:,} calls planned = {' + '.join(parts) or 'none'}", soft_wrap=True)
    verdict = "as expected" if not footer.unexpected and result.exit_code == 0 else f"{footer.unexpected:,} unexpected"
    console.print(f"{footer.ended}, {verdict}, {footer.seconds:.1f} s, exit code {result.exit_code}")
    for one in coverages(run.header.subjects, run.of(Item)):
        console.print(one.sentence, soft_wrap=True)
    console.print(f"Records: {result.file}", soft_wrap=True)


def unexpected(console: Console, run: Run, items: int) -> None:
    """What came out unexpectedly in so many items: of each kind the smallest call, in full."""
    kinds = explain.kinds(run.records)
    clauses = _clauses(run)
    for one in kinds[:_SHOWN]:
        told = explain.finding(one, clauses[one.loss], run.path)
        console.print(f"unexpected: {told}", style="red", soft_wrap=True)
    if kinds:
        left = len(kinds) - _SHOWN
        more = f", {plural(left, 'more kind')}" if left > 0 else ""
        console.print(f"Unexpected results in {plural(items, 'item')}{more}; the report has them all", style="red")


def known(console: Console, run: Run) -> None:
    """The known divergences that showed, a line for each severity, the worst first."""
    shown = Counter[str]()
    for one in run.of(Tally):
        if one.divergence and one.expected and one.status in FAILED:
            shown[one.divergence] += one.count
    rows = by_severity((row for row in run.header.divergences if shown[row.id]), shown)
    if rows:
        console.print(f"{plural(len(rows), 'known divergence')} showed:")
    for severity, same in itertools.groupby(rows, key=lambda row: row.severity):
        console.print(f"  {severity or 'of no known severity'}: {', '.join(row.id for row in same)}", soft_wrap=True)


def deep_sums(console: Console, accuracy: Iterable[Accuracy]) -> None:
    """What it amounts to where sums are deeper than they should be: a mark under SHOULD does not say it."""
    for sentence in deep_sentences(accuracy):
        console.print(f"{sentence}.", soft_wrap=True)


def as_data(run: Run, result: Result, index: Path) -> dict[str, Any]:
    """How a run ended, for programs: the footer's fields, and of each kind of unexpected result the smallest call.

    `text` is what `unexpected` prints of it. Everything else is in the records.
    """
    clauses = _clauses(run)
    findings = [
        {"text": explain.finding(one, clauses[one.loss], run.path), **msgspec.structs.asdict(one)}
        for one in explain.kinds(run.records)
    ]
    return {
        **msgspec.structs.asdict(result.footer),
        "problems": result.problems,
        "findings": findings,
        "deep_sums": deep_sentences(run.of(Accuracy)),
        "domains": [
            {**dataclasses.asdict(one), "share": one.share} for one in coverages(run.header.subjects, run.of(Item))
        ],
        "subjects": run.header.subjects,
        "absent": run.header.absent,
        "records": str(result.file),
        "report": str(index),
    }


def _clauses(run: Run) -> dict[str, dict[str, ClauseInfo]]:
    """The clauses as the run knew them, by loss and id."""
    found: dict[str, dict[str, ClauseInfo]] = {}
    for clause in run.header.clauses:
        found.setdefault(clause.loss, {})[clause.id] = clause
    return found


def subject_table(run: Run) -> Table:
    """Calls, speed and compilation by subject."""
    headings = ("subject", "calls", "seconds", "calls/s", "compilations", "compile s", "unexpected")
    table = Table(*headings, box=None, pad_edge=False)
    for number in range(1, len(headings)):
        table.columns[number].justify = "right"
    for subject in run.header.subjects:
        items = [item for item in run.of(Item) if item.subject == subject.name]
        calls, seconds = sum(item.planned for item in items), sum(item.seconds for item in items)
        table.add_row(
            subject.name,
            f"{calls:,}",
            f"{seconds:.1f}",
            f"{calls / seconds:,.0f}" if seconds else "-",
            str(sum(item.compilations for item in items)),
            f"{sum(item.compile_seconds for item in items):.1f}",
            str(sum(item.unexpected for item in items)),
        )
    return table


def split_table(run: Run) -> Table:
    """The share of each part of the work in a subject's seconds."""
    table = Table("time spent on", *PARTS, box=None, pad_edge=False)
    for number in range(1, len(table.columns)):
        table.columns[number].justify = "right"
    for effort in efforts(run.of(Item), [subject.name for subject in run.header.subjects]):
        shares = (effort.share(part) for part in PARTS)
        table.add_row(effort.subject, *("-" if share is None else f"{share:.0%}" for share in shares))
    return table


def family_tables(console: Console, found: Overview) -> None:
    """For each loss subject by clause family, the worst state of each with its number of clauses."""
    seen: set[matrix.State] = set()
    for name, of_loss in zip(found.names, found.matrices, strict=True):
        model = matrix.family_table(of_loss)
        families = list(next(iter(model.values()), {}))
        table = Table(
            "subject",
            *families,
            box=None,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            title=name if len(found.names) > 1 else None,
        )
        table.title_justify = "left"
        for subject, row in model.items():
            table.add_row(subject, *(row[family].text for family in families))
            seen |= {row[family].state for family in families}
        put(console, table)
    legend = (f"{state.symbol} {state.label}" for state in matrix.State if state in seen)
    console.print("  ".join(legend), style="dim", soft_wrap=True)


def backends(console: Console, found: Survey, missing: Sequence[str]) -> None:
    """Installed subjects with what they can do, and absent backends."""
    table = Table("subject", "version", "device", "binding", "style", "dtypes", "targets", "flushes", box=None)
    for one in found.subjects:
        flushing = [dtype for dtype, keeps in one.gradual_underflow.items() if not keeps]
        table.add_row(
            one.name,
            one.version,
            one.device,
            one.binding,
            one.style,
            " ".join(one.dtypes),
            " ".join(one.target_dtypes),
            " ".join(flushing) or "-",
        )
    put(console, table)
    console.print("-b takes a backend, such as torch, for all its subjects, or a subject, such as torch:compile",
                  style="dim", soft_wrap=True)  # fmt: skip
    for tool in missing:
        console.print(tool, style="yellow", soft_wrap=True)
    for absent in found.absent:
        console.print(f"{absent.name} is not installed; install it with: {absent.install}")
    for sentence in found.elsewhere:
        console.print(sentence, soft_wrap=True)


def zoo(console: Console, found: Zoo) -> None:
    """The kill matrix in short: what was killed, what was not, and what else would have noticed."""
    table = Table("tested with", "mutants noticed", "correct ones accused", "", box=None, pad_edge=False)
    ours = f"{found.killed} of {len(found.mutants)}", f"{found.accused} of {len(found.correct)}"
    table.add_row("lossparity", *ours, "")
    for rival in found.rivals:
        caught, tried, wrongly = found.caught(rival.name)
        numbers = (f"{caught} of {tried}", f"{wrongly} of {len(found.correct)}") if tried else ("-", "-")
        table.add_row(rival.name, *numbers, rival.absent or rival.says)
    console.print(table)
    for one in found.survivors:
        console.print(f"survives: {one.name}: {one.says}", style="bold red", soft_wrap=True)
    for clause, name in found.blind:
        console.print(f"blind: {clause} does not see {name}", style="bold red", soft_wrap=True)
    for alarm in found.alarms:
        console.print(f"false alarm: {alarm}", style="bold red", soft_wrap=True)
    for id in found.unjustified:
        console.print(f"vector {id} fails no mutant, or not those it names, and gives no reason", style="bold red")
    for name, why in found.absent.items():
        console.print(f"variants in {name} were not run: {why}", style="yellow")
    seconds, calls = found.typical()
    console.print(f"{found.headline()}. {found.sentence()}", soft_wrap=True)
    console.print(f"Median until the first kill: {calls} calls, {seconds:.2f} s; the zoo took {found.seconds:.0f} s")


# --- speed -----------------------------------------------------------------------------------------------


def boards(console: Console, bench: Bench, found: Sequence[Board]) -> None:
    """The tables of a bench run, the reasons for what is missing, and the last word."""
    for threads in dict.fromkeys(one.threads for one in found):
        chosen = [one for one in found if one.threads == threads]
        console.print()
        console.print(Text(f"threads = {threads}", "bold") + f", ratios to {chosen[0].baseline}; below 1 is faster")
        for one in chosen[:_BOARDS]:
            beside = f"(A/A {one.spread:.1%}; last column: share of the limit, {size(one.bandwidth)}/s)"
            noise = [", ", ("too noisy for claims", "yellow")] if one.spread > NOISY else []
            console.print(Text.assemble(f"{one.point.name} ", (beside, "dim"), *noise), soft_wrap=True)
            table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
            for justify in ("left", "right", "right", "left", "left", "right"):
                table.add_column(justify=justify, no_wrap=True)
            for row in one.rows:
                table.add_row(*_cells(one, row), style="dim" if row.claim == "tie" else "")
            for name, seconds in one.slow.items():
                table.add_row(f"  {name}", duration(seconds), "", "", "slow", "")
            console.print(table)
        if len(chosen) > _BOARDS:
            console.print(f"and {plural(len(chosen) - _BOARDS, 'more point')} in the report", style="dim")
    for reason, names in sorted(_reasons(bench).items()):
        console.print(f"not timed: {', '.join(sorted(names))}: {reason}", style="yellow", soft_wrap=True)
    console.print(speed_sentence(bench, found), soft_wrap=True)


_BOARDS = 4  # shown in a terminal


def _cells(board: Board, row: Timing) -> tuple[str, ...]:
    interval = f"{row.ratio.wide_low:.2f} to {row.ratio.wide_high:.2f}"
    claim = {"few": "one process", "noisy": ""}.get(row.claim, row.claim)
    limit = "INVALID" if row.is_invalid else "" if board.is_overhead else f"{row.limit:.0%}"
    if limit and row.bound == EXPONENTIALS:
        limit += " exp"
    return f"  {row.contestant}", duration(row.spread.median), f"{row.ratio.estimate:.2f}", interval, claim, limit


def _reasons(bench: Bench) -> dict[str, set[str]]:
    """What was not timed although it could have been, by reason."""
    found: dict[str, set[str]] = {}
    for one in bench.excluded:
        if one.kind != "unsupported":
            found.setdefault(f"{one.reason} ({one.point})", set()).add(one.contestant)
    return found


def changes(console: Console, found: Sequence[Change], runs: Sequence[Bench]) -> None:
    """What has changed between two runs, regressions first."""
    versions = [{one.backend: one.version for one in run.header.contestants} for run in runs]
    moved = [f"{name} {old} to {versions[1][name]}" for name, old in versions[0].items()
             if versions[1].get(name, old) != old]  # fmt: skip
    console.print(f"{runs[0].header.started} against {runs[1].header.started}" + "".join(f"; {one}" for one in moved))
    table = Table("threads", "point", "contestant", "after / before", "95 %", "", box=None, pad_edge=False)
    for one in found:
        if one.claim in ("regression", "improvement"):
            table.add_row(one.threads, one.point.name, one.contestant, f"{one.ratio:.3f}",
                          f"{one.low:.3f} to {one.high:.3f}", one.claim)  # fmt: skip
    if table.row_count:
        console.print(table)
    counts = Counter(one.claim for one in found)
    console.print(
        f"{plural(len(found), 'comparison')}: {plural(counts['regression'], 'regression')}, "
        f"{plural(counts['improvement'], 'improvement')}, {plural(counts['tie'], 'tie')}, "
        f"{counts['noisy']} too noisy to tell"
    )


def bench_data(bench: Bench, found: Sequence[Board], page: Path) -> dict[str, Any]:
    """A bench run for --json: the boards, what is missing and why, and where everything is."""
    return {
        "loss": bench.header.loss,
        "samples": bench.path,
        "report": str(page),
        "boards": list(found),
        "excluded": bench.excluded,
        "cold": bench.cold,
        "memory": bench.memory,
        "complete": bench.footer is not None and bench.footer.complete,
    }
