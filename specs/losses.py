"""The losses that ship, those of entry points, and a user's own, by name."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from .errors import UsageError, nearest
from .loading import is_file, load
from .loss import Loss

BUILT_IN = ("nll_loss",)
DEFAULT = "nll_loss"  # of what names none, such as records of format 1
ENTRY_POINTS = "lossparity.losses"

_own: dict[str, Loss] = {}  # found by their place, under their own names


def names() -> list[str]:
    """Names that `find` knows without being told where: those that ship, and those of installed packages."""
    return [*BUILT_IN, *(entry.name for entry in metadata.entry_points(group=ENTRY_POINTS))]


def find(name: str) -> Loss:
    """The loss of this name, imported when it is needed; `MODULE:OBJECT` and `file.py:OBJECT` name one's own.

    Once found, such a one is known by its own name, too. Raises UsageError that offers the nearest names, or says why
    an object is no loss.
    """
    if name in BUILT_IN:
        return _built_in(name)
    if name in _own:
        return _own[name]
    if ":" in name:
        return _registered(_at(name), name)
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            return _registered(entry.load(), name)
    own = "; a loss of one's own is named as path/to/file.py:OBJECT"
    raise UsageError(f"no loss {name!r}; {nearest(name, [*names(), *_own])}{own}")


def every() -> Iterator[Loss]:
    """All losses that ship."""
    return map(find, BUILT_IN)


@functools.cache
def _built_in(name: str) -> Loss:
    found: Loss = importlib.import_module(f"lossparity.specs.{name}.loss").LOSS
    return found


@functools.cache
def _at(place: str) -> object:
    module, _, attribute = place.rpartition(":")
    module = str(Path(module).resolve()) if is_file(module) else module
    return load(module, attribute, lambda one: isinstance(one, Loss), "OBJECT")


def _registered(found: object, name: str) -> Loss:
    if not isinstance(found, Loss):
        raise UsageError(f"{name} is of type {type(found).__name__}; it must be a lossparity.specs.loss.Loss")
    if found.name in BUILT_IN or _own.setdefault(found.name, found) is not found:
        raise UsageError(f"{name}: there is a loss called {found.name!r} already; give this one another name")
    return found
