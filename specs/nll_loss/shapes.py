"""What shapes each family of nll_loss is drawn in where a signature costs nothing."""

from __future__ import annotations

from ..classes.shapes import EDGE_SHAPES, MANY_CLASSES, Shape

_ORDINARY = ((12, 5), (2, 4, 3), (9, 3, 2, 2), (3,), (2, 3, 2, 2, 2), (40, 6), (6, 6))
FREE: dict[str, tuple[Shape, ...]] = {
    "shape": _ORDINARY,
    "value": (*EDGE_SHAPES, *MANY_CLASSES, (40, 10), (7, 11), (3, 4, 5)),
    "ignore": ((12, 5), (65, 4), (128, 3), (7, 300), (3, 5, 6), (2, 4, 3, 3), (4,), (2, 3, 4, 5, 2)),
    "weight": _ORDINARY,
    "special": _ORDINARY,
    "dtype": (*MANY_CLASSES, (9, 7), (4, 5, 3)),
    "accuracy": (
        *((2, 3), (8, 3), (17, 3), (63, 3), (64, 4), (64, 3, 2), (257, 3), (1000, 3), (5, 3, 9, 9), (3000, 2)),
    ),
    "gradient": (
        *((12, 5), (33, 7), (2, 4, 3), (9, 3, 2, 2), (3,), (2, 3, 2, 2, 2)),
        *((3, 300), (2, 2, 1, 3, 2), (1, 4)),
    ),
}
