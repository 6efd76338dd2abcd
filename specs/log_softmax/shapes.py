"""Shapes of the corpus, each with an axis of classes, in tiers by what a compiler pays for them.

Every new combination of shape, dtype and dim costs a compiling subject a compilation, so in the first two tiers dim
hangs on the shape.
"""

from __future__ import annotations

Shape = tuple[int, ...]
Place = tuple[Shape, int]  # a shape, and dim

# Sizes around block and vector widths (VALUE-8).
EDGES = frozenset(
    [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257]
    + [1023, 1024, 1025, 4095, 4096, 4097, 65535, 65536, 65537]
)
# More classes than kernels keep in their smallest block (GRAD-12).
BLOCK = 2**15

# Tier 1: what every subject runs.
CORE: tuple[Place, ...] = (((6, 5), -1), ((4, 3, 2), 1))
# Tier 2: every rank, axes of length 1, axes of equal lengths, empty ones.
RANKS: tuple[Place, ...] = (
    ((5,), -1),
    ((1,), 0),
    ((1, 4), -1),
    ((5, 1), 1),
    ((4, 4), 0),
    ((7, 33), -1),
    ((3, 3, 3), -1),
    ((3, 3, 3), 0),
    ((2, 3, 4, 5), 1),
    ((2, 3, 4, 5), -1),
    ((3, 3, 3, 3), -2),
    ((1, 3, 1, 1), 1),
    ((2, 2, 1, 3, 2), 3),
    ((2, 3, 2, 1, 2, 2), 1),
    ((2, 2, 2, 1, 2, 1, 2), -3),
    ((0, 4), -1),
    ((3, 0), -1),
    ((0,), 0),
    ((2, 3, 0), 1),
    ((2, 0, 3), 1),
)
# Tier 3: whatever the family is about, where a signature costs nothing.
EDGE_ROWS: tuple[Place, ...] = tuple(((n, 3), 1) for n in sorted(EDGES) if n <= 4097)
EDGE_CLASSES: tuple[Place, ...] = tuple(((2, n), -1) for n in sorted(EDGES) if n <= 4097)
MANY_CLASSES: tuple[Place, ...] = (((300, 3), 0), ((2, 1000), 1), ((2, 256, 3), 1), ((1, 32767), -1))
MANY_CLASSES += (((2, 32769), 1), ((65537, 2), 0))
ORDINARY: tuple[Place, ...] = (
    ((12, 5), 1),
    ((5, 12), 0),
    ((2, 4, 3), -1),
    ((9, 3, 2, 2), 1),
    ((3,), 0),
    ((40, 10), -1),
)
LONG: tuple[Place, ...] = (((64, 64), -1), ((16, 257), -1), ((257, 16), 0), ((4, 1000), -1), ((2, 4097), 1))
BLOCKS: tuple[Place, ...] = tuple(((2, BLOCK * blocks + 1), 1) for blocks in (1, 2, 4))


def axis_of(shape: Shape, dim: int) -> int:
    """The axis, counted from the front, that a legal dim means."""
    return dim % len(shape)
