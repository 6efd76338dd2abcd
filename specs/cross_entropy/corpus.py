"""What the corpus holds: what each family varies, in which shapes, and what is pinned."""

from __future__ import annotations

from collections.abc import Iterator

from ..call import TARGET_DTYPES
from ..case import Case
from ..classes import values as class_values
from ..classes.corpus import SENTINELS, Corpus
from ..classes.narrow import Choices
from ..classes.shapes import MANY_CLASSES, Shape, Size
from ..classes.structure import DEFAULT
from ..log_softmax.values import INPUTS
from ..loss import Draw
from . import experiments
from .generate import Structure, cases
from .illegal import fault_cases
from .pinned import PINNED
from .values import OF_ROWS, OF_TARGETS, PLANTS, PROBABILITIES

# Families whose cases are made one by one, not drawn from structures.
MADE = {"error": fault_cases, "purity": experiments.purity, "relation": experiments.relations}
FAMILIES = ("shape", "value", "probabilities", "smoothing", "ignore", "weight", "special", "dtype", "accuracy", "error")
FAMILIES += ("gradient", "layout", "purity", "relation")

SIZES = {
    "quick": Size(bases=32, strength=2, longest=2**12),
    "ci": Size(bases=96, strength=3, longest=2**16, classes=(2**15 + 1, 2**16 + 1, 2**17 + 1)),
    "nightly": Size(bases=256, strength=3, longest=2**16, classes=(2**15 + 1, 2**16 + 1, 2**17 + 1)),
    "large": Size(bases=0, strength=2, longest=0),
}

_ORDINARY = ((12, 5), (2, 4, 3), (9, 3, 2, 2), (3,), (2, 3, 2, 2, 2), (40, 6), (6, 6))
FREE: dict[str, tuple[Shape, ...]] = {
    "shape": _ORDINARY,
    "value": (*((n, 3) for n in (1, 8, 17, 33, 65, 257)), *MANY_CLASSES, (40, 10), (7, 1), (3, 4, 5), (9, 2)),
    "probabilities": (*_ORDINARY, (7, 1), (9, 2), (4, 129), (5, 300)),
    "smoothing": (*_ORDINARY, (7, 1), (9, 2), (4, 129), (5, 300)),
    "ignore": ((12, 5), (65, 4), (128, 3), (7, 300), (3, 5, 6), (2, 4, 3, 3), (4,), (2, 3, 4, 5, 2)),
    "weight": _ORDINARY,
    "special": _ORDINARY,
    "dtype": (*MANY_CLASSES[1:], (9, 7), (4, 5, 3)),
    "accuracy": ((2, 3), (8, 3), (17, 10), (63, 3), (64, 4), (64, 3, 2), (257, 3), (1000, 3), (8, 1000)),
    "gradient": ((12, 5), (33, 7), (2, 4, 3), (9, 3, 2, 2), (3,), (2, 3, 2, 2, 2), (3, 300), (1, 4), (5, 1)),
}

_SOME_INPUTS = ("ordinary", "dyadic", "normalised")
_SOME_WEIGHTS = ("none", "random", "dyadic")
_SMOOTHING = (0.1, 0.0, 0.5, 1.0, 2.0**-20)
_ALL = tuple(INPUTS)
VARIED: dict[str, Choices] = {
    "shape": {
        "weights": _SOME_WEIGHTS,
        "mask": ("no", "some", "all"),
        "inputs": _SOME_INPUTS,
        "target_dtype": TARGET_DTYPES,
    },
    "value": {
        "inputs": _ALL,
        "weights": ("none", "ones", "random", "dyadic"),
        "targets": class_values.TARGETS,
        "omitted": ((), (), (), ("weight", "ignore_index", "label_smoothing")),
    },
    "probabilities": {
        "probabilities": PROBABILITIES,
        "inputs": _ALL,
        "weights": ("none", "random", "some_zero", "mixed_signs"),
        "smoothing": (0.0, 0.0, 0.1, 1.0),
        "plant": ("", "", *OF_TARGETS, *OF_ROWS),
        "sentinel": (DEFAULT, -1, -(2**31)),
    },
    "smoothing": {
        "smoothing": _SMOOTHING,
        "inputs": _ALL,
        "weights": ("none", *class_values.WEIGHTS),
        "mask": ("no", "some", "all_but_one"),
        "sentinel": (DEFAULT, 2),
        "plant": ("", "", "masked_others", "ignored_rows", "masked_target"),
    },
    "ignore": {
        "sentinel": SENTINELS,
        "mask": class_values.MASKS,
        "inputs": ("dyadic", "ordinary", "offset"),
        "weights": _SOME_WEIGHTS,
        "smoothing": (0.0, 0.0, 0.1),
        "plant": ("", "ignored_rows", "ignored_weight"),
        "target_dtype": TARGET_DTYPES,
    },
    "weight": {
        "weights": class_values.WEIGHTS,
        "inputs": _SOME_INPUTS,
        "mask": ("no", "some"),
        "targets": ("random", "absent", "constant"),
        "smoothing": (0.0, 0.0, 0.1),
        "plant": ("", "other_weights", "selected_weight", "negative_zero_weights"),
    },
    "special": {
        "plant": PLANTS,
        "inputs": ("ordinary", "near_overflow", "subnormal", "dyadic", "offset"),
        "weights": ("none", "random", "some_zero", "tiny", "huge", "subnormal", "mixed_signs"),
        "mask": ("no", "some"),
        "smoothing": (0.0, 0.0, 0.1),
    },
    "dtype": {
        "inputs": _SOME_INPUTS,
        "weights": _SOME_WEIGHTS,
        "mask": ("no", "some"),
        "targets": ("random", "extremes"),
        "smoothing": (0.0, 0.1),
        "target_dtype": TARGET_DTYPES,
    },
    "accuracy": {
        "inputs": _ALL,
        "mask": ("no", "some", "every"),
        "weights": _SOME_WEIGHTS,
        "targets": ("random", "runs", "constant"),
        "smoothing": (0.0, 0.0, 0.1),
        "probabilities": ("", "", "random"),
    },
    "gradient": {
        "upstream": class_values.UPSTREAMS,
        "inputs": _ALL,
        "weights": ("none", *class_values.WEIGHTS),
        "mask": ("no", "some", "runs", "all_but_one"),
        "smoothing": (0.0, 0.1),
        "probabilities": ("", "", "random", "sparse"),
        "plant": ("", "", "ignored_rows", "masked_others", "impossible"),
        "sentinel": (DEFAULT, 2),
        "asks": ("gradient",),
    },
}
# Fewer of them where another signature is a compilation, in the first two tiers and in the first alone.
DEAR: dict[str, Choices] = {
    "shape": {"weights": ("random", "dyadic")},
    "value": {"weights": ("ones", "random", "dyadic"), "omitted": ((),)},
    "probabilities": {"weights": ("random", "mixed_signs"), "smoothing": (0.0, 0.1), "sentinel": (DEFAULT,)},
    "smoothing": {"smoothing": (0.1, 1.0), "sentinel": (DEFAULT,)},
    "ignore": {"weights": ("random", "dyadic")},
    "dtype": {"weights": ("random", "dyadic")},
    "gradient": {"weights": ("ones", "random", "mixed_signs"), "mask": ("no", "some"), "sentinel": (DEFAULT,)},
}
DEAREST: dict[str, Choices] = {
    "ignore": {"sentinel": (DEFAULT, 2), "smoothing": (0.0,)},
    "smoothing": {"smoothing": (0.1,)},
    "gradient": {"probabilities": ("",), "smoothing": (0.0,)},
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


def drawn(family: str, draw: Draw) -> Iterator[Case]:
    """The cases of one family in one dtype that subjects of a tier are meant to run."""
    if family in MADE:
        return (case for case in MADE[family](draw) if case.tier <= draw.tier)
    return CORPUS.drawn(family, draw)
