"""Exact gradients, directional derivatives and batches, against a second oracle and against values worked out by hand.

Where arithmetic leaves its range (an intermediate overflows, W may round to 0, subnormal numbers are flushed) is
tested in test_gradient_bounds.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import second_formats
import second_gradient
import second_oracle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lossparity.specs.call import FLOAT_DTYPES, VALUES, Array, Call, Transform, dtype_of
from lossparity.specs.case import Exactly, Expectation, Returns, Sparse, Stack, Unjudgeable, Unspecified, Within
from lossparity.specs.classes.corpus import MODES
from lossparity.specs.nll_loss.corpus import corpus
from lossparity.specs.nll_loss.generate import transformed
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.reductions import Reduction
from second_gradient import Extended, Slopes

from .oracle_comparison import difference

NAN, INF = math.nan, math.inf


# --- comparison of the two oracles -----------------------------------------------------------------------


def disagreement(call: Call, ours: Expectation) -> str:
    """What an expectation and the second oracle say differently about a call with a transform; empty for nothing."""
    match second_gradient.answer(call):
        case list() as theirs:
            found = _stack(call, ours, theirs)
        case Slopes() as theirs:
            found = _slopes(call, ours, theirs)
        case theirs:
            found = difference(second_gradient.along(call), ours, theirs)
    return f"{found}: {call.describe()}" if found else ""


def _stack(call: Call, ours: Expectation, theirs: list[Any]) -> str:
    """A mapped call: what is expected of each part is what would be expected of it alone."""
    if any(isinstance(part, Slopes) and part.recorded for part in theirs) or not isinstance(ours, Returns):
        return "" if isinstance(ours, Unspecified) else f"{ours}, against {theirs}"
    if not isinstance(ours.value, Stack) or not len(ours.value.parts) == ours.shape[0] == len(theirs):
        return f"{ours}, against {len(theirs)} parts"
    for number, one in enumerate(second_gradient.loop(call)):
        mine, their = Returns(ours.shape[1:], ours.dtype, ours.value.parts[number]), theirs[number]
        found = _slopes(one, mine, their) if isinstance(their, Slopes) else difference(one, mine, their)
        if found:
            return f"part {number}: {found}"
    return ""


def _slopes(call: Call, ours: Expectation, theirs: Slopes) -> str:
    """A gradient: where its entries are, and what stands there."""
    if theirs.recorded or not isinstance(ours, Returns):
        return "" if theirs.recorded and isinstance(ours, Unspecified) else f"{ours}, against {theirs}"
    if (ours.shape, ours.dtype) != (call["input"].shape, call.dtype):
        return f"{ours.dtype}{ours.shape}"
    if theirs.order_dependent or not isinstance(ours.value, Sparse):
        return "" if theirs.order_dependent and isinstance(ours.value, Unjudgeable) else f"{ours}, against {theirs}"
    flat, ignored, entries = ours.value.flat, ours.value.ignored, ours.value.entries
    if flat.tolist() != theirs.flat:
        return f"entries at {flat}, not at {theirs.flat}"
    if call.transform is not None and call.transform.kind == "second":
        return "" if isinstance(entries, Exactly) and entries.value.size == 0 else f"entries {entries}"
    kept = ~ignored.squeeze(1 if call["input"].ndim > 1 else 0)
    if kept.shape != call["target"].shape or kept.reshape(-1).tolist() != theirs.kept:
        return f"ignored {ignored}, kept are {theirs.kept}"
    wrong = _wrong_products if isinstance(entries, Exactly) else _wrong_quotients
    return next((f"{found} for w, g = {pair}" for pair, found in wrong(call.dtype, entries, theirs) if found), "")


def _rows(arrays: tuple[Any, ...], dtype: str, *more: list[Any]) -> set[tuple[Any, ...]]:
    """What stands in 1-d arrays at each entry, and in lists, without repetitions: many entries are alike."""
    assert all(array.ndim == 1 and array.dtype in (dtype_of(dtype), np.dtype(bool)) for array in arrays)
    lists = [array.tolist() if array.dtype == bool else array.astype(np.float64).tolist() for array in arrays]
    return set(zip(*lists, *more, strict=True))


def _wrong_products(dtype: str, entries: Exactly, theirs: Slopes) -> Iterator[tuple[Any, str]]:
    """`none` and `sum`: each slope is one product, correctly rounded."""
    arrays = entries.value, entries.loose, entries.flushable, entries.flushable_nan
    for value, loose, flushable, flushable_nan, exact, pair in _rows(arrays, dtype, theirs.exact, theirs.pairs):
        yield pair, _misrounded(value, exact, dtype)
        outcomes = second_oracle.flushed_outcomes(*pair, dtype)
        if str(exact) != second_oracle.NAN:
            yield pair, "" if flushable_nan == ("nan" in outcomes) else f"flushable_nan is {flushable_nan}"
        if isinstance(exact, Fraction) and exact:
            small = pair[0] is not None and abs(exact) < second_formats.smallest_normal(dtype)
            yield pair, "" if loose == small else f"loose is {loose}"
            yield pair, "" if flushable == ("zero" in outcomes) else f"flushable is {flushable}"


def _wrong_quotients(dtype: str, entries: Within, theirs: Slopes) -> Iterator[tuple[Any, str]]:
    """`mean`: each slope has a band around the exact value."""
    bands = entries.required, entries.own, entries.flushing
    ends = (end for band in bands for end in (band.low, band.high))
    arrays = (entries.rounded, *ends, entries.required.free, entries.informative)
    for row in _rows(arrays, dtype, theirs.exact, theirs.pairs, theirs.unsure, theirs.surely_fine):
        rounded, *ends, free, informative, exact, pair, unsure, fine = row
        if free:
            yield pair, "free, with nothing near an edge" if fine else "free and informative" if informative else ""
            continue
        yield pair, "not free" if unsure else ""
        yield pair, _misrounded(rounded, exact, dtype)
        for low, high in zip(ends[::2], ends[1::2], strict=True):
            if isinstance(exact, Fraction):  # the ends are numbers of the format: perhaps only one lies between
                yield pair, "" if low <= rounded <= high else f"{low}..{high} is not around {rounded}"
                yield pair, "" if low <= ends[0] and ends[1] <= high else "a wider band is not wider"


def _misrounded(value: float, exact: Extended, dtype: str) -> str:
    """Why a number is not an extended real, correctly rounded; signs of zero are left aside."""
    if not isinstance(exact, Fraction):
        right = str(value) == str(exact)
    else:
        bits = np.array(abs(value)).astype(dtype_of(dtype))
        code = int(bits.view(f"u{bits.itemsize}"))
        sign = value == 0 or (value < 0) == (exact < 0)
        right = not math.isnan(value) and sign and second_gradient.is_nearest(code, abs(exact), dtype)
    return "" if right else f"{value}, not {exact}"


# --- the corpus ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_both_oracles_agree_on_the_corpus(dtype: str) -> None:
    kinds = set()
    for case in corpus("gradient", dtype, "quick", 0):
        assert disagreement(case.call, case.expectation) == "", case.origin
        kinds.add((case.call.kind, type(getattr(case.expectation, "value", None))))
    assert {("gradient", Sparse), ("second", Sparse), ("vmap", Stack), ("vmap_gradient", Stack)} <= kinds
    assert {"jvp", "second_upstream"} | set(MODES[:-1]) <= {kind for kind, _ in kinds}


# --- drawn calls -----------------------------------------------------------------------------------------

SHAPES = ((3,), (1,), (1, 4), (4, 3), (2, 3, 2), (3, 2, 1, 2), (0, 3), (2, 3, 0))
ORDINARY = (1.0, -1.0, 0.0, -0.0, 0.5, 3.0, -0.7, 7.0, 10.0, 100.0)
SPECIAL = (INF, -INF, NAN)


@st.composite
def arrays(draw: Any, shape: tuple[int, ...], dtype: str, special: bool) -> Array:
    """Ordinary numbers; or also special ones, and bit patterns of any kind."""
    bits = np.dtype(f"u{dtype_of(dtype).itemsize}")
    codes = np.array(ORDINARY + SPECIAL).astype(dtype_of(dtype)).view(bits).tolist()
    numbers = st.sampled_from(codes[: len(ORDINARY)])
    if special:
        numbers = st.one_of(numbers, st.sampled_from(codes), st.integers(0, int(np.iinfo(bits).max)))
    size = math.prod(shape)
    drawn = draw(st.lists(numbers, min_size=size, max_size=size))
    return np.array(drawn, bits).view(dtype_of(dtype)).reshape(shape)


@st.composite
def asking(draw: Any, special: bool) -> Call:
    """Legal calls that ask for something besides the value."""
    dtype, shape = draw(st.sampled_from(FLOAT_DTYPES)), draw(st.sampled_from(SHAPES))
    others = ("second", "second_upstream", "jvp", "vmap", "vmap_gradient")
    kind = draw(st.sampled_from(("gradient",) * 4 + others + MODES))
    classes, positions = shape[min(1, len(shape) - 1)], shape[:1] + shape[2:] if len(shape) > 1 else ()
    ignore_index, reduction = draw(st.sampled_from((-100, 0, 1))), draw(st.sampled_from(("none", "sum", "mean")))
    batched = draw(st.sets(st.sampled_from(("input", "target", "weight")), min_size=1)) if "vmap" in kind else set()
    lead = {name: (2,) if name in batched else () for name in ("input", "target", "weight")}
    size = math.prod((*lead["target"], *positions))
    labels = st.one_of(st.integers(0, classes - 1), st.just(ignore_index))
    target = np.array(draw(st.lists(labels, min_size=size, max_size=size)), np.int64)
    weighted = "weight" in batched or draw(st.booleans())
    shaped = positions if reduction == "none" else ()
    return NLL_LOSS.call(
        draw(arrays((*lead["input"], *shape), dtype, False)),
        target.reshape((*lead["target"], *positions)),
        draw(arrays((*lead["weight"], classes), dtype, special)) if weighted else None,
        ignore_index,
        reduction,
        transform=Transform(
            kind,
            None if kind in ("jvp", "vmap", *VALUES) else draw(arrays(shaped, dtype, special)),
            draw(arrays(shape, dtype, special)) if kind in ("jvp", "second", "second_upstream") else None,
            tuple(sorted(batched)),
        ),
    )


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(asking(special=False))
def test_both_oracles_agree_on_ordinary_numbers(call: Call) -> None:
    assert disagreement(call, expectation(call)) == ""


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(asking(special=True))
def test_both_oracles_agree_on_any_numbers(call: Call) -> None:
    """Subnormal, huge and infinite weights, upstream gradients and directions, and NaN."""
    assert disagreement(call, expectation(call)) == ""


CORNERS = (0.0, 1.0, -1.0, 3.0, -(2.0**-13), 2.0**-24, INF, NAN)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_both_oracles_agree_on_every_mean_of_corners(dtype: str) -> None:
    """Up to three positions, each with a weight of its own: W is 0, infinite, NaN, cancels, or is one subnormal."""
    weights = itertools.chain.from_iterable(itertools.combinations_with_replacement(CORNERS, n) for n in (1, 2, 3))
    for weight, g in itertools.product(weights, (1.0, 0.0, -3.0, 2.0**-24, NAN)):
        call = mean_of(weight, g, dtype)
        assert disagreement(call, expectation(call)) == "", (weight, g)


def mean_of(weight: Sequence[float], g: float, dtype: str = "float32") -> Call:
    """The gradient of a mean whose positions select one weight each, in order."""
    n, kind = len(weight), dtype_of(dtype)
    upstream = Transform("gradient", np.array(g).astype(kind))
    return NLL_LOSS.call(
        np.ones((n, n), kind), np.arange(n), np.array(weight).astype(kind), -100, "mean", transform=upstream
    )


def expectation(call: Call) -> Expectation:
    return transformed(call, "gradient", 1, "test").expectation


# --- worked out by hand ----------------------------------------------------------------------------------

X = np.full((3, 2), NAN, np.float32)  # a gradient does not depend on the input
W = np.array([1, 3], np.float32)
UP = np.array([1, -2, 4], np.float32)


def gradient(call: Call) -> list[Any]:
    """The prescribed gradient, correctly rounded, as nested lists."""
    ours = expectation(call)
    assert isinstance(ours, Returns)
    assert isinstance(ours.value, Sparse)
    entries = ours.value.entries
    dense = np.zeros(ours.shape)
    dense.reshape(-1)[ours.value.flat] = entries.value if isinstance(entries, Exactly) else entries.rounded
    return dense.tolist()


def asked(kind: str = "gradient", upstream: Any = 1.0, direction: Any = None, **fields: Any) -> Call:
    """A call on X that asks for a derivative; targets 0, 1, 1 unless told otherwise."""
    vector = None if direction is None else np.array(direction, np.float32)
    transform = Transform(kind, np.array(upstream, np.float32), vector, fields.pop("batched", ()))
    return NLL_LOSS.call(**({"input": X, "target": np.array([0, 1, 1]), "transform": transform} | fields))


@pytest.mark.parametrize(
    ("call", "exact"),
    [
        (asked(reduction="sum"), [[-1, 0], [0, -1], [0, -1]]),
        (asked(reduction="sum", upstream=-2.0, weight=W), [[2, 0], [0, 6], [0, 6]]),
        (asked(reduction="none", upstream=UP), [[-1, 0], [0, 2], [0, -4]]),
        (asked(reduction="none", upstream=UP, weight=W, ignore_index=0), [[0, 0], [0, 6], [0, -12]]),
        (asked(upstream=7.0, weight=W), [[-1, 0], [0, -3], [0, -3]]),
        (asked(upstream=4.0, ignore_index=0), [[0, 0], [0, -2], [0, -2]]),
        (asked(upstream=4.0, target=np.array([-100, 1, -100])), [[0, 0], [0, -4], [0, 0]]),
        (asked(weight=W * 0), [[NAN, 0], [0, NAN], [0, NAN]]),
        (asked(weight=np.array([-2, 1], np.float32)), [[INF, 0], [0, -INF], [0, -INF]]),
        (asked(weight=np.array([INF, 1], np.float32)), [[NAN, 0], [0, 0], [0, 0]]),
        (asked(weight=np.array([INF, 1], np.float32), ignore_index=0), [[0, 0], [0, -0.5], [0, -0.5]]),
        (asked(reduction="sum", upstream=INF, weight=W * 0), [[NAN, 0], [0, NAN], [0, NAN]]),
        (asked(upstream=INF), [[-INF, 0], [0, -INF], [0, -INF]]),
        (asked(input=X[0], target=np.array(1), reduction="sum", weight=W, upstream=2.0), [0, -6]),
        (asked(input=X.T[None], target=np.array([[0, 1, 1]]), weight=W, upstream=7.0), [[[-1, 0, 0], [0, -3, -3]]]),
    ],
)
def test_gradients_worked_out_by_hand(call: Call, exact: list[Any]) -> None:
    """GRAD-1, GRAD-2, GRAD-3 and WEIGHT-2 in plain numbers."""
    np.testing.assert_array_equal(gradient(call), exact)
    assert disagreement(call, expectation(call)) == ""


def test_the_class_axis_is_the_second_one() -> None:
    """Axes all as long as C: position (i, j) selects entry (i, target, j)."""
    target = np.arange(9).reshape(3, 3) % 3
    call = asked(input=np.zeros((3, 3, 3), np.float32), target=target, reduction="none", upstream=np.ones((3, 3)))
    places = {tuple(place) for place in np.argwhere(np.array(gradient(call)) != 0).tolist()}
    assert places == {(i, int(target[i, j]), j) for i in range(3) for j in range(3)}


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("kind", ["jvp", "second_upstream"])
def test_the_loss_of_the_direction(kind: str, reduction: str) -> None:
    """The loss is linear: its derivative along v, and that of <gradient, v> by g, is its value at v."""
    v = [[1, 2], [3, 4], [5, 6]]
    ours = expectation(asked(kind, UP if reduction == "none" else 1.0, v, reduction=reduction, weight=W))
    assert isinstance(ours, Returns)
    if reduction == "none":
        assert isinstance(ours.value, Exactly)
        assert ours.value.value.tolist() == [-1, -12, -18]
    else:
        assert isinstance(ours.value, Reduction)
        assert ours.value.exact == (-31 if reduction == "sum" else Fraction(-31, 7))


def test_the_hessian_is_zero() -> None:
    ours = expectation(asked("second", 1.0, np.ones((3, 2)), weight=W))
    assert isinstance(ours, Returns)
    assert isinstance(ours.value, Sparse)
    assert (ours.shape, ours.value.flat.size) == ((3, 2), 0)


def test_a_batch_is_its_calls() -> None:
    """Mapped over targets: one gradient for each, with an upstream gradient in common."""
    targets = np.array([[0, 1, 1], [1, 1, -100]])
    ours = expectation(asked("vmap_gradient", 6.0, target=targets, batched=("target",)))
    assert isinstance(ours, Returns)
    assert isinstance(ours.value, Stack)
    gradients = [part.entries for part in ours.value.parts if isinstance(part, Sparse)]
    parts = [entries.rounded.tolist() for entries in gradients if isinstance(entries, Within)]
    assert (ours.shape, parts) == ((2, 3, 2), [[-2, -2, -2], [-3, -3]])


@pytest.mark.parametrize("target", [np.full(3, -100), np.zeros(0, np.int64)], ids=["all ignored", "empty"])
def test_the_gradient_of_an_empty_mean_is_recorded(target: Array) -> None:
    """GRAD-9: 0 or NaN; under the other reductions it is 0."""
    call = asked(input=X[: target.size], target=target)
    assert isinstance(expectation(call), Unspecified)
    assert np.count_nonzero(gradient(call.replace(reduction="sum"))) == 0
    batch = asked("vmap_gradient", input=X[: target.size], target=np.stack([target, target]), batched=("target",))
    assert isinstance(expectation(batch), Unspecified)


def test_weights_that_cancel_only_before_rounding_decide_nothing() -> None:
    """1 + u - 1 - u is 0 in exact arithmetic, and u or 0 in float32, as the order has it."""
    call = mean_of((1.0, 2.0**-25, -1.0, -(2.0**-25)), 1.0)
    ours = expectation(call)
    assert isinstance(ours, Returns)
    assert isinstance(ours.value, Unjudgeable)
    assert np.count_nonzero(np.isinf(gradient(mean_of((1.0, 0.5, -1.0, -0.5), 1.0)))) == 4
