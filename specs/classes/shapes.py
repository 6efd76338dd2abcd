"""Shapes of the corpus, in tiers by what a compiler pays for them, and how much a profile draws.

Every new combination of shape, dtype and options costs a compiling subject a compilation. So what else enters a
signature (weighted or not, target dtype) hangs on the shape in the first two tiers.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

Shape = tuple[int, ...]

# Sizes around block and vector widths (VALUE-8).
EDGES = frozenset(
    [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257]
    + [1023, 1024, 1025, 4095, 4096, 4097, 65535, 65536, 65537]
)

# More classes than kernels keep in their smallest block (GRAD-12).
BLOCK = 2**15

# Tier 1: what every subject runs. Everything a compiler's signature depends on is fixed by the shape.
CORE = ((6, 5), (4, 3, 2))
# Tier 2: every rank, axes of length 1, axes that all equal C, empty ones.
RANKS = (
    (5,),
    (1,),
    (1, 4),
    (5, 1),
    (3, 3, 3),
    (2, 3, 4, 5),
    (3, 3, 3, 3),
    (1, 3, 1, 1),
    (2, 2, 1, 3, 2),
    (2, 3, 2, 1, 2, 2),
    (2, 2, 2, 1, 2, 1, 2),
    (0, 4),
    (2, 3, 0),
    (0, 3, 2, 2),
    (2, 3, 0, 2, 1),
    (33, 7),
    (4, 4),
)
# Tier 3: sizes at block edges, many classes.
EDGE_SHAPES = tuple((n, 3) for n in sorted(EDGES) if n <= 4097)
MANY_CLASSES = ((2, 2052), (3, 127), (3, 128), (4, 129), (4, 255), (4, 256), (4, 257), (3, 300), (2, 256, 3))
HUGE_CLASSES = ((2, 32767), (2, 32769), (2, 65535), (3, 65537))
LONG = ((1025, 3), (2049, 2), (4097, 2), (4, 3, 700), (16384, 2), (65535, 2), (65536, 2), (65537, 2))
LONG_COMPILED = (4096, 2)


@functools.cache
def signature_of(shape: Shape) -> tuple[bool, str]:
    """Whether a shape of the first tiers is weighted, and its target dtype."""
    if shape in CORE or shape == LONG_COMPILED:
        return shape == CORE[1], "int64"
    number = RANKS.index(shape)
    return number % 2 == 1, ("int64", "int32", "int64", "uint8")[number % 4]


@dataclass(frozen=True, slots=True)
class Size:
    """How much a profile draws: bases per family and tier, the strength of covering, the longest reduction."""

    bases: int
    strength: int
    longest: int
    classes: tuple[int, ...] = (2**15 + 1, 2**16 + 1)  # class counts of gradients, just beyond those of a block
