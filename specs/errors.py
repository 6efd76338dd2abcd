"""Every error this package raises on purpose, in the order of a run's life; the exit code sits on the class."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_ALL, _EXAMPLES = 40, 5  # known words that are listed, and examples where there are more


class LossparityError(Exception):
    """Base of all: `exit_code` is what the command line returns for it."""

    exit_code = 3


class UsageError(LossparityError):
    """The command line names something that does not exist."""

    exit_code = 4


class SpecError(LossparityError):
    """A clause, flag or capability table is broken."""

    exit_code = 4


class VectorError(LossparityError):
    """A vector or a recorded call cannot be read."""

    exit_code = 4


class LedgerError(LossparityError):
    """A row of known divergences is broken."""

    exit_code = 4


class RecordsError(LossparityError):
    """A records file cannot be read."""

    exit_code = 4


class NotWritten(LossparityError):
    """A file could not be written: the disk is full, or the folder is not to be written to."""

    def __init__(self, path: object, error: OSError) -> None:
        super().__init__(
            f"{path} could not be written: {error.strerror or error}; make room, or name another folder. What was "
            "finished is kept, and `lossparity report` reads it"
        )


class NotDrawable(LossparityError):
    """The chart engine did not draw a chart."""


class NotReproduced(LossparityError):
    """What failed once does not fail again: the suite cannot show what it said."""


class NothingRan(LossparityError):
    """The selection left nothing to run."""

    exit_code = 5


class AdapterUnavailable(LossparityError):
    """A backend that was asked for cannot start."""

    exit_code = 6


class BridgeError(LossparityError):
    """Our own conversion to or from a framework failed: counted as ERROR, never as the framework's failure."""


class CannotCompile(BridgeError):
    """A function that we were asked to compile cannot be compiled: said of what was asked, not of the function."""

    exit_code = 4


class EngineError(LossparityError):
    """The suite contradicts itself: a heartbeat that did not beat, a sum that does not add up."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that offers the known words closest to `word`."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if len(known) <= _ALL:
        return f"known: {', '.join(known)}"
    examples = ", ".join(known[:: len(known) // _EXAMPLES][:_EXAMPLES])
    return f"none of the {len(known)} that are known is like it, such as {examples}"
