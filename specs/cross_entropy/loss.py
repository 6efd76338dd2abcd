"""`cross_entropy`, put together."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from ..call import Call
from ..case import Case
from ..classes.narrow import used_by
from ..domain import used
from ..loss import Draw, Exploration, Family, Loss, Probes
from . import corpus, generate, large, probes, relations
from .clauses import RULES
from .facts import MEANINGS
from .faults import structural_faults
from .selection import is_soft
from .signature import CROSS_ENTROPY
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

    def size(draw: Draw) -> int:
        return corpus.CORPUS.size(name, draw)

    def explored(draw: Draw) -> Exploration | None:
        from ..classes.drawn import explored  # not before Hypothesis is needed

        return explored(corpus.CORPUS, name, draw)

    return Family(
        cases=cases,
        size=None if name in corpus.MADE else size,
        explored=explored if name in corpus.VARIED else None,
    )


def axes(call: Call) -> dict[str, tuple[str, ...]]:
    """N, C and d1, d2, ... of each array."""
    if structural_faults(call):
        return {}
    further = tuple(f"d{number}" for number in range(1, call["input"].ndim - 1))
    positions = ("N", *further) if call["input"].ndim > 1 else ()
    whole = ("N", "C", *further) if positions else ("C",)
    upstream = positions if call["reduction"] == "none" else ()
    target = whole if is_soft(call) else positions
    return {"input": whole, "target": target, "weight": ("C",), "upstream": upstream, "direction": whole}


def varied(call: Call) -> Call:
    """The call with other weights, or other logits where there are none."""
    if call["weight"] is not None:
        return call.replace(weight=call["weight"][::-1] * call["weight"].dtype.type(2))
    return call.replace(input=np.ascontiguousarray(-call["input"]), layouts=())


def used_arguments(call: Call) -> Collection[str]:
    """Arguments that a call cannot do without: with probabilities ignore_index is none of them."""
    return used(call) if call["target"] is not None and is_soft(call) else used_by(call)


_LARGE = Family(
    cases=lambda draw: large.large_cases(draw.dtype, draw.seed, draw.tier),
    size=lambda draw: large.large_size(draw.dtype, draw.tier),
    profile=large.FAMILY,
)


LOSS = Loss(
    signature=CROSS_ENTROPY,
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
    quantities={
        "n": "all positions",
        "n_active": "kept positions",
        "batch": "the batch size",
        "classes": "the number of classes",
    },
    used=used_arguments,
)
