"""The zoo: each variant is a correct loss with a few lines edited, wrong on purpose or different in a legal way.

In the folder of a loss FRAMEWORK_loss.py is written to be edited; FRAMEWORK_faults.toml and FRAMEWORK_correct.toml hold
the edits. So a fault is as small as a real slip, and the slip itself is what a reader sees.
"""

from __future__ import annotations

import functools
import linecache
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import msgspec

from ...adapters import user
from ...specs import losses
from ...specs.call import TARGET_DTYPES
from ...specs.domain import Domain
from ...specs.errors import SpecError, UsageError
from ...specs.tables import load_table

FRAMEWORKS = ("numpy", "torch", "jax")


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of a table: what is edited, and what must come of it.

    A fault names `clauses`, each of which sees it by its own checks alone, and `flags`, the bug classes it stands
    for. A correct variant names the SHOULD clauses that it departs from.
    """

    name: str  # its loss has no other of this name
    says: str  # the fault, or the difference, in words
    edits: tuple[tuple[str, str], ...] = ()  # (text that stands exactly once in the loss, what replaces it)
    clauses: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    departs: tuple[str, ...] = ()
    loss: str = ""  # told by the folder that it stands in
    framework: str = ""  # told by the file
    correct: bool = False  # likewise

    @property
    def target(self) -> user.Target:
        """The function, as `lossparity check` is told of it, with every dtype of target asked for."""
        return user.Target(self.framework, f"{__package__}.{self.loss}", self.name, Domain(targets=TARGET_DTYPES))


def with_variants() -> list[str]:
    """The losses that ship and have variants."""
    return [name for name in losses.BUILT_IN if _folder(name).joinpath(f"{FRAMEWORKS[0]}_loss.py").is_file()]


def require(loss: str) -> None:
    """Guard that a loss has variants; raises UsageError for one that has none."""
    if loss not in with_variants():
        raise UsageError(f"there are no mutants of {loss}, only of {', '.join(with_variants())}")


@functools.cache
def variants(loss: str) -> Mapping[str, Variant]:
    """Those of a loss by name, faults first; raises SpecError for a table that is wrong."""
    for variant in rows(loss).values():
        if problem := _problem(variant):
            raise SpecError(f"mutants/{loss}/{variant.framework}: {variant.name}: {problem}")
    return rows(loss)


@functools.cache
def rows(loss: str) -> Mapping[str, Variant]:
    """The same, with clauses and flags that nobody has looked up: the loss may be one that does not ship yet."""
    found = [variant for kind in ("faults", "correct") for name in FRAMEWORKS for variant in _table(loss, name, kind)]
    names = [variant.name for variant in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SpecError(f"mutants/{loss}: {twice} stands twice; every variant needs a name of its own")
    return dict(zip(names, found, strict=True))


def mutants(loss: str) -> list[Variant]:
    """The wrong ones."""
    return [variant for variant in variants(loss).values() if not variant.correct]


def correct(loss: str) -> list[Variant]:
    """The correct ones."""
    return [variant for variant in variants(loss).values() if variant.correct]


def base(variant: Variant) -> Variant:
    """The loss that a variant is an edit of, as a variant without edits."""
    return next(
        one
        for one in rows(variant.loss).values()
        if one.framework == variant.framework and one.correct and not one.edits
    )


def source(variant: Variant) -> str:
    """The edited loss; raises SpecError unless each edit's text stands exactly once."""
    text = _read(variant.loss, f"{variant.framework}_loss.py")
    for old, new in variant.edits:
        if text.count(old) != 1:
            raise SpecError(f"mutants: {variant.name}: {old!r} stands {text.count(old)} times in the loss, not once")
        text = text.replace(old, new)
    return text


@functools.cache
def function(variant: Variant) -> Callable[..., Any]:
    """The function of a variant, the same object each time; its framework is imported now."""
    text = source(variant)
    file = f"<mutant {variant.loss}.{variant.name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # tracebacks show the lines
    namespace: dict[str, Any] = {"__name__": f"{__package__}.{variant.loss}.{variant.name}"}
    exec(compile(text, file, "exec"), namespace)
    return namespace[variant.loss]


def functions(loss: str) -> Callable[[str], Callable[..., Any]]:
    """What a loss's folder has for `__getattr__`: it makes functions when they are asked for."""

    def of(name: str) -> Callable[..., Any]:
        if name.startswith("__") or name not in variants(loss):
            raise AttributeError(f"no mutant and no correct implementation of {loss} is called {name!r}")
        return function(variants(loss)[name])

    return of


def _problem(variant: Variant) -> str:
    """What is wrong with a row; empty when nothing is."""
    rules = losses.find(variant.loss).rules
    for clause in (*variant.clauses, *variant.departs):
        if clause not in rules.clauses:
            return f"no clause {clause!r}"
    for flag in variant.flags:
        if flag not in rules.flags:
            return f"no flag {flag!r}"
    if variant.correct:
        unfit = variant.clauses or variant.flags
        must = [id for id in variant.departs if rules.clauses[id].level == "MUST"]
        return "is correct: no clause, no flag" if unfit else f"departs from {must[0]}, a MUST" if must else ""
    if not (variant.clauses and variant.flags and variant.edits):
        return "names no clause, no flag or no edit"
    return "" if not variant.departs else "is wrong: it names clauses, and no departures"


def _table(loss: str, framework: str, kind: str) -> Iterator[Variant]:
    file = f"{framework}_{kind}.toml"
    key = "mutant" if kind == "faults" else "correct"
    for row in load_table(_read(loss, file), key, Variant, f"mutants/{loss}/{file}", SpecError, name="name"):
        yield msgspec.structs.replace(row, loss=loss, framework=framework, correct=kind == "correct")


def _read(loss: str, name: str) -> str:
    return _folder(loss).joinpath(name).read_text(encoding="utf-8")


def _folder(loss: str) -> Traversable:
    return resources.files(__package__ or __name__).joinpath(loss)
