"""Several reports as one site: each part on a page of its own, and one that says what there is and what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..specs.errors import RecordsError, UsageError
from . import bench, html, kills, records, sources, speed, speed_page
from .markdown import SYMBOLS, text
from .overview import Overview
from .records import Run
from .verdict import Outlook, apart, plural, worst
from .whole import write_text

_HEADLINES = {
    Outlook.BROKEN: "The suite itself failed",
    Outlook.UNEXPECTED: "Unexpected results",
    Outlook.EMPTY: "Nothing ran",
    Outlook.INCOMPLETE: "Incomplete",
    Outlook.EXPECTED: "All as expected",
}
_PART = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Page:
    """One report of a site: its part's name, where it is, and what it says first."""

    part: str
    address: str  # relative to the landing page
    outlook: Outlook
    headline: str
    sentence: str
    when: str
    what: str  # it is about, such as versions


@dataclass(frozen=True, slots=True)
class Site:
    """The reports of a site, and sentences on what should be there and is not."""

    pages: tuple[Page, ...]
    missing: tuple[str, ...]

    @property
    def outlook(self) -> Outlook:
        """The worst of all; a site with anything missing is incomplete at best."""
        found = [page.outlook for page in self.pages] or [Outlook.EMPTY]
        return worst(found + [Outlook.INCOMPLETE] * bool(self.missing))

    @property
    def headline(self) -> str:
        """The whole in a few words."""
        return _HEADLINES[self.outlook]

    @property
    def sentence(self) -> str:
        """Which parts are as expected and which are not."""
        parts = apart((page.part, page.outlook, page.headline) for page in self.pages)
        parts += [f"{plural(len(self.missing), 'thing')} missing"] * bool(self.missing)
        said = "; ".join(parts) or "there is no report"
        return f"{said[:1].upper()}{said[1:]}."


def write(parts: Mapping[str, Sequence[Path]], out: Path, failed: Sequence[str] = ()) -> Site:
    """Write the pages of all parts, `index.html` and `summary.md` into `out`.

    The runs of a part become one page, PART/index.html; kill matrices become mutants.html and bench files bench.html.
    What a path does not hold, or what cannot be read, is missing; so is whatever the jobs that `failed` left out.
    """
    out.mkdir(parents=True, exist_ok=True)
    read = {part: [_read(part, path) for path in paths] for part, paths in parts.items()}
    zoos = list(_of_zoos({part: [z for one in found for z in one.zoos] for part, found in read.items()}, out))
    speeds = list(_of_benches({part: [b for one in found for b in one.benches] for part, found in read.items()}, out))
    links = {"All reports": "../index.html"}
    links |= {name: f"../{pages[0].address}" for name, pages in {"Mutants": zoos, "Speed": speeds}.items() if pages}
    runs = [page for part, found in read.items() if (page := _of_runs(part, found, links, out)) is not None]
    missing = [f"The job {job} failed, and what it left may be incomplete." for job in failed]
    missing += [one.missing for found in read.values() for one in found if one.missing]
    site = Site((*runs, *zoos, *speeds), tuple(missing))
    write_text(out / "index.html", html.render_landing(site=site))
    write_text(out / "summary.md", _summary(site))
    return site


@dataclass(frozen=True, slots=True)
class _Read:
    """What one path held, or why that is missing."""

    runs: tuple[Run, ...] = ()
    zoos: tuple[kills.Zoo, ...] = ()
    benches: tuple[bench.Bench, ...] = ()
    missing: str = ""


def _read(part: str, path: Path) -> _Read:
    if not _PART.fullmatch(part):
        raise UsageError(f"{part!r} cannot be a part's name, which is also its folder's: use letters, digits, - and _")
    found = sources.look(path)
    try:
        read = _Read(
            tuple(map(records.read, found.runs)),
            kills.read(found.zoo) if found.zoo else (),
            bench.read_all(found.benches),
        )
    except RecordsError as error:
        return _Read(missing=f"{part}: {error}.")
    return read if read.runs or read.zoos or read.benches else _Read(missing=f"{part}: {path} holds no report.")


def _of_runs(part: str, found: Sequence[_Read], links: Mapping[str, str], out: Path) -> Page | None:
    runs, missing = [run for one in found for run in one.runs], [one.missing for one in found if one.missing]
    if not runs:
        return None
    said = Overview.of(runs, missing)
    html.write_overview(said, out / part, links)
    backends = {name: columns[0].version for table in said.matrices for name, columns in table.backends().items()}
    versions = ", ".join(f"{name} {version}" for name, version in backends.items())
    address = f"{part}/index.html"
    return Page(part, address, said.outlook, said.headline, said.sentence, runs[-1].header.started, versions)


def _of_zoos(found: Mapping[str, Sequence[kills.Zoo]], out: Path) -> Iterator[Page]:
    """The kill matrix of each loss, from the last part that has one."""
    chosen = {zoo.loss: (part, zoo) for part, zoos in found.items() for zoo in zoos}
    written = html.write_mutants([zoo for _, zoo in chosen.values()], out, beside_run="index.html")
    for (part, zoo), page in zip(chosen.values(), written, strict=True):
        outlook = Outlook.EXPECTED if zoo.is_sound else Outlook.UNEXPECTED
        yield Page(part, page.name, outlook, zoo.headline(), zoo.sentence(), zoo.started, zoo.command)


def _of_benches(found: Mapping[str, Sequence[bench.Bench]], out: Path) -> Iterator[Page]:
    """The speed report of each loss, from the last part that has one."""
    chosen = {one.header.loss: (part, one) for part, benches in found.items() for one in benches}
    written = speed_page.write_benches([one for _, one in chosen.values()], out, beside_run="index.html")
    for (part, one), (page, boards) in zip(chosen.values(), written, strict=True):
        outlook = Outlook.EXPECTED if one.footer is not None and boards else Outlook.INCOMPLETE
        header, says = one.header, speed.speed_sentence(one, boards)
        yield Page(part, page.name, outlook, f"{header.loss}: who is fast", says, header.started, header.command)


def _summary(site: Site) -> str:
    """The landing page in Markdown."""
    lines = [f"# {SYMBOLS[site.outlook]} {site.headline}", "", text(site.sentence)]
    lines += ["", "## Missing", "", *(f"- {text(one)}" for one in site.missing)] if site.missing else []
    lines += ["", "## Parts", ""]
    lines += [f"- {SYMBOLS[page.outlook]} **{page.part}** {text(page.headline)}. {text(page.sentence)}"
              for page in site.pages]  # fmt: skip
    return "\n".join(lines) + "\n"
