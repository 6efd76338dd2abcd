"""What is left of the corpus, and of what is drawn, for functions that take some calls only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ..call import Call
from ..domain import Domain, used
from ..loss import Draw
from .structure import DEFAULT, Structure
from .targets import not_ignored

S = TypeVar("S", bound=Structure)
Choices = Mapping[str, Sequence[Any]]  # by field of Structure

_OF_WEIGHTS = frozenset({"other_weights", "ignored_weight", "selected_weight", "negative_zero_weights"})
_OF_IGNORING = frozenset({"ignored_rows", "ignored_weight"})
# Families that are about an argument: nothing is left of them for functions that do not take it.
_ABOUT = {"weight": "weight", "ignore": "ignore_index"}


def used_by(call: Call) -> Collection[str]:
    """Arguments that a call cannot do without: ignore_index also where it is as usual and something is ignored."""
    found, target = used(call), call["target"]
    if "ignore_index" in found or target is None or target.dtype.kind not in "iu":
        return found
    return found if not_ignored(target, call["ignore_index"]).all() else found | {"ignore_index"}


def left(structures: Iterable[tuple[int, S]], family: str, draw: Draw) -> Iterator[tuple[int, int, S]]:
    """(number, tier, structure) of those that something is left of, each once."""
    changed: set[tuple[int, S]] = set()
    for number, (tier, structure) in enumerate(structures):
        found = narrowed(structure, family, draw)
        if found is None or found != structure and (tier, found) in changed:
            continue
        changed.add((tier, found))
        yield number, tier, found


def narrowed(structure: S, family: str, draw: Draw) -> S | None:
    """A structure as it is within a domain, None where nothing is left of it.

    What a function does not take is left out of it: weights, a sentinel, ignored positions.
    """
    domain = draw.domain
    if structure.asks and draw.lacks(structure.asks):
        return None
    if not domain.is_narrow:
        return structure
    if not domain.takes_shape(structure.shape) or _ABOUT.get(family) in domain.absent:
        return None
    reductions = _reductions(structure, domain)
    if not reductions:
        return None
    changes: dict[str, Any] = {"reductions": reductions}
    if domain.targets and structure.target_dtype not in domain.targets:
        changes["target_dtype"] = domain.targets[0]
    sentinels = dict(domain.choices).get("ignore_index")
    if sentinels and structure.ignore_index not in sentinels:
        changes["sentinel"] = sentinels[0]
    found: S | None = dataclasses.replace(structure, **changes)
    for name, without in (("weight", _unweighted), ("ignore_index", _unmasked)):
        if name in domain.absent and found is not None:
            found = without(found)
    return found


def _reductions(structure: Structure, domain: Domain) -> tuple[str, ...]:
    kept = domain.values("reduction", structure.reductions)
    return tuple(one for one in kept if one == "mean") if "reduction" in domain.absent else kept


def _unweighted(structure: S) -> S | None:
    """The same without weights, None where they are what it is about."""
    layouts = tuple((name, layout) for name, layout in structure.layouts if name != "weight")
    batched = tuple(name for name in structure.batched if name != "weight")
    only = (structure.layouts and not layouts) or (structure.batched and not batched)
    if only or structure.plant in _OF_WEIGHTS or structure.asks.startswith("weight_"):
        return None
    return dataclasses.replace(structure, weights="none", unweighted_too=False, layouts=layouts, batched=batched)


def _unmasked(structure: S) -> S | None:
    """The same without ignored positions; where there are no classes all are ignored."""
    if structure.plant in _OF_IGNORING or not structure.classes and 0 not in structure.positions:
        return None
    return dataclasses.replace(structure, sentinel=DEFAULT, mask="no")


def pools(varied: Choices, family: str, draw: Draw) -> Choices:
    """What a family varies, as far as it is within a domain; empty where nothing is left of something."""
    domain, absent = draw.domain, draw.domain.absent
    if _ABOUT.get(family) in absent:
        return dict.fromkeys(varied, ())
    kept: dict[str, Callable[[Any], bool]] = {"asks": lambda asks: not asks or not draw.lacks(asks)}
    if domain.targets:
        kept["target_dtype"] = lambda dtype: dtype in domain.targets
    if "weight" in absent:
        kept |= {"weights": lambda kind: kind == "none", "plant": lambda plant: plant not in _OF_WEIGHTS}
    if "ignore_index" in absent:
        without = _OF_IGNORING | (_OF_WEIGHTS if "weight" in absent else frozenset())
        kept |= {"sentinel": lambda value: value == DEFAULT, "mask": lambda mask: mask == "no"}
        kept["plant"] = lambda plant: plant not in without
    found = {name: tuple(filter(kept.get(name), pool)) if name in kept else pool for name, pool in varied.items()}
    # A pool that is narrowed to nothing but what `narrowed` puts there has that alone.
    fallback = {"target_dtype": domain.targets[:1], "weights": ("none",)}
    return {name: pool or fallback.get(name, ()) for name, pool in found.items()}
