"""What mkdocs.yml adds to the pages of this folder: those that lie elsewhere, and known divergences."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lossparity.conformance.judging import rows, severities
from lossparity.conformance.judging.ledger import Divergence
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
# Pages by where they lie in the repository.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "specs/nll_loss/spec.md": "specification.md",
    "specs/INTERPRETING.md": "interpreting.md",
}
_LINK = re.compile(r"\[([^\[\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
BACKENDS = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow"}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie elsewhere, and those that are made."""
    for path, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text(encoding="utf-8")))
    for backend, framework in BACKENDS.items():
        content = "\n".join(_divergences(backend, framework))
        files.append(File.generated(config, f"divergences-{backend}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to pages of the site; what has no page keeps its words alone."""
    home = next((path for path, name in PAGES.items() if name == page.file.src_uri), f"docs/{page.file.src_uri}")

    def linked(found: re.Match[str]) -> str:
        words, address, place = found[1], found[2], found[3] or ""
        if "://" in address:
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(home), address))
        name = PAGES.get(path) or path.removeprefix("docs/")
        is_page = path in PAGES or path.startswith("docs/")
        return f"[{words}]({name}{place})" if is_page else words

    return _LINK.sub(linked, markdown)


def _divergences(backend: str, framework: str) -> Iterator[str]:
    found = sorted(rows.brought_along(backend, None), key=lambda row: (severities.severity(row).rank, row.id))
    yield f"# Known divergences of {framework}"
    yield ""
    yield "Recorded departures from the specification, the worst first. Each was seen with the pinned versions,"
    yield "has a vector of its own, and fails a run on the day on which it is gone."
    for row in found:
        yield from _one(row)
    if not found:
        yield f"\n{framework}'s subjects have none."


def _one(row: Divergence) -> Iterator[str]:
    yield f"\n## {row.title[0].upper()}{row.title[1:]}\n"
    yield f"**{severities.severity(row)}**, `{row.id}`, on {', '.join(f'`{name}`' for name in row.subjects)}."
    yield f"Clauses: {', '.join(row.clauses).replace('*', 'all of a call')}. Cause: {row.cause}.\n"
    yield f"{row.explanation}\n"
    yield f"```python\n{row.reproducer.strip()}\n```\n"
    for reference in row.references:
        yield f"- {reference}"
