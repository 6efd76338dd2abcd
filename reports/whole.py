"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from ..specs.errors import NotWritten


def write_text(path: Path, text: str) -> None:
    """Write a file in place of the one that is there, which stays if that fails; raises NotWritten then.

    A path that this locale cannot read is written as the bytes that it is.
    """
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """The same for bytes."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError as error:
        if fresh.is_file():
            fresh.unlink()
        raise NotWritten(path, error) from error
