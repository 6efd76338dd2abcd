"""Exploration: Hypothesis draws what a loss says, and shrinks the first that comes out unexpectedly."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import hypothesis
from hypothesis import HealthCheck
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import Flaky, Unsatisfiable
from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers as _providers

from ...adapters.base import Capabilities
from ...specs.call import Outcome
from ...specs.case import Case
from ...specs.loss import LARGE
from ..judging.judge import Judgement
from .spec import Asked, ItemSpec, Request

EXPLORED = {"quick": 25, "ci": 100, "nightly": 600, LARGE: 0}  # examples of each item
FINDS = ".hypothesis/examples"  # in the current directory; nightly.yml keeps .hypothesis from night to night
_DRAWS: Any = _providers  # private to Hypothesis, and not in every version that we take
# A call may take long, and what is drawn outside of a domain is thrown away.
_SUPPRESSED = (
    *(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example),
    HealthCheck.filter_too_much,
)
_UNSAFE = re.compile(r"[^\w.-]+")


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
    """Draw what a family explores; every call is noted until one is unexpected, then the smallest such one is."""
    count = EXPLORED[request.profile] if request.explored is None else request.explored
    family, asked = spec.loss.families.get(spec.family), Asked(spec.loss, request, can)
    if not count or family is None or family.explored is None or spec.dtype not in can.dtypes:
        return
    exploration = family.explored(replace(asked.draw(spec.dtype, can.tier), lacks=can.lacks))
    if exploration is None:
        return
    found: list[tuple[Case, Tried]] = []

    def examine(drawn: Any) -> None:
        if examiner.is_stopped:
            return
        largest: float | None = None
        wanted = list(filter(asked.wants, exploration.cases(drawn)))
        hypothesis.assume(wanted or not request.domain.is_narrow)
        for case in wanted:
            tried = examiner.try_out(case)
            # Once something is found Hypothesis shrinks it: those calls are not counted.
            expected = examiner.is_expected(case, *tried) if found else examiner.record(case, *tried)
            if not expected:
                found.append((case, tried))
                raise _Unexpected
            largest = _larger(largest, tried[1])
        _aim(request, largest)

    test = hypothesis.given(exploration.drawn)(examine)
    test = hypothesis.seed(_seed(request.seed, spec.family, spec.dtype))(test)
    test = _settings(request, count, spec.id)(test)  # the last: a seed alone switches the database off
    try:
        with _whatever_is_loaded():
            test()
    except (_Unexpected, Flaky):  # flaky: the same call came out otherwise the second time
        case, tried = found[-1]
        examiner.record(case, *tried)
    except Unsatisfiable:  # of what is drawn nothing was in the domain
        if not request.domain.is_narrow:
            raise


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
        suppress_health_check=_SUPPRESSED,
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
