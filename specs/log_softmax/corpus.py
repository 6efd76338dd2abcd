"""What the corpus holds: the structures of each family, in which dtypes and tiers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from ..call import Call
from ..case import Case
from ..domain import used
from ..layouts import LAYOUTS
from ..loss import Draw
from . import values
from .clauses import RULES
from .faults import faulty, faulty_in_corners, scalars
from .generate import Structure, call_of, case_of
from .pinned_gradients import gradients
from .shapes import CORE, EDGE_CLASSES, EDGE_ROWS, LONG, MANY_CLASSES, ORDINARY, RANKS, Place

MAIN = "float32"  # the dtype that compilers see most of, and that dear experiments are made in
REPEATS = {"quick": 1, "ci": 3, "nightly": 12, "large": 0}  # how often a profile draws the numbers of a structure
LAYOUT_PLACES: tuple[Place, ...] = (((6,), 0), ((6, 5), -1), ((6, 5), 0), ((4, 3, 2), 1), ((2, 3, 4, 5), 1))
LAYOUT_PLACES += (((2, 3, 2, 4, 2), -1),)
# Calls whose side effects are watched; with one class all is 0, and input's own memory may be handed out for it.
PURE_PLACES: tuple[tuple[int, Place], ...] = (*((1, place) for place in CORE), (2, ((5, 1), -1)))

Structures = Iterator[tuple[int, Structure]]  # each with its tier


def drawn(family: str, draw: Draw) -> Iterator[Case]:
    """The cases of one family in one dtype that subjects of a tier are meant to run.

    They are the same on every machine, and those of a lower tier are among those of a higher one.
    """
    if family in MADE:
        yield from MADE[family](draw)
        return
    for number, tier, structure in _numbered(family, draw):
        seeded = dataclasses.replace(structure, seed=draw.seed * 1_000_003 + structure.seed)
        call = call_of(seeded, family)
        if draw.domain.holds(call, used):
            yield case_of(call, family, tier, f"corpus {family}/{draw.dtype}/{number}")


def _numbered(family: str, draw: Draw) -> Iterator[tuple[int, int, Structure]]:
    """(number, tier, structure) of those that are meant for subjects of a tier."""
    found = [*STRUCTURES[family](draw.dtype)]
    for turn in range(REPEATS[draw.profile]):
        for number, (tier, structure) in enumerate(found, turn * len(found)):
            if tier <= draw.tier and not (structure.asks and draw.lacks(structure.asks)):
                yield number, tier, dataclasses.replace(structure, seed=number)


# --- structures, family by family ------------------------------------------------------------------------


def _shapes(dtype: str) -> Structures:
    for places, tier in ((CORE, 1), (RANKS, 2)):
        for shape, dim in places:
            yield tier, Structure(shape, dim, dtype, "dyadic")
    if dtype == MAIN:  # one dtype is enough for compilers to which a signature is dear
        for shape, dim in (((5,), -1), ((1, 3, 1, 1), 1), ((4, 4), 0), ((0, 4), -1), ((3, 0), -1)):
            yield 1, Structure(shape, dim, dtype, "dyadic")
    for shape in ((3, 3), (4, 3, 2), (2, 3, 4, 5), (1, 3, 1), (3, 3, 3, 3), (2, 3, 2, 1, 2, 2), (2, 0, 3)):
        for dim in range(-len(shape), len(shape)):
            yield 3, Structure(shape, dim, dtype)


def _values(dtype: str) -> Structures:
    for inputs in values.INPUTS:
        yield from ((1, Structure(shape, dim, dtype, inputs)) for shape, dim in CORE)
        yield from ((2, Structure(shape, dim, dtype, inputs)) for shape, dim in (RANKS[2], RANKS[3], RANKS[5]))
        yield from ((3, Structure(shape, dim, dtype, inputs)) for shape, dim in ORDINARY)
    kinds = tuple(values.INPUTS)
    for number, (shape, dim) in enumerate((*EDGE_ROWS, *EDGE_CLASSES, *MANY_CLASSES)):
        yield 3, Structure(shape, dim, dtype, kinds[number % len(kinds)])
    for shape, dim in MANY_CLASSES:
        yield 3, Structure(shape, dim, dtype, "last_dominant")
    if dtype == MAIN:
        yield 1, Structure((2, 1000), 1, dtype)


def _special(dtype: str) -> Structures:
    for plant in values.PLANTS:
        for inputs in ("ordinary", "offset", "dominant"):
            yield from ((1, Structure(shape, dim, dtype, inputs, plant)) for shape, dim in CORE)
            yield 2, Structure((7, 33), -1, dtype, inputs, plant)
            yield from ((3, Structure(shape, dim, dtype, inputs, plant)) for shape, dim in ORDINARY)
        yield 2, Structure((5, 1), 1, dtype, "ordinary", plant)
        yield 3, Structure((3, 300), 1, dtype, "ordinary", plant)
    for inputs in ("near_overflow", "very_negative", "subnormal"):
        yield from ((1, Structure(shape, dim, dtype, inputs)) for shape, dim in CORE)
        for plant in ("", "masked", "nan", "negative_zeros"):
            yield from ((3, Structure(shape, dim, dtype, inputs, plant)) for shape, dim in ORDINARY)


def _dtypes(dtype: str) -> Structures:
    for inputs in ("ordinary", "normalised", "close"):
        yield from ((1, Structure(shape, dim, dtype, inputs)) for shape, dim in CORE)
        yield from ((3, Structure(shape, dim, dtype, inputs)) for shape, dim in (*ORDINARY, ((3, 257), -1)))


def _accuracy(dtype: str) -> Structures:
    if dtype == MAIN or dtype == "bfloat16":
        yield from ((1, Structure((16, 257), -1, dtype, inputs)) for inputs in ("ordinary", "equal", "swamped"))
    for inputs in ("ordinary", "equal", "normalised", "dominant", "close", "offset", "swamped"):
        yield from ((3, Structure(shape, dim, dtype, inputs)) for shape, dim in LONG)
    for inputs in ("ordinary", "swamped"):
        yield 3, Structure((2, 32000), 1, dtype, inputs)


def _layouts(dtype: str) -> Structures:
    if dtype == MAIN:  # a compiler compiles anew for each set of strides
        for layout, asks in (("channels_last", ""), ("transposed", "gradient")):
            yield 1, Structure(*CORE[1], dtype, asks=asks, layouts=(("input", layout),))
    for shape, dim in LAYOUT_PLACES:
        for layout in LAYOUTS:
            yield 3, Structure(shape, dim, dtype, layouts=(("input", layout),))
            plain = Structure(shape, dim, dtype, upstream="random", asks="gradient")
            yield 3, dataclasses.replace(plain, layouts=(("input", layout),))
            yield 3, dataclasses.replace(plain, layouts=(("upstream", layout),))
            yield 3, dataclasses.replace(plain, layouts=(("input", layout), ("upstream", layout)))


STRUCTURES = {
    "shape": _shapes,
    "value": _values,
    "special": _special,
    "dtype": _dtypes,
    "accuracy": _accuracy,
    "gradient": gradients,
    "layout": _layouts,
}


# --- families whose cases are made one by one ------------------------------------------------------------


def _errors(draw: Draw) -> Iterator[Case]:
    """Every kind of fault, and after each batch a legal call (ERR-9)."""
    for number, (shape, dim) in enumerate((*CORE, ((5,), 0), ((2, 3, 4, 5), 1), ((64, 3), 1))):
        legal = call_of(Structure(shape, dim, draw.dtype, "dyadic", seed=draw.seed), "error")
        tier = 3 if number > 1 else 1 if draw.dtype == MAIN else 2
        origin = f"corpus error/{draw.dtype}/{number}"
        yield from _within(draw, faulty(legal), tier, origin)
        yield from _within(draw, [legal], tier, origin, ("ERR-9",))
    legal = call_of(Structure((6, 5), -1, draw.dtype, "dyadic", seed=draw.seed), "error")
    yield from _within(draw, (*faulty_in_corners(legal), *scalars(legal)), 2, f"corpus error/{draw.dtype}/corner")


def _within(draw: Draw, calls: Iterable[Call], tier: int, origin: str, also: tuple[str, ...] = ()) -> Iterator[Case]:
    """Cases of those calls that are asked for."""
    if tier <= draw.tier:
        asked = (call for call in calls if draw.domain.holds(call, used))
        yield from (case_of(call, "error", tier, origin, also) for call in asked)


def _purity(draw: Draw) -> Iterator[Case]:
    """Calls whose side effects are watched."""
    for least, asks in ((1, ""), (2, "gradient")):
        for own, (shape, dim) in PURE_PLACES:
            tier = max(least, own)
            call = call_of(Structure(shape, dim, draw.dtype, asks=asks, upstream="random", seed=draw.seed), "purity")
            if tier > draw.tier or asks and draw.lacks(asks) or not draw.domain.holds(call, used):
                continue
            case = case_of(call, "purity", tier, f"corpus purity/{draw.dtype}")
            # Threads take long: once for values and once for gradients is enough.
            threads = draw.dtype == MAIN and shape == CORE[-1][0]
            ids = (id for id in RULES.clauses if id.startswith("PURE-") and (threads or id != "PURE-5"))
            yield from (case.in_experiment(id) for id in ids)


_CHEAP = ("REL-2", "REL-3", "REL-4", "REL-6", "REL-8")  # relations that make no other signature
_RELATED = ((1, CORE[0]), (2, CORE[1]), (3, ((12, 5), 0)), (3, ((5,), 0)), (3, ((64, 7), -1)), (3, ((3, 4, 2, 3), 1)))
_RELATED += ((3, ((3, 1000), 1)),)


def _relations(draw: Draw) -> Iterator[Case]:
    """Calls on numbers without infinities and far from overflow, which relations start from."""
    ids = [id for id in RULES.clauses if id.startswith("REL-")]
    for number, (tier, (shape, dim)) in enumerate(_RELATED):
        for inputs in ("ordinary", "dyadic", "offset", "dominant"):
            call = call_of(Structure(shape, dim, draw.dtype, inputs, seed=draw.seed + number), "relation")
            if tier > draw.tier or not draw.domain.holds(call, used):
                continue
            case = case_of(call, "relation", tier, f"corpus relation/{draw.dtype}/{number}")
            affordable = tier == 3 or tier == 2 and draw.dtype == MAIN and inputs == "dyadic"
            yield from (case.in_experiment(id) for id in ids if affordable or id in _CHEAP)


MADE = {"error": _errors, "purity": _purity, "relation": _relations}
FAMILIES = (*STRUCTURES, *MADE)
EXPLORED = tuple(name for name in STRUCTURES if name != "layout")
