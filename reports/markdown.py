"""The Markdown summary a maintainer reads in the morning: verdict, what is unexpected, short tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..specs.stopwatch import PARTS
from . import tolerance
from .effort import efforts
from .guard import guarded
from .matrix import Matrix, State, family_table
from .records import Accuracy, Finding, Item
from .severity import by_severity
from .verdict import Outlook, Summary, summarise

_UNEXPECTED = 20
SYMBOLS = {
    Outlook.BROKEN: "🛑",
    Outlook.UNEXPECTED: "❌",
    Outlook.EMPTY: "⚪",
    Outlook.INCOMPLETE: "⚠️",
    Outlook.EXPECTED: "✅",
}


def summary(matrix: Matrix) -> str:
    """The whole summary, as GitHub renders it."""
    verdict = summarise(matrix)
    made: dict[str, Callable[[], str]] = {
        "Unexpected": lambda: _unexpected(matrix, verdict),
        "Known divergences": lambda: _divergences(matrix, verdict),
        "Subjects by clause family": lambda: _families(matrix),
        "Largest error found, in ulp": lambda: _accuracy(matrix),
        "Where the time went": lambda: _time(matrix),
        "What ran": lambda: _environment(matrix),
    }
    sections = [_opening(matrix, verdict)]
    sections += [guarded(f"The section “{title}” of summary.md", make, _warning) for title, make in made.items()]
    return "\n\n".join(section for section in sections if section) + "\n"


def _opening(matrix: Matrix, verdict: Summary) -> str:
    lines = [f"# {SYMBOLS[verdict.outlook]} {verdict.headline}", "", text(verdict.sentence)]
    lines += [f"\n{_warning(warning)}" for warning in verdict.warnings]
    lines += [f"\n> {text(note)}" for note in matrix.merged.notes]
    total = sum(verdict.statuses.values())
    counts = " + ".join(
        f"{number:,} {status.replace('_', ' ')}" for status, number in verdict.statuses.items() if number
    )
    sign = "=" if total == verdict.planned else "≠"
    return "\n".join([*lines, "", f"{verdict.planned:,} calls planned {sign} {counts or '0'}."])


def _warning(sentence: str) -> str:
    return f"> **Warning.** {text(sentence)}"


def _unexpected(matrix: Matrix, verdict: Summary) -> str:
    wrong = [finding for finding in matrix.merged.of(Finding) if not finding.expected]
    if not wrong and not verdict.unexpected:
        return ""
    lines = ["## Unexpected", ""]
    lines += [line for finding in wrong[:_UNEXPECTED] for line in _finding(finding)]
    if len(wrong) > _UNEXPECTED:
        lines.append(f"\n{len(wrong) - _UNEXPECTED:,} more are in `records.jsonl` and in `index.html`.")
    return "\n".join(lines)


def _finding(finding: Finding) -> list[str]:
    facts = {"observed": finding.observed, "exact": finding.exact, "distance": finding.distance}
    return [
        f"- **{text(finding.subject)}** {text(finding.dtype)}, {text(', '.join(finding.clauses))}: {finding.status}",
        f"  - {text(finding.because)}",
        f"  - call {_code(finding.summary)}, digest {_code(finding.digest)}",
        *(f"  - {name} {_code(value)}" for name, value in facts.items() if value),
        *(f"  - before it {_code(one.summary)}, digest {_code(one.digest)}" for one in finding.before),
    ]


def _divergences(matrix: Matrix, verdict: Summary) -> str:
    rows = [
        [
            d.severity or "–",
            _code(d.id),
            text(d.title),
            text(", ".join(d.subjects)),
            text(", ".join(d.clauses)),
            d.cause.replace("_", " "),
            f"{shown:,}",
        ]
        for d in by_severity(matrix.merged.divergences, verdict.divergences)
        if (shown := verdict.divergences.get(d.id, 0))
    ]
    silent = [d.id for d in matrix.merged.divergences if not verdict.divergences.get(d.id)]
    if not rows and not silent:
        return ""
    lines = ["## Known divergences", ""]
    lines += (
        _table(["severity", "id", "what", "subjects", "clauses", "cause", "observed"], rows, numbers=1) if rows else []
    )
    if silent:
        lines += ["", f"Known, and not seen in this run: {', '.join(map(_code, silent))}."]
    return "\n".join(lines)


def _families(matrix: Matrix) -> str:
    table = family_table(matrix)
    families = list(matrix.families())
    rows = [[text(name), *(row[family].text for family in families)] for name, row in table.items()]
    used = {cell.state for row in table.values() for cell in row.values()}
    legend = ", ".join(f"{state.symbol} {state.label}" for state in State if state in used)
    return "\n".join(
        [
            "## Subjects by clause family",
            "",
            f"The worst state of each family and how many of its clauses are in it: {legend}.",
            "",
            *_table(["subject", *families], rows),
        ]
    )


def _accuracy(matrix: Matrix) -> str:
    groups = tolerance.table(matrix.merged.of(Accuracy), [s.name for s in matrix.subjects])
    if not groups:
        return ""
    found = {(row.subject, group.dtype, group.reduction): row for group in groups for row in group.rows}
    heads = [group.title for group in groups]
    rows = [
        [text(subject.name), *(_worst(found.get((subject.name, group.dtype, group.reduction))) for group in groups)]
        for subject in matrix.subjects
    ]
    return "\n".join(
        [
            "## Largest error found, in ulp",
            "",
            "0.5 and less is correctly rounded. In brackets: the largest error as a share of the result, and the "
            "largest share of a bound used.",
            "",
            *_table(["subject", *heads], rows, numbers=len(heads)),
            *(f"\n{text(sentence)}." for sentence in tolerance.deep_sentences(matrix.merged.of(Accuracy))),
        ]
    )


def _worst(row: tolerance.Precision | None) -> str:
    if row is None or not row.judged:
        return "–"
    shares = [tolerance.relative(row.worst_relative)] if row.worst_relative else []
    shares += [f"{row.worst_utilisation:.0%} used"] if row.worst_utilisation else []
    return tolerance.in_ulps(row.worst_ulps) + (f" ({', '.join(shares)})" if shares else "")


def _time(matrix: Matrix) -> str:
    rows = [
        [
            text(effort.subject),
            f"{effort.seconds:,.1f}",
            f"{effort.rate:,.0f}",
            *("–" if (share := effort.share(part)) is None else f"{share:.0%}" for part in PARTS),
        ]
        for effort in efforts(matrix.merged.of(Item), [subject.name for subject in matrix.subjects])
    ]
    heads = ["subject", "seconds", "calls/s", *PARTS]
    return "\n".join(["## Where the time went", "", *_table(heads, rows, numbers=len(heads) - 1)])


def _environment(matrix: Matrix) -> str:
    lines = ["## What ran", ""]
    for run in matrix.merged.runs:
        header, footer = run.header, run.footer
        ended = f"{footer.ended} after {footer.seconds:,.0f} s" if footer else "cut off"
        lines.append(
            f"- {header.started}, {ended}: profile {header.profile}, seed {header.seed}, "
            f"{text(', '.join(f'{s.name} {s.version}' for s in header.subjects))}; {_code(header.command)}, "
            f"lossparity {header.lossparity}"
        )
    lines += [f"- not installed: {text(backend.name)} ({_code(backend.install)})" for backend in matrix.merged.absent]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> list[str]:
    """A table whose last `numbers` columns are set to the right."""
    rule = ["---"] * (len(head) - numbers) + ["---:"] * numbers
    return ["| " + " | ".join(cells) + " |" for cells in (list(map(text, head)), rule, *rows)]


def text(words: str) -> str:
    """Plain words that Markdown must not read as markup."""
    for mark in "\\`*_<>|[]&":
        words = words.replace(mark, f"\\{mark}")
    return " ".join(words.split())


def _code(words: str) -> str:
    """Code on one line; a pipe would end the table's cell, a backtick the code."""
    return "`" + " ".join(words.split()).replace("`", "'").replace("|", "\\|") + "`"
