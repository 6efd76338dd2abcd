"""The templates of all pages, and what stands in them: filters, style sheets, charts and data."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Callable
from typing import Any

import jinja2
import markupsafe
import msgspec

from . import findings, guard, speed, tolerance
from .matrix import State
from .records import SubjectInfo
from .severity import severity_of
from .verdict import Outlook, plural

_SITE = "lossparity.reports.site"
MARKS = {
    Outlook.BROKEN: "!",
    Outlook.UNEXPECTED: "✗",
    Outlook.EMPTY: "○",
    Outlook.INCOMPLETE: "…",
    Outlook.EXPECTED: "✓",
}


def anchor(*parts: str) -> str:
    """An id for an element, safe in an address: `VALUE-3/torch:compile`."""
    return "/".join(re.sub(r"[^A-Za-z0-9_.:-]+", "_", part) for part in parts)


def json_inlined(content: Any) -> markupsafe.Markup:
    """JSON to stand in a script element, where nothing but its own end tag could end it."""
    return markupsafe.Markup(msgspec.json.encode(content).decode().replace("</", "<\\/"))


def environment() -> jinja2.Environment:
    """The pages' templates, with what they may call."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader(_SITE, ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(_FILTERS)
    found.globals.update(_GLOBALS)
    return found


def _code(words: str) -> markupsafe.Markup:
    """Plain words with what stands between backticks set as code; everything is escaped."""
    return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(markupsafe.escape(words))))


def _variant(subject: SubjectInfo) -> str:
    """A subject's name under its backend's heading: `compile` for `torch:compile`, `torch`'s own style."""
    if subject.name == subject.backend:
        return subject.style
    return subject.name.removeprefix(f"{subject.backend}:")


_GLOBALS: dict[str, Any] = {
    "anchor": anchor,
    "section": guard.section,
    "State": State,
    "marks": {outlook.value: mark for outlook, mark in MARKS.items()},
    "BEFORE": findings.BEFORE,
}
_FILTERS: dict[str, Callable[..., Any]] = {
    "thousands": tolerance.whole,
    "ulps": tolerance.in_ulps,
    "relative": tolerance.relative,
    "known_state": lambda divergence: State.of_severity(severity_of(divergence)),
    "percent": lambda share: f"{100 * share:.3g}%",
    "when": lambda moment: moment.replace("T", " ")[:16] + " UTC",
    "plural": plural,
    "variant": _variant,
    "duration": speed.duration,
    "size": speed.size,
    "code": _code,
    "link": findings.link,
    "snippet": findings.snippet,
}


def asset(name: str) -> markupsafe.Markup:
    """A style sheet or script of ours, to be inlined as it is."""
    return markupsafe.Markup(importlib.resources.files(_SITE).joinpath(name).read_text(encoding="utf-8"))


def chart(name: str, draw: Callable[[], str | None]) -> markupsafe.Markup | None:
    """A chart, already escaped by the library that drew it, or why there is none; None without data."""

    def drawn() -> markupsafe.Markup | None:
        picture = draw()
        return None if picture is None else markupsafe.Markup(picture)

    return guard.guarded(name, drawn, guard.paragraph)
