"""What each family of cases varies besides the shape: the corpus meets all pairs of it, and exploration draws it."""

from __future__ import annotations

from ..call import TARGET_DTYPES
from ..classes import values
from ..classes.corpus import SENTINELS
from ..classes.narrow import Choices
from ..classes.plants import PLANTS
from ..classes.structure import DEFAULT
from .values import INPUTS

_ORDINARY = ("log_probabilities", "dyadic", "positive")
_SOME_WEIGHTS = ("none", "random", "dyadic")

VARIED: dict[str, Choices] = {
    "shape": {
        "weights": _SOME_WEIGHTS,
        "mask": ("no", "some", "all"),
        "inputs": _ORDINARY,
        "target_dtype": TARGET_DTYPES,
    },
    "value": {
        "inputs": (*_ORDINARY, "cancelling", "wide", "constant", "very_negative", "subnormal"),
        "weights": ("none", "ones", "random", "dyadic"),
        "targets": values.TARGETS,
        "plant": ("", "other_entries"),
        "omitted": ((), (), (), ("weight", "ignore_index")),
    },
    "ignore": {
        "sentinel": SENTINELS,
        "mask": values.MASKS,
        "inputs": ("dyadic", "log_probabilities"),
        "weights": _SOME_WEIGHTS,
        "plant": ("", "ignored_rows", "ignored_weight"),
        "target_dtype": TARGET_DTYPES,
    },
    "weight": {
        "weights": values.WEIGHTS,
        "inputs": ("dyadic", "log_probabilities", "positive"),
        "mask": ("no", "some"),
        "targets": ("random", "absent", "constant"),
        "plant": ("", "other_weights", "negative_zero_weights"),
    },
    "special": {
        "plant": PLANTS[1:],
        "inputs": ("log_probabilities", "near_overflow", "subnormal", "dyadic"),
        "weights": ("none", "random", "some_zero", "tiny", "huge", "subnormal", "mixed_signs"),
        "mask": ("no", "some"),
    },
    "dtype": {
        "inputs": ("log_probabilities", "positive", "cancelling"),
        "weights": _SOME_WEIGHTS,
        "mask": ("no", "some"),
        "targets": ("random", "extremes"),
        "target_dtype": TARGET_DTYPES,
    },
    "accuracy": {
        "inputs": tuple(INPUTS),
        "mask": ("no", "some", "every", "all_but_every", "runs"),
        "weights": _SOME_WEIGHTS,
        "targets": ("random", "runs", "constant"),
    },
    "gradient": {
        "upstream": values.UPSTREAMS,
        "weights": ("none", *values.WEIGHTS),
        "mask": ("no", "some", "runs", "all_but_one"),
        "plant": ("", "ignored_rows", "other_entries", "targets", "ignored_weight"),
        "sentinel": (DEFAULT, 2, 0, "C"),
        "targets": ("random", "constant", "extremes"),
        "asks": ("gradient",),
    },
}

# Fewer of them where another signature is a compilation, in the first two tiers and in the first alone.
DEAR: dict[str, Choices] = {
    "shape": {"weights": ("random", "dyadic")},
    "value": {"weights": ("ones", "random", "dyadic"), "omitted": ((),)},
    "ignore": {"weights": ("random", "dyadic")},
    "dtype": {"weights": ("random", "dyadic")},
    "gradient": {"weights": ("ones", "random", "mixed_signs"), "mask": ("no", "some"), "sentinel": (DEFAULT,)},
}
DEAREST: dict[str, Choices] = {"ignore": {"sentinel": (DEFAULT, 2)}}
