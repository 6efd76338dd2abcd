"""What each family of cases varies besides the shape: the corpus meets all pairs of it, and exploration draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..call import TARGET_DTYPES
from . import values
from .generate import DEFAULT, INT64, PLANTS

Choices = Mapping[str, Sequence[Any]]  # by field of Structure

SENTINELS = (DEFAULT, -1, 0, 2, "C", "C+1", 255, 2**31, -(2**31), int(INT64.max), int(INT64.min))
# Other circumstances that the gradient and the value are asked for in; autocast is about float32 alone.
MODES = ("gradient_again", "gradient_between", "value_in_training", "autocast")

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
        "inputs": tuple(values.INPUTS),
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

# Fewer of them where another signature is a compilation, in the first two tiers and in the first alone. There weights
# and target dtype hang on the shape.
_DEAR: dict[str, Choices] = {
    "shape": {"weights": ("random", "dyadic")},
    "value": {"weights": ("ones", "random", "dyadic"), "omitted": ((),)},
    "ignore": {"weights": ("random", "dyadic")},
    "dtype": {"weights": ("random", "dyadic")},
    "gradient": {"weights": ("ones", "random", "mixed_signs"), "mask": ("no", "some"), "sentinel": (DEFAULT,)},
}
_DEAREST: dict[str, Choices] = {"ignore": {"sentinel": (DEFAULT, 2)}}


def choices(family: str, tier: int) -> Choices:
    """The choices that a family varies besides the shape, for subjects of a tier."""
    varied = {**VARIED[family]}
    if tier < 3:
        varied.pop("target_dtype", None)
        varied |= _DEAR.get(family, {})
    if tier < 2:
        varied |= _DEAREST.get(family, {})
    return varied


def unweighted_too(family: str, tier: int, fields: Mapping[str, Any]) -> bool:
    """Whether a structure with these fields is worth running without its weights as well.

    Not where that means another signature to compile, nor where weights are all that the family is about.
    """
    weighted = fields.get("weights", "none") != "none" and not fields.get("omitted")
    return weighted and tier == 3 and family != "weight"
