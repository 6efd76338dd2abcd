"""What the corpus holds: which structures are drawn for each family of cases, in which signatures.

Every new combination of shape, dtype and options costs a compiling subject a compilation. So shapes come in
tiers, and what else enters a signature (weighted or not, target dtype) hangs on the shape in the first two.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allpairspy import AllPairs

from ..call import REDUCTIONS, TARGET_DTYPES
from ..case import Case
from ..layouts import LAYOUTS
from ..stream import Stream
from . import values
from .clauses import EDGES, RULES
from .faults import fault_cases
from .generate import DEFAULT, INT64, PLANTS, Structure, cases, count

FAMILIES = ("shape", "value", "ignore", "weight", "special", "dtype", "accuracy", "error")
FAMILIES += ("gradient", "layout", "purity", "relation")
DRAWN = ("shape", "value", "ignore", "weight", "special", "dtype", "accuracy", "gradient")  # explored, too

SENTINELS = (DEFAULT, -1, 0, 2, "C", "C+1", 255, 2**31, -(2**31), int(INT64.max), int(INT64.min))

# --- shapes ----------------------------------------------------------------------------------------------

# Tier 1: what every subject runs. Everything a compiler's signature depends on is fixed by the shape.
CORE = ((6, 5), (4, 3, 2))
# Tier 2: every rank, axes of length 1, axes that all equal C, empty ones.
RANKS = (
    (5,),
    (1,),
    (1, 4),
    (5, 1),
    (3, 3, 3),
    (2, 3, 4, 5),
    (3, 3, 3, 3),
    (1, 3, 1, 1),
    (2, 2, 1, 3, 2),
    (2, 3, 2, 1, 2, 2),
    (2, 2, 2, 1, 2, 1, 2),
    (0, 4),
    (2, 3, 0),
    (0, 3, 2, 2),
    (2, 3, 0, 2, 1),
    (33, 7),
    (4, 4),
)
# Tier 3: sizes at block edges, many classes.
EDGE_SHAPES = tuple((n, 3) for n in sorted(EDGES) if n <= 4097)
MANY_CLASSES = ((2, 2052), (3, 127), (3, 128), (4, 129), (4, 255), (4, 256), (4, 257), (3, 300), (2, 256, 3))
HUGE_CLASSES = ((2, 32767), (2, 32769), (2, 65535), (3, 65537))
LONG = ((1025, 3), (2049, 2), (4097, 2), (4, 3, 700), (16384, 2), (65535, 2), (65536, 2), (65537, 2))
LONG_COMPILED = (4096, 2)


@functools.cache
def signature_of(shape: tuple[int, ...]) -> tuple[bool, str]:
    """Whether a shape of the first tiers is weighted, and its target dtype."""
    if shape in CORE or shape == LONG_COMPILED:
        return shape == CORE[1], "int64"
    number = RANKS.index(shape)
    return number % 2 == 1, ("int64", "int32", "int64", "uint8")[number % 4]


# --- the corpus ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Size:
    """How much a profile draws: bases per family and tier, the strength of covering, the longest reduction."""

    bases: int
    strength: int
    longest: int
    classes: tuple[int, ...] = (2**15 + 1, 2**16 + 1)  # class counts of gradients, just beyond those of a block


SIZES = {
    "quick": Size(bases=48, strength=2, longest=2**16 + 1),
    "ci": Size(bases=128, strength=3, longest=2**16 + 1, classes=(2**15 + 1, 2**16 + 1, 2**17 + 1)),
    "nightly": Size(bases=320, strength=3, longest=2**20, classes=(2**15 + 1, 2**16 + 1, 2**17 + 1)),
    "large": Size(bases=0, strength=2, longest=0),  # family large alone
}


def corpus(family: str, dtype: str, profile: str, seed: int, tier: int = 3) -> Iterator[Case]:
    """The cases of one family in one dtype that subjects of a tier are meant to run, cheap and deadly ones first.

    They are the same on every machine, and those of a lower tier are among those of a higher one.
    """
    if family in MADE:
        yield from (case for case in MADE[family](dtype, seed) if case.tier <= tier)
        return
    for number, (own, structure) in enumerate(structures(family, dtype, SIZES[profile], tier)):
        if own <= tier:
            seeded = dataclasses.replace(structure, seed=seed * 1_000_003 + number)
            yield from cases(seeded, family, own, f"corpus {family}/{dtype}/{number}")


def corpus_size(family: str, dtype: str, profile: str, tier: int) -> int:
    """How many cases a corpus has for subjects of this tier, without making their arrays; not of those made singly."""
    drawn = structures(family, dtype, SIZES[profile], tier)
    return sum(count(structure) for own, structure in drawn if own <= tier)


def structures(family: str, dtype: str, size: Size, tier: int = 3) -> Iterator[tuple[int, Structure]]:
    """(tier, structure) of the corpus of one family in one dtype; covering arrays of dearer tiers are left out."""
    yield from _PINNED[family](dtype, size)
    if family == "layout":  # all of them are pinned
        return
    for own, shapes in ((1, CORE), (2, RANKS), (3, None)):
        if own <= tier and (family, own) != ("gradient", 2):  # every rank is two more programs: a few are pinned
            yield from ((own, s) for s in _covering(family, dtype, size, own, shapes))


def _covering(
    family: str, dtype: str, size: Size, tier: int, shapes: Sequence[tuple[int, ...]] | None
) -> Iterator[Structure]:
    """Structures that cover all pairs (or triples) of the family's choices as far as `size` allows."""
    choices = axes(family, tier)
    pools = (tuple(shapes or _free_shapes(family)), *map(tuple, choices.values()))
    bases = size.bases // 2 if tier == 1 else size.bases
    rows = _covering_rows(pools, min(size.strength, len(pools)), bases)
    stream = Stream("covering", family, dtype, tier)
    more = ([stream.choose(pool) for pool in pools] for _ in range(bases - len(rows)))
    for shape, *picked in itertools.chain(rows, more):
        fields: dict[str, Any] = dict(zip(choices, picked, strict=True))
        if tier < 3:
            weighted, target_dtype = signature_of(shape)
            fields["target_dtype"] = target_dtype
            if not weighted:
                fields["weights"] = "none"
            elif fields.get("weights", "none") == "none":
                fields["weights"] = stream.choose(("random", "dyadic", "ones"))
        yield Structure(shape, dtype, **fields, unweighted_too=unweighted_too(family, tier, fields))


def unweighted_too(family: str, tier: int, fields: Mapping[str, Any]) -> bool:
    """Whether a structure with these fields is worth running without its weights as well.

    Not where that means another signature to compile, nor where weights are all that the family is about.
    """
    weighted = fields.get("weights", "none") != "none" and not fields.get("omitted")
    return weighted and tier == 3 and family != "weight"


@functools.cache
def _covering_rows(pools: tuple[tuple[Any, ...], ...], strength: int, count: int) -> tuple[tuple[Any, ...], ...]:
    """The first `count` rows of a covering array, which is slow to make and the same for each dtype."""
    return tuple(tuple(row) for row in itertools.islice(AllPairs(pools, n=strength), count))


def axes(family: str, tier: int) -> dict[str, Sequence[Any]]:
    """The choices that a family varies besides the shape, by field of Structure."""
    free = tier == 3
    weights = ("none", "random", "dyadic") if free else ("random", "dyadic")
    target = {"target_dtype": TARGET_DTYPES} if free else {}
    ordinary = ("log_probabilities", "dyadic", "positive")
    match family:
        case "shape":
            return {"weights": weights, "mask": ("no", "some", "all"), "inputs": ordinary, **target}
        case "value":
            inputs = (*ordinary, "cancelling", "wide", "constant", "very_negative", "subnormal")
            omitted = ((), (), (), ("weight", "ignore_index")) if free else ((),)
            return {
                "inputs": inputs,
                "weights": ("none", "ones", "random", "dyadic") if free else ("ones", "random", "dyadic"),
                "targets": values.TARGETS,
                "plant": ("", "other_entries"),
                "omitted": omitted,
            }
        case "ignore":
            sentinels = SENTINELS if tier > 1 else (DEFAULT, 2)
            return {
                "sentinel": sentinels,
                "mask": values.MASKS,
                "inputs": ("dyadic", "log_probabilities"),
                "weights": weights,
                "plant": ("", "ignored_rows", "ignored_weight"),
                **target,
            }
        case "weight":
            return {
                "weights": values.WEIGHTS,
                "inputs": ("dyadic", "log_probabilities", "positive"),
                "mask": ("no", "some"),
                "targets": ("random", "absent", "constant"),
                "plant": ("", "other_weights", "negative_zero_weights"),
            }
        case "special":
            return {
                "plant": PLANTS[1:],
                "inputs": ("log_probabilities", "near_overflow", "subnormal", "dyadic"),
                "weights": ("none", "random", "some_zero", "tiny", "huge", "subnormal", "mixed_signs"),
                "mask": ("no", "some"),
            }
        case "gradient":
            return {
                "upstream": values.UPSTREAMS,
                "weights": ("none", *values.WEIGHTS) if free else ("ones", "random", "mixed_signs"),
                "mask": ("no", "some", "runs", "all_but_one") if free else ("no", "some"),
                "plant": ("", "ignored_rows", "other_entries", "targets", "ignored_weight"),
                "sentinel": (DEFAULT, 2, 0, "C") if free else (DEFAULT,),
                "targets": ("random", "constant", "extremes"),
                "asks": ("gradient",),
            }
        case "dtype":
            return {
                "inputs": ("log_probabilities", "positive", "cancelling"),
                "weights": weights,
                "mask": ("no", "some"),
                "targets": ("random", "extremes"),
                **target,
            }
        case _:
            return {
                "inputs": tuple(values.INPUTS),
                "mask": ("no", "some", "every", "all_but_every", "runs"),
                "weights": ("none", "random", "dyadic"),
                "targets": ("random", "runs", "constant"),
            }


def _free_shapes(family: str) -> Sequence[tuple[int, ...]]:
    """Shapes of the third tier."""
    match family:
        case "value":
            return (*EDGE_SHAPES, *MANY_CLASSES, (40, 10), (7, 11), (3, 4, 5))
        case "dtype":
            return (*MANY_CLASSES, (9, 7), (4, 5, 3))
        case "accuracy":
            return ((2, 3), (8, 3), (17, 3), (63, 3), (64, 4), (64, 3, 2), (257, 3), (1000, 3), (5, 3, 9, 9), (3000, 2))
        case "gradient":
            small = ((12, 5), (33, 7), (2, 4, 3), (9, 3, 2, 2), (3,), (2, 3, 2, 2, 2))
            return (*small, (3, 300), (2, 2, 1, 3, 2), (1, 4))
        case "ignore":
            return ((12, 5), (65, 4), (128, 3), (7, 300), (3, 5, 6), (2, 4, 3, 3), (4,), (2, 3, 4, 5, 2))
        case _:
            return ((12, 5), (2, 4, 3), (9, 3, 2, 2), (3,), (2, 3, 2, 2, 2), (40, 6), (6, 6))


# --- what no covering array would meet -------------------------------------------------------------------


def _pinned_shapes(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    for shape in (*CORE, *RANKS):
        weighted, target_dtype = signature_of(shape)
        tier = 1 if shape in CORE else 2
        yield tier, Structure(shape, dtype, target_dtype, "dyadic" if weighted else "none", inputs="dyadic")
    if dtype == "float32":  # one dtype is enough for compilers to which a signature is dear
        for shape in ((5,), (1, 3, 1, 1), (0, 4), (2, 3, 0)):
            yield 1, Structure(shape, dtype, inputs="dyadic")
    yield 3, Structure((2, 3, 2, 1, 2, 2, 2), dtype, weights="dyadic", inputs="dyadic")
    for shape in ((3, 0), (0, 0), (2, 0, 3), (0,)):
        yield 3, Structure(shape, dtype, mask="all")


def _pinned_values(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    for omitted in (("weight", "ignore_index", "reduction"), ("ignore_index",), ("reduction",)):
        yield 1, Structure(CORE[0], dtype, omitted=omitted, reductions=("mean",))
    if dtype == "float32":
        yield 1, Structure((3, 300), dtype, targets="extremes", inputs="dyadic")
    for shape, target_dtype in (
        ((3, 129), "uint8"),
        ((3, 300), "int16"),
        ((2, 32769), "uint16"),
        ((2, 65537), "int32"),
    ):
        yield 2, Structure(shape, dtype, target_dtype, targets="extremes", mask="no", inputs="dyadic")
    for n in sorted(EDGES):
        yield 3, Structure((n, 3), dtype, inputs="dyadic", mask="no")
        yield 3, Structure((n, 2), dtype, inputs="constant", mask="no", weights="random")
    for shape in HUGE_CLASSES:
        for target_dtype in TARGET_DTYPES:
            yield 3, Structure(shape, dtype, target_dtype, targets="extremes", mask="no", inputs="dyadic")


def _pinned_ignoring(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    if dtype == "float32":
        for seed in range(4):
            yield 1, Structure(CORE[0], dtype, "int32", sentinel=2**40 + 1, inputs="dyadic", seed=seed)
    for sentinel in SENTINELS:
        yield 2, Structure((33, 7), dtype, "int32", "dyadic", sentinel, inputs="dyadic")
        yield 3, Structure((12, 5), dtype, sentinel=sentinel, inputs="dyadic", weights="dyadic")
    for target_dtype, sentinel in (
        ("uint8", -100),
        ("uint8", -1),
        ("int8", 156),
        ("int8", 256 + 3),
        ("uint16", -100),
        ("uint8", 256 + 3),
        ("uint32", 2**31),
    ):
        for weights in ("none", "dyadic"):
            yield 3, Structure((40, 300), dtype, target_dtype, weights, sentinel, inputs="dyadic", targets="extremes")
            yield 3, Structure((600, 260), dtype, target_dtype, weights, sentinel, inputs="dyadic", targets="sorted")
    for shape in ((4096, 2), (4096, 3, 2), (16, 2, 256), (2, 2, 64, 64)):
        for mask in ("every", "all_but_every", "prefix", "all_but_one", "all"):
            yield 3, Structure(shape, dtype, inputs="log_probabilities", mask=mask)


def _pinned_accuracy(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    for inputs in ("log_probabilities", "dyadic", "constant"):
        yield 1, Structure(LONG_COMPILED, dtype, inputs=inputs, reductions=("sum", "mean"))
    longer = ((2**20, 2),) if size.longest >= 2**20 else ()
    for shape in (*LONG, *longer):
        for inputs in ("log_probabilities", "constant", "swamped", "positive"):
            yield 3, Structure(shape, dtype, inputs=inputs, mask="no")
        for mask in ("some", "every", "every", "all_but_every"):
            yield 3, Structure(shape, dtype, mask=mask)
        yield 3, Structure(shape, dtype, inputs="dyadic", mask="some", weights="dyadic")
        yield 3, Structure(shape, dtype, inputs="wide", mask="no")


def _pinned_special(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    for shape in (*CORE, (33, 7)):
        weighted, target_dtype = signature_of(shape)
        weights = "ones" if weighted else "none"
        tier = 1 if shape in CORE else 2
        for inputs in ("near_overflow", "subnormal"):
            yield tier, Structure(shape, dtype, target_dtype, weights, inputs=inputs, mask="no")
    for n in (40, 3000, 65537):
        yield 3, Structure((n, 2), dtype, inputs="very_negative", mask="no")
        yield 3, Structure((n, 2), dtype, inputs="near_overflow", mask="no")


def _pinned_weights(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    """S/0 with S not 0, of either sign: weights 1 and -1 cancel where both classes are met equally often."""
    for seed in range(4):
        yield (
            2,
            Structure((8, 4), dtype, "int64", "cancelling", inputs="dyadic", targets="sorted", mask="no", seed=seed),
        )


# What is mapped over under vmap, and the ranks in which compilers see gradients.
BATCHES = (("input",), ("target",), ("input", "target"), ("weight",), ("input", "target", "weight"))
GRADIENT_RANKS = ((5,), (1, 4), (3, 3, 3), (2, 3, 4, 5), (2, 2, 1, 3, 2), (2, 3, 0))


def _pinned_gradients(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    plain, weighted = CORE
    main = dtype == "float32"  # what compilers make of other dtypes differs in the numbers alone
    for number, shape in enumerate(GRADIENT_RANKS):
        weights = "random" if number % 2 else "none"
        structure = Structure(shape, dtype, weights=weights, upstream="random", asks="gradient")
        if main:
            yield 2, dataclasses.replace(structure, reductions=(REDUCTIONS[number % 3],))
        yield 3, dataclasses.replace(structure, unweighted_too=weights != "none")
    for number, asks in enumerate(("second", "second_upstream", "jvp")):
        structure = Structure(weighted, dtype, weights="random", upstream="random", asks=asks)
        yield 2, dataclasses.replace(structure, reductions=(REDUCTIONS[number],) if main else ("mean",))
        yield 3, dataclasses.replace(structure, shape=plain, sentinel=2, plant="ignored_rows", unweighted_too=True)
        if asks == "jvp":
            yield 3, dataclasses.replace(structure, plant="targets", unweighted_too=True)
            if main:  # under each reduction
                yield 2, dataclasses.replace(structure, reductions=REDUCTIONS[:2], seed=1)
    for number, batched in enumerate(BATCHES):
        structure = Structure(weighted, dtype, weights="random", upstream="random", asks="vmap", batched=batched)
        structure = dataclasses.replace(structure, reductions=(REDUCTIONS[number % 3],))
        if main or number == 2:
            yield 2, structure
        if number == 2:
            yield 2, dataclasses.replace(structure, asks="vmap_gradient")
        if main:
            yield 3, dataclasses.replace(structure, asks="vmap_gradient", reductions=(REDUCTIONS[(number + 1) % 3],))
    for shape, target_dtype, sentinel in (((5,), "int64", DEFAULT), (plain, "int32", 2), (plain, "uint8", 256 + 2)):
        for batched in (("input",), ("input", "target")):
            structure = Structure(shape, dtype, target_dtype, "random", sentinel, upstream="random", batched=batched)
            for asks in ("vmap", "vmap_gradient"):
                yield 3, dataclasses.replace(structure, asks=asks, unweighted_too=True)
    if main:
        yield 2, Structure(weighted, dtype, weights="random", asks="weight_gradient", reductions=("mean",))
        yield 2, Structure((1, 4), dtype, asks="gradient", upstream="random", reductions=("none",))
        yield 2, Structure((3, 300), dtype, asks="gradient", targets="extremes", mask="no", reductions=("sum",))
        yield 2, Structure((1025, 3), dtype, asks="gradient", upstream="random", mask="no", reductions=("none",))
        for weights in ("all_zero", "cancelling", "tiny"):  # no new program
            structure = Structure(weighted, dtype, weights=weights, inputs="dyadic", targets="sorted", mask="no")
            yield 2, dataclasses.replace(structure, asks="gradient", reductions=("mean",))
    for plant, sentinel in (("ignored_weight", 2), ("ignored_rows", 2)):
        structure = Structure((12, 5), dtype, weights="random", sentinel=sentinel, plant=plant, upstream="mixed")
        yield 3, dataclasses.replace(structure, asks="gradient")
    for shape in (plain, weighted):
        weights = "random" if shape == weighted else "none"
        yield 2 if main else 3, Structure(shape, dtype, weights=weights, asks="gradient", upstream="nonfinite")
    yield 3, Structure(plain, dtype, mask="all", asks="gradient")
    for weights in ("all_zero", "cancelling", "tiny", "huge", "subnormal", "negative"):
        for upstream in ("ones", "mixed"):
            structure = Structure((8, 4), dtype, weights=weights, inputs="dyadic", targets="sorted", mask="no")
            yield 3, dataclasses.replace(structure, asks="gradient", upstream=upstream)
    for plant in ("selected_weight", "other_weights", "negative_zero_weights"):
        yield 3, Structure((12, 5), dtype, weights="random", plant=plant, asks="gradient", upstream="random")
    for n in (1025, 16385, 65537):  # float16 holds 1/n as a subnormal number beyond 16,384
        yield 3, Structure((n, 3), dtype, asks="gradient", upstream="random", weights="random", unweighted_too=True)
    for target_dtype in TARGET_DTYPES:
        yield 3, Structure((40, 120), dtype, target_dtype, "random", asks="gradient", upstream="random")
    yield from _pinned_modes(dtype)
    yield from _pinned_blocks(dtype, size)


# Other circumstances that the gradient and the value are asked for in; autocast is about float32 alone.
MODES = ("gradient_again", "gradient_between", "value_in_training", "autocast")


def _pinned_modes(dtype: str) -> Iterator[tuple[int, Structure]]:
    """The gradient and the value in other circumstances (GRAD-10, GRAD-11, VALUE-10, VALUE-11).

    To a compiler each of them is one more program, unless it compiles the loss apart from what is asked of it.
    """
    plain, weighted = CORE
    main = dtype == "float32"
    for asks in MODES if main else MODES[:-1]:
        structure = Structure(weighted, dtype, weights="random", upstream="random", asks=asks)
        if main:
            yield 1, dataclasses.replace(structure, reductions=("mean",))
            yield 2, Structure(plain, dtype, upstream="random", asks=asks, reductions=("none",))
        for shape, plant in ((weighted, ""), ((12, 5), "ignored_rows"), ((5,), ""), ((33, 7), "targets")):
            yield 3, dataclasses.replace(structure, shape=shape, sentinel=2, plant=plant, unweighted_too=True)
        yield 3, dataclasses.replace(structure, shape=(257, 3), weights="none", mask="runs")


def _pinned_blocks(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    """Gradients, jvp and vmap of more classes than a kernel keeps in a block (GRAD-12)."""
    for number, classes in enumerate(size.classes):
        structure = Structure((4, classes), dtype, weights="random", targets="blocks", mask="no", upstream="random")
        if dtype == "float32" and number == 1:
            yield 2, dataclasses.replace(structure, weights="none", asks="gradient", reductions=("sum",))
        yield 3, dataclasses.replace(structure, asks="gradient", unweighted_too=True)
        for asks, batched in (("jvp", ()), ("vmap", ("input", "target")), ("vmap_gradient", ("input", "target"))):
            one = (REDUCTIONS[number % 3],)
            yield 3, dataclasses.replace(structure, asks=asks, batched=batched, reductions=one, unweighted_too=True)


LAYOUT_SHAPES = ((6,), (6, 5), (4, 3, 2), (2, 3, 4, 5), (2, 3, 2, 4, 2))


def _pinned_layouts(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    if dtype == "float32":  # a compiler compiles anew for each set of strides
        for layout, asks in (("channels_last", ""), ("transposed", "gradient")):
            yield 1, Structure(CORE[1], dtype, weights="random", asks=asks, layouts=(("input", layout),))
    arrays = ("input", "target", "weight", "upstream")
    for shape in LAYOUT_SHAPES:
        for layout in LAYOUTS:
            for asks in ("", "gradient"):
                plain = Structure(shape, dtype, weights="random", upstream="random", asks=asks)
                for name in arrays if asks else arrays[:3]:
                    yield 3, dataclasses.replace(plain, layouts=((name, layout),), unweighted_too=name != "weight")
                both = tuple((name, layout) for name in arrays)
                yield 3, dataclasses.replace(plain, layouts=both, target_dtype="uint8" if len(shape) < 3 else "int64")


def _purity(dtype: str, seed: int) -> Iterator[Case]:
    """Calls whose side effects are watched: one case per clause."""
    ids = [id for id in RULES.clauses if id.startswith("PURE-")]
    for shape, weights in zip(CORE, ("none", "random"), strict=True):
        for asks in ("", "gradient"):
            structure = Structure(shape, dtype, weights=weights, asks=asks, upstream="random", seed=seed)
            for number, case in enumerate(cases(structure, "purity", 1 if not asks else 2, f"corpus purity/{dtype}")):
                # Threads take long: once for values and once for gradients is enough.
                threads = dtype == "float32" and weights != "none" and number == 2
                yield from (case.in_experiment(id) for id in ids if id != "PURE-5" or threads)


def _relations(dtype: str, seed: int) -> Iterator[Case]:
    """Calls on ordinary numbers, far from under- and overflow, which relations start from."""
    ids = [id for id in RULES.clauses if id.startswith("REL-")]
    shapes = ((1, CORE[0]), (2, CORE[1]), (3, (12, 5)), (3, (4, 3, 2)), (3, (64, 7)), (3, (2, 3, 2, 2)), (3, (1000, 3)))
    for number, (tier, shape) in enumerate(shapes):
        for inputs in ("log_probabilities", "dyadic", "positive"):
            weights = "random" if number % 2 else "none"
            sentinel = 2 if inputs == "dyadic" else DEFAULT
            structure = Structure(shape, dtype, weights=weights, inputs=inputs, sentinel=sentinel, seed=seed)
            for case in cases(structure, "relation", tier, f"corpus relation/{dtype}/{number}"):
                # More rows, or fewer, are signatures that compilers cannot afford often.
                affordable = tier == 3 or (tier == 2 and dtype == "float32" and inputs == "dyadic")
                for id in ids if affordable else ("REL-1", "REL-2", "REL-4", "REL-5", "REL-8"):
                    if id != "REL-5" or case.call["reduction"] == "sum":  # it looks at all, whichever it begins with
                        yield case.in_experiment(id)


# Families whose cases are made one by one, not drawn from structures.
MADE = {"error": fault_cases, "purity": _purity, "relation": _relations}


def _no_pinned(dtype: str, size: Size) -> Iterator[tuple[int, Structure]]:
    yield from ()


_PINNED = {
    "shape": _pinned_shapes,
    "value": _pinned_values,
    "ignore": _pinned_ignoring,
    "weight": _pinned_weights,
    "special": _pinned_special,
    "dtype": _no_pinned,
    "accuracy": _pinned_accuracy,
    "gradient": _pinned_gradients,
    "layout": _pinned_layouts,
}
