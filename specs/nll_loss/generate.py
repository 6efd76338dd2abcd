"""Draws cases: a structure first, then what stands in its arrays.

A `Structure` names every discrete choice and a seed, so two sources share one vocabulary: the corpus enumerates
structures in an order that never changes (the same cases on every machine), and Hypothesis draws and shrinks
them. One structure becomes a base whose calls differ in reduction only and share the oracle's work.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..call import REDUCTIONS, VALUES, Array, Call, dtype_of, range_of
from ..case import Case, Expectation
from ..layouts import lay
from ..stream import Stream
from . import values
from .clauses import RULES, exercised
from .derivatives import calls_of_batch, expect_batch, expect_transformed
from .facts import Facts
from .oracle import Selection, class_axis, expect, select, structural_faults
from .signature import NLL_LOSS

DEFAULT = -100  # ignore_index when it is left out
INT64 = np.iinfo(np.int64)

# What may be planted, where, and what it is for (SPECIAL-1, VALUE-6, IGN-5, WEIGHT-4, SPECIAL-4).
PLANTS = ("", "other_entries", "ignored_rows", "targets", "one_target", "other_weights", "ignored_weight")
PLANTS += ("selected_weight", "negative_zeros", "negative_zero_weights")


@dataclass(frozen=True, slots=True)
class Structure:
    """Every discrete choice of a base; the seed settles the rest.

    `sentinel` may be "C" or "C+1", meaning the class count and one more. `plant` names where special values go.
    `unweighted_too`: the same arrays are also passed without their weights, which costs next to nothing. `edits`
    are (array, flat index, value) overrides, which only exploration uses. `asks` is what is asked for besides the
    value (a kind of Transform), `upstream` a kind of upstream gradient, `batched` the arguments mapped over,
    `layouts` the arrangements in memory of arrays that are not in C order.
    """

    shape: tuple[int, ...]
    dtype: str
    target_dtype: str = "int64"
    weights: str = "none"
    sentinel: int | str = DEFAULT
    inputs: str = "log_probabilities"
    targets: str = "random"
    mask: str = "some"
    plant: str = ""
    omitted: tuple[str, ...] = ()
    reductions: tuple[str, ...] = REDUCTIONS
    unweighted_too: bool = False
    seed: int = 0
    edits: tuple[tuple[str, int, float], ...] = ()
    asks: str = ""
    upstream: str = "ones"
    batched: tuple[str, ...] = ()
    layouts: tuple[tuple[str, str], ...] = ()

    @property
    def classes(self) -> int:
        """C."""
        return self.shape[min(1, len(self.shape) - 1)]

    @property
    def positions(self) -> tuple[int, ...]:
        """Shape of the target."""
        return self.shape[:1] + self.shape[2:] if len(self.shape) > 1 else ()

    @property
    def ignore_index(self) -> int:
        """The sentinel as a number."""
        relative = {"C": self.classes, "C+1": self.classes + 1}
        return relative[self.sentinel] if isinstance(self.sentinel, str) else self.sentinel


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


def count(structure: Structure) -> int:
    """How many cases `cases` makes of a structure."""
    return len(structure.reductions) * (1 + structure.unweighted_too)


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
        direction = values.inputs("cancelling", stream, call["input"].shape, structure.dtype)
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
    size = math.prod(s.positions)
    dtype = dtype_of(s.target_dtype)
    low, high = range_of(dtype)
    reachable = min(s.classes, high + 1)
    target = values.targets(s.targets, stream, size, reachable)
    if low <= s.ignore_index <= high:
        masked = values.ignored(s.mask, stream, size) if s.classes else np.ones(size, bool)
        target = np.where(masked, np.int64(min(s.ignore_index, INT64.max)), target)
    target = target.astype(dtype).reshape(s.positions)
    weight = None if "weight" in s.omitted else values.weights(s.weights, stream, s.classes, s.dtype)
    call = NLL_LOSS.call(
        values.inputs(s.inputs, stream, s.shape, s.dtype), target, weight, s.ignore_index, "mean", omitted=s.omitted
    )
    if s.plant:
        _plant(call, s.plant, stream)
    for name, index, value in s.edits:
        array = call["input"] if name == "input" else call["weight"]
        if array is not None and array.size:
            array.reshape(-1)[index % array.size] = value
    return call.laid(s.layouts) if s.layouts else call


def _plant(call: Call, plant: str, stream: Stream) -> None:
    """Put special values where the plant says, in place."""
    selection = select(call)
    chosen = selection.kept & selection.valid
    specials = [math.nan, math.inf, -math.inf]
    value = stream.choose(specials)
    axis = class_axis(call["input"])
    entries = np.zeros(call["input"].shape, bool)
    if chosen.any():
        index = np.expand_dims(np.where(chosen, call["target"], 0).astype(np.int64), min(1, call["input"].ndim - 1))
        np.put_along_axis(
            entries, index, np.expand_dims(chosen, min(1, call["input"].ndim - 1)), min(1, call["input"].ndim - 1)
        )
    spread = stream.integers(0, 3, call["input"].size).reshape(call["input"].shape)
    labels = np.unique(call["target"][chosen].astype(np.int64))
    match plant:
        case "other_entries":
            call["input"][~entries] = np.take(specials, spread)[~entries].astype(call["input"].dtype)
        case "ignored_rows":
            rows = np.broadcast_to(np.expand_dims(~selection.kept, axis), call["input"].shape)
            call["input"][rows] = value
        case "targets":
            call["input"][entries & (spread < 2)] = value
        case "one_target":
            where = np.flatnonzero(entries)
            if where.size:
                call["input"].reshape(-1)[stream.choose(where.tolist())] = value
        case "negative_zeros":
            call["input"][entries & (spread < 2)] = -0.0
        case _ if call["weight"] is not None and call["weight"].size:
            _plant_weight(call["weight"], plant, labels, value, call["ignore_index"], stream)


def _plant_weight(weight: Array, plant: str, labels: Array, value: float, ignore_index: int, stream: Stream) -> None:
    others = np.setdiff1d(np.arange(weight.size), labels)
    match plant:
        case "other_weights":
            weight[others] = value
        case "ignored_weight":
            if 0 <= ignore_index < weight.size:
                weight[ignore_index] = value
        case "selected_weight" if labels.size:
            weight[stream.choose(labels.tolist())] = value
        case "negative_zero_weights" if labels.size:
            weight[stream.choose(labels.tolist())] = -0.0
