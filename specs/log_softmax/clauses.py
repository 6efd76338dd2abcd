"""The rules of log_softmax, and which of its clauses a call exercises."""

from __future__ import annotations

from collections.abc import Iterator

from ..call import VALUES
from ..case import Expectation, Raises, Returns, Unspecified
from ..exact import FORMATS
from ..reductions import HALVES
from ..rules import Rules
from ..stopwatch import booked
from .facts import Facts
from .shapes import BLOCK, EDGES

RULES = Rules("lossparity.specs.log_softmax")

LARGE_OFFSET = 2.0**10  # from here on a number in common costs float16 a bit of ln C or more (VALUE-3)
FAR = 16.0  # e^-16 is what is clipped at 1e-7 (VALUE-4)
CLOSE = 2.0**-6  # differences below this one are small (VALUE-5)

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


@booked("oracle")
def exercised(facts: Facts, expectation: Expectation) -> tuple[str, ...]:
    """Ids of the clauses whose premise this call fulfils, so that its outcome says something about them."""
    match expectation:
        case Unspecified(clause):
            return (clause,)
        case Raises(categories):
            return (*("ERR-1" for _ in categories & {"index"}), *("ERR-8" for _ in categories & {"dtype"}))
        case Returns() if facts.kind != "value":
            return tuple(_by_transform(facts))
        case _:
            return (*_by_shape(facts), *_by_values(facts), *_by_special_values(facts), *_by_accuracy(facts))


def _by_shape(facts: Facts) -> Iterator[str]:
    yield "SHAPE-1"
    yield "DTYPE-1"
    if facts.rank > 1:
        yield "SHAPE-2"
    if facts.unit_axes:
        yield "SHAPE-3"
    if not facts.size:
        yield "SHAPE-4"
    if facts.call.layouts:
        yield "LAYOUT-1"


def _by_values(facts: Facts) -> Iterator[str]:
    if not facts.size:
        return
    if facts.classes == 1:
        yield "VALUE-2"
    if facts.nan_rows + facts.infinite_rows + facts.masked_rows < facts.rows:
        yield "VALUE-1"
    if facts.offset >= LARGE_OFFSET:
        yield "VALUE-3"
    if facts.spread > FAR:
        yield "VALUE-4"
    if facts.least_spread < CLOSE:
        yield "VALUE-5"
    if facts.classes > 127:
        yield "VALUE-6"
    if facts.classes in EDGES or facts.rows in EDGES:
        yield "VALUE-8"


def _by_special_values(facts: Facts) -> Iterator[str]:
    if facts.masked_classes:
        yield "SPECIAL-1"
    if facts.size and facts.largest >= float(FORMATS[facts.dtype].largest) / 2:
        yield "SPECIAL-2"
    if facts.nan_rows:
        yield "SPECIAL-3"
    if facts.masked_rows:
        yield "SPECIAL-4"
    if facts.infinite_rows:
        yield "SPECIAL-5"
        yield "SPECIAL-6"


def _by_accuracy(facts: Facts) -> Iterator[str]:
    yield "ACC-2" if FORMATS[facts.dtype] in HALVES else "ACC-1"
    if facts.dtype == "float64":
        yield "DTYPE-3"


def _by_transform(facts: Facts) -> Iterator[str]:
    if facts.classes > BLOCK and facts.kind not in VALUES:
        yield "GRAD-12"
    if facts.kind != "gradient":
        yield _KINDS[facts.kind]
        return
    yield from ("GRAD-1", "GRAD-4", "GRAD-5")
    if facts.classes == 1 or facts.zero_upstream_rows:
        yield "GRAD-2"
    if not facts.unit_upstream:
        yield "GRAD-3"
    if facts.masked_classes:
        yield "GRAD-13"
    if facts.infinite_rows or facts.masked_rows or not facts.finite_upstream:
        yield "GRAD-9"
    if facts.call.layouts:
        yield "LAYOUT-2"
