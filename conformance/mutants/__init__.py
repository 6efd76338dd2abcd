"""Implementations that are wrong on purpose, and correct ones that differ in everything legal; see zoo.py.

Each is a function of this module: `lossparity check lossparity.conformance.mutants:minus_100_always_ignored
--framework numpy` shows how the suite reports it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def __getattr__(name: str) -> Callable[..., Any]:
    """The function called `name`, made when it is asked for; raises AttributeError when there is none."""
    from .zoo import function, variants

    if name not in variants():
        raise AttributeError(f"no mutant and no correct implementation is called {name!r}")
    return function(name)
