"""Whether a folder may be written to: nothing that another program left there is overwritten."""

from __future__ import annotations

from pathlib import Path

from ..specs.errors import UsageError
from . import bench, kills, records
from .folder import SUMMARY, is_ours

_PAGES = ("index.html", kills.PAGE, bench.PAGE)
_DATA = (records.FILE, kills.FILE, bench.FILE)
_HEAD = 4096  # within which each of ours says which lossparity wrote it


def require(folder: Path) -> None:
    """Raise UsageError where the folder has a file with the name of one of ours, and it is not ours."""
    if not folder.is_dir():
        return
    data = [file for name in _DATA if (file := folder / name).exists()]
    pages = [file for name in _PAGES if (file := folder / name).exists()]
    others = [file for file in data if not _is_data(file)] + [file for file in pages if not is_ours(file)]
    if (folder / SUMMARY).exists() and not (data or pages):
        others.append(folder / SUMMARY)
    if others:
        raise UsageError(
            f"{others[0]} was not written by lossparity, and would be overwritten; name a folder of its own with --out"
        )


def _is_data(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(_HEAD)
    return not head or b'"lossparity"' in head
