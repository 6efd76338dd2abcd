"""Which files a site is made of, found among what a user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..specs.errors import RecordsError
from . import bench, folder, kills, records


@dataclass(frozen=True, slots=True)
class Sources:
    """The files that a site is made of: runs, the last kill matrix if any, and bench files."""

    runs: tuple[Path, ...]
    zoo: Path | None
    benches: tuple[Path, ...]


def sources(paths: Sequence[Path]) -> Sources:
    """Sort files, and what lies in folders, by their kind; raises RecordsError without any run."""
    zoos, benches = ([file for path in paths for file in _named(path, name)] for name in (kills.FILE, bench.FILE))
    others = [*zoos, *benches]

    def has_a_run(path: Path) -> bool:
        return bool(_named(path, records.FILE)) or not any(file.is_relative_to(path) for file in others)

    chosen = [path for path in paths if has_a_run(path)]
    if not chosen:
        named = ", ".join(map(str, paths))
        raise RecordsError(f"{named}: no run, and a site is made of runs; name a records.jsonl of `lossparity run` too")
    runs = records.find(chosen)
    return Sources(tuple(runs), zoos[-1] if zoos else None, tuple(benches))


def look(path: Path) -> Sources:
    """What one file or folder holds, be it nothing."""
    runs, zoos, benches = (_named(path, name) for name in (records.FILE, kills.FILE, bench.FILE))
    return Sources(tuple(runs), zoos[-1] if zoos else None, tuple(benches))


def _named(path: Path, name: str) -> list[Path]:
    """Files of that name: a file itself, or what lies in a folder, however deep, and is not of an earlier run."""
    return folder.files(path, name) if path.is_dir() else [path] * (path.name == name and path.is_file())
