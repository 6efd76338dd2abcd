"""Draws cases: a structure first, then what stands in its arrays.

A `Structure` names every discrete choice and a seed, so two sources share one vocabulary: the corpus enumerates
structures in an order that never changes, and Hypothesis draws and shrinks them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..batches import calls_of_batch
from ..call import VALUES, Call
from ..case import Case, Expectation
from ..classes import structure as classes
from ..classes import values as class_values
from ..classes.structure import DEFAULT, labels
from ..layouts import lay
from ..log_softmax.values import direction as direction_of
from ..log_softmax.values import inputs
from ..stream import Stream
from ..tracked.answers import Evaluations
from . import values
from .clauses import RULES, exercised
from .facts import Facts
from .faults import structural_faults
from .oracle import expect
from .selection import select
from .signature import CROSS_ENTROPY

# What the arrays of a base depend on.
_DRAWN = ("shape", "dtype", "target_dtype", "weights", "sentinel", "inputs", "targets", "mask", "plant")
_DRAWN += ("probabilities", "seed")
BATCH = 3  # calls that are mapped over


@dataclass(frozen=True, slots=True)
class Structure(classes.Structure):
    """Every discrete choice of a call; `probabilities` is their kind, empty for indices."""

    inputs: str = "ordinary"
    smoothing: float = 0.0
    probabilities: str = ""


def case_of(call: Call, family: str, tier: int, origin: str, also: tuple[str, ...] = ()) -> Case:
    """The case of a call, whatever it asks for; facts and clauses of a mapped call are those of its first one."""
    is_mapped = call.transform is not None and bool(call.transform.batched)
    first = calls_of_batch(call)[0] if is_mapped else call
    selection = None if structural_faults(first) else select(first)
    facts = Facts(first, selection, call)
    return _case(facts, expect(call, None if is_mapped else selection), family, tier, origin, also)


def _case(
    facts: Facts, expectation: Expectation, family: str, tier: int, origin: str, also: tuple[str, ...] = ()
) -> Case:
    ids = tuple(dict.fromkeys((*exercised(facts, expectation), *also)))
    return Case(facts.asked, facts, expectation, ids, RULES.flags_of(ids), family, tier, origin, rules=RULES)


def cases(structure: Structure, family: str, tier: int = 3, origin: str = "corpus") -> Iterator[Case]:
    """The calls of one base, one per reduction (and once more without weights), each with its expectation."""
    if structure.batched:
        calls = _calls(batch(structure, family), structure, family)
        yield from (case_of(call, family, tier, origin) for call in calls)
        return
    whole = base(structure, family)
    selection, shared = select(whole), Evaluations(structure.dtype)
    for call in _calls(whole, structure, family):
        own = selection.under(call)
        yield _case(Facts(call, own), expect(call, own, shared), family, tier, origin)


def _calls(call: Call, structure: Structure, family: str) -> Iterator[Call]:
    for one in [call, call.replace(weight=None)] if structure.unweighted_too else [call]:
        for reduction in structure.reductions:
            asked = one.replace(reduction=reduction)
            yield asking(asked, structure, family) if structure.asks else asked


def asking(call: Call, structure: Structure, family: str) -> Call:
    """The call that asks for what the structure says."""
    stream = Stream(family, structure.seed, structure.upstream, call["reduction"])
    kind = CROSS_ENTROPY.kinds[structure.asks]
    upstream = direction = None
    if kind.kind not in ("jvp", "vmap", *VALUES):
        shape = structure.positions if call["reduction"] == "none" else ()
        upstream = class_values.upstream(structure.upstream, stream, shape, structure.dtype)
    if kind.kind in ("jvp", "second", "second_upstream"):
        direction = direction_of(stream, structure.shape, structure.dtype)
    layouts = call.layouts
    if upstream is not None and upstream.ndim and upstream.size:
        for layout in (layout for name, layout in structure.layouts if name == "upstream"):
            upstream, layouts = lay(upstream, layout), (*layouts, ("upstream", layout))
    batched = tuple(name for name in structure.batched if name in call.given)
    transform = dataclasses.replace(kind, upstream=upstream, direction=direction, batched=batched)
    return call.replace(transform=transform, layouts=layouts)


def batch(structure: Structure, family: str) -> Call:
    """Three calls of one structure at once: `batched` arguments stacked along a new first axis."""
    calls = [base(dataclasses.replace(structure, seed=structure.seed + number), family) for number in range(BATCH)]
    names = [name for name in structure.batched if name in calls[0].given]
    return calls[0].replace(**{name: np.stack([one[name] for one in calls]) for name in names})


def base(structure: Structure, family: str) -> Call:
    """The arrays that a structure stands for."""
    s = structure
    stream = Stream(family, *(getattr(s, name) for name in _DRAWN))
    target = values.probabilities(s.probabilities, stream, s.shape, s.dtype) if s.probabilities else labels(s, stream)
    weight = None if "weight" in s.omitted else class_values.weights(s.weights, stream, s.classes, s.dtype)
    x = inputs(s.inputs, stream, s.shape, min(1, len(s.shape) - 1), s.dtype)
    sentinel = DEFAULT if s.probabilities and s.ignore_index >= 0 else s.ignore_index  # an error with probabilities
    smoothing = 0.0 if "label_smoothing" in s.omitted else s.smoothing
    call = CROSS_ENTROPY.call(x, target, weight, sentinel, "mean", smoothing, omitted=s.omitted)
    if s.plant:
        values.plant(call, s.plant, stream)
    for name, index, value in s.edits:
        array = call[name]
        if array is not None and array.size:
            array.reshape(-1)[index % array.size] = value
    return call.laid(s.layouts) if s.layouts else call
