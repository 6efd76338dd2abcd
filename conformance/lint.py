"""Checks that clauses, flags, vectors and known divergences agree with each other."""

from __future__ import annotations

from collections.abc import Iterator

from ..adapters import registry
from ..specs import losses, vectors
from ..specs.errors import LossparityError, SpecError, nearest
from ..specs.loss import Draw, Loss
from .judging import rows
from .mutants import zoo
from .running import floors


def problems_of(loss: Loss) -> Iterator[str]:
    """What does not fit in the tables and families of a loss, one sentence each."""
    yield from _clause_problems(loss)
    yield from _coverage_problems(loss)
    if loss.name in losses.BUILT_IN:
        yield from floors.problems(loss)


def problems() -> Iterator[str]:
    """Everything in what ships that does not fit, one sentence each."""
    try:
        for loss in losses.every():
            yield from problems_of(loss)
        for loss in map(losses.find, zoo.with_variants()):
            yield from _mutant_problems(loss)
        for vector in vectors.vectors().values():
            yield from vectors.problems(vector)
            yield from _evidence_problems(vector)
    except LossparityError as error:
        yield str(error)
    for backend in registry.BUILT_IN:
        try:
            rows.brought_along(backend, SUBJECTS[backend])
        except LossparityError as error:
            yield str(error)


def require_consistent() -> None:
    """Raise SpecError for the first problem of the tables that does not need cases to be generated."""
    for problem in (problem for loss in losses.every() for problem in _clause_problems(loss)):
        raise SpecError(problem)
    vectors.vectors()


def counted_of(loss: Loss) -> str:
    """What was checked of a loss, in numbers."""
    clauses, flags, families = map(len, (loss.rules.clauses, loss.rules.flags, loss.families))
    return f"{loss.name}: {clauses} clauses, {flags} flags and {families} families are consistent."


def counted() -> str:
    """What was checked of all that ships, in numbers."""
    known = sum(len(rows.brought_along(backend, SUBJECTS[backend])) for backend in registry.BUILT_IN)
    mutants = sum(len(zoo.mutants(loss)) for loss in zoo.with_variants())
    clauses, flags = (
        sum(map(len, tables))
        for tables in zip(*((loss.rules.clauses, loss.rules.flags) for loss in losses.every()), strict=True)
    )
    return (
        f"{clauses} clauses, {flags} flags, {len(vectors.vectors())} vectors, {mutants} "
        f"mutants and {known} known divergences are consistent."
    )


def _clause_problems(loss: Loss) -> Iterator[str]:
    """Clauses and flags against each other and against the families."""
    used: set[str] = set()
    clauses, flags = loss.rules.clauses, loss.rules.flags
    where = loss.rules.place("clauses.toml")
    for clause in clauses.values():
        used |= set(clause.flags)
        for flag in sorted(set(clause.flags) - set(flags)):
            yield f"{where}: {clause.id}: flag {flag!r} is not defined in flags.toml"
        for family in sorted(set(clause.families) - set(loss.families)):
            yield f"{where}: {clause.id}: there is no family {family!r}"
        if clause.level != "RECORD" and not clause.judges:
            yield f"{where}: {clause.id}: a {clause.level} clause must say which aspects judge it"
        if not clause.families:
            yield f"{where}: {clause.id}: no family checks it"
        if not clause.flags:
            yield f"{where}: {clause.id}: names no flag"
    for flag in sorted(set(flags) - used):
        yield f"{loss.rules.place('flags.toml')}: {flag}: no clause uses it"
    for family in sorted(set(loss.families) - {family for clause in clauses.values() for family in clause.families}):
        yield f"family {family!r} checks no clause"


def _coverage_problems(loss: Loss) -> Iterator[str]:
    """Each clause must be exercised by every family that claims to check it: by construction, seen here."""
    for family in loss.families_of("quick"):
        seen: set[str] = set()
        for dtype in ("float32", "float16", "float64"):
            drawn = loss.families[family].cases(Draw(dtype, "quick", 0, tier=3))
            seen |= {id for case in drawn for id in case.clauses}
        for clause in loss.rules.clauses.values():
            # ACC-6, ERR-10 and SPECIAL-4 are observed on every call, not exercised by some.
            observed = clause.level == "RECORD" and clause.id != "SHAPE-8"
            if family in clause.families and clause.id not in seen and not observed:
                yield f"{loss.rules.place('clauses.toml')}: {clause.id}: family {family!r} never exercises it"


def _mutant_problems(loss: Loss) -> Iterator[str]:
    """Each edit fits, and each clause that can fail, and each bug class, has a mutant."""
    for variant in zoo.variants(loss.name).values():
        zoo.source(variant)
    mutants = zoo.mutants(loss.name)
    named = {clause for mutant in mutants for clause in mutant.clauses}
    for clause in loss.rules.clauses.values():
        if clause.level != "RECORD" and clause.id not in named:
            yield f"mutants/{loss.name}: none is named for {clause.id}; add one that this clause alone sees"
    for flag in sorted(set(loss.rules.flags) - {flag for mutant in mutants for flag in mutant.flags}):
        yield f"mutants/{loss.name}: none stands for the bug class {flag}"


def _evidence_problems(vector: vectors.Vector) -> Iterator[str]:
    """Each vector names mutants that fail it, or a reason to be there; `lossparity mutants` runs them."""
    known = {mutant.name for mutant in zoo.mutants(vector.loss)} if vector.loss in zoo.with_variants() else set()
    for name in vector.kills:
        if name not in known:
            yield f"vector {vector.id}: kills {name!r}, which is no mutant; {nearest(name, known)}"
    if not vector.kills and not vector.why:
        yield f"vector {vector.id}: names no mutant that it kills, and no reason `why` it is here"


# Names of the built-in subjects, for checking ledgers without importing a framework; a test compares them.
SUBJECTS = {
    "numpy": ("numpy", "numpy:scipy"),
    "torch": ("torch", "torch:compile", "torch:module", "torch:composed"),
    "jax": ("jax", "jax:x32", "jax:jit", "jax:optax-integer", "jax:optax", "jax:optax-safe"),
    "tensorflow": (
        "tensorflow",
        "tensorflow:function",
        "tensorflow:xla",
        "tensorflow:sparse",
        "tensorflow:dense",
        "tensorflow:keras-sparse",
        "tensorflow:keras",
    ),
}
