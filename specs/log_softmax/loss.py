"""`log_softmax`, put together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..call import Call
from ..case import Case
from ..loss import Draw, Exploration, Family, Loss, Probes
from . import corpus, generate, large, probes, relations
from .clauses import RULES
from .facts import MEANINGS
from .faults import structural_faults
from .rows import axis_of
from .signature import LOG_SOFTMAX
from .simpler import simpler
from .speed import SPEED, shape


def case_of(call: Call, family: str, tier: int, origin: str, also: tuple[str, ...] = ()) -> Case:
    """The case of a call; one of family `large` is asked for nothing that would read all of its input."""
    if family == large.FAMILY:
        return large.sparse_case(call, origin)
    return generate.case_of(call, family, tier, origin, also)


def _family(name: str) -> Family:
    def cases(draw: Draw) -> Iterator[Case]:
        return corpus.drawn(name, draw)

    def explored(draw: Draw) -> Exploration | None:
        from .drawn import explored  # not before Hypothesis is needed

        return explored(name, draw)

    return Family(cases=cases, explored=explored if name in corpus.EXPLORED else None)


def axes(call: Call) -> dict[str, tuple[str, ...]]:
    """C for the axis that dim means, N for the first of the others, d1, d2, ... for those that follow."""
    rank = call["input"].ndim
    if structural_faults(call) or not rank:
        return {}
    names = ["N", *(f"d{number}" for number in range(1, rank - 1))][: rank - 1]
    names.insert(axis_of(call), "C")
    return dict.fromkeys(("input", "upstream", "direction"), tuple(names))


def varied(call: Call) -> Call:
    """The call with other logits."""
    return call.replace(input=np.ascontiguousarray(-call["input"]), layouts=())


_LARGE = Family(
    cases=lambda draw: large.large_cases(draw.dtype, draw.seed, draw.tier),
    size=lambda draw: large.large_size(draw.dtype, draw.tier),
    profile=large.FAMILY,
)


LOSS = Loss(
    signature=LOG_SOFTMAX,
    rules=RULES,
    facts=MEANINGS,
    families={name: _family(name) for name in corpus.FAMILIES} | {large.FAMILY: _LARGE},
    case_of=case_of,
    shape=shape,
    axes=axes,
    varied=varied,
    simpler=simpler,
    probes=Probes(probes.subnormal, probes.smallest),
    agreeing=relations.agreeing,
    relations=relations.RELATIONS,
    speed=SPEED,
    quantities={"classes": "the number of classes", "rows": "the number of rows"},
)
