"""What a wrong number is a multiple of: where it is the exact one times a ratio of two quantities, which."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from ...specs import losses
from ...specs.case import Case, NoFact
from ...specs.exact import FORMATS, ulp
from ..findings.replay import Replayed
from ..judging.apart import Apart, apart

_ONE = "1"
_MOST = 2  # ratios that are named; where more would do, none says anything


def proportion(found: Replayed, smaller: Replayed) -> str:
    """The ratios of which a wrong number is the exact one times, before and after its call was made smaller; or "".

    A small call has many quantities that are alike, so that both must agree.
    """
    first, second = dict(_ratios(found, distinct=True)), dict(_ratios(smaller))
    words = [one for one in first if one in second]
    if not 0 < len(words) <= _MOST:
        return ""
    return f"observed / exact = {first[words[0]]} = {' = '.join(words)}"


def _ratios(found: Replayed, *, distinct: bool = False) -> Iterator[tuple[str, str]]:
    """Ratios that a result is off by, in words, each with its numbers; of `distinct` quantities only."""
    number = apart(found.case, found.judgement, found.outcome)
    if number is None or not number.ratio:
        return
    known = _quantities(found.case)
    if distinct:
        known = {words: value for words, value in known.items() if words == next(w for w in known if known[w] == value)}
    for (over, a), (under, b) in itertools.permutations(known.items(), 2):
        if a != b and b and _is(number, a / b):
            yield over if under == _ONE else f"{over} / {under}", f"{_plain(a)}/{_plain(b)}"


def _is(number: Apart, ratio: Fraction) -> bool:
    """Whether the observed number is the exact one times a ratio, to the last place."""
    assert isinstance(number.exact, Fraction)
    due = number.exact * ratio
    return abs(Fraction(number.observed) - due) <= ulp(due, FORMATS[number.dtype])


def _quantities(case: Case) -> dict[str, Fraction]:
    found = {_ONE: Fraction(1)}
    for fact, words in losses.find(case.call.signature.loss).quantities.items():
        try:
            value = case.facts[fact]
        except NoFact:
            continue
        if isinstance(value, Fraction) or math.isfinite(value):
            found[words] = Fraction(value)
    upstream = dict(case.call.arrays()).get("upstream")
    if upstream is not None and np.unique(upstream).size == 1 and np.isfinite(upstream).all():
        found["the upstream gradient"] = Fraction(float(upstream.reshape(-1)[0]))
    return found


def _plain(value: Fraction) -> str:
    return f"{float(value):.6g}"
