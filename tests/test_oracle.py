"""The exact answer of `nll_loss`, against a second oracle, on generated calls and on stored vectors."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lossparity.specs.call import FLOAT_DTYPES, TARGET_DTYPES, Array, Call
from lossparity.specs.case import Limit, Returns
from lossparity.specs.classes import targets
from lossparity.specs.encoding import decode_call
from lossparity.specs.nll_loss import oracle
from lossparity.specs.nll_loss.signature import NLL_LOSS
from second_oracle import Opinion, opinion

from .in_formats import cast
from .oracle_calls import GOOD, INF, SENTINELS, VALUES, WEIGHTS, f32, make_call, per_position
from .oracle_comparison import disagreement

VECTORS = Path(__file__).parent.parent / "specs" / "nll_loss" / "vectors"


# --- generated calls -------------------------------------------------------------------------------------


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Small calls of every rank, dtype and kind."""
    rank = draw(st.integers(1, 7))
    largest = {1: 300, 2: 9, 3: 5}.get(rank, 3)
    lengths = st.sampled_from([0, 1, 2, 2, 3, 3, largest]) if rank > 1 else st.integers(1, largest)
    shape = tuple(draw(st.tuples(*[lengths] * rank)))
    return make_call(
        draw(st.integers(0, 2**32 - 1)),
        draw(st.sampled_from(FLOAT_DTYPES)),
        draw(st.sampled_from(TARGET_DTYPES)),
        shape,
        (draw(st.sampled_from(VALUES)), draw(st.sampled_from(WEIGHTS))),
        draw(st.sampled_from(SENTINELS)),
        draw(st.sampled_from(("none", "sum", "mean"))),
        draw(st.integers(0, 4)) == 0,
    )


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(calls())
def test_generated_calls_agree(call: Call) -> None:
    assert disagreement(call) == ""


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_every_weight_kind_meets_every_value_kind(dtype: str, kind: str, reduction: str) -> None:
    """Hypothesis need not meet each combination; this loop does, with few and with many kept positions."""
    for seed, values_kind in enumerate(VALUES):
        for shape in ((3, 3), (2, 4, 70)):
            call = make_call(seed, dtype, "int64", shape, (values_kind, kind), "last", reduction)
            assert disagreement(call) == ""


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("kind", ["none", "random", "cancelling", "subnormal", "huge", "bits"])
@pytest.mark.parametrize("values_kind", ["mixed", "wide", "subnormal"])
def test_large_arrays_agree(dtype: str, kind: str, values_kind: str) -> None:
    """5,000 positions take the vectorised path of every sum, and of `flushed`."""
    reduction = "mean" if kind != "bits" else "sum"
    call = make_call(7, dtype, "int32", (50, 6, 100), (values_kind, kind), -100, reduction)
    assert disagreement(call) == ""


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_large_none_agrees(dtype: str) -> None:
    assert disagreement(make_call(3, dtype, "uint8", (40, 5, 25), ("wide", "bits"), 3, "none")) == ""


def test_generated_calls_reach_every_expectation() -> None:
    """The agreement would be worth little if the generator only made easy calls."""
    seen: set[str] = set()
    rng = np.random.default_rng(0)
    for seed in range(1500):
        shape = ((7,), (4, 3), (2, 2), (4, 2), (2, 3, 2), (3, 0), (0, 3), (2, 3, 0))[rng.integers(8)]
        call = make_call(
            seed,
            str(rng.choice(FLOAT_DTYPES)),
            str(rng.choice(TARGET_DTYPES)),
            shape,
            (str(rng.choice(VALUES)), str(rng.choice(WEIGHTS))),
            SENTINELS[rng.integers(len(SENTINELS))],
            str(rng.choice(("none", "sum", "mean"))),
            bool(rng.random() < 0.2),
        )
        assert disagreement(call) == ""
        match oracle.expect(call):
            case Returns(_, _, Limit(allowed)):
                seen.add(f"limit {'/'.join(sorted(allowed))}")
            case Returns(_, _, value):
                seen.add(type(value).__name__)
            case other:
                seen.add(type(other).__name__)
    assert seen >= {
        "Exactly", "Reduction", "Unjudgeable", "Raises", "Unspecified",
        "limit nan", "limit 0", "limit inf", "limit -inf",
    }  # fmt: skip


# --- vectors ---------------------------------------------------------------------------------------------


def stored_vectors() -> list[Any]:
    """Every vector on disk, as a pytest parameter; one empty parameter set when there are none."""
    found = []
    for path in sorted(VECTORS.glob("*.json")):
        for number, vector in enumerate(json.loads(path.read_text())["vectors"]):
            found.append(pytest.param(vector["call"], id=f"{path.stem}/{vector.get('id', number)}"))
    return found


@pytest.mark.parametrize("encoded", stored_vectors())
def test_vectors_agree(encoded: dict[str, Any]) -> None:
    assert disagreement(decode_call(encoded, NLL_LOSS)) == ""


# --- planted faults --------------------------------------------------------------------------------------


def _wrapping(target: Array, ignore_index: int) -> Array:
    return target != np.array(ignore_index).astype(target.dtype)


def _through_float32(weights: Array, values: Array) -> Array:
    return (weights.astype(np.float32) * values.astype(np.float32)).astype(weights.dtype)


def _without_products(weights: Array, values: Array) -> Any:
    return oracle.exact_sum(values)


FAULTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "the sentinel wraps": ("not_ignored", _wrapping),
    "classes on the last axis": ("class_axis", lambda array: array.ndim - 1),
    "products through float32": ("rounded_product", _through_float32),
    "weights left out of S": ("exact_dot", _without_products),
    "every W = 0 is certain": ("is_certified", lambda *_: True),
    "no W = 0 is certain": ("is_certified", lambda *_: False),
    "W never overflows": ("may_overflow", lambda *_: False),
    "no structural check": ("structural_faults", lambda call: frozenset()),
}


@functools.cache
def _sweep() -> list[tuple[Call, Opinion]]:
    """A few hundred calls, and what the second oracle makes of them."""
    kinds = [(value, weight) for value in ("mixed", "pool", "bits") for weight in WEIGHTS]
    sweep = [
        make_call(seed, dtype, target, (4, 4, 4), kind, -100, reduction)
        for seed, kind in enumerate(kinds)
        for dtype in ("bfloat16", "float64")
        for target in ("uint8", "int64")
        for reduction in ("none", "mean")
    ]
    wide = np.ones((1, 200), np.float32)
    extra = [
        NLL_LOSS.call(wide, np.array([156], np.uint8), None, -100, "none"),
        NLL_LOSS.call(np.arange(8, dtype=np.float32).reshape(2, 4), np.array([1, 3]), None, reduction="none"),
        NLL_LOSS.call(**(GOOD | {"reduction": "avg"})),
        NLL_LOSS.call(np.ones((2, 3, 5), np.float32), np.full((2, 5), 2), np.ones(3, np.float32)),
        per_position(f32(1, 2, 3, 4), f32(1, 2**-30, -1, -(2**-30))),
        per_position(f32(3, 1), f32(1, -1)),
        per_position(f32(INF, 1), f32(3e38, 3e38)),
        per_position(cast([1.5 * 2.0**-64], "bfloat16"), cast([2.0**-70], "bfloat16"), "none"),
    ]
    return [(call, opinion(call)) for call in sweep + extra]


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: each fault in the oracle shows on some call of a small sweep."""
    name, wrong = FAULTS[fault]
    assert not any(disagreement(*pair) for pair in _sweep())
    for module in (oracle, targets):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, wrong)

    def shows(call: Call, theirs: Opinion) -> bool:
        try:
            return bool(disagreement(call, theirs))
        except (AssertionError, IndexError, KeyError, TypeError, ValueError):
            return True

    assert any(shows(*pair) for pair in _sweep())
