"""The HTML report: one file that needs no network, made of cells, tolerance table and findings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import markupsafe

from ..specs.stopwatch import PARTS
from . import bench, charts, findings, folder, kills, markdown, tolerance
from .effort import efforts
from .matrix import Cell, Matrix, State, family_table
from .overview import Overview
from .records import Accuracy, ClauseInfo, DivergenceInfo, Finding, Item, Observation, Run, SubjectInfo, Tally
from .severity import by_severity, severity_of
from .templates import anchor, asset, chart, environment
from .verdict import summarise
from .whole import write_text

# Findings shown in a cell that does not pass, and in one that does; the others are in records.jsonl.
_PER_CELL, _PER_PASS = 4, 1
_UNEXPECTED = 40  # findings shown at the top of the page


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding as shown: with an `anchor` where its call is printed, else `elsewhere` points there."""

    finding: Finding
    also: tuple[str, ...]  # other dtypes that show the same
    state: State  # of its divergence, if it has one
    clauses: tuple[ClauseInfo, ...]
    divergence: DivergenceInfo | None
    arrays: list[findings.ArrayText]
    snippet: str | None
    replay: str  # the command that runs it again
    anchor: str | None
    elsewhere: str | None


@dataclass(frozen=True, slots=True)
class CellView:
    """What a cell of the matrix opens to."""

    cell: Cell
    anchor: str
    subject: SubjectInfo
    divergences: tuple[DivergenceInfo, ...]
    findings: tuple[FindingView, ...]
    more: int
    observations: tuple[tuple[str, int], ...]


def write_site(
    runs: Sequence[Run], out: Path, missing: Sequence[str] = (), others: Mapping[str, str] | None = None
) -> Path:
    """Write what runs say, merged, as `write_overview` does; `missing` are sentences on runs that should be there."""
    return write_overview(Overview.of(runs, missing), out, others)


def write_overview(overview: Overview, out: Path, others: Mapping[str, str] | None = None) -> Path:
    """Write `index.html` and `summary.md` into `out` and return the path of the former.

    Where they are about more than one loss on one device, each has a page of its own, and `index.html` leads to them.
    `others` are names and addresses of pages to link to; by default the kill matrix and the speed report in the same
    folder, if any, or beside the folders of several runs.
    """
    out.mkdir(parents=True, exist_ok=True)
    index = out / "index.html"
    others = _beside(out) if others is None else others
    write_text(out / folder.SUMMARY, "\n".join(map(markdown.summary, overview.matrices)))
    if len(overview.matrices) == 1:
        write_text(index, render(overview.matrices[0], others))
        return index
    for page, matrix in zip(overview.addresses, overview.matrices, strict=True):
        write_text(out / page, render(matrix, {"All losses": index.name, **others}))
    content = {"overview": overview, "others": others, "states": list(State)}
    text = environment().get_template("overview.html").render(**content, stylesheet=asset("style.css"))
    write_text(index, text)
    return index


def _beside(out: Path) -> dict[str, str]:
    """Names and addresses of the pages that lie beside a run's."""
    pages = {"Mutants": kills.PAGE, "Speed": bench.PAGE}
    up = "../" if folder.is_dated(out) else ""
    return {name: up + page for name, page in pages.items() if (out / up / page).exists()}


def write_mutants(zoos: Sequence[kills.Zoo], out: Path, beside_run: str = "") -> list[Path]:
    """Write the kill matrix of each loss into `out` and return their paths.

    The first one is `mutants.html`, others have their loss's name in theirs, and all link to each other. They link to
    the page of a run beside them, whose address is `beside_run`, if there is one.
    """
    out.mkdir(parents=True, exist_ok=True)
    pages = {zoo.loss: f"mutants-{zoo.loss}.html" if number else kills.PAGE for number, zoo in enumerate(zoos)}
    return [_write_mutants(zoo, out, beside_run, pages) for zoo in zoos]


def _write_mutants(zoo: kills.Zoo, out: Path, beside_run: str, pages: Mapping[str, str]) -> Path:
    """One loss's page; `pages` are those of all losses, by name."""
    ours = "lossparity", "this suite, stopping at the first kill"
    rows = [(*ours, zoo.killed, len(zoo.mutants), zoo.accused, "")]
    rows += [(rival.name, rival.says, *zoo.caught(rival.name), rival.absent) for rival in zoo.rivals]
    page = out / pages[zoo.loss]
    template = environment().get_template("mutants.html")
    text = template.render(
        zoo=zoo,
        headline=zoo.headline(),
        sentence=zoo.sentence(),
        typical=zoo.typical(),
        rows=rows,
        by_clause=zoo.by_clause(),
        blind=Counter(clause for clause, _ in zoo.blind),
        beside_run=beside_run,
        pages=pages,
        stylesheet=asset("style.css"),
    )
    write_text(page, text)
    return page


def render_landing(**content: Any) -> str:
    """The page that leads to others, as a string."""
    return environment().get_template("landing.html").render(**content, stylesheet=asset("style.css"))


def render(matrix: Matrix, others: Mapping[str, str] = MappingProxyType({})) -> str:
    """The page as a string; `others` are names and addresses of pages that belong to it."""
    views = _Views(matrix)
    subjects = [subject.name for subject in matrix.subjects]
    styled = charts.styles([(subject.name, subject.backend) for subject in matrix.subjects])
    return (
        environment()
        .get_template("index.html")
        .render(
            summary=summarise(matrix),
            matrix=matrix,
            others=others,
            merged=matrix.merged,
            families=family_table(matrix),
            unexpected=views.unexpected(),
            panels=views.panels(),
            divergences=views.divergences(),
            known=set(views.known),
            accuracy=_Accuracy(matrix.merged.of(Accuracy), styled),
            ladder=tolerance.LADDER,
            styled=styled,
            observations=_observations(matrix),
            efforts=efforts(matrix.merged.of(Item), subjects),
            parts=PARTS,
            states=_legend(matrix),
            stylesheet=asset("style.css"),
            script=asset("page.js"),
        )
    )


@dataclass(frozen=True)
class _Accuracy:
    """What the accuracy records show; each part is made where it is shown, and fails there alone."""

    records: list[Accuracy]
    styled: dict[str, tuple[int, int]]  # subjects, in their order

    @cached_property
    def groups(self) -> list[tolerance.Group]:
        """The tables."""
        return tolerance.table(self.records, list(self.styled))

    @cached_property
    def largest(self) -> dict[str, float]:
        """The largest error found in reductions of float32, by subject."""
        found: dict[str, float] = {}
        chosen = [group for group in self.groups if group.dtype == "float32" and group.reduction != "none"]
        for row in (row for group in chosen for row in group.rows if row.judged):
            found[row.subject] = max(row.worst_ulps, found.get(row.subject, 0.0))
        return found

    @cached_property
    def infinite(self) -> list[tolerance.Precision]:
        """Rows whose worst error is beyond any axis."""
        return [row for group in self.groups for row in group.rows if row.worst_ulps == math.inf]

    @cached_property
    def bar(self) -> Callable[[float], float]:
        """Lengths of bars."""
        return tolerance.bars(self.groups)

    @cached_property
    def deep(self) -> dict[str, list[tolerance.DeepSum]]:
        """What missing ACC-4 amounts to, by subject."""
        return tolerance.deep_sums(self.records)

    @cached_property
    def deep_sentences(self) -> list[str]:
        """The same in words."""
        return tolerance.deep_sentences(self.records)

    @cached_property
    def by_size(self) -> markupsafe.Markup | None:
        """The chart of errors against size."""
        return chart(
            "The chart “Largest error found against size”", lambda: charts.error_by_size(self.groups, self.styled)
        )

    @cached_property
    def spread(self) -> markupsafe.Markup | None:
        """The chart of how errors are distributed."""
        return chart(
            "The chart “Distribution of errors”", lambda: charts.error_distribution(self.groups, list(self.styled))
        )


class _Views:
    """Builds what cells open to, and remembers which finding was shown where: a call is printed once."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix
        self.clauses = {clause.id: clause for clause in matrix.merged.clauses}
        self.known = {divergence.id: divergence for divergence in matrix.merged.divergences}
        self.shares = findings.shares_unexpected(matrix.merged.of(Tally))
        self.found = findings.by_cell(matrix.merged.of(Finding))
        self.shown: dict[int, str] = {}

    def unexpected(self) -> tuple[list[FindingView], int]:
        """Unexpected findings in full, and how many recorded ones are left out."""
        wrong = [finding for finding in self.matrix.merged.of(Finding) if not finding.expected]
        replaced = {finding.made_from for finding in wrong}
        wrong = [finding for finding in wrong if finding.digest not in replaced]
        chosen = findings.one_of_each(wrong, _UNEXPECTED, self.shares)
        return [self.finding(*one) for one in chosen], len(wrong) - len(chosen)

    def panels(self) -> dict[str, list[CellView]]:
        """For each clause, what its cells open to."""
        return {
            clause: [
                self.cell(cell, subject)
                for cell, subject in zip(self.matrix.row(clause), self.matrix.subjects, strict=True)
            ]
            for clause in self.clauses
        }

    def cell(self, cell: Cell, subject: SubjectInfo) -> CellView:
        """One cell."""
        recorded = sorted(self.found.get((cell.clause.id, cell.subject), []), key=self.place)
        chosen = findings.one_of_each(
            recorded, _PER_CELL if cell.state.rank < State.PASS.rank else _PER_PASS, self.shares
        )
        return CellView(
            cell,
            anchor(cell.clause.id, cell.subject),
            subject,
            tuple(by_severity(self.known[name] for name in cell.divergences if name in self.known)),
            tuple(self.finding(*one) for one in chosen),
            len(recorded) - len(chosen),
            tuple(_observed(self.matrix, cell)),
        )

    def place(self, finding: Finding) -> tuple[bool, int]:
        """Where a finding stands in its cell: unexpected ones first, then those of the most severe divergences."""
        return finding.expected, self.state(finding).rank

    def state(self, finding: Finding) -> State:
        """What the divergence of a finding shows, if it has one."""
        divergence = self.known.get(finding.divergence or "")
        return State.of_severity(divergence and severity_of(divergence))

    def finding(self, finding: Finding, also: tuple[str, ...] = ()) -> FindingView:
        """One finding, which other dtypes show too; its call is printed only where it is shown first."""
        elsewhere = self.shown.get(id(finding))
        here = None if elsewhere else f"finding-{len(self.shown) + 1}"
        if here:
            self.shown[id(finding)] = here
        return FindingView(
            finding,
            also,
            self.state(finding),
            tuple(self.clauses[name] for name in findings.telling_first(finding, self.shares) if name in self.clauses),
            self.known.get(finding.divergence or ""),
            findings.arrays_of(finding.call, finding.loss),
            findings.snippet(finding.call, finding.loss) if here else None,
            findings.replay_line(self.matrix.merged.file_of(finding), finding),
            here,
            elsewhere,
        )

    def divergences(self) -> list[tuple[DivergenceInfo, int]]:
        """Known divergences with how often each showed, the most severe first."""
        shown = summarise(self.matrix).divergences
        return [(known, shown[known.id]) for known in by_severity(self.known.values(), shown)]


def _observed(matrix: Matrix, cell: Cell) -> list[tuple[str, int]]:
    if not cell.observations:
        return []
    seen = Counter[str]()
    for record in matrix.merged.of(Observation):
        if (record.clause, record.subject) == (cell.clause.id, cell.subject):
            seen[record.what] += record.count
    return seen.most_common()


def _observations(matrix: Matrix) -> list[tuple[ClauseInfo, dict[str, Counter[str]]]]:
    """For each recorded clause, what was observed: counts by subject."""
    table: dict[str, dict[str, Counter[str]]] = {}
    for record in matrix.merged.of(Observation):
        table.setdefault(record.clause, {}).setdefault(record.what, Counter())[record.subject] += record.count
    known = {clause.id: clause for clause in matrix.merged.clauses}
    ordered = sorted(table, key=lambda name: list(known).index(name) if name in known else len(known))
    return [(known.get(name) or ClauseInfo(name, "", "RECORD", "", ""), table[name]) for name in ordered]


def _legend(matrix: Matrix) -> list[tuple[State, int]]:
    """Every state that occurs, with the number of its cells."""
    numbers = Counter(cell.state for cell in matrix.cells.values())
    return [(state, numbers[state]) for state in State if numbers[state] and state is not State.UNKNOWN]
