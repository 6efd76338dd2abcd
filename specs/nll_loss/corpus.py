"""What the corpus holds: which cases there are of each family, in which dtypes and tiers.

Structures that are pinned come first, then those that cover all pairs of a family's choices.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any

from allpairspy import AllPairs

from ..case import Case
from ..loss import Draw
from ..stream import Stream
from . import experiments
from .faults import fault_cases
from .generate import Structure, cases, count
from .narrow import left, pools
from .pinned import PINNED
from .shapes import CORE, FREE, RANKS, Shape, Size, signature_of
from .varied import VARIED, choices, unweighted_too

# Families whose cases are made one by one, not drawn from structures.
MADE = {"error": fault_cases, "purity": experiments.purity, "relation": experiments.relations}
FAMILIES = ("shape", "value", "ignore", "weight", "special", "dtype", "accuracy", "error")
FAMILIES += ("gradient", "layout", "purity", "relation")

SIZES = {
    "quick": Size(bases=48, strength=2, longest=2**16 + 1),
    "ci": Size(bases=128, strength=3, longest=2**16 + 1, classes=(2**15 + 1, 2**16 + 1, 2**17 + 1)),
    "nightly": Size(bases=320, strength=3, longest=2**20, classes=(2**15 + 1, 2**16 + 1, 2**17 + 1)),
    "large": Size(bases=0, strength=2, longest=0),  # family large alone
}


def corpus(family: str, dtype: str, profile: str, seed: int, tier: int = 3) -> Iterator[Case]:
    """The cases of one family in one dtype, whatever the domain."""
    return drawn(family, Draw(dtype, profile, seed, tier))


def drawn(family: str, draw: Draw) -> Iterator[Case]:
    """The cases of one family in one dtype that subjects of a tier are meant to run, cheap and deadly ones first.

    They are the same on every machine, and those of a lower tier are among those of a higher one.
    """
    if family in MADE:
        yield from (case for case in MADE[family](draw) if case.tier <= draw.tier)
        return
    for number, own, structure in _numbered(family, draw):
        seeded = dataclasses.replace(structure, seed=draw.seed * 1_000_003 + number)
        yield from cases(seeded, family, own, f"corpus {family}/{draw.dtype}/{number}")


def size(family: str, draw: Draw) -> int:
    """How many cases a corpus has for subjects of this tier, without making their arrays; not of those made singly."""
    return sum(count(structure) for _, _, structure in _numbered(family, draw))


def _numbered(family: str, draw: Draw) -> Iterator[tuple[int, int, Structure]]:
    """(number, tier, structure) of those that are meant for subjects of a tier."""
    found = left(structures(family, draw), family, draw)
    return ((number, own, structure) for number, own, structure in found if own <= draw.tier)


def structures(family: str, draw: Draw) -> Iterator[tuple[int, Structure]]:
    """(tier, structure) of the corpus of one family in one dtype; covering arrays of dearer tiers are left out.

    Those that are pinned are there whatever the domain is; it narrows what the others are made of, not their number.
    """
    much = SIZES[draw.profile]
    if family in PINNED:
        yield from PINNED[family](draw.dtype, much)
    if family not in VARIED:
        return
    for own, shapes in ((1, CORE), (2, RANKS), (3, FREE[family])):
        if own <= draw.tier and (family, own) != ("gradient", 2):  # every rank is two more programs: a few are pinned
            yield from ((own, s) for s in _covering(family, draw, much, own, shapes))


def _covering(family: str, draw: Draw, much: Size, tier: int, shapes: tuple[Shape, ...]) -> Iterator[Structure]:
    """Structures that cover all pairs (or triples) of the family's choices as far as a profile allows."""
    varied = pools(choices(family, tier), family, draw)
    every = (tuple(filter(draw.domain.takes_shape, shapes)), *map(tuple, varied.values()))
    if not all(every):
        return
    bases = much.bases // 2 if tier == 1 else much.bases
    rows = _covering_rows(every, min(much.strength, len(every)), bases)
    stream = Stream("covering", family, draw.dtype, tier)
    more = ([stream.choose(pool) for pool in every] for _ in range(bases - len(rows)))
    for shape, *picked in itertools.chain(rows, more):
        fields: dict[str, Any] = dict(zip(varied, picked, strict=True))
        if tier < 3:
            weighted, target_dtype = signature_of(shape)
            fields["target_dtype"] = target_dtype
            if not weighted:
                fields["weights"] = "none"
            elif fields.get("weights", "none") == "none":
                fields["weights"] = stream.choose(("random", "dyadic", "ones"))
        yield Structure(shape, draw.dtype, **fields, unweighted_too=unweighted_too(family, tier, fields))


@functools.cache
def _covering_rows(pools: tuple[tuple[Any, ...], ...], strength: int, count: int) -> tuple[tuple[Any, ...], ...]:
    """The first `count` rows of a covering array, which is slow to make and the same for each dtype."""
    return tuple(tuple(row) for row in itertools.islice(AllPairs(pools, n=strength), count))
