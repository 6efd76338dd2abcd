"""Finds backends: those that come with the package, those that others register, and `module:object`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib import metadata

from ..specs.errors import AdapterUnavailable, UsageError, nearest
from .base import Backend

# In the order in which they are imported: torch first, since its OpenMP and the others' clash the other way round.
BUILT_IN = ("torch", "numpy", "jax", "tensorflow")
ENTRY_POINTS = "lossparity.adapters"


def names() -> list[str]:
    """Every backend known here, installed or not, numpy first."""
    others = [entry.name for entry in metadata.entry_points(group=ENTRY_POINTS)]
    return ["numpy", *(name for name in BUILT_IN if name != "numpy"), *others]


def backend(name: str) -> Backend:
    """The backend called `name`, or the object at `package.module:object`; its framework is not imported yet.

    Raises UsageError for an unknown name, with the nearest known ones.
    """
    if name in BUILT_IN:
        return _checked(importlib.import_module(f"..{name}.adapter", __name__).BACKEND, name)
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            return _checked(entry.load(), name)
    if ":" in name:
        return _from_path(name)
    raise UsageError(f"no backend {name!r}; {nearest(name, names())} (or package.module:object)")


def is_installed(backend: Backend) -> bool:
    """Whether the framework can be found, without importing it."""
    try:
        return importlib.util.find_spec(backend.module) is not None
    except (ImportError, ValueError):
        return False


def start(backend: Backend) -> None:
    """Import the framework; raises AdapterUnavailable with the install line, or with what went wrong."""
    if not is_installed(backend):
        raise AdapterUnavailable(f"backend {backend.name} is not installed; install it with: {backend.install}")
    quieten()
    try:
        importlib.import_module(backend.module)
    except Exception as error:
        raise AdapterUnavailable(
            f"backend {backend.name} is installed but does not import: {error!r}; reinstall it with: {backend.install}"
        ) from error


def quieten() -> None:
    """Keep frameworks from logging over a report; a user's own setting wins."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_PLATFORMS", "")
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")


def _from_path(path: str) -> Backend:
    module, _, attribute = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return _checked(getattr(importlib.import_module(module), attribute), path)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"backend {path!r}: {error}; name it as package.module:object") from error


def _checked(found: object, name: str) -> Backend:
    if not isinstance(found, Backend):
        raise UsageError(f"backend {name!r} is a {type(found).__name__}; it must be a lossparity.adapters.base.Backend")
    return found
