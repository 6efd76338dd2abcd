"""Exploration: Hypothesis draws structures, and shrinks the first that comes out unexpectedly."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol
from unittest import mock

import hypothesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import Flaky
from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers as _providers

from ...adapters.base import Capabilities
from ...specs.call import REDUCTIONS, Outcome
from ...specs.case import Case
from ...specs.nll_loss import generate
from ...specs.nll_loss.clauses import EDGES
from ...specs.nll_loss.corpus import CORE, MODES, PROFILES, RANKS, axes, signature_of, unweighted_too
from ...specs.nll_loss.generate import Structure
from ..judging.judge import Judgement
from .spec import ItemSpec, Request

_WIDTHS: Mapping[str, Literal[16, 32, 64]] = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}
FINDS = ".hypothesis/examples"  # in the current directory; nightly.yml keeps .hypothesis from night to night
_DRAWS: Any = _providers  # private to Hypothesis, and not in every version that we take
_UNSAFE = re.compile(r"[^\w.-]+")
_LARGEST_EDIT = 64  # arrays up to this size have single elements drawn, and shrunk, one by one


Tried = tuple[Outcome, Judgement] | tuple[None, str]


class _Unexpected(Exception):
    """Tells Hypothesis to shrink."""


class Examiner(Protocol):
    """Runs and judges the calls that are drawn."""

    @property
    def is_stopped(self) -> bool:
        """Whether the run was told to stop."""
        ...

    def try_out(self, case: Case) -> Tried:
        """Run and judge a case without noting it; (None, reason) when our bridge failed."""
        ...

    def record(self, case: Case, outcome: Outcome | None, judgement: Judgement | str) -> bool:
        """Note a case that was tried out; returns whether it came out as expected."""
        ...

    def is_expected(self, case: Case, outcome: Outcome | None, judgement: Judgement | str) -> bool:
        """Whether a case that was tried out came out as expected, without noting it."""
        ...


def explore(examiner: Examiner, spec: ItemSpec, request: Request, can: Capabilities) -> None:
    """Draw structures of a family; every call is noted until one is unexpected, then the smallest such one is."""
    count = PROFILES[request.profile].explored if request.explored is None else request.explored
    if not count:
        return
    family, dtype, tier = spec.family, spec.dtype, can.tier
    found: list[tuple[Case, Tried]] = []

    def examine(structure: Structure) -> None:
        if examiner.is_stopped:
            return
        largest: float | None = None
        for case in generate.cases(structure, family, tier, origin="exploration"):
            tried = examiner.try_out(case)
            # Once something is found Hypothesis shrinks it: those calls are not counted.
            expected = examiner.is_expected(case, *tried) if found else examiner.record(case, *tried)
            if not expected:
                found.append((case, tried))
                raise _Unexpected
            largest = _larger(largest, tried[1])
        _aim(request, largest)

    asks = _asks(can, dtype, tier) if family == "gradient" else ()
    test = hypothesis.given(structures(family, dtype, tier, asks))(examine)
    test = hypothesis.seed(_seed(request.seed, family, dtype))(test)
    test = _settings(request, count, spec.id)(test)  # the last: a seed alone switches the database off
    try:
        with _whatever_is_loaded():
            test()
    except (_Unexpected, Flaky):  # flaky: the same call came out otherwise the second time
        case, tried = found[-1]
        examiner.record(case, *tried)


def _seed(seed: int, family: str, dtype: str) -> int:
    """Another one for each family and dtype, and the same for each subject, so that they can be compared."""
    return int.from_bytes(hashlib.sha256(f"{seed} {family} {dtype}".encode()).digest()[:8])


@contextlib.contextmanager
def _whatever_is_loaded() -> Iterator[None]:
    """Keep constants of the modules of this process out of the draws, where Hypothesis (since 6.131) mixes them in.

    Otherwise one seed would mean other calls where another framework is loaded, or where a user's own tests are, and
    those constants would be kept in a folder .hypothesis of whoever runs this.
    """
    if not hasattr(_DRAWS, "_get_local_constants"):
        yield
        return
    none = _DRAWS.Constants()
    with (
        mock.patch.object(_DRAWS, "_get_local_constants", return_value=none),
        mock.patch.object(_DRAWS, "CONSTANTS_CACHE", LRUCache(1024)),
    ):
        yield


def _settings(request: Request, count: int, item: str) -> hypothesis.settings:
    """The same examples for the same seed, and at night those that found something before, too.

    Each item keeps its finds in a folder of its own: Hypothesis forgets a find that passes when it is tried again, and
    would try it on every subject.
    """
    nightly = request.profile == "nightly"
    return hypothesis.settings(
        max_examples=count,
        database=DirectoryBasedExampleDatabase(Path(FINDS, _UNSAFE.sub("_", item))) if nightly else None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        phases=[phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain],
        verbosity=hypothesis.Verbosity.quiet,
        report_multiple_bugs=False,
    )


def _larger(largest: float | None, judgement: Judgement | str) -> float | None:
    """The largest share of its bound that a call of this structure has used, with one more of them."""
    if isinstance(judgement, str) or judgement.grade is None:
        return largest
    return max(judgement.grade.utilisation, largest or 0.0)


def _aim(request: Request, largest: float | None) -> None:
    """Drive the nightly profile towards larger errors; Hypothesis takes one number for a whole example."""
    if request.profile == "nightly" and largest is not None:
        hypothesis.target(min(largest, 1e9), label="share of the bound used")


def _asks(can: Capabilities, dtype: str, tier: int) -> tuple[str, ...]:
    """What is drawn besides the gradient: the modes that the subject has, where another program costs nothing."""
    modes = MODES if tier == 3 else ()
    return tuple(kind for kind in modes if not can.lacks(kind) and (kind != "autocast" or dtype == "float32"))


@st.composite
def structures(draw: st.DrawFn, family: str, dtype: str, tier: int, asks: tuple[str, ...] = ()) -> Structure:
    """Structures of a family, in signatures that a subject of this tier can afford; small ones first.

    `asks` may be asked for instead of what the family asks for, together as often as that.
    """
    shapes = {1: CORE, 2: CORE if family == "gradient" else CORE + RANKS}.get(tier)
    shape = draw(_one_of(shapes) if shapes else _shapes())
    fields = {name: draw(_one_of(tuple(options))) for name, options in axes(family, tier).items()}
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
