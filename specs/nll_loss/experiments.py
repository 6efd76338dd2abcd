"""Calls that experiments begin with: several calls made of one decide a clause, one case for each clause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..call import REDUCTIONS
from ..case import Case
from ..classes.narrow import left, narrowed
from ..classes.shapes import CORE
from ..classes.structure import DEFAULT, Structure
from ..domain import Domain
from ..loss import Draw
from .clauses import RULES
from .generate import cases

MAIN = "float32"  # the dtype that dear experiments are made in
_CHEAP = ("REL-1", "REL-2", "REL-4", "REL-5", "REL-8")
_RELATED = ((1, CORE[0]), (2, CORE[1]), (3, (12, 5)), (3, (4, 3, 2)), (3, (64, 7)), (3, (2, 3, 2, 2)), (3, (1000, 3)))


def purity(draw: Draw) -> Iterator[Case]:
    """Calls whose side effects are watched."""
    ids = [id for id in RULES.clauses if id.startswith("PURE-")]
    plain = [Structure(shape, draw.dtype, weights=weights, upstream="random", seed=draw.seed)
             for shape, weights in zip(CORE, ("none", "random"), strict=True)]  # fmt: skip
    asked = [replace(structure, asks=asks) for structure in plain for asks in ("", "gradient")]
    found = [structure for _, _, structure in left([(1, one) for one in asked], "purity", draw)]
    for structure in found:
        origin, last = f"corpus purity/{draw.dtype}", structure.reductions[-1]
        for case in cases(structure, "purity", 2 if structure.asks else 1, origin):
            # Threads take long: once for values and once for gradients is enough.
            threads = draw.dtype == MAIN and structure.shape == found[-1].shape and case.call["reduction"] == last
            yield from (case.in_experiment(id) for id in ids if id != "PURE-5" or threads)


def relations(draw: Draw) -> Iterator[Case]:
    """Calls on ordinary numbers, far from under- and overflow, which relations start from."""
    ids = [id for id in RULES.clauses if id.startswith("REL-") and _can_stay(id, draw.domain)]
    for number, (tier, shape) in enumerate(_RELATED):
        for inputs in ("log_probabilities", "dyadic", "positive"):
            weights = "random" if number % 2 else "none"
            sentinel = 2 if inputs == "dyadic" else DEFAULT
            whole = Structure(shape, draw.dtype, weights=weights, inputs=inputs, sentinel=sentinel, seed=draw.seed)
            structure = narrowed(whole, "relation", draw)
            for case in (
                cases(structure, "relation", tier, f"corpus relation/{draw.dtype}/{number}") if structure else ()
            ):
                # More rows, or fewer, are signatures that compilers cannot afford often.
                affordable = tier == 3 or (tier == 2 and draw.dtype == MAIN and inputs == "dyadic")
                for id in (
                    ids if affordable else sorted({"REL-1", "REL-2", "REL-4", "REL-5", "REL-8"}.intersection(ids))
                ):
                    if id != "REL-5" or case.call["reduction"] == "sum":  # it looks at all, whichever it begins with
                        yield case.in_experiment(id)


def _can_stay(id: str, domain: Domain) -> bool:
    """Whether a relation makes no calls that a domain is certain to be without."""
    if id == "REL-5":
        return domain.values("reduction", REDUCTIONS) == REDUCTIONS and "reduction" not in domain.absent
    return id != "REL-7" or "ignore_index" not in domain.absent
