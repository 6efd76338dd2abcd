"""`nll_loss`, put together."""

from __future__ import annotations

from collections.abc import Iterator

from ..call import Call
from ..case import Case
from ..classes.narrow import used_by
from ..classes.simpler import simpler
from ..classes.targets import structural_faults
from ..loss import Draw, Exploration, Family, Loss, Probes
from . import corpus, generate, large, probes, relations, second_looks
from .clauses import RULES
from .facts import MEANINGS
from .signature import NLL_LOSS
from .speed import SPEED
from .varied import VARIED


def case_of(call: Call, family: str, tier: int, origin: str, also: tuple[str, ...] = ()) -> Case:
    """The case of a call; one of family `large` is asked for nothing that would read all of its input."""
    if family == large.FAMILY:
        return large.sparse_case(call, origin)
    return generate.case_of_call(call, family, tier, origin, also)


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
        explored=explored if name in VARIED else None,
    )


def shape(call: Call) -> tuple[int, ...]:
    """That of the loss."""
    return call["target"].shape if call["reduction"] == "none" else ()


def axes(call: Call) -> dict[str, tuple[str, ...]]:
    """N, C and d1, d2, ... of each array."""
    if structural_faults(call):
        return {}
    further = tuple(f"d{number}" for number in range(1, call["input"].ndim - 1))
    positions = ("N", *further) if call["input"].ndim > 1 else ()
    whole = ("N", "C", *further) if positions else ("C",)
    upstream = positions if call["reduction"] == "none" else ()
    return {"input": whole, "target": positions, "weight": ("C",), "upstream": upstream, "direction": whole}


def varied(call: Call) -> Call:
    """The call with other weights, or other input where there are none."""
    if call["weight"] is not None:
        return call.replace(weight=call["weight"][::-1] * call["weight"].dtype.type(2))
    return call.replace(input=call["input"] * call["input"].dtype.type(2))


_LARGE = Family(
    cases=lambda draw: large.large_cases(draw.dtype, draw.seed, draw.tier),
    size=lambda draw: large.large_size(draw.dtype, draw.tier),
    profile=large.FAMILY,
)


LOSS = Loss(
    signature=NLL_LOSS,
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
    second_looks=(second_looks.pattern, second_looks.scaling),
    speed=SPEED,
    quantities={
        "n": "all positions",
        "n_active": "kept positions",
        "normaliser": "the sum of the kept targets' weights",
        "batch": "the batch size",
        "classes": "the number of classes",
    },
    used=used_by,
)
