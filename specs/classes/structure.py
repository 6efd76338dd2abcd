"""Every discrete choice of a call on class indices, from which its arrays follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..call import REDUCTIONS, Array, dtype_of, range_of
from ..stream import Stream
from . import values

DEFAULT = -100  # ignore_index when it is left out
INT64 = np.iinfo(np.int64)


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

    @property
    def count(self) -> int:
        """How many cases are made of it: one per reduction, with weights and perhaps without."""
        return len(self.reductions) * (1 + self.unweighted_too)


def labels(structure: Structure, stream: Stream) -> Array:
    """The target that a structure stands for; without classes every position is ignored."""
    size = int(np.prod(structure.positions))
    dtype = dtype_of(structure.target_dtype)
    low, high = range_of(dtype)
    target = values.targets(structure.targets, stream, size, min(structure.classes, high + 1))
    if low <= structure.ignore_index <= high:
        masked = values.ignored(structure.mask, stream, size) if structure.classes else np.ones(size, bool)
        target = np.where(masked, np.int64(min(structure.ignore_index, INT64.max)), target)
    return target.astype(dtype).reshape(structure.positions)
