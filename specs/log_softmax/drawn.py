"""What exploration tries: structures that Hypothesis draws and shrinks."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, Literal

from hypothesis import strategies as st

from ..case import Case
from ..domain import used
from ..loss import Draw, Exploration
from . import values
from .generate import Structure, call_of, case_of
from .pinned_gradients import MODES
from .shapes import CORE, EDGES, RANKS, Place

_WIDTHS: Mapping[str, Literal[16, 32, 64]] = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}
_LARGEST_EDIT = 64  # arrays up to this size have single elements drawn, and shrunk, one by one
_SECOND = ("second", "second_upstream", "jvp")

INPUTS: Mapping[str, tuple[str, ...]] = {
    "shape": ("dyadic", "ordinary"),
    "value": tuple(values.INPUTS),
    "special": ("ordinary", "offset", "dominant", "near_overflow", "subnormal"),
    "dtype": ("ordinary", "normalised", "close"),
    "accuracy": tuple(values.INPUTS),
    "gradient": ("ordinary", "equal", "offset", "dominant", "close", "swamped"),
}


def explored(family: str, draw: Draw) -> Exploration | None:
    """Structures of one family, for subjects of a tier that lack some kinds of Transform, within a domain."""
    places = _places(draw)
    if places is None:
        return None
    asks = _asks(draw) if family == "gradient" else ("",)
    if not asks:
        return None

    def cases(structure: Structure) -> list[Case]:
        call = call_of(structure, family)
        return [case_of(call, family, draw.tier, "exploration")] if draw.domain.holds(call, used) else []

    return Exploration(structures(family, draw.dtype, places, asks), cases)


def _asks(draw: Draw) -> tuple[str, ...]:
    """The gradient, and what else is asked for where another program costs nothing."""
    others = (*_SECOND, *MODES) if draw.tier == 3 else ()
    wanted = ("gradient", *(kind for kind in others if kind != "autocast" or draw.dtype == "float32"))
    return tuple(kind for kind in wanted if not draw.lacks(kind))


@st.composite
def structures(
    draw: st.DrawFn, family: str, dtype: str, places: st.SearchStrategy[Place], asks: tuple[str, ...]
) -> Structure:
    """Structures of a family; small ones first."""
    shape, dim = draw(places)
    plants = ("", *values.PLANTS) if family in ("special", "gradient") else ("",)
    structure = Structure(
        shape,
        dim,
        dtype,
        draw(_one_of(INPUTS[family])),
        draw(_one_of(plants)),
        draw(_one_of(asks)),
        draw(_one_of(values.UPSTREAMS)),
        seed=draw(st.integers(0, 2**32)),
        edits=_edits(draw, dtype) if math.prod(shape) <= _LARGEST_EDIT else (),
    )
    return structure


def _places(draw: Draw) -> st.SearchStrategy[Place] | None:
    """What shapes are drawn from, each with a dim, None where the domain leaves none."""
    if draw.tier < 3:
        dear = CORE if draw.tier == 1 else CORE + RANKS
        within = tuple(place for place in dear if draw.domain.takes_shape(place[0]))
        return _one_of(within) if within else None
    ranks = tuple(filter(draw.domain.takes_rank, draw.domain.ranks or range(1, 8)))
    return _free_places(ranks, "dim" not in draw.domain.absent) if ranks else None


@functools.cache
def _free_places(ranks: tuple[int, ...], any_dim: bool) -> st.SearchStrategy[Place]:
    """Any of these ranks, small; sizes around block edges for rank 2."""
    small = st.one_of(*(st.tuples(*[st.integers(1, 5)] * rank) for rank in ranks))
    edges = st.tuples(st.integers(1, 9), st.sampled_from(sorted(EDGES)[:22]))
    shapes = st.one_of(small, edges) if 2 in ranks else small
    return shapes.flatmap(
        lambda shape: st.tuples(st.just(shape), st.integers(-len(shape), len(shape) - 1) if any_dim else st.just(-1))
    )


@functools.cache
def _one_of(options: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """One of the options; Hypothesis examines a strategy once, so it is made once."""
    return st.sampled_from(options)


def _edits(draw: st.DrawFn, dtype: str) -> tuple[tuple[int, float], ...]:
    """A few elements to overwrite with numbers that Hypothesis likes, so that it can shrink them."""
    numbers = st.floats(width=_WIDTHS[dtype], allow_nan=False, allow_infinity=False)
    return tuple(draw(st.lists(st.tuples(st.integers(0, 63), numbers), max_size=3)))
