"""Draws cases: a structure first, then what stands in its arrays.

A `Structure` names every discrete choice and a seed, so two sources share one vocabulary: the corpus enumerates
structures in an order that never changes (the same cases on every machine), and Hypothesis draws and shrinks
them. One structure becomes a base whose calls differ in reduction only and share the oracle's work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..batches import calls_of_batch
from ..call import VALUES, Call
from ..case import Case, Expectation
from ..classes import values
from ..classes.plants import put
from ..classes.structure import Structure, labels
from ..classes.targets import structural_faults
from ..layouts import lay
from ..stream import Stream
from .clauses import RULES, exercised
from .derivatives import expect_batch, expect_transformed
from .facts import Facts
from .oracle import Selection, expect, select
from .signature import NLL_LOSS
from .values import inputs

# What the arrays of a base depend on.
_DRAWN = ("shape", "dtype", "target_dtype", "weights", "sentinel", "inputs", "targets", "mask", "plant", "omitted")
_DRAWN += ("reductions", "unweighted_too", "seed")


# --- from a structure to cases ---------------------------------------------------------------------------


def cases(structure: Structure, family: str, tier: int = 3, origin: str = "corpus") -> Iterator[Case]:
    """The calls of one base, one per reduction (and once more without weights), each with its expectation."""
    call = batch(structure, family) if structure.batched else base(structure, family)
    calls = [call, call.replace(weight=None)] if structure.unweighted_too else [call]
    for one in calls:
        if not structure.asks:
            yield from judged_calls(one, structure.reductions, family, tier, origin)
            continue
        selection = None if structure.batched else select(one)
        for reduction in structure.reductions:
            yield asking(one.replace(reduction=reduction), structure, family, tier, origin, selection)


def judged_calls(
    call: Call,
    reductions: Sequence[Any],
    family: str,
    tier: int,
    origin: str,
    also: tuple[str, ...] = (),
    asks: Callable[[Call], bool] | None = None,
) -> Iterator[Case]:
    """Cases for a call under several reductions, `also` naming clauses beyond those it exercises by itself.

    `asks` says which calls are wanted, before anything is computed for them.
    """
    selection = None
    for reduction in reductions:
        variant = call.replace(reduction=reduction)
        if asks is not None and not asks(variant):
            continue
        legal = not structural_faults(variant)
        if selection is None and legal:
            selection = select(variant)
        shared = selection if legal else None
        yield _case(Facts(variant, shared), expect(variant, shared), family, tier, origin, also)


def transformed(
    call: Call, family: str, tier: int, origin: str, also: tuple[str, ...] = (), selection: Selection | None = None
) -> Case:
    """The case of a legal call that asks for more than its value; `selection` is shared as `expect` says."""
    if call.transform is None:
        raise ValueError("the call asks for its value alone")
    if call.transform.batched:
        selections = [select(one) for one in calls_of_batch(call)]
        # Facts and clauses are those of the first call, or of the first with a target that does not exist.
        example = next((one for one in selections if (one.kept & ~one.valid).any()), selections[0])
        return _case(Facts(example.call, example, call), expect_batch(selections), family, tier, origin, also)
    selection = select(call) if selection is None else selection
    return _case(Facts(call, selection), expect_transformed(call, selection), family, tier, origin, also)


def case_of_call(call: Call, family: str, tier: int, origin: str, also: tuple[str, ...] = ()) -> Case:
    """The case of one call, whatever it asks for, under its own reduction."""
    if call.transform is not None:
        return transformed(call, family, tier, origin, also)
    (case,) = judged_calls(call, (call["reduction"],), family, tier, origin, also)
    return case


def _case(facts: Facts, expectation: Expectation, family: str, tier: int, origin: str, also: tuple[str, ...]) -> Case:
    ids = tuple(dict.fromkeys((*exercised(facts, expectation), *also)))
    return Case(facts.asked, facts, expectation, ids, RULES.flags_of(ids), family, tier, origin, rules=RULES)


def asking(
    call: Call, structure: Structure, family: str, tier: int, origin: str, selection: Selection | None = None
) -> Case:
    """The case of a call that asks for what the structure says."""
    stream = Stream(family, structure.seed, structure.upstream, call["reduction"])
    upstream = direction = None
    if structure.asks not in ("jvp", "vmap", *VALUES):
        shape = structure.positions if call["reduction"] == "none" else ()
        upstream = values.upstream(structure.upstream, stream, shape, structure.dtype)
    if structure.asks in ("jvp", "second", "second_upstream"):
        direction = inputs("cancelling", stream, call["input"].shape, structure.dtype)
    layouts = call.layouts
    if upstream is not None and upstream.ndim and upstream.size:
        for layout in (layout for name, layout in structure.layouts if name == "upstream"):
            upstream, layouts = lay(upstream, layout), (*layouts, ("upstream", layout))
    present = [name for name, _ in call.arrays()]
    batched = tuple(name for name in structure.batched if name in present)
    kind = NLL_LOSS.kinds[structure.asks]
    transform = dataclasses.replace(kind, upstream=upstream, direction=direction, batched=batched)
    asked = call.replace(transform=transform, layouts=layouts)
    return transformed(asked, family, tier, origin, selection=selection)


def batch(structure: Structure, family: str) -> Call:
    """Three calls of one structure at once: `batched` arguments stacked along a new first axis."""
    calls = [base(dataclasses.replace(structure, seed=structure.seed + number), family) for number in range(3)]
    arrays = [dict(call.arrays()) for call in calls]
    stacked = {name: np.stack([one[name] for one in arrays]) for name in structure.batched if name in arrays[0]}
    return calls[0].replace(**stacked)


def base(structure: Structure, family: str) -> Call:
    """The arrays that a structure stands for."""
    s = structure
    stream = Stream(family, *(getattr(s, name) for name in _DRAWN))
    target = labels(s, stream)
    weight = None if "weight" in s.omitted else values.weights(s.weights, stream, s.classes, s.dtype)
    call = NLL_LOSS.call(
        inputs(s.inputs, stream, s.shape, s.dtype), target, weight, s.ignore_index, "mean", omitted=s.omitted
    )
    if s.plant:
        put(call, s.plant, stream)
    for name, index, value in s.edits:
        array = call["input"] if name == "input" else call["weight"]
        if array is not None and array.size:
            array.reshape(-1)[index % array.size] = value
    return call.laid(s.layouts) if s.layouts else call
