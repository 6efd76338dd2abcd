"""What the oracle allows those who flush subnormal numbers to zero."""

from __future__ import annotations

import pytest
import second_flushing
import second_formats
import second_oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from lossparity.specs.call import FLOAT_DTYPES, Array
from lossparity.specs.case import Returns
from lossparity.specs.nll_loss import oracle
from lossparity.specs.reductions import Reduction
from second_oracle import opinion

from .oracle_calls import INF, NAN, VALUES, WEIGHTS, element_of, f32, limit_of, make_call, per_position

TINY = 2.0**-126
FLUSHED: list[tuple[str, Array, Array | None]] = [
    ("subnormal weight on inf", f32(INF, 1), f32(TINY / 2, 1)),
    ("infinite weight on a subnormal", f32(TINY / 2, 1), f32(INF, 1)),
    ("subnormal W over inf", f32(INF, 1), f32(TINY / 2, TINY / 4)),
    ("subnormal S over 0", f32(TINY / 4, TINY / 2), f32(1, -1)),
    ("subnormal weights cancel", f32(1, 2), f32(TINY / 2, -TINY / 2)),
    ("subnormal difference over 0", f32(1.5 * TINY, TINY), f32(1, -1)),
    ("plain inf", f32(INF, 1), f32(1, 2)),
    ("plain S/0", f32(3, 1), f32(1, -1)),
    ("plain inf, no weights", f32(INF, TINY / 2), None),
]


@pytest.mark.parametrize(("x", "w"), [row[1:] for row in FLUSHED], ids=[row[0] for row in FLUSHED])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_limits_of_a_flushing_subject_are_those_that_flushing_can_reach(
    reduction: str, x: Array, w: Array | None
) -> None:
    """DENORM: every allowed outcome, 0 * inf = NaN and S/0 included."""
    call = per_position(x, w, reduction)
    expected = oracle.expect(call)
    assert isinstance(expected, Returns)
    if isinstance(expected.value, Reduction):
        return  # finite: the bounds' business
    limit = limit_of(call)
    reachable = second_flushing.flushed_limits(call) - {"finite"}
    assert reachable <= limit.allowed | limit.flushed


def test_flushing_a_small_weight_cannot_turn_the_sign_of_a_large_normaliser() -> None:
    """W = 1 + tiny: no flushing makes it 0, so inf/W keeps its sign."""
    limit = limit_of(per_position(f32(INF, 1), f32(1, TINY / 2)))
    assert limit.allowed == {"-inf"}
    assert limit.flushed <= {"-inf"}


@pytest.mark.parametrize(
    ("x", "w"), [(-INF, 0.0), (-INF, TINY / 2), (TINY / 2, INF), (NAN, TINY / 2), (TINY / 2, NAN), (NAN, 0.0)]
)
def test_flushing_never_turns_a_special_value_into_zero(x: float, w: float) -> None:
    """A-3, SPECIAL-1: 0 * inf is NaN, NaN stays NaN, subnormal * inf is inf or NaN, flushing or not."""
    call = per_position(f32(x), f32(w), "none")
    outcomes = second_oracle.flushed_outcomes(w, x, "float32")
    assert "zero" not in outcomes
    element = element_of(call)
    assert element.flushable_nan.tolist() == [True] or outcomes != {"value", "nan"}
    assert element.flushable.tolist() == [False]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from(FLOAT_DTYPES),
    st.sampled_from(VALUES),
    st.sampled_from(WEIGHTS),
    st.integers(0, 2**32 - 1),
)
def test_what_flushing_can_zero_is_marked(dtype: str, kind: str, weight_kind: str, seed: int) -> None:
    """Completeness, so that no flushing subject is convicted; that it is not too much is tested above."""
    call = make_call(seed, dtype, "int64", (6, 5), (kind, weight_kind), -100, "none")
    element, theirs = element_of(call), opinion(call)
    for at, outcomes in enumerate(theirs.outcomes):
        product = theirs.products[at]
        if "zero" in outcomes and product:
            assert bool(element.flushable.flat[at])
        if "zero" not in outcomes and product is not None and abs(product) > second_formats.smallest_normal(dtype):
            assert not bool(element.flushable.flat[at])
