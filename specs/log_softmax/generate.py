"""Draws cases: a structure first, then what stands in its arrays.

A `Structure` names every discrete choice and a seed, so two sources share one vocabulary: the corpus enumerates
structures in an order that never changes, and Hypothesis draws and shrinks them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from ..batches import calls_of_batch
from ..call import VALUES, Array, Call
from ..case import Case
from ..layouts import lay
from ..stream import Stream
from . import values
from .clauses import RULES, exercised
from .facts import Facts
from .oracle import expect
from .rows import as_rows, from_rows
from .signature import LOG_SOFTMAX

BATCH = 3  # calls that are mapped over


@dataclass(frozen=True, slots=True)
class Structure:
    """Every discrete choice of a call; the seed settles the rest.

    `plant` names special values that are put among the logits. `edits` are (flat index, value) overrides, which only
    exploration uses. `asks` is what is asked for besides the value (a kind of Transform), `upstream` a kind of upstream
    gradient, `batched` the argument mapped over, if any, `layouts` the arrangements in memory of arrays that are not
    in C order.
    """

    shape: tuple[int, ...]
    dim: int
    dtype: str
    inputs: str = "ordinary"
    plant: str = ""
    asks: str = ""
    upstream: str = "ones"
    batched: tuple[str, ...] = ()
    layouts: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    edits: tuple[tuple[int, float], ...] = ()

    @property
    def axis(self) -> int:
        """The axis that dim means, counted from the front."""
        return self.dim % len(self.shape)


def case_of(call: Call, family: str, tier: int, origin: str, also: tuple[str, ...] = ()) -> Case:
    """The case of a call, whatever it asks for; facts and clauses of a mapped call are those of its first one."""
    is_mapped = call.transform is not None and bool(call.transform.batched)
    facts = Facts(calls_of_batch(call)[0], call) if is_mapped else Facts(call)
    expectation = expect(call)
    ids = tuple(dict.fromkeys((*exercised(facts, expectation), *also)))
    return Case(call, facts, expectation, ids, RULES.flags_of(ids), family, tier, origin, rules=RULES)


def call_of(structure: Structure, family: str) -> Call:
    """The call that a structure stands for."""
    calls = [_single(dataclasses.replace(structure, seed=structure.seed + number), family)
             for number in range(BATCH if structure.batched else 1)]  # fmt: skip
    call = calls[0]
    if structure.batched:
        call = call.replace(input=np.stack([one["input"] for one in calls]))
    return _laid(call, structure.layouts) if structure.layouts else call


def _single(s: Structure, family: str) -> Call:
    """One call in C order, with what is asked for."""
    stream = Stream(family, s.shape, s.dim, s.dtype, s.inputs, s.plant, s.seed)
    x = values.inputs(s.inputs, stream, s.shape, s.axis, s.dtype)
    if s.plant:
        rows = as_rows(x, s.axis).copy()
        values.plant(s.plant, stream, rows)
        x = np.ascontiguousarray(from_rows(rows, s.shape, s.axis))
    for index, value in s.edits:
        if x.size:
            x.reshape(-1)[index % x.size] = value
    call = LOG_SOFTMAX.call(x, s.dim)
    if not s.asks:
        return call
    upstream = along = None
    if s.asks not in ("jvp", "vmap", *VALUES):
        upstream = values.upstream(s.upstream, Stream(family, s.seed, s.upstream), s.shape, s.axis, s.dtype)
    if s.asks in ("jvp", "second", "second_upstream"):
        along = values.direction(Stream(family, s.seed, "direction"), s.shape, s.dtype)
    kind = LOG_SOFTMAX.kinds[s.asks]
    return call.replace(transform=dataclasses.replace(kind, upstream=upstream, direction=along, batched=s.batched))


def _laid(call: Call, layouts: tuple[tuple[str, str], ...]) -> Call:
    """The call with its arrays in these arrangements, the upstream gradient among them."""
    laid = call.laid(tuple(pair for pair in layouts if pair[0] == "input"))
    transform = laid.transform
    upstream: Array | None = None if transform is None else transform.upstream
    if transform is None or upstream is None or not upstream.size:
        return laid
    own = tuple(pair for pair in layouts if pair[0] == "upstream")
    for _, layout in own:
        upstream = lay(upstream, layout)
    return laid.replace(transform=dataclasses.replace(transform, upstream=upstream), layouts=(*laid.layouts, *own))
