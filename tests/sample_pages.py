"""Pages of the report as trees, and small runs to make them of."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import sample_run
from lossparity.reports.records import Run

_VOID = {"meta", "link", "input", "br", "col", "img", "hr", "line", "path", "rect"}


class Page(HTMLParser):
    """Ids, links and loaded addresses of a page; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []
        self.cells: list[dict[str, str | None]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if "id" in found:
            self.ids[found["id"] or ""] += 1
        if tag == "a":
            self.links.append(found["href"] or "")
        if tag == "a" and "cell" in (found.get("class") or "").split():
            self.cells.append(found)
        if tag != "a":
            self.loads += [
                found[name] or "" for name in ("src", "href", "xlink:href", "data", "action") if name in found
            ]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self._open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def small(path: Path, **options: Any) -> Run:
    """A sample run of NumPy alone, unless told otherwise, quick to make and to draw."""
    return sample_run.sample(path, **{"backends": ["numpy"], **options})
