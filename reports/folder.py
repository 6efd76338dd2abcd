"""Folders of runs: where a run is written, what becomes of the one before, and which one is the newest.

`reports-out` holds a folder for each run, named by the moment at which it began, and `latest` leads to the newest.
Any other folder holds one run; the run that it held before is kept in a folder inside, named by its moment too. So
what is named by a moment is an earlier run, unless it is the newest; earlier ones are read where they are named.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ..specs.errors import NotWritten, UsageError
from . import lock
from .whole import write_text

RUN = "records.jsonl"
SUMMARY = "summary.md"
LATEST = "latest"
MARK = b'<a class="name" href="#top">lossparity</a>'  # on every page of ours
_MOMENT = "%Y-%m-%dT%H-%M-%S"
_NAMED = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(-\d+)?")
_BESIDE = re.compile(r'href="((?:mutants|bench)[\w.-]*\.html)"')  # pages that are not the run's own
_REDIRECT = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=../{0}/index.html">\n'


def is_dated(path: Path) -> bool:
    """Whether a folder is named by a moment, as those that hold a run each are."""
    return bool(_NAMED.fullmatch(path.name))


def files(path: Path, name: str, *, earlier: bool = False) -> list[Path]:
    """Files of that name in a folder, however deep; those of earlier runs only where they are asked for."""
    found: list[Path] = []
    for folder, inner, names in os.walk(path):
        here, newest = Path(folder), latest(Path(folder))
        inner[:] = [one for one in inner if earlier or not is_dated(Path(one)) or here / one == newest]
        found += [here / name] * (name in names)
    return sorted(found)


def latest(folder: Path) -> Path | None:
    """The newest of the runs that a folder holds in folders of their own; None where it holds one run itself."""
    link = folder / LATEST
    if (folder / RUN).exists() and not os.path.lexists(link):
        return None
    target = folder / os.readlink(link) if link.is_symlink() else link
    if is_dated(target) and (target / RUN).exists():
        return target
    return max(_dated(folder), default=None)


def newest(folder: Path) -> Path | None:
    """Where the run is that a folder stands for: there, or in the newest of the folders inside."""
    return folder if (folder / RUN).exists() else latest(folder)


def address(folder: Path) -> str:
    """The page of that run, as seen from the folder; empty without a run."""
    place = newest(folder)
    if place is None or place == folder:
        return "index.html" if place else ""
    return f"{LATEST if (folder / LATEST).exists() else place.name}/index.html"


@contextlib.contextmanager
def claimed(out: Path, *, dated: bool, keep: int | None, command: str) -> Iterator[Callable[[], Path]]:
    """Nobody else writes a run where this one does; yields what says where that is, to be called once it begins.

    With `dated` that is a new folder in `out`, else `out` itself, which is locked from now on. `keep` is how many runs
    stay in `out`, this one included; None: all. Raises UsageError where another run is going on there.
    """
    begun: list[Path] = []
    with contextlib.ExitStack() as locks:
        if not dated:
            locks.enter_context(lock.held(_made(out), command))

        def begin() -> Path:
            place = _new(out, datetime.datetime.now(datetime.UTC)) if dated else out
            if dated:
                locks.enter_context(lock.held(place, command))
            else:
                set_aside(out)
            begun.append(place)
            return place

        try:
            yield begin
        finally:
            for place in begun:
                _end(out, place, keep)


def _end(out: Path, place: Path, keep: int | None) -> None:
    """What is to be done in `out` when the run in `place` has ended."""
    if not (place / RUN).exists() or not (place / RUN).stat().st_size:
        if place != out:
            _remove(place)
        return
    if place != out:
        _point(out, place.name)
    if keep is not None:
        prune(out, keep)


def set_aside(folder: Path) -> Path | None:
    """Move the run that a folder holds into a new one inside, and return that; None where there is none."""
    run = folder / RUN
    if not run.exists() or not run.stat().st_size:
        return None
    place = _new(folder, _began(run))
    pages = [page for page in folder.glob("*.html") if is_ours(page) and not _BESIDE.match(f'href="{page.name}"')]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if (moved := _BESIDE.sub(r'href="../\1"', text)) != text:
            write_text(page, moved)
    for file in (*pages, folder / SUMMARY, run):
        if file.exists():
            file.rename(place / file.name)
    return place


def prune(folder: Path, keep: int) -> None:
    """Remove the oldest runs of a folder, so that so many are left; what else lies in their folders stays."""
    inside = keep - (folder / RUN).exists()
    for old in sorted(_dated(folder), reverse=True)[inside:]:
        if lock.is_free(old):
            _remove(old)


def is_ours(page: Path) -> bool:
    """Whether a page was written by lossparity."""
    return MARK in page.read_bytes()


def _remove(old: Path) -> None:
    for file in (*old.glob("*.html"), old / SUMMARY, old / RUN, old / lock.FILE):
        file.unlink(missing_ok=True)
    if not any(old.iterdir()):
        old.rmdir()


def _dated(folder: Path) -> list[Path]:
    """The runs that a folder holds in folders of their own."""
    return [one for one in folder.iterdir() if is_dated(one) and (one / RUN).exists()]


def _made(folder: Path) -> Path:
    """The folder, made if it is not there; raises UsageError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}; name another folder with --out") from error
    return folder


def _new(folder: Path, moment: datetime.datetime) -> Path:
    """A new folder in this one, named by a moment, and by a number if that is taken."""
    name = moment.strftime(_MOMENT)
    for number in itertools.count(1):
        place = _made(folder) / (name if number == 1 else f"{name}-{number}")
        try:
            place.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise NotWritten(place, error) from error
        return place
    raise AssertionError("unreachable")


class _Begun(msgspec.Struct):
    """What is of interest in a header."""

    started: datetime.datetime


def _began(run: Path) -> datetime.datetime:
    """When a run began, as its header says, or else when its file was last written."""
    with run.open("rb") as file:
        head = file.readline()
    try:
        return msgspec.json.decode(head, type=_Begun).started.astimezone(datetime.UTC)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return datetime.datetime.fromtimestamp(run.stat().st_mtime, datetime.UTC)


def _point(folder: Path, name: str) -> None:
    """Let `latest` lead to the run of that name: a link, and where there are none a folder whose page leads there."""
    link, fresh = folder / LATEST, folder / f".{LATEST}-{name}"
    try:
        fresh.symlink_to(name, target_is_directory=True)
        fresh.replace(link)
    except OSError:
        fresh.unlink(missing_ok=True)
        if link.is_symlink():  # a full disk: the run is found by its name
            return
        _made(link)
        write_text(link / "index.html", _REDIRECT.format(name))
