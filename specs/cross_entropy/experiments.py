"""Calls that experiments begin with: several calls made of one decide a clause, one case for each clause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..case import Case
from ..classes.narrow import left, narrowed
from ..classes.shapes import CORE
from ..loss import Draw
from .clauses import RULES
from .generate import Structure, cases

MAIN = "float32"  # the dtype that dear experiments are made in
_CHEAP = frozenset({"REL-1", "REL-2", "REL-4", "REL-5", "REL-8"})  # no signature that compilers have not seen
_RELATED = ((1, CORE[0]), (2, CORE[1]), (3, (12, 5)), (3, (4, 3, 2)), (3, (64, 7)), (3, (3, 300)))


def purity(draw: Draw) -> Iterator[Case]:
    """Calls whose side effects are watched."""
    ids = [id for id in RULES.clauses if id.startswith("PURE-")]
    indices = [Structure(shape, draw.dtype, weights=weights, upstream="random", seed=draw.seed)
               for shape, weights in zip(CORE, ("none", "random"), strict=True)]  # fmt: skip
    # Of two axes an implementation takes probabilities as they are; of three it copies them to move the class axis.
    soft = [replace(one, probabilities="random", smoothing=0.1, reductions=("mean",)) for one in indices]
    asked = [replace(structure, asks=asks) for structure in (*indices, *soft) for asks in ("", "gradient")]
    for number, _, structure in left([(1, one) for one in asked], "purity", draw):
        tier = 2 if structure.asks or structure.probabilities else 1
        for case in cases(structure, "purity", tier, f"corpus purity/{draw.dtype}"):
            # Threads take long: once for values and once for gradients is enough.
            threads = draw.dtype == MAIN and number in (0, 1) and case.call["reduction"] == structure.reductions[-1]
            yield from (case.in_experiment(id) for id in ids if id != "PURE-5" or threads)


def relations(draw: Draw) -> Iterator[Case]:
    """Calls on ordinary numbers, far from under- and overflow, which relations start from."""
    ids = [id for id in RULES.clauses if id.startswith("REL-")]
    for number, (tier, shape) in enumerate(_RELATED):
        whole = Structure(shape, draw.dtype, weights="random" if number % 2 else "none", mask="no", seed=draw.seed)
        for variant in (whole, replace(whole, smoothing=0.1, mask="some"), replace(whole, probabilities="random")):
            structure = narrowed(variant, "relation", draw)
            if structure is None:
                continue
            affordable = tier == 3 or (tier == 2 and draw.dtype == MAIN)
            for case in cases(structure, "relation", tier, f"corpus relation/{draw.dtype}/{number}"):
                wanted = ids if affordable else [id for id in ids if id in _CHEAP]
                yield from (case.in_experiment(id) for id in wanted if _applies(id, structure, case))


def _applies(id: str, structure: Structure, case: Case) -> bool:
    """Whether a relation says something about a call."""
    reduction = case.call["reduction"]
    match id:
        case "REL-5":  # it looks at none as well
            return reduction == "sum"
        case "REL-7":
            return not structure.probabilities
        case "REL-9":
            return not structure.probabilities and reduction != "mean" and not case.facts["ignored"]
        case "REL-3":
            return reduction != "mean"
        case "REL-10":
            return not (reduction == "mean" and case.facts["n_active"] == 0)
        case _:
            return True
