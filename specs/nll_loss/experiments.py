"""Calls that experiments begin with: several calls made of one decide a clause, one case for each clause."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case
from .clauses import RULES
from .generate import DEFAULT, Structure, cases
from .shapes import CORE

_RELATED = ((1, CORE[0]), (2, CORE[1]), (3, (12, 5)), (3, (4, 3, 2)), (3, (64, 7)), (3, (2, 3, 2, 2)), (3, (1000, 3)))


def purity(dtype: str, seed: int) -> Iterator[Case]:
    """Calls whose side effects are watched."""
    ids = [id for id in RULES.clauses if id.startswith("PURE-")]
    for shape, weights in zip(CORE, ("none", "random"), strict=True):
        for asks in ("", "gradient"):
            structure = Structure(shape, dtype, weights=weights, asks=asks, upstream="random", seed=seed)
            for number, case in enumerate(cases(structure, "purity", 1 if not asks else 2, f"corpus purity/{dtype}")):
                # Threads take long: once for values and once for gradients is enough.
                threads = dtype == "float32" and weights != "none" and number == 2
                yield from (case.in_experiment(id) for id in ids if id != "PURE-5" or threads)


def relations(dtype: str, seed: int) -> Iterator[Case]:
    """Calls on ordinary numbers, far from under- and overflow, which relations start from."""
    ids = [id for id in RULES.clauses if id.startswith("REL-")]
    for number, (tier, shape) in enumerate(_RELATED):
        for inputs in ("log_probabilities", "dyadic", "positive"):
            weights = "random" if number % 2 else "none"
            sentinel = 2 if inputs == "dyadic" else DEFAULT
            structure = Structure(shape, dtype, weights=weights, inputs=inputs, sentinel=sentinel, seed=seed)
            for case in cases(structure, "relation", tier, f"corpus relation/{dtype}/{number}"):
                # More rows, or fewer, are signatures that compilers cannot afford often.
                affordable = tier == 3 or (tier == 2 and dtype == "float32" and inputs == "dyadic")
                for id in ids if affordable else ("REL-1", "REL-2", "REL-4", "REL-5", "REL-8"):
                    if id != "REL-5" or case.call["reduction"] == "sum":  # it looks at all, whichever it begins with
                        yield case.in_experiment(id)
