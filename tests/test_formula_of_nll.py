"""nll_loss written as a formula, against its own oracle in rational numbers: the same answers, bounds that agree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from lossparity.specs.accuracy import error_bound
from lossparity.specs.bands import Band, interval
from lossparity.specs.call import Array, dtype_of
from lossparity.specs.case import Exactly, Returns
from lossparity.specs.exact import FORMATS, round_to
from lossparity.specs.nll_loss.oracle import expect_value, select
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.reductions import REQUIRED, Reduction, Tier
from lossparity.specs.tracked.answers import within

from . import formulas as f

DTYPES = ("float16", "bfloat16", "float32", "float64")
RNG = np.random.default_rng(6)


def data(dtype: str, rows: int, mixed: bool) -> tuple[Array, Array, Array]:
    x = -RNG.gamma(2.0, 2.0, (rows, 5)) * (RNG.choice([-1, 1], (rows, 5)) if mixed else 1)
    return x.astype(dtype_of(dtype)), RNG.integers(0, 5, rows), RNG.uniform(0.1, 3, 5).astype(dtype_of(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 7, 100])
def test_both_say_the_same(dtype: str, weighted: bool, mixed: bool, rows: int) -> None:
    x, target, w = data(dtype, rows, mixed)
    weight = w if weighted else None
    for reduction in ("none", "sum", "mean"):
        call = NLL_LOSS.call(x, target, weight, reduction=reduction)
        due = expect_value(call, select(call))
        assert isinstance(due, Returns)
        answer = within(
            lambda ev, how=reduction: f.nll_loss(
                ev.number(x), target, None if weight is None else ev.number(weight[None]), how
            ),
            dtype,
            due.shape,
        )
        if isinstance(due.value, Exactly):
            assert (answer.rounded == due.value.value).all()
            assert answer.required.holds(due.value.value).all()
            continue
        assert isinstance(due.value, Reduction)
        compare(answer.required, answer.rounded, due.value, dtype)
        for made in in_many_orders(x, target, w if weighted else np.ones(5, x.dtype), reduction):
            assert answer.required.holds(made)


def compare(band: Band, rounded: Array, due: Reduction, dtype: str) -> None:
    """A formula's bound may be smaller, as a last rounding keeps order, but is never twice as large."""
    fmt, bound = FORMATS[dtype], error_bound(due, Tier(REQUIRED[dtype], due.n)).exact
    assert float(rounded) == round_to(due.exact, fmt)
    assert band.holds(rounded)
    lowest, highest = interval(due.exact, 2 * bound, fmt)
    assert lowest <= float(band.low) <= float(band.high) <= highest


def in_many_orders(x: Array, target: Array, w: Array, reduction: str) -> Iterator[Array]:
    """What the required accumulator makes of the terms, one by one or pairwise, in several orders."""
    inside = dtype_of(REQUIRED[x.dtype.name].name)
    weights = w.astype(inside)[target]
    terms = weights * x.astype(inside)[np.arange(len(x)), target]
    for _ in range(5):
        order = RNG.permutation(len(x))
        for add in (np.sum, lambda a: np.cumsum(a)[-1]):
            made = -add(terms[order])
            yield np.asarray(made / add(weights[order]) if reduction == "mean" else made).astype(x.dtype)
