"""What the corpus holds: which cases there are of each family, in which dtypes and tiers."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case
from ..classes.corpus import Corpus
from ..classes.shapes import Size
from ..classes.structure import Structure
from ..loss import Draw
from . import experiments
from .faults import fault_cases
from .generate import cases
from .pinned import PINNED
from .shapes import FREE
from .varied import DEAR, DEAREST, VARIED

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
CORPUS = Corpus(
    structure=Structure,
    cases=cases,
    pinned=PINNED,
    varied=VARIED,
    free=FREE,
    sizes=SIZES,
    dear=DEAR,
    dearest=DEAREST,
)


def corpus(family: str, dtype: str, profile: str, seed: int, tier: int = 3) -> Iterator[Case]:
    """The cases of one family in one dtype, whatever the domain."""
    return drawn(family, Draw(dtype, profile, seed, tier))


def drawn(family: str, draw: Draw) -> Iterator[Case]:
    """The cases of one family in one dtype that subjects of a tier are meant to run, cheap and deadly ones first."""
    if family in MADE:
        return (case for case in MADE[family](draw) if case.tier <= draw.tier)
    return CORPUS.drawn(family, draw)
