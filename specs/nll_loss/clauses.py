"""The rules of nll_loss, and which of its clauses a call exercises."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from ..accuracy import is_certified
from ..call import VALUES
from ..case import Expectation, Raises, Returns, Unspecified
from ..classes.shapes import BLOCK, EDGES
from ..classes.targets import structural_faults
from ..exact import FORMATS
from ..reductions import HALVES, REQUIRED, Reduction
from ..rules import Rules
from ..stopwatch import booked
from .facts import Facts

RULES = Rules("lossparity.specs.nll_loss")


@booked("oracle")
def exercised(facts: Facts, expectation: Expectation) -> tuple[str, ...]:
    """Ids of the clauses whose premise this call fulfils, so that its outcome says something about them."""
    with np.errstate(invalid="ignore"):  # signalling NaNs are data too
        return _exercised(facts, expectation)


def _exercised(facts: Facts, expectation: Expectation) -> tuple[str, ...]:
    match expectation:
        case Unspecified(clause):
            return (clause,)
        case Raises():
            return tuple(_by_error(facts))
        case Returns() if facts.kind != "value":
            return tuple(_by_transform(facts))
        case _:
            return (
                *_by_shape(facts.rank, facts.unit_axes > 0, facts.n == 0),
                *_by_values(facts),
                *_by_ignoring(facts),
                *_by_weights(facts),
                *_by_accuracy(facts, expectation.value),
                *("LAYOUT-1" for _ in facts.call.layouts[:1]),
            )


_KINDS = {
    "gradient_again": "GRAD-10",
    "gradient_between": "GRAD-11",
    "second": "GRAD-6",
    "second_upstream": "GRAD-6",
    "jvp": "GRAD-7",
    "vmap": "GRAD-8",
    "vmap_gradient": "GRAD-8",
    "value_in_training": "VALUE-10",
    "autocast": "VALUE-11",
}


def _by_transform(facts: Facts) -> Iterator[str]:
    if facts.classes > BLOCK and facts.kind not in VALUES:
        yield "GRAD-12"
    if facts.kind != "gradient":
        yield _KINDS[facts.kind]
        return
    yield "GRAD-1"
    if facts.ignored:
        yield "GRAD-2"
        if facts.unselected_nonfinite_input or facts.unselected_nonfinite_weight:
            yield "IGN-5"
    if not facts.unit_upstream:
        yield "GRAD-3"
    yield "GRAD-4"
    yield "GRAD-5"
    weights = facts.selected.weights
    if facts.reduction == "mean" and weights is not None and facts.finite and facts.selected.normaliser.total == 0:
        yield "WEIGHT-2"
    if facts.call.layouts:
        yield "LAYOUT-2"


@functools.cache
def _by_shape(rank: int, unit_axes: bool, empty: bool) -> tuple[str, ...]:
    ids = ["SHAPE-3" if rank == 1 else "SHAPE-1" if rank == 2 else "SHAPE-2", "SHAPE-4"]
    ids += ["SHAPE-5"] * unit_axes + ["SHAPE-6"] * empty + ["SHAPE-7"] * (rank > 2)
    return (*ids, "DTYPE-1", "DTYPE-2")


def _by_values(facts: Facts) -> Iterator[str]:
    if facts.n_active:
        yield {"none": "VALUE-1", "sum": "VALUE-2", "mean": "VALUE-3"}[facts.reduction]
        if not facts.finite:
            yield "SPECIAL-1"
        elif facts.selected.has_other_than_logarithms:
            yield "VALUE-5"
    if facts.call.omitted:
        yield "VALUE-4"
    if facts.unselected_nonfinite_input:
        yield "VALUE-6"
    if facts.classes > 127:
        yield "VALUE-7"
    if facts.n in EDGES:
        yield "VALUE-8"


def _by_ignoring(facts: Facts) -> Iterator[str]:
    inside = 0 <= facts.ignore_index < facts.classes
    if not facts.sentinel_fits:
        yield "IGN-8"
    if not facts.ignored:
        return
    yield "IGN-1" if facts.reduction == "none" else "IGN-2"
    yield "IGN-3" if inside else "IGN-4"
    if facts.unselected_nonfinite_input or facts.unselected_nonfinite_weight:
        yield "IGN-5"
    if not facts.n_active:
        yield "IGN-6"
    elif facts.reduction != "none":
        yield "IGN-7"
        if facts.n >= 64 and facts.finite:
            yield "IGN-10"


def _by_weights(facts: Facts) -> Iterator[str]:
    if not facts.weighted:
        return
    yield "WEIGHT-1"
    weights = facts.selected.weights
    if facts.unselected_nonfinite_weight:
        yield "WEIGHT-4"
    if weights is None or not weights.size:
        return
    if facts.selected.has_zero_weight or facts.finite and facts.selected.normaliser.total == 0:
        yield "WEIGHT-2"
    if facts.selected.has_negative_weight:
        yield "WEIGHT-3"
    if facts.reduction == "mean" and facts.finite:
        if 0 < facts.weight_magnitude < 1:
            yield "WEIGHT-6"
        yield "WEIGHT-5"


def _by_accuracy(facts: Facts, value: object) -> Iterator[str]:
    if facts.dtype == "float64":
        yield "DTYPE-3"
    if facts.reduction == "none":
        yield "ACC-1"
        if min(facts.smallest_input, facts.smallest_product) < float(FORMATS[facts.dtype].smallest_normal):
            yield "SPECIAL-3"
    if not isinstance(value, Reduction):
        return
    half = value.fmt in HALVES
    yield "ACC-3" if half else "ACC-2"
    if not half:
        yield "ACC-4"
    if is_certified(value, REQUIRED[value.fmt.name]):
        yield "ACC-5"
        if facts.reduction == "mean":
            yield "ACC-5S"
    if max(facts.magnitude, facts.weight_magnitude) >= float(FORMATS[facts.dtype].largest) / 2:
        yield "SPECIAL-2"


def _by_error(facts: Facts) -> Iterator[str]:
    faults = structural_faults(facts.call)
    x, target, weight = facts.call["input"], facts.call["target"], facts.call["weight"]
    if not faults:
        if facts.highest >= facts.classes:
            yield "ERR-1"
        if facts.lowest < 0:
            yield "ERR-2"
            yield "IGN-9"
        return
    if x.ndim == 0 or target.ndim != x.ndim - 1:
        yield "ERR-4"
    elif x.ndim > 1 and target.shape != x.shape[:1] + x.shape[2:]:
        yield "ERR-3"
    if weight is not None and x.ndim and weight.shape != (facts.classes,):
        yield "ERR-5"
    if "value" in faults:
        yield "ERR-6"
    if target.dtype.kind not in "iu":
        yield "ERR-7"
    if x.dtype.name not in FORMATS:
        yield "ERR-8"
    elif weight is not None and weight.dtype != x.dtype:
        yield "DTYPE-4"
