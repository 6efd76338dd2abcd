"""The rules of cross_entropy, and which of its clauses a call exercises."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..case import Expectation, Raises, Returns, Unspecified, Within
from ..classes.shapes import BLOCK, EDGES
from ..classes.targets import class_axis
from ..exact import FORMATS
from ..reductions import HALVES
from ..rules import Rules
from ..stopwatch import booked
from .facts import Facts
from .oracle import is_never_negative

RULES = Rules("lossparity.specs.cross_entropy")

CLOSE = 2.0**-16  # logits that are apart by less than this are as close as VALUE-13 means
FAR = 17.0  # a class so far below another one has a probability that 1e-7 would hide
HIGH = 1024.0  # an offset that eats what matters where it is not taken off first


@booked("oracle")
def exercised(facts: Facts, expectation: Expectation) -> tuple[str, ...]:
    """Ids of the clauses whose premise this call fulfils, so that its outcome says something about them."""
    with np.errstate(invalid="ignore"):  # signalling NaNs are data too
        match expectation:
            case Unspecified(clause):
                return (clause,)
            case Raises():
                return tuple(_by_error(facts))
            case Returns() if facts.kind != "value":
                return tuple(_by_transform(facts))
            case _:
                return tuple(_by_value(facts, expectation.value))


# --- values ----------------------------------------------------------------------------------------------


def _by_value(facts: Facts, value: object) -> Iterator[str]:
    yield from _by_shape(facts)
    yield from _by_target(facts)
    yield from _by_logits(facts)
    yield from _by_weights(facts)
    yield from _by_special(facts)
    yield from _by_accuracy(facts, value)
    if facts.call.layouts:
        yield "LAYOUT-1"


def _by_shape(facts: Facts) -> Iterator[str]:
    if facts.target == "probabilities":
        yield "SHAPE-9"
    else:
        yield "SHAPE-3" if facts.rank == 1 else "SHAPE-1" if facts.rank == 2 else "SHAPE-2"
        yield "DTYPE-2"
    yield "SHAPE-4"
    yield "DTYPE-1"
    if facts.unit_axes:
        yield "SHAPE-5"
    if not facts.n:
        yield "SHAPE-6"
    if facts.rank > 2:
        yield "SHAPE-7"


def _by_target(facts: Facts) -> Iterator[str]:
    which = ("none", "sum", "mean").index(facts.reduction)
    if facts.target == "probabilities":
        yield "PROB-6"
        if facts.n:
            yield f"PROB-{1 + which}"
            yield from _by_probabilities(facts)
    else:
        if facts.n_active:
            yield f"VALUE-{1 + which}"
            yield from _by_smoothing(facts)
        yield from _by_ignoring(facts)
    if facts.call.omitted:
        yield "VALUE-4"


def _by_probabilities(facts: Facts) -> Iterator[str]:
    target = facts.call["target"]
    with np.errstate(all="ignore"):
        sums = target.astype(np.float64).sum(class_axis(target))
    if not facts.nonfinite_probability and (np.abs(sums - 1) > 0.25).any():
        yield "PROB-4"
    if facts.weighted:
        yield "PROB-5"
    if np.isnan(target).any():
        yield "PROB-7"
    if facts.impossible and not facts.infinite_logit:
        yield "PROB-8"
    if facts.smoothing:
        yield "SMOOTH-7"


def _by_smoothing(facts: Facts) -> Iterator[str]:
    if not facts.smoothing:
        return
    yield "SMOOTH-1"
    if facts.classes > 1:
        yield "SMOOTH-2"
    if facts.weighted:
        yield "SMOOTH-3"
    if facts.ignored:
        yield "SMOOTH-4"
    if facts.reduction == "mean":
        yield "SMOOTH-5"
    if facts.smoothing == 1:
        yield "SMOOTH-6"


def _by_ignoring(facts: Facts) -> Iterator[str]:
    if not facts.sentinel_fits:
        yield "IGN-8"
    if not facts.ignored:
        return
    yield "IGN-1" if facts.reduction == "none" else "IGN-2"
    yield "IGN-3" if 0 <= facts.ignore_index < facts.classes else "IGN-4"
    if facts.ignored_nonfinite or facts.unused_nonfinite_weight:
        yield "IGN-5"
    if not facts.n_active:
        yield "IGN-6"
    elif facts.reduction != "none":
        yield "IGN-7"


def _by_logits(facts: Facts) -> Iterator[str]:
    if facts.classes > 127:
        yield "VALUE-7"
    if facts.n in EDGES:
        yield "VALUE-8"
    if not facts.n_active or not facts.finite:
        return
    if facts.classes == 1:
        yield "VALUE-12"
        return
    if facts.gap > FAR:
        yield "VALUE-5"
    if facts.offset > HIGH:
        yield "VALUE-6"
    if facts.spread < CLOSE:
        yield "VALUE-13"


def _by_weights(facts: Facts) -> Iterator[str]:
    if not facts.weighted:
        return
    yield "WEIGHT-1"
    if facts.zero_weight:
        yield "WEIGHT-2"
    if facts.negative_weight:
        yield "WEIGHT-3"
    if facts.target == "indices" and not facts.smoothing and facts.unused_nonfinite_weight:
        yield "WEIGHT-4"
    if facts.reduction == "mean" and facts.small_normaliser:
        yield "WEIGHT-6"


def _by_special(facts: Facts) -> Iterator[str]:
    if facts.nan_logit:
        yield "SPECIAL-1"
    if facts.infinite_logit:
        yield "SPECIAL-6"
    if facts.masked_rows:
        yield "SPECIAL-5"
    if facts.used_nonfinite_weight:
        yield "SPECIAL-8"
    if not facts.masked or facts.masked_rows or facts.nan_logit or facts.infinite_logit:
        return
    if facts.smoothing:
        yield "SPECIAL-7"
    elif facts.masked_target:
        yield "SPECIAL-4"
    else:
        yield "SPECIAL-3"


def _by_accuracy(facts: Facts, value: object) -> Iterator[str]:
    if facts.dtype == "float64":
        yield "DTYPE-3"
    half = FORMATS[facts.dtype] in HALVES
    if facts.reduction == "none":
        yield "ACC-1"
    else:
        yield "ACC-3" if half else "ACC-2"
    if facts.finite and _may_overflow(facts):
        yield "SPECIAL-2"
    if isinstance(value, Within) and value.careful is not None and not facts.impossible:
        if half:
            yield "ACC-4"
        elif is_never_negative(facts.selected):
            yield "VALUE-14"


def _may_overflow(facts: Facts) -> bool:
    if facts.smoothing or facts.target == "probabilities":
        return facts.smoothed_sum_overflows or facts.offset * 2 >= float(FORMATS[facts.dtype].largest)
    return max(facts.offset, facts.gap) * max(facts.n_active, 1) * 2 >= float(FORMATS[facts.dtype].largest)


# --- derivatives -----------------------------------------------------------------------------------------

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
    kind = facts.kind.removeprefix("target_")
    if facts.classes > BLOCK and kind not in ("value_in_training", "autocast"):
        yield "GRAD-12"
    if kind != "gradient":
        yield _KINDS[kind]
        return
    yield from _by_gradient(facts)
    if facts.ignored:
        yield "GRAD-2"
        if facts.ignored_nonfinite or facts.unused_nonfinite_weight:
            yield "IGN-5"
    if not facts.unit_upstream:
        yield "GRAD-3"
    yield "GRAD-4"
    yield "GRAD-5"
    if facts.masked and not facts.masked_target and facts.kind == "gradient":
        yield "GRAD-16"
    if facts.call.layouts:
        yield "LAYOUT-2"


def _by_gradient(facts: Facts) -> Iterator[str]:
    if facts.kind == "target_gradient":
        yield "GRAD-15"
    elif facts.target == "probabilities":
        yield "GRAD-14"
    elif facts.smoothing:
        yield "GRAD-13"
    else:
        yield "GRAD-1"


# --- errors ----------------------------------------------------------------------------------------------


def _by_error(facts: Facts) -> Iterator[str]:
    x, target, weight = facts.call["input"], facts.call["target"], facts.call["weight"]
    if facts.faults == "index":
        if facts.highest >= facts.classes:
            yield "ERR-1"
        if facts.lowest < 0:
            yield "ERR-2"
            yield "IGN-9"
        return
    if facts.target == "probabilities" and target.dtype.name in FORMATS:
        yield from _by_soft_error(facts)
    elif x.ndim == 0 or target.ndim != x.ndim - 1:
        yield "ERR-4"
    elif x.ndim > 1 and target.shape != x.shape[:1] + x.shape[2:]:
        yield "ERR-3"
    if weight is not None and x.ndim and weight.shape != (facts.classes,):
        yield "ERR-5"
    if facts.reduction not in ("none", "sum", "mean"):
        yield "ERR-6"
    if not 0 <= facts.smoothing <= 1:
        yield "ERR-11"
    if target.dtype.kind not in "iu" and target.dtype.name not in FORMATS:
        yield "ERR-7"
    if x.dtype.name not in FORMATS:
        yield "ERR-8"
    elif weight is not None and weight.dtype != x.dtype:
        yield "DTYPE-4"


def _by_soft_error(facts: Facts) -> Iterator[str]:
    x, target = facts.call["input"], facts.call["target"]
    if x.ndim == 0:
        yield "ERR-4"
    elif target.shape != x.shape:
        yield "ERR-7" if target.ndim == x.ndim - 1 else "ERR-13"
    elif target.dtype != x.dtype and x.dtype.name in FORMATS:
        yield "DTYPE-4"
    if facts.ignore_index >= 0:
        yield "ERR-12"
