"""What exploration tries: structures that Hypothesis draws and shrinks."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from hypothesis import strategies as st

from ..call import REDUCTIONS
from ..loss import Exploration
from .clauses import EDGES
from .generate import Structure, cases
from .shapes import CORE, RANKS, signature_of
from .varied import MODES, choices, unweighted_too

_WIDTHS: Mapping[str, Literal[16, 32, 64]] = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}
_LARGEST_EDIT = 64  # arrays up to this size have single elements drawn, and shrunk, one by one


def explored(family: str, dtype: str, tier: int, lacks: Callable[[str], bool]) -> Exploration:
    """Structures of one family, for subjects of a tier that lack some kinds of Transform."""
    asks = _asks(lacks, dtype, tier) if family == "gradient" else ()
    return Exploration(
        structures(family, dtype, tier, asks), lambda structure: cases(structure, family, tier, origin="exploration")
    )


def _asks(lacks: Callable[[str], bool], dtype: str, tier: int) -> tuple[str, ...]:
    """What is drawn besides the gradient: the modes that the subject has, where another program costs nothing."""
    modes = MODES if tier == 3 else ()
    return tuple(kind for kind in modes if not lacks(kind) and (kind != "autocast" or dtype == "float32"))


@st.composite
def structures(draw: st.DrawFn, family: str, dtype: str, tier: int, asks: tuple[str, ...] = ()) -> Structure:
    """Structures of a family, in signatures that a subject of this tier can afford; small ones first.

    `asks` may be asked for instead of what the family asks for, together as often as that.
    """
    shapes = {1: CORE, 2: CORE if family == "gradient" else CORE + RANKS}.get(tier)
    shape = draw(_one_of(shapes) if shapes else _shapes())
    fields = {name: draw(_one_of(tuple(options))) for name, options in choices(family, tier).items()}
    if shapes:
        weighted, fields["target_dtype"] = signature_of(shape)
        if not weighted:
            fields["weights"] = "none"
        elif fields.get("weights", "none") == "none":
            fields["weights"] = "random"
    if asks and draw(st.booleans()):
        fields["asks"] = draw(_one_of(asks))
    reductions = ("mean",) if "reduction" in fields.get("omitted", ()) else REDUCTIONS
    also = unweighted_too(family, tier, fields)
    seed = draw(st.integers(0, 2**32))
    structure = Structure(shape, dtype, **fields, reductions=reductions, unweighted_too=also, seed=seed)
    if math.prod(structure.shape) > _LARGEST_EDIT:
        return structure
    return _edited(draw, structure)


@functools.cache
def _one_of(options: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """One of the options; Hypothesis examines a strategy once, so it is made once."""
    return st.sampled_from(options)


@functools.cache
def _shapes() -> st.SearchStrategy[tuple[int, ...]]:
    """Any rank from 1 to 7, small; sizes around block edges for ranks 2 and 3."""
    small = st.lists(st.integers(1, 5), min_size=1, max_size=7).map(tuple)
    edges = st.tuples(st.sampled_from(sorted(EDGES)[:22]), st.integers(1, 9))
    return st.one_of(small, edges)


def _edited(draw: st.DrawFn, structure: Structure) -> Structure:
    """Overwrite a few elements with numbers that Hypothesis likes, so that it can shrink them."""
    numbers = st.floats(width=_WIDTHS[structure.dtype], allow_nan=False, allow_infinity=False)
    edit = st.tuples(st.sampled_from(("input", "weight")), st.integers(0, 63), numbers)
    edits = tuple(draw(st.lists(edit, max_size=3)))
    return dataclasses.replace(structure, edits=edits)
