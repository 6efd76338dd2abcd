"""The HTML report of who is fast: a page for each loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from . import charts, guard, limits, memory, ratios, speed, speed_charts
from .bench import PAGE, Bench
from .ratios import Board
from .templates import asset, chart, environment, json_inlined
from .whole import write_text


def write_benches(runs: Sequence[Bench], out: Path, beside_run: str = "") -> list[tuple[Path, list[Board]]]:
    """Write the speed report of each loss into `out`; returns their paths, and the boards that each shows.

    The first one is `bench.html`, others have their loss's name in theirs, and all link to each other. They
    link to the page of a run beside them, whose address is `beside_run`, if there is one.
    """
    pages = {run.header.loss: f"bench-{run.header.loss}.html" if number else PAGE
             for number, run in enumerate(runs)}  # fmt: skip
    return [_write_bench(run, out, beside_run, pages) for run in runs]


def write_bench(run: Bench, out: Path, beside_run: str = "") -> tuple[Path, list[Board]]:
    """The same for a single loss."""
    return write_benches([run], out, beside_run)[0]


def _write_bench(run: Bench, out: Path, beside_run: str, pages: Mapping[str, str]) -> tuple[Path, list[Board]]:
    """One loss's page; `pages` are those of all losses, by name."""
    out.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    boards = guard.guarded("What was timed", lambda: ratios.boards(run), lambda said: failed.append(said) or [])
    tables = {name: [one for one in boards if one.threads == name] for name in dict.fromkeys(b.threads for b in boards)}
    core = boards[0] if boards else None
    styled = charts.styles([(one.name, one.backend) for one in run.header.contestants])
    cache = [text for name, text in run.header.machine.items() if name.startswith("cache")]
    noisy = sum(one.spread > ratios.NOISY for one in boards)
    text = (
        environment()
        .get_template("bench.html")
        .render(
            headline=f"{run.header.loss}: {'who is fast' if noisy * 2 <= len(boards) else 'too noisy to tell'}",
            sentence=speed.speed_sentence(run, boards),
            failed=failed,
            trusted=noisy * 2 <= len(boards) and run.footer is not None and not failed,
            header=run.header,
            footer=run.footer,
            versions={one.backend: one.version for one in run.header.contestants},
            environment=", ".join(f"{name}={value}" for name, value in run.header.environment.items()),
            tables=tables,
            core=core,
            switches=speed.switches(run, core) if core is not None else [],
            fits=limits.fits(boards, boards[0].threads) if boards else [],
            cold=run.cold,
            memory=memory.table(run),
            exponentials=any(one.exponentials for one in boards),
            missing=_missing(run),
            gathers=any(one.gather is not None for one in boards),
            noisy=ratios.NOISY,
            processes=speed.processes(run, boards),
            cache=cache[-1] if cache else "",
            styled=styled,
            chart_size=chart("The chart of times", lambda: speed_charts.time_by_size(boards, styled)),
            chart_forest=chart("The chart of ratios", lambda: speed_charts.forest(boards, styled)),
            chart_cold=chart("The chart of cold costs", lambda: speed_charts.cold(run, styled)),
            beside_run=beside_run,
            pages=pages if len(pages) > 1 else {},
            data=json_inlined([run.header, *run.records]),
            stylesheet=asset("style.css"),
        )
    )
    page = out / pages[run.header.loss]
    write_text(page, text)
    return page, boards


def _missing(run: Bench) -> dict[tuple[str, str, str], list[str]]:
    """(contestant, kind, reason) of what is not timed, with its points; what cannot be asked comes last."""
    missing: dict[tuple[str, str, str], list[str]] = {}
    for one in run.excluded:
        where = missing.setdefault((one.contestant, one.kind, one.reason), [])
        where += [one.point] * (one.point not in where)
    return dict(sorted(missing.items(), key=lambda pair: pair[0][1] == "unsupported"))
