"""Standard output and standard error that cost nothing but themselves.

A run is worth more than what it prints: where a reader has gone away (`| head -1`), or the disk behind `>` is full, or
the locale knows no such character, the work goes on, and its files are written.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console

from ...specs.errors import LossparityError

# One character each where tables have them, distinct as the symbols of cells are.
_PLAIN = {
    "✗": "x", "≢": "%", "≠": "#", "∇": "g", "¬": "~", "⊘": "/", "≈": "=", "▽": "v", "✓": "+", "◦": "o", "–": "-",
    "○": "O", "·": ".",
    "…": ".", "“": '"', "”": '"', "’": "'", "—": "--", "−": "-", "×": "x", "≤": "<=", "≥": ">=", "→": "->",
    "½": "1/2", "━": "-", "╸": "-", "╺": "-", "•": "*",
}  # fmt: skip
_HANDLER = "lossparity.plain"


class _Sink(io.FileIO):
    """A descriptor that takes whatever comes, and remembers why it could not pass it on."""

    failure: OSError | None = None

    def write(self, data: object, /) -> int:
        """Write, or drop what nobody can read any more."""
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BlockingIOError:
            raise
        except OSError as error:
            self.failure = self.failure or error
            return len(memoryview(data).cast("B"))  # type: ignore[arg-type]


@contextlib.contextmanager
def robust() -> Iterator[None]:
    """Print to such streams meanwhile; exit with 3 in the end if what was printed was lost on one who waits for it."""
    if None in (sys.stdout, sys.stderr) or (sys.stdout, sys.stderr) != (sys.__stdout__, sys.__stderr__):
        yield  # closed from the beginning, or within a test or another program, which has its own
        return
    codecs.register_error(_HANDLER, _plainly)
    before = sys.stdout, sys.stderr
    sinks = [_Sink(stream.fileno(), "w", closefd=False) for stream in before]
    sys.stdout, sys.stderr = (_text(sink, stream) for sink, stream in zip(sinks, before, strict=True))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before
        failure = sinks[0].failure
        if failure is not None and failure.errno != errno.EPIPE:
            print(f"lossparity: standard output could not be written: {failure.strerror}", file=sys.stderr)
            sys.exit(LossparityError.exit_code)


def farewell(screen: Console, index: Path) -> None:
    """Say where the report is if what was printed of it reached nobody."""
    if _is_lost():
        screen.print(f"Nobody read to the end, and the run went on. Report: {index}", soft_wrap=True)


def _is_lost() -> bool:
    sys.stdout.flush()
    sink = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(sink, _Sink) and sink.failure is not None


def _text(sink: _Sink, like: TextIO) -> io.TextIOWrapper:
    buffer = io.BufferedWriter(sink)
    return io.TextIOWrapper(buffer, like.encoding, _HANDLER, line_buffering=like.line_buffering)  # type: ignore


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """What to write in place of characters that the locale's encoding has not."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    said = b"".join(map(_byte_or_plain, error.object[error.start : error.end]))
    return said, error.end


def _byte_or_plain(character: str) -> bytes:
    """The byte that a path of another encoding had there, or the character in ASCII."""
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return bytes([ord(character) - 0xDC00])
    near = unicodedata.normalize("NFKD", character).encode("ascii", "ignore")
    return _PLAIN[character].encode() if character in _PLAIN else near or b"?"
