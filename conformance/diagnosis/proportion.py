"""What a wrong number is a multiple of: where it is the exact one times a ratio of two quantities, which."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction

from ...specs import losses
from ...specs.call import Call
from ...specs.case import Case, NoFact
from ...specs.exact import FORMATS, ulp
from ..findings.replay import Replayed
from ..judging.apart import Apart, apart

_ONE = "1"
_MOST = 2  # ratios that are named; where more would do, none says anything


def proportion(found: Replayed, smaller: Replayed) -> str:
    """The ratios of which a wrong number is the exact one times, before and after its call was made smaller; or "".

    A small call has many quantities that are alike: both must agree, if the smaller one has such a ratio at all.
    """
    first, second = _ratios(found, distinct=True) or {}, _ratios(smaller)
    words = [one for one in first if second is None or one in second]
    if not 0 < len(words) <= _MOST:
        return ""
    text = f"observed / exact = {(second or first)[words[0]]} = {' = '.join(words)}"
    return text if second else f"before the call was made smaller, {text}"


def _ratios(found: Replayed, *, distinct: bool = False) -> dict[str, str] | None:
    """Ratios that a result is off by, in words, each with its numbers; of `distinct` quantities only.

    None where observed by exact is no number but 0.
    """
    number = apart(found.case, found.judgement, found.outcome)
    if number is None or not number.ratio:
        return None
    known = _quantities(found.case, found.judgement.where)
    if distinct:
        first = {value: words for words, value in reversed(known.items())}
        known = {words: value for words, value in known.items() if words == first[value]}
    grade = found.judgement.grade
    bound = Fraction(grade.bound) if grade is not None and math.isfinite(grade.bound) else Fraction(0)
    return dict(
        (over, _plain(a)) if under == _ONE else (f"{over} / {under}", f"{_plain(a)}/{_plain(b)}")
        for (over, a), (under, b) in itertools.permutations(known.items(), 2)
        if a != b and b and _is(number, a / b, bound)
    )


def _is(number: Apart, ratio: Fraction, bound: Fraction) -> bool:
    """Whether the observed number is the exact one times a ratio, within the bound of a sum and the last place."""
    assert isinstance(number.exact, Fraction)
    due = number.exact * ratio
    return abs(Fraction(number.observed) - due) <= abs(ratio) * bound + ulp(due, FORMATS[number.dtype])


def _quantities(case: Case, where: tuple[int, ...]) -> dict[str, Fraction]:
    """Numbers by their names: what a loss says of its call, and what other arrays hold for the element in question."""
    loss = losses.find(case.call.signature.loss)
    numbers = {words: _fact(case, fact) for fact, words in loss.quantities.items()}
    numbers |= {f"{name} there": value for name, value in _there(case.call, loss.axes(case.call), where)}
    finite = {words: Fraction(value) for words, value in numbers.items() if value is not None and math.isfinite(value)}
    return {_ONE: Fraction(1)} | finite


def _fact(case: Case, fact: str) -> float | None:
    try:
        return float(case.facts[fact])
    except NoFact:
        return None


def _there(call: Call, axes: Mapping[str, tuple[str, ...]], where: tuple[int, ...]) -> Iterator[tuple[str, float]]:
    """Of a derivative, the numbers of upstream and other arrays that belong to one of its elements."""
    own = axes.get(call.wrt, ()) if call.transform is not None else ()
    if len(own) != len(where):
        return
    at = dict(zip(own, where, strict=True))
    for name, array in call.arrays():
        if name != call.wrt and array.dtype.kind in "fV" and name in axes and set(axes[name]) <= set(at):
            yield name, float(array[tuple(at[axis] for axis in axes[name])])


def _plain(value: Fraction) -> str:
    return f"{float(value):.6g}"
