"""What exploration tries: structures that Hypothesis draws and shrinks."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, Literal

from hypothesis import strategies as st

from ..call import REDUCTIONS
from ..loss import Draw, Exploration
from .corpus import MODES, Corpus, unweighted_too
from .narrow import Choices, S, narrowed, pools
from .shapes import CORE, EDGES, RANKS, Shape, signature_of

_WIDTHS: Mapping[str, Literal[16, 32, 64]] = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}
_LARGEST_EDIT = 64  # arrays up to this size have single elements drawn, and shrunk, one by one


def explored(corpus: Corpus[S], family: str, draw: Draw) -> Exploration | None:
    """Structures of one family, for subjects of a tier that lack some kinds of Transform, within a domain."""
    varied = pools(corpus.choices(family, draw.tier), family, draw)
    shapes = _shapes_of(family, draw)
    if shapes is None or not all(varied.values()):
        return None
    asks = _asks(draw) if family == "gradient" else ()
    drawn = structures(corpus, family, draw, varied, shapes, asks)
    return Exploration(drawn, lambda found: corpus.cases(found, family, draw.tier, "exploration") if found else ())


def _asks(draw: Draw) -> tuple[str, ...]:
    """What is drawn besides the gradient: the modes that the subject has, where another program costs nothing."""
    modes = MODES if draw.tier == 3 else ()
    return tuple(kind for kind in modes if not draw.lacks(kind) and (kind != "autocast" or draw.dtype == "float32"))


@st.composite
def structures(
    draw: st.DrawFn,
    corpus: Corpus[S],
    family: str,
    wanted: Draw,
    varied: Choices,
    shapes: st.SearchStrategy[Shape],
    asks: tuple[str, ...],
) -> S | None:
    """Structures of a family, in signatures that a subject of this tier can afford; small ones first.

    `asks` may be asked for instead of what the family asks for, together as often as that. None is outside of the
    domain.
    """
    shape = draw(shapes)
    fields = {name: draw(_one_of(tuple(options))) for name, options in varied.items()}
    if wanted.tier < 3:
        weighted, fields["target_dtype"] = signature_of(shape)
        if not weighted:
            fields["weights"] = "none"
        elif fields.get("weights", "none") == "none":
            fields["weights"] = "random"
    if asks and draw(st.booleans()):
        fields["asks"] = draw(_one_of(asks))
    reductions = ("mean",) if "reduction" in fields.get("omitted", ()) else REDUCTIONS
    also = unweighted_too(family, wanted.tier, fields)
    seed = draw(st.integers(0, 2**32))
    structure = corpus.structure(shape, wanted.dtype, **fields, reductions=reductions, unweighted_too=also, seed=seed)
    if math.prod(structure.shape) <= _LARGEST_EDIT:
        structure = _edited(draw, structure)
    return narrowed(structure, family, wanted)


def _shapes_of(family: str, draw: Draw) -> st.SearchStrategy[Shape] | None:
    """What shapes are drawn from, None where the domain leaves none."""
    dear = {1: CORE, 2: CORE if family == "gradient" else CORE + RANKS}.get(draw.tier)
    if dear:
        within = tuple(filter(draw.domain.takes_shape, dear))
        return _one_of(within) if within else None
    ranks = tuple(filter(draw.domain.takes_rank, draw.domain.ranks or range(1, 8)))
    return _shapes(ranks) if ranks else None


@functools.cache
def _one_of(options: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """One of the options; Hypothesis examines a strategy once, so it is made once."""
    return st.sampled_from(options)


@functools.cache
def _shapes(ranks: tuple[int, ...]) -> st.SearchStrategy[Shape]:
    """Any of these ranks, small; sizes around block edges for rank 2."""
    if ranks == tuple(range(ranks[0], ranks[-1] + 1)):
        small = st.lists(st.integers(1, 5), min_size=ranks[0], max_size=ranks[-1]).map(tuple)
    else:
        small = st.one_of(*(st.tuples(*[st.integers(1, 5)] * rank) for rank in ranks))
    edges = st.tuples(st.sampled_from(sorted(EDGES)[:22]), st.integers(1, 9))
    return st.one_of(small, edges) if 2 in ranks else small


def _edited(draw: st.DrawFn, structure: S) -> S:
    """Overwrite a few elements with numbers that Hypothesis likes, so that it can shrink them."""
    numbers = st.floats(width=_WIDTHS[structure.dtype], allow_nan=False, allow_infinity=False)
    edit = st.tuples(st.sampled_from(("input", "weight")), st.integers(0, 63), numbers)
    edits = tuple(draw(st.lists(edit, max_size=3)))
    return dataclasses.replace(structure, edits=edits)
