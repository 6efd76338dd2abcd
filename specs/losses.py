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

BUILT_IN = ("nll_loss", "log_softmax", "cross_entropy")
DEFAULT = "nll_loss"  # of what names none, such as records of format 1
ENTRY_POINTS = "lossparity.losses"

_own: dict[str, Loss] = {}  # found by their place, under their own names
_places: dict[str, str] = {}  # own names -> where another process finds them


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
        return _registered(_at(_resolved(name)), _resolved(name))
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
    return load(module, attribute, lambda one: isinstance(one, Loss), "OBJECT")


def _resolved(place: str) -> str:
    """The place as every process finds it, whatever its current directory."""
    module, _, attribute = place.rpartition(":")
    return f"{Path(module).resolve()}:{attribute}" if is_file(module) else place


def _registered(found: object, name: str) -> Loss:
    if not isinstance(found, Loss):
        raise UsageError(f"{name} is of type {type(found).__name__}; it must be a lossparity.specs.loss.Loss")
    if found.name in BUILT_IN or _own.setdefault(found.name, found) is not found:
        raise UsageError(f"{name}: there is a loss called {found.name!r} already; give this one another name")
    if name != found.name:
        _places[found.name] = name
    return found


def register(loss: Loss) -> Loss:
    """Let a loss of one's own be known by its name in this process; raises UsageError where that name is taken."""
    return _registered(loss, loss.name)


def place(name: str) -> str:
    """The name by which another process finds a loss that was found in this one."""
    return _places.get(name, name)


def places() -> tuple[str, ...]:
    """Losses of one's own that were found in this process, as another one finds them."""
    return tuple(_places.values())
