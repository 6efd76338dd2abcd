"""The commands that make pages of what was recorded: `report` merges runs, `site` lays reports side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console

from ...reports import bench, folder, kills, overview, records, sources
from ...specs.errors import UsageError
from . import show
from .options import JSON, folder_option

console = Console(highlight=False, markup=False)


def link(out: Path) -> None:
    """Let the page of the run in the same folder, if there is one, link to a page that was written just now."""
    from ...reports import html

    if place := folder.newest(out):
        html.write_site([records.read(place / records.FILE)], place)


@click.command(name="report")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE_OR_DIR...")
@folder_option(None, "Folder for the merged site.")
@JSON
def report_command(paths: Sequence[Path], out: Path, as_json: bool) -> None:
    """Merge runs into one HTML site and a Markdown summary.

    What several runs have is shown from the newest; parts of one run (`lossparity run --part`) are added up, and what
    is missing is named. Takes files records.jsonl, mutants.json and bench.jsonl, and folders that hold them: the kill
    matrix and the speed report of each loss become pages of the site.
    """
    from ...reports import html, speed_page
    from ..running import soundness

    found = sources.sources(paths)
    runs = [records.read(path) for path in found.runs]
    if found.zoo is not None:
        html.write_mutants(kills.read(found.zoo), out)
    speed_page.write_benches(bench.read_all(found.benches), out, beside_run="index.html")
    said = overview.Overview.of(runs, list(soundness.of_parts(runs)))
    index = html.write_overview(said, out)
    missing = list(dict.fromkeys(one for matrix in said.matrices for one in matrix.merged.missing))
    if as_json:
        summary = {
            "index": str(index),
            "summary": str(out / "summary.md"),
            "runs": [run.path for run in runs],
            "missing": missing,
        }
        click.echo(msgspec.json.encode(summary).decode())
        return
    show.family_tables(console, said)
    for matrix in said.matrices:
        show.deep_sums(console, matrix.merged.of(records.Accuracy))
    for sentence in missing:
        console.print(f"missing: {sentence}", style="bold red", soft_wrap=True)
    console.print(f"Report: {index}", soft_wrap=True)


@click.command(name="site")
@click.argument("parts", nargs=-1, required=True, metavar="PART=FILE_OR_DIR...")
@click.option("--failed", multiple=True, metavar="JOB", help="Say on the page that this job failed; repeatable.")
@folder_option(None, "Folder for the site.")
@JSON
def site_command(parts: Sequence[str], failed: Sequence[str], out: Path, as_json: bool) -> None:
    """Lay several reports side by side, with a page that leads to them and names what is missing.

    What is given under the same PART is merged into PART/index.html, as `report` does; a kill matrix becomes
    mutants.html, a bench file bench.html, that of a second loss bench-LOSS.html. Everything that is named should be
    there: exit code 1 if it is not.
    """
    from ...reports import landing

    named: dict[str, list[Path]] = {}
    for one in parts:
        part, sign, path = one.partition("=")
        if not (part and sign and path):
            raise UsageError(f"{one}: write PART=FILE_OR_DIR, such as pinned=reports-out/torch")
        named.setdefault(part, []).append(Path(path))
    site, index = landing.write(named, out, failed), out / "index.html"
    if as_json:
        content = {"index": str(index), "outlook": site.outlook.value, "pages": site.pages, "missing": site.missing}
        click.echo(msgspec.json.encode(content).decode())
    else:
        console.print(f"{site.headline}: {site.sentence}", soft_wrap=True)
        for sentence in site.missing:
            console.print(f"missing: {sentence}", style="bold red", soft_wrap=True)
        console.print(f"Site: {index}", soft_wrap=True)
    sys.exit(1 if site.missing else 0)
