"""Finds backends: those that come with the package, those that others register, `module:object`, and users' functions.

A user's function is `FRAMEWORK@MODULE:FUNCTION` (`lossparity.adapters.user`).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

from ..specs.errors import AdapterUnavailable, UsageError, nearest
from . import user
from .base import Backend

# In the order in which they are imported: torch first, since its OpenMP and the others' clash the other way round.
BUILT_IN = ("torch", "numpy", "jax", "tensorflow")
ENTRY_POINTS = "lossparity.adapters"


def names() -> list[str]:
    """Every backend known here, installed or not, numpy first."""
    others = [entry.name for entry in metadata.entry_points(group=ENTRY_POINTS)]
    return ["numpy", *(name for name in BUILT_IN if name != "numpy"), *others]


def backend(name: str) -> Backend:
    """The backend called `name`, the object at `package.module:object`, or the one around a user's function.

    Its framework is not imported yet.

    Raises UsageError for an unknown name, with the nearest known ones.
    """
    if user.SIGN in name:
        return _around(name)
    if name in BUILT_IN:
        return _checked(importlib.import_module(f"..{name}.adapter", __name__).BACKEND, name)
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            return _checked(entry.load(), name)
    if ":" in name:
        return _from_path(name)
    raise UsageError(f"no backend {name!r}; {nearest(name, names())} (or package.module:object)")


def home(name: str) -> Traversable | None:
    """The folder of the module that defines a backend, where its known divergences lie; None for a user's function.

    Takes the names that `backend` takes, and imports no more than that does.
    """
    if user.SIGN in name:
        return None
    if name in BUILT_IN:
        return resources.files(__package__ or "").joinpath(name)
    backend(name)  # imports the module, or says why it does not
    modules = [entry.module for entry in metadata.entry_points(group=ENTRY_POINTS) if entry.name == name]
    module = importlib.import_module(modules[0] if modules else name.partition(":")[0])
    if module.__package__:
        return resources.files(module.__package__)
    return Path(module.__file__).parent if module.__file__ else None


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
    settle()
    try:
        importlib.import_module(backend.module)
    except Exception as error:
        raise AdapterUnavailable(
            f"backend {backend.name} is installed but does not import: {error!r}; reinstall it with: {backend.install}"
        ) from error


def settle() -> None:
    """Settings that frameworks read when they are imported; a user's own win.

    They log nothing over a report, round nothing to TF32, and take memory of an accelerator as they need it, since
    several processes share it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_PLATFORMS", "")
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


@functools.cache
def _around(key: str) -> Backend:
    """The backend around a user's function: the same object each time."""
    target = user.parse(key)
    return user.backend(target, backend(target.framework))


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
