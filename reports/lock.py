"""A folder's lock: one run at a time writes there.

The kernel lets go of it when the process ends, however it ends. On one machine it holds between all processes. On NFS
it holds between machines where the server's lock service is on, and on one machine only where the folder is mounted
with `nolock`. A file system that knows no locks is warned of, and the run goes on.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..specs.errors import NotWritten, UsageError

FILE = ".lossparity.lock"
_LONGEST = 1 << 16
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock."""

    command: str
    process: int
    machine: str
    since: str


class NoLock(UserWarning):
    """A folder cannot be locked."""


@contextlib.contextmanager
def held(folder: Path, command: str) -> Iterator[None]:
    """Hold the folder's lock, for a command; raises UsageError where somebody else does."""
    with _opened(folder / FILE) as descriptor:
        if not _take(descriptor, folder):
            raise UsageError(_refusal(folder, os.pread(descriptor, _LONGEST, 0)))
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        holder = Holder(command, os.getpid(), socket.gethostname(), now)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, msgspec.json.encode(holder), 0)
        except OSError as error:
            raise NotWritten(folder / FILE, error) from error
        yield


def is_free(folder: Path) -> bool:
    """Whether nobody holds the folder's lock at this moment."""
    file = folder / FILE
    if not file.exists():
        return True
    with _opened(file) as descriptor:
        return _take(descriptor, folder)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[int]:
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise NotWritten(file, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # which lets go of the lock


def _take(descriptor: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        warnings.warn(f"{folder} cannot be locked ({error.strerror}): start no second run there", NoLock, stacklevel=3)
    return True


def _refusal(folder: Path, said: bytes) -> str:
    todo = "wait until it has ended, or name another folder with --out"
    try:
        by = msgspec.json.decode(said, type=Holder)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # it has not written it down yet
        return f"{folder}: another run writes there; {todo}"
    since = by.since.replace("T", " ").replace("+00:00", " UTC")
    return (
        f"{folder}: another run writes there, `{by.command}`, process {by.process} on {by.machine}, since {since}; "
        f"{todo}"
    )
