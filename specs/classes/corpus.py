"""The corpus of a loss on class indices: structures that are pinned, then those that cover all pairs of choices."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic

from allpairspy import AllPairs

from ..case import Case
from ..loss import Draw
from ..stream import Stream
from .narrow import Choices, S, left, pools
from .shapes import CORE, RANKS, Shape, Size, signature_of
from .structure import DEFAULT, INT64

SENTINELS = (DEFAULT, -1, 0, 2, "C", "C+1", 255, 2**31, -(2**31), int(INT64.max), int(INT64.min))
# Other circumstances that the gradient and the value are asked for in; autocast is about float32 alone.
MODES = ("gradient_again", "gradient_between", "value_in_training", "autocast")


@dataclass(frozen=True, eq=False, kw_only=True)
class Corpus(Generic[S]):
    """What a loss draws, by family.

    `structure` makes a structure of its fields and `cases` the cases of one, for a family, a tier and an origin.
    `pinned` structures, of a dtype and a size, come with their tiers. `varied` is what a family varies besides the
    shape: in the first two tiers `dear`, and in the first alone `dearest`, say less, as another signature is a
    compilation there. `free` are the shapes of the third tier, `sizes` what each profile draws.
    """

    structure: Callable[..., S]
    cases: Callable[[S, str, int, str], Iterator[Case]]
    pinned: Mapping[str, Callable[[str, Size], Iterator[tuple[int, S]]]]
    varied: Mapping[str, Choices]
    free: Mapping[str, tuple[Shape, ...]]
    sizes: Mapping[str, Size]
    dear: Mapping[str, Choices] = field(default_factory=dict)
    dearest: Mapping[str, Choices] = field(default_factory=dict)

    def drawn(self, family: str, draw: Draw) -> Iterator[Case]:
        """The cases of one family in one dtype that subjects of a tier are meant to run.

        They are the same on every machine, and those of a lower tier are among those of a higher one.
        """
        for number, own, structure in self._numbered(family, draw):
            seeded = dataclasses.replace(structure, seed=draw.seed * 1_000_003 + number)
            yield from self.cases(seeded, family, own, f"corpus {family}/{draw.dtype}/{number}")

    def size(self, family: str, draw: Draw) -> int:
        """How many cases there are for subjects of this tier, without making their arrays."""
        return sum(structure.count for _, _, structure in self._numbered(family, draw))

    def choices(self, family: str, tier: int) -> Choices:
        """What a family varies besides the shape, on which weights and target dtype hang in the first tiers."""
        varied = {**self.varied[family]}
        if tier < 3:
            varied.pop("target_dtype", None)
            varied |= self.dear.get(family, {})
        if tier < 2:
            varied |= self.dearest.get(family, {})
        return varied

    def structures(self, family: str, draw: Draw) -> Iterator[tuple[int, S]]:
        """(tier, structure) of the corpus of one family in one dtype; covering arrays of dearer tiers are left out.

        Those that are pinned are there whatever the domain is; it narrows what others are made of, not their number.
        """
        much = self.sizes[draw.profile]
        if family in self.pinned:
            yield from self.pinned[family](draw.dtype, much)
        if family not in self.varied:
            return
        for own, shapes in ((1, CORE), (2, RANKS), (3, self.free[family])):
            if own <= draw.tier and (family, own) != (
                "gradient",
                2,
            ):  # each rank is two more programs: a few are pinned
                yield from ((own, structure) for structure in self._covering(family, draw, own, shapes))

    def _numbered(self, family: str, draw: Draw) -> Iterator[tuple[int, int, S]]:
        """(number, tier, structure) of those that are meant for subjects of a tier."""
        found = left(self.structures(family, draw), family, draw)
        return ((number, own, structure) for number, own, structure in found if own <= draw.tier)

    def _covering(self, family: str, draw: Draw, tier: int, shapes: tuple[Shape, ...]) -> Iterator[S]:
        """Structures that cover all pairs (or triples) of the family's choices as far as a profile allows."""
        much = self.sizes[draw.profile]
        varied = pools(self.choices(family, tier), family, draw)
        every = (tuple(filter(draw.domain.takes_shape, shapes)), *map(tuple, varied.values()))
        if not all(every):
            return
        bases = much.bases // 2 if tier == 1 else much.bases
        rows = _covering_rows(every, min(much.strength, len(every)), bases)
        stream = Stream("covering", family, draw.dtype, tier)
        more = ([stream.choose(pool) for pool in every] for _ in range(bases - len(rows)))
        for shape, *picked in itertools.chain(rows, more):
            fields: dict[str, Any] = dict(zip(varied, picked, strict=True))
            if tier < 3:
                weighted, target_dtype = signature_of(shape)
                fields["target_dtype"] = target_dtype
                if not weighted:
                    fields["weights"] = "none"
                elif fields.get("weights", "none") == "none":
                    fields["weights"] = stream.choose(("random", "dyadic", "ones"))
            also = unweighted_too(family, tier, fields)
            yield self.structure(shape, draw.dtype, **fields, unweighted_too=also)


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
