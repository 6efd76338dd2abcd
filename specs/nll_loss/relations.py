"""Relations between results of related calls (REL-1..8): they need no oracle for the value, only for the bound.

A relation turns one call into others, has them run, and compares. Results that must be equal have tolerance 0; sums
and means may differ by their error bounds, which are those of lossparity.specs.accuracy. The data that relations are
tried on is kept away from over- and underflow (lossparity.specs.nll_loss.experiments), where several of them end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ..accuracy import error_bound
from ..call import Array, Call
from ..case import Limit, Returns
from ..classes.targets import class_axis, not_ignored
from ..exact import FORMATS, Format, exact_sum
from ..reductions import IEEE, REQUIRED, Arithmetic, Reduction, Tier
from ..relations import Comparison, Evaluate, Relation, number, same
from ..stream import Stream
from .oracle import Selection, expect_value, select

SCALE = 3  # REL-4 multiplies by 2^3


@dataclass(frozen=True)
class Bounds:
    """Tolerance of one reduction: `of(call)` under the required accumulator and in the format's own precision."""

    arithmetic: Arithmetic = IEEE

    def of(self, call: Call) -> tuple[Fraction | None, Fraction | None]:
        """(required, own) error bounds of a `sum` or `mean`; None where there is none."""
        answer = expect_value(call, select(call))
        value = answer.value if isinstance(answer, Returns) else None
        if value == Limit(frozenset({"0"})):  # the sum of nothing
            return Fraction(0), Fraction(0)
        if not isinstance(value, Reduction):
            return None, None
        return self._bound(value, REQUIRED[value.fmt.name]), self._bound(value, value.fmt)

    def _bound(self, reduction: Reduction, accumulator: Format) -> Fraction | None:
        bound = error_bound(reduction, Tier(accumulator, reduction.n), self.arithmetic)
        return None if bound.is_vacuous else bound.exact

    def compare(
        self, what: str, a: Fraction | None, b: Fraction | None, *parts: tuple[Call, Any], extra: Any = 0
    ) -> Comparison:
        """Compare two numbers whose errors are those of `parts`, each times a factor, and `extra`."""
        difference = None if a is None or b is None else abs(a - b)
        bounds = [(self.of(call), abs(Fraction(factor))) for call, factor in parts]

        def allowed(which: int) -> Fraction | None:
            total = Fraction(extra)
            for pair, factor in bounds:
                bound = pair[which]
                if bound is None:
                    return None
                total += bound * factor
            return total

        return Comparison(what, difference, allowed(0), allowed(1))


# --- the relations -----------------------------------------------------------------------------------------


def permuted(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-1."""
    order = _order(call, call["target"].shape[0])
    other = call.replace(input=call["input"][order], target=call["target"][order])
    a, b = run(call), run(other)
    if call["reduction"] == "none":
        yield same("each element moves with its position", a[order], b)
    else:
        yield Bounds(arithmetic).compare(
            "the order of positions does not matter", number(a), number(b), (call, 1), (other, 1)
        )


def relabelled(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-2."""
    axis = class_axis(call["input"])
    order = _order(call, call["input"].shape[axis])
    where = np.argsort(order)  # old class -> new class
    kept = not_ignored(call["target"], call["ignore_index"])
    target = call["target"].copy()
    target[kept] = where[call["target"][kept].astype(np.int64)]
    sentinel = call["ignore_index"]
    if 0 <= sentinel < order.size:
        sentinel = int(where[sentinel])
        target[~kept] = sentinel
    weight = None if call["weight"] is None else call["weight"][order]
    other = call.replace(input=np.take(call["input"], order, axis), target=target, weight=weight, ignore_index=sentinel)
    a, b = run(call), run(other)
    if call["reduction"] == "none":
        yield same("the names of classes do not matter", a, b)
    else:
        yield Bounds(arithmetic).compare(
            "the names of classes do not matter", number(a), number(b), (call, 1), (other, 1)
        )


def split(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-3."""
    cut = max(1, call["target"].shape[0] // 3)
    halves = (slice(cut), slice(cut, None))
    parts = [call.replace(input=call["input"][half], target=call["target"][half]) for half in halves]
    results = [run(one) for one in (call, *parts)]
    if call["reduction"] == "none":
        yield same("none of the parts is none of the whole", results[0], np.concatenate(results[1:]))
        return
    whole, *observed = map(number, results)
    shares = [Fraction(1)] * 2 if call["reduction"] == "sum" else _shares(call, parts)
    used = [(part, value, share) for part, value, share in zip(parts, observed, shares, strict=True) if share]
    terms = [value * share for _, value, share in used if value is not None]
    together = sum(terms, Fraction(0)) if len(terms) == len(used) else None
    scales = [(part, share) for part, _, share in used]
    yield Bounds(arithmetic).compare("the whole is the sum of its parts", whole, together, (call, 1), *scales)


def scaled(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-4; the mean of nothing is NaN, and says nothing."""
    if call["reduction"] == "mean" and not select(call).inputs.size:
        return
    factor = call["input"].dtype.type(2**SCALE)
    other = call.replace(input=call["input"] * factor)
    a, b = run(call), run(other)
    yield same("a power of two in the input is one in the result", a * a.dtype.type(factor), b)


def consistent(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-5."""
    elements = run(call.replace(reduction="none"))
    if not np.isfinite(elements).all():
        yield Comparison("none is finite", None, Fraction(0), Fraction(0))
        return
    selection, exact = select(call), exact_sum(elements).total
    rounding = Fraction(FORMATS[call.dtype].u) * selection.numerator.magnitude * (call["weight"] is not None)
    for reduction in ("sum", "mean"):
        other = call.replace(reduction=reduction)
        by = selection.normaliser.total if reduction == "mean" else Fraction(1)
        if by:
            what = f"{reduction} is that of none's elements"
            yield Bounds(arithmetic).compare(what, number(run(other)), exact / by, (other, 1), extra=rounding / abs(by))


def repeated(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-6."""
    twice = call.replace(input=np.concatenate([call["input"]] * 2), target=np.concatenate([call["target"]] * 2))
    a, b = run(call), run(twice)
    if call["reduction"] == "none":
        yield same("none of the batch twice is none twice", np.concatenate([a, a]), b)
        return
    factor = 2 if call["reduction"] == "sum" else 1
    once = number(a)
    yield Bounds(arithmetic).compare(
        "the batch twice", None if once is None else factor * once, number(b), (call, factor), (twice, 1)
    )


def padded(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-7: ignored positions are put before, between and after the others."""
    stream = Stream("padding", call.digest())
    length = call["target"].shape[0]
    where = np.sort(stream.integers(0, length + 1, 3))
    rows = call["input"][np.zeros(3, int)]
    other = call.replace(
        input=np.insert(call["input"], where, rows, axis=0),
        target=np.insert(call["target"], where, call["target"].dtype.type(call["ignore_index"]), axis=0),
    )
    a, b = run(call), run(other)
    if call["reduction"] == "none":
        added = where + np.arange(3)
        yield same("what is kept stays as it was", a, np.delete(b, added, axis=0))
        yield same("what is added is 0", np.zeros_like(b[added]), b[added])
    else:
        yield Bounds(arithmetic).compare("ignored positions do not matter", number(a), number(b), (call, 1), (other, 1))


def agreeing(run: Evaluate, other: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    """REL-8: the same call on another subject of the framework."""
    a, b = run(call), other(call)
    if call["reduction"] == "none":
        yield same("both ways of executing give the same", a, b)
    else:
        yield Bounds(arithmetic).compare("both ways of executing agree", number(a), number(b), (call, 2))


RELATIONS: dict[str, Relation] = {
    "REL-1": permuted,
    "REL-2": relabelled,
    "REL-3": split,
    "REL-4": scaled,
    "REL-5": consistent,
    "REL-6": repeated,
    "REL-7": padded,
}


def _order(call: Call, length: int) -> Array:
    """A permutation that belongs to the call."""
    return np.argsort(Stream("order", call.digest()).uniform(length), kind="stable")


def _shares(call: Call, parts: Sequence[Call]) -> list[Fraction]:
    """W of each part over W of the whole."""
    whole = _weight(select(call))
    return [_weight(select(part)) / whole if whole else Fraction(0) for part in parts]


def _weight(selection: Selection) -> Fraction:
    return selection.normaliser.total if selection.inputs.size else Fraction(0)
