"""Files of one JSON object a line that open with a header of a known format: how they are written and read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from ..specs.errors import NotWritten, RecordsError, VectorError

Head = TypeVar("Head")
_Decode = Callable[[str], Any]
_NONE: Mapping[int, _Decode] = MappingProxyType({})

_encode = msgspec.json.Encoder().encode


class _Version(msgspec.Struct):
    """What can be said of a header of any format."""

    format: int


class Writer:
    """Appends lines to a file, each flushed as it is written, so that an interrupted run keeps them."""

    def __init__(self, path: Path, header: msgspec.Struct | None) -> None:
        """Begin a file with a header, or without one go on with a file that is there, after its last whole line."""
        self._path, self._end, self._is_full = path, 0, False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab" if header is None else "wb", buffering=0)
        except OSError as error:
            raise NotWritten(path, error) from error
        if header is None:
            self._end = path.read_bytes().rfind(b"\n") + 1
            self._file.truncate(self._end)
        else:
            self.write(header)

    def write(self, *lines: msgspec.Struct) -> None:
        """Append lines, all or none of them; raises NotWritten, and takes no more of them then."""
        if self._is_full:
            return
        rest = b"".join(_encode(line) + b"\n" for line in lines)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._is_full = True
            with contextlib.suppress(OSError):  # what stays of the line, readers leave out
                self._file.truncate(self._end)
                self._file.seek(self._end)
            raise NotWritten(self._path, error) from error
        self._end = self._file.tell()

    def close(self, footer: msgspec.Struct) -> None:
        """Append the footer, for which there may be room again, and make the file durable."""
        self._is_full = False
        with self._file:
            self.write(footer)
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise NotWritten(self._path, error) from error


def read(
    path: Path,
    head: type[Head],
    decode: _Decode,
    newest: int,
    what: str,
    command: str,
    where: str,
    older: Mapping[int, _Decode] = _NONE,
) -> tuple[Head, list[Any]]:
    """The header of a file and the lines behind it; a last line that was cut off while it was written is left out.

    `newest` is the highest format that can be read; `older` decodes the lines of earlier ones that were otherwise.
    `what`, `command` and `where` name the kind of file, what writes it and where to find it. Raises RecordsError naming
    the file, the line and what to do.
    """
    try:
        raw = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RecordsError(f"{path}: {error.strerror}; {where}") from error
    cut = bool(raw[-1])
    if not cut:
        raw.pop()
    version, header = _header(path, raw[0] if raw else b"", head, newest, f"it is not a {what} of `{command}`")
    decode = older.get(version, decode)
    lines: list[Any] = []
    for number, line in enumerate(raw[1:], 2):
        try:
            lines.append(decode(line.decode()))  # all of it is text: unknown names are not looked at otherwise
        except (msgspec.MsgspecError, UnicodeDecodeError, VectorError) as error:
            if cut and number == len(raw):
                break
            raise RecordsError(f"{path}:{number}: {error}; the file is damaged, run `{command}` again") from error
    return header, lines


def _header(path: Path, line: bytes, head: type[Head], newest: int, otherwise: str) -> tuple[int, Head]:
    """The first line, and its format, which is looked at before anything else of the file."""
    try:
        version = msgspec.json.decode(line, type=_Version).format
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RecordsError(f"{path}:1: not a header ({error}); {otherwise}") from error
    if version > newest:
        raise RecordsError(
            f"{path}: written in format {version}, this lossparity reads up to {newest}; upgrade lossparity to read it"
        )
    try:
        return version, msgspec.json.decode(line.decode(), type=head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RecordsError(f"{path}:1: {error}; {otherwise}") from error
