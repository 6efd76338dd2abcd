"""Objects that users name by their place: MODULE:OBJECT, or path/to/file.py:OBJECT."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import UsageError, nearest


def is_file(module: str) -> bool:
    """Whether a module is named by its file."""
    return module.endswith(".py")


def load(module: str, name: str, is_one: Callable[[Any], bool], what: str) -> Any:
    """The object of this name in a module or file, dots leading into classes.

    Raises UsageError that says what is wrong, where, and what to do: it offers names of objects that `is_one` accepts,
    and calls one of them `what`, such as FUNCTION.
    """
    found: Any = _module(module, what)
    for part in name.split("."):
        if not hasattr(found, part):
            own = [other for other, value in vars(found).items() if other[0] != "_" and is_one(value)]
            own = [other for other in own if _is_defined_in(found, vars(found)[other])]
            raise UsageError(f"{module} has no {part!r}; {nearest(part, own)}")
        found = getattr(found, part)
    return found


def _is_defined_in(holder: Any, value: Any) -> bool:
    """Whether a function or class was made in a module or class, and not imported there; other objects do not tell."""
    home = getattr(holder, "__name__", "") if isinstance(holder, ModuleType) else getattr(holder, "__module__", "")
    return not hasattr(value, "__qualname__") or getattr(value, "__module__", "") == home


def _module(name: str, what: str) -> ModuleType:
    if is_file(name) and not Path(name).is_file():
        raise UsageError(f"no file {name}; write path/to/file.py:{what} or MODULE:{what}")
    for folder in (os.getcwd(), str(Path(name).parent)) if is_file(name) else (os.getcwd(),):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    try:
        return _from_file(name) if is_file(name) else importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UsageError(_why_not(name, what, error)) from error


def _from_file(path: str) -> ModuleType:
    """Run a file as a module under a name that hides no other."""
    name = f"checked_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def _why_not(module: str, what: str, error: BaseException) -> str:
    """Why a module does not import: it is not there, or what it does fails."""
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        return (
            f"no module {error.name!r}, neither installed nor in {os.getcwd()}; write MODULE:{what} or "
            f"path/to/file.py:{what}"
        )
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, SyntaxError) else f" at {frame.filename}:{frame.lineno}"
    return f"{module} does not import: {type(error).__name__}: {error}{where}; mend that first"
