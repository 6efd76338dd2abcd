"""The exact answer of `nll_loss`, against a second oracle and against values worked out by hand."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import second_oracle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lossparity.specs.accuracy import Reduction
from lossparity.specs.call import FLOAT_DTYPES, TARGET_DTYPES, Array, Call, dtype_of
from lossparity.specs.case import Elementwise, Expectation, Limit, Raises, Returns, Unjudgeable, Unspecified
from lossparity.specs.encoding import decode_call
from lossparity.specs.nll_loss import oracle
from lossparity.specs.nll_loss.signature import NLL_LOSS
from second_oracle import Opinion, opinion

VECTORS = Path(__file__).parent.parent / "specs" / "nll_loss" / "vectors"
NAN, INF = math.nan, math.inf


# --- comparison of the two oracles -----------------------------------------------------------------------


def disagreement(call: Call, theirs: Opinion | None = None) -> str:
    """What `expect` and the second oracle say differently about a call; empty when they agree."""
    return difference(call, oracle.expect(call), theirs or opinion(call))


def difference(call: Call, ours: Expectation, theirs: Opinion) -> str:
    """What an expectation and the second oracle's opinion of a call say differently."""
    match ours:
        case Raises():
            found = _raises(call, ours, theirs)
        case Unspecified():
            found = "" if theirs.recorded else f"recorded only, against {theirs}"
        case Returns() if theirs.faults or theirs.recorded:
            found = f"returns, against {theirs}"
        case Returns(shape, _, Elementwise() as value):
            found = f"shape {shape}" if shape != call["target"].shape else _elements(call, value, theirs)
        case Returns(shape, _, value):
            found = f"shape {shape}" if shape != () else _reduction(call, value, theirs)
    return f"{found}: {call.describe()}" if found else ""


def _raises(call: Call, ours: Raises, theirs: Opinion) -> str:
    if ours.categories != theirs.faults:
        return f"categories {set(ours.categories)}, against {theirs.faults}"
    if (ours.poisoned is None) != (theirs.poison is None):
        return f"poisoned {ours.poisoned}, against {theirs.poison}"
    if ours.poisoned is None or theirs.poison is None:
        return ""
    shape = call["target"].shape if call["reduction"] == "none" else ()
    if (ours.poisoned.shape, ours.poisoned.dtype) != (shape, call.dtype):
        return f"shape or dtype of what is poisoned: {ours.poisoned}"
    match ours.poisoned.value:
        case Limit(allowed):
            return "" if shape == () and allowed == {"nan"} else "poison of a scalar"
        case Elementwise() as value if np.isnan(value.value.reshape(-1)[theirs.poison]).all():
            return _elements(call, value, theirs)
        case other:
            return f"poisoned {other}"


def _elements(call: Call, ours: Elementwise, theirs: Opinion) -> str:
    name, assumed = call.dtype, theirs.elements
    if assumed is None:
        return "elements, against none"
    if ours.value.dtype != call["input"].dtype or ours.value.shape != call["target"].shape:
        return f"value of {ours.value.dtype}{ours.value.shape}"
    codes = ours.value.reshape(-1).view(f"u{ours.value.dtype.itemsize}").tolist()
    top = 1 << (8 * ours.value.dtype.itemsize - 1)
    masks = (ours.loose, ours.flushable, ours.flushable_nan)
    if any(mask.shape != call["target"].shape or mask.dtype != bool for mask in masks):
        return "shape or dtype of a mask"
    for at, (code, expected) in enumerate(zip(codes, assumed, strict=True)):
        if expected is None:  # poisoned: the value is free
            continue
        if expected == second_oracle.NAN:
            if not np.isnan(ours.value.flat[at]):
                return f"element {at} is {ours.value.flat[at]}, not NaN"
        elif code != expected and not (code % top == 0 and expected % top == 0):
            return f"element {at} has bits {code:x}, not {expected:x}"
        wrong = _masks(name, [bool(mask.flat[at]) for mask in masks], call, theirs, at)
        if wrong:
            return f"element {at}: {wrong}"
    return ""


def _masks(name: str, masks: list[bool], call: Call, theirs: Opinion, at: int) -> str:
    loose, _, flushable_nan = masks
    product, outcomes = theirs.products[at], theirs.outcomes[at]
    if product is not None:
        code = second_oracle.nearest_code(abs(product), name)
        small = 0 < abs(product) < second_oracle.smallest_normal(name)
        at_border = abs(second_oracle.decode(code, name)) == second_oracle.smallest_normal(name)
        if loose != (small and call["weight"] is not None) and not (loose and at_border and call["weight"] is not None):
            return f"loose is {loose} for {product}"
    elif loose:
        return "loose without a finite product"
    if (outcomes == {"value", "nan"} and not flushable_nan) or (flushable_nan and "nan" not in outcomes):
        return f"flushable_nan is {flushable_nan}, outcomes are {outcomes}"
    return ""


def _reduction(call: Call, ours: Reduction | Limit | Unjudgeable | Elementwise, theirs: Opinion) -> str:
    match ours:
        case Limit(allowed) if theirs.limit is not None and theirs.overflow:
            # How much overflow beside an infinity frees is tested on its own below.
            return "" if theirs.limit <= allowed <= {"nan", "inf", "-inf"} else f"limit {set(allowed)}"
        case Limit(allowed):
            return "" if theirs.limit == allowed else f"limit {set(allowed)}, against {theirs.limit}"
        case Unjudgeable():
            return "" if theirs.order_dependent else f"unjudgeable, against {theirs}"
        case Reduction():
            if theirs.limit is not None or theirs.order_dependent:
                return f"finite, against limit {theirs.limit}"
            return _finite(call, ours, theirs)
    return f"{type(ours).__name__} for a reduction"


def _finite(call: Call, ours: Reduction, theirs: Opinion) -> str:
    facts: dict[str, tuple[Any, Any]] = {
        "format": (ours.fmt.name, call["input"].dtype.name),
        "n": (ours.n, theirs.n),
        "positions": (ours.positions, int(np.prod(call["target"].shape))),
        "weighted": (ours.weighted, call["weight"] is not None),
        "S": (ours.numerator.total, theirs.S),
        "M": (ours.numerator.magnitude, theirs.M),
        "quantum": (ours.numerator.quantum, theirs.S_quantum),
        "normaliser": (ours.normaliser is None, call["reduction"] == "sum"),
    }
    if ours.normaliser is not None:
        facts |= {
            "W": (ours.normaliser.total, theirs.W),
            "W_a": (ours.normaliser.magnitude, theirs.W_abs),
            "exact": (ours.exact, -theirs.S / theirs.W),
        }
    else:
        facts["exact"] = (ours.exact, -theirs.S)
    return ", ".join(f"{name} is {mine}, not {other}" for name, (mine, other) in facts.items() if mine != other)


# --- generated calls -------------------------------------------------------------------------------------

VALUES = ("log_probabilities", "mixed", "bits", "pool", "subnormal", "huge", "wide")
WEIGHTS = (
    "none", "ones", "zeros", "negative", "cancelling", "tiny", "huge", "nan", "inf", "subnormal",
    "minus_zero", "random", "bits",
)  # fmt: skip
SENTINELS = (-100, -1, 255, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1, "first", "last", "C", "C+1")


def cast(values: Any, name: str) -> Array:
    """float64 numbers in a format, without warnings about overflow."""
    with np.errstate(all="ignore"):
        return np.asarray(values, dtype=np.float64).astype(dtype_of(name))


def random_bits(rng: np.random.Generator, shape: tuple[int, ...], name: str) -> Array:
    """Any bit pattern: NaNs, infinities and subnormals as often as their share of the format."""
    dtype = dtype_of(name)
    return np.frombuffer(rng.bytes(math.prod(shape) * dtype.itemsize), dtype).reshape(shape).copy()


def pool(name: str) -> Array:
    """Numbers at the edges of a format."""
    tiny, mu = float(second_oracle.smallest_normal(name)), float(second_oracle.spacing(name))
    largest = float(second_oracle.decode(second_oracle.infinity_code(name) - 1, name))
    sizes = [0, 1, 3, mu, 3 * mu, tiny, tiny - mu, 1.5 * tiny, math.sqrt(tiny)]
    sizes += [largest, largest / 2, math.sqrt(largest)]
    return cast([*sizes, *(-size for size in sizes), NAN, INF, -INF], name)


def values(rng: np.random.Generator, kind: str, shape: tuple[int, ...], name: str) -> Array:
    """An input array of one kind."""
    edges = pool(name)
    tiny, largest = float(second_oracle.smallest_normal(name)), float(np.nanmax(edges[np.isfinite(edges)]))
    match kind:
        case "log_probabilities":
            return cast(-rng.exponential(3, shape), name)
        case "mixed":
            return cast(rng.normal(size=shape), name)
        case "bits":
            return random_bits(rng, shape, name)
        case "pool":
            return rng.choice(edges.astype(np.float64), shape).astype(edges.dtype)
        case "subnormal":
            return cast(rng.uniform(-2, 2, shape) * tiny, name)
        case "huge":
            return cast(rng.uniform(-1, 1, shape) * largest, name)
        case _:  # a wide range that stays finite
            low, high = math.log2(tiny) - 8, math.log2(largest) - 1
            return cast(rng.choice([-1, 1], shape) * 2.0 ** rng.uniform(low, high, shape), name)


def weights(rng: np.random.Generator, kind: str, classes: int, name: str) -> Array | None:
    """A weight array of one kind, or None."""
    tiny = float(second_oracle.smallest_normal(name))
    largest = float(second_oracle.decode(second_oracle.infinity_code(name) - 1, name))
    base = rng.integers(1, 9, classes) / 4
    match kind:
        case "none":
            return None
        case "ones":
            return cast(np.ones(classes), name)
        case "zeros":
            return cast(base * (rng.random(classes) < 0.3), name)
        case "negative":
            return cast(-base, name)
        case "cancelling":
            return cast(np.resize([1, -1], classes) * rng.choice([1, 0.75]), name)
        case "tiny":
            return cast(base * tiny * 4, name)
        case "huge":
            return cast(base / 2 * largest, name)
        case "nan" | "inf":
            base[rng.integers(classes) : classes] = NAN if kind == "nan" else rng.choice([INF, -INF])
            return cast(base, name)
        case "subnormal":
            return cast(base / 4 * tiny, name)
        case "minus_zero":
            return cast(np.where(rng.random(classes) < 0.6, -0.0, base * rng.choice([-1, 1], classes)), name)
        case "bits":
            return random_bits(rng, (classes,), name)
        case _:
            return cast(rng.normal(size=classes), name)


def targets(
    rng: np.random.Generator, shape: tuple[int, ...], classes: int, name: str, sentinel: int, stray: bool
) -> Array:
    """Targets in range, some of them the sentinel where its dtype holds it, one out of range when `stray`."""
    info = np.iinfo(name)
    array = rng.integers(0, max(min(classes, int(info.max) + 1), 1), shape, dtype=np.int64).astype(name)
    array = np.asarray(array)
    if info.min <= sentinel <= info.max:
        array[rng.random(shape) < rng.choice([0, 0.3, 0.9, 1])] = sentinel
    if classes == 0 and not info.min <= sentinel <= info.max:
        return array  # all of them are out of range
    if classes == 0:
        array[...] = sentinel
    outside = [label for label in (classes, -1, -100, -classes, int(info.max), int(info.min), 156, 2**32) if
               info.min <= label <= info.max and not 0 <= label < classes]  # fmt: skip
    if stray and array.size and outside:
        array.flat[rng.integers(array.size)] = outside[rng.integers(len(outside))]
    return array


def make_call(
    seed: int,
    dtype: str,
    target_dtype: str,
    shape: tuple[int, ...],
    kinds: tuple[str, str],
    sentinel: int | str,
    reduction: str,
    stray: bool = False,
) -> Call:
    """One call with legal shapes and dtypes; shape is the input's."""
    rng = np.random.default_rng(seed)
    classes = shape[1] if len(shape) > 1 else shape[0]
    named = {"first": 0, "last": classes - 1, "C": classes, "C+1": classes + 1}
    ignore_index = named[sentinel] if isinstance(sentinel, str) else sentinel
    positions = shape[:1] + shape[2:] if len(shape) > 1 else ()
    weight = weights(rng, kinds[1], classes, dtype) if classes else None
    return NLL_LOSS.call(
        values(rng, kinds[0], shape, dtype),
        targets(rng, positions, classes, target_dtype, ignore_index, stray),
        weight,
        ignore_index,
        reduction,
    )


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
        "Elementwise", "Reduction", "Unjudgeable", "Raises", "Unspecified",
        "limit nan", "limit 0", "limit inf", "limit -inf",
    }  # fmt: skip


# --- illegal calls ---------------------------------------------------------------------------------------

GOOD = {
    "input": np.ones((4, 3), np.float32),
    "target": np.array([0, 1, 2, 0]),
    "weight": np.ones(3, np.float32),
}

ILLEGAL: list[tuple[str, set[str], dict[str, Any]]] = [
    ("0-d input", {"shape"}, {"input": np.float32(1).reshape(()), "target": np.array(0), "weight": None}),
    ("target longer than the batch", {"shape"}, {"target": np.zeros(5, int)}),
    ("target of length 1", {"shape"}, {"target": np.zeros(1, int)}),
    ("batch of length 1", {"shape"}, {"input": np.ones((1, 3), np.float32)}),
    ("(N, 1) target", {"shape"}, {"target": np.zeros((4, 1), int)}),
    ("one-hot target", {"shape"}, {"target": np.eye(4, 3).astype(int)}),
    ("0-d target of a batch", {"shape"}, {"target": np.array(0)}),
    ("1-d target, unbatched", {"shape"}, {"input": np.ones(3, np.float32), "target": np.zeros(1, int)}),
    ("spatial axis missing", {"shape"}, {"input": np.ones((4, 3, 2), np.float32)}),
    ("spatial length 1", {"shape"}, {"input": np.ones((4, 3, 2), np.float32),
                                     "target": np.zeros((4, 1), int)}),
    ("classes on the last axis", {"shape"}, {"input": np.ones((4, 2, 3), np.float32),
                                             "target": np.zeros((4, 2), int), "weight": None}),
    ("weight too long", {"shape"}, {"weight": np.ones(4, np.float32)}),
    ("weight too short", {"shape"}, {"weight": np.ones(2, np.float32)}),
    ("weight empty", {"shape"}, {"weight": np.ones(0, np.float32)}),
    ("2-d weight", {"shape"}, {"weight": np.ones((1, 3), np.float32)}),
    ("0-d weight", {"shape"}, {"weight": np.ones((), np.float32)}),
    ("weight in float64", {"dtype"}, {"weight": np.ones(3)}),
    ("weight in float16", {"dtype"}, {"weight": np.ones(3, np.float16)}),
    ("float target", {"dtype"}, {"target": np.zeros(4)}),
    ("bool target", {"dtype"}, {"target": np.zeros(4, bool)}),
    ("integer input", {"dtype"}, {"input": np.ones((4, 3), int), "weight": None}),
    ("bool input", {"dtype"}, {"input": np.ones((4, 3), bool), "weight": None}),
    ("complex input", {"dtype"}, {"input": np.ones((4, 3), complex), "weight": None}),
    ("longdouble input", {"dtype"}, {"input": np.ones((4, 3), np.longdouble), "weight": None}),
    ("reduction avg", {"value"}, {"reduction": "avg"}),
    ("reduction of the wrong case", {"value"}, {"reduction": "MEAN"}),
    ("empty reduction", {"value"}, {"reduction": ""}),
    ("no reduction", {"value"}, {"reduction": None}),
    ("integer reduction", {"value"}, {"reduction": 0}),
    ("three faults", {"shape", "dtype", "value"}, {"weight": np.ones((1, 3)), "reduction": "avg"}),
]  # fmt: skip


@pytest.mark.parametrize(("categories", "changed"), [row[1:] for row in ILLEGAL], ids=[row[0] for row in ILLEGAL])
def test_illegal_calls_name_every_applicable_category(categories: set[str], changed: dict[str, Any]) -> None:
    call = NLL_LOSS.call(**(GOOD | changed))
    expected = oracle.expect(call)
    assert isinstance(expected, Raises)
    assert expected.categories == categories
    assert expected.poisoned is None
    assert disagreement(call) == ""


def test_legal_neighbours_of_illegal_calls_return() -> None:
    assert isinstance(oracle.expect(NLL_LOSS.call(**GOOD)), Returns)
    assert isinstance(
        oracle.expect(NLL_LOSS.call(np.ones(3, np.float32), np.array(2), np.ones(3, np.float32))), Returns
    )
    assert isinstance(oracle.expect(NLL_LOSS.call(np.ones((1, 1, 1), np.float32), np.zeros((1, 1), np.uint8))), Returns)


@pytest.mark.parametrize("changed", [{"reduction": "avg"}, {"weight": np.ones(4, np.float32)}, {"weight": np.ones(3)}])
def test_a_target_out_of_range_beside_another_fault_is_an_applicable_category(
    changed: dict[str, Any],
) -> None:
    """A-8: with several errors present, any of the applicable categories may be raised first."""
    first = oracle.expect(NLL_LOSS.call(**(GOOD | changed)))
    expected = oracle.expect(NLL_LOSS.call(**(GOOD | {"target": np.array([0, 1, 3, 0])} | changed)))
    assert isinstance(first, Raises)
    assert isinstance(expected, Raises)
    assert expected.categories == first.categories | {"index"}


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("bad", [3, -1, -3, -100, 127])
@pytest.mark.parametrize("place", [0, 2, 3])
def test_targets_out_of_range_poison_their_position(place: int, bad: int, reduction: str) -> None:
    """ERR-1, ERR-2, and IGN-9: -100 is nothing special while something else is ignored."""
    target = np.array([0, 1, 2, 1], np.int8)
    target[place] = bad
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    expected = oracle.expect(NLL_LOSS.call(x, target, None, 1, reduction))
    assert isinstance(expected, Raises)
    assert expected.categories == {"index"}
    assert expected.poisoned is not None
    if reduction != "none":
        assert expected.poisoned.value == Limit(frozenset({"nan"}))
        return
    assert isinstance(expected.poisoned.value, Elementwise)
    plain = [-0.0, 0.0, -8.0, 0.0]  # positions 1 and 3 are ignored
    plain[place] = math.nan
    np.testing.assert_array_equal(expected.poisoned.value.value, plain)


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


# --- worked out by hand ----------------------------------------------------------------------------------


def f32(*numbers: float) -> Array:
    """A float32 array."""
    return np.array(numbers, np.float32)


def per_position(x: Array, w: Array | None, reduction: str = "mean", **options: Any) -> Call:
    """A call in which position n selects x[n] and w[n]: class n at position n."""
    n = x.size
    rows = np.full((n, n), np.nan, x.dtype)
    np.fill_diagonal(rows, x)
    return NLL_LOSS.call(rows, np.arange(n), w, reduction=reduction, **options)


def limit_of(call: Call) -> Limit:
    expected = oracle.expect(call)
    assert isinstance(expected, Returns)
    assert expected.shape == ()
    assert isinstance(expected.value, Limit)
    return expected.value


def element_of(call: Call) -> Elementwise:
    expected = oracle.expect(call)
    assert isinstance(expected, Returns)
    assert isinstance(expected.value, Elementwise)
    return expected.value


def reduction_of(call: Call) -> Reduction:
    expected = oracle.expect(call)
    assert isinstance(expected, Returns)
    assert isinstance(expected.value, Reduction)
    return expected.value


LIMITS: list[tuple[str, set[str], Array, Array | None, str]] = [
    ("S/0, S > 0", {"-inf"}, f32(3, 1), f32(1, -1), "mean"),
    ("S/0, S < 0", {"inf"}, f32(-3, 1), f32(1, -1), "mean"),
    ("0/0 by cancelling", {"nan"}, f32(2, 2), f32(1, -1), "mean"),
    ("0/0, zero weights", {"nan"}, f32(2, 5), f32(0, 0), "mean"),
    ("0/0, weights -0", {"nan"}, f32(2, 5), f32(-0.0, -0.0), "mean"),
    ("S/0 with a -0 among the weights", {"inf", "-inf"}, f32(3, 1, 1), f32(1, -1, -0.0), "mean"),
    ("S/0 with a +0 among the weights", {"-inf"}, f32(3, 1, 1), f32(1, -1, 0.0), "mean"),
    ("NaN at a kept target", {"nan"}, f32(1, NAN), None, "sum"),
    ("-inf gives +inf", {"inf"}, f32(1, -INF), None, "sum"),
    ("+inf gives -inf", {"-inf"}, f32(1, INF), None, "mean"),
    ("mixed infinities", {"nan"}, f32(INF, -INF), None, "sum"),
    ("0 * inf", {"nan"}, f32(1, -INF), f32(1, 0), "sum"),
    ("0 * inf in a mean", {"nan"}, f32(1, -INF), f32(1, 0), "mean"),
    ("negative weight on +inf", {"inf"}, f32(1, INF), f32(1, -1), "sum"),
    ("negative weights: -S/W", {"inf"}, f32(1, -INF), f32(-1, -2), "mean"),
    ("infinite weight", {"-inf"}, f32(1, 2), f32(1, INF), "sum"),
    ("infinite weight: inf/inf", {"nan"}, f32(1, 2), f32(1, INF), "mean"),
    ("infinite weight on 0", {"nan"}, f32(1, 0), f32(1, INF), "sum"),
    ("NaN weight", {"nan"}, f32(1, 2), f32(1, NAN), "sum"),
    ("inf over a W whose sign depends on order", {"inf", "-inf"},
     f32(INF, 1, 1, 1), f32(1, 2**-30, -1, -(2**-31)), "mean"),
    ("inf over a certified W < 0", {"inf"}, f32(1, INF), f32(-3, 2), "mean"),
    ("NaN beside finite terms that may overflow", {"nan"}, f32(NAN, 3e38, 3e38), None, "sum"),
]  # fmt: skip


@pytest.mark.parametrize(("allowed", "x", "w", "reduction"), [row[1:] for row in LIMITS], ids=[r[0] for r in LIMITS])
def test_limits_by_hand(allowed: set[str], x: Array, w: Array | None, reduction: str) -> None:
    call = per_position(x, w, reduction)
    assert limit_of(call).allowed == allowed
    assert disagreement(call) == ""


OVERFLOWS: list[tuple[str, set[str], Array, Array | None, str]] = [
    ("terms of the infinity's sign", {"inf"}, f32(-INF, -3e38, -3e38), None, "sum"),
    ("the same in a mean", {"inf"}, f32(-INF, -3e38, -3e38), None, "mean"),
    ("terms of the other sign", {"inf", "nan"}, f32(-INF, 3e38, 3e38), None, "sum"),
    ("W of one sign", {"nan", "-inf"}, f32(INF, 1), f32(3e38, 3e38), "mean"),
    ("infinite W", {"nan"}, f32(1, 3e38, 3e38), f32(INF, 1, 1), "mean"),
]


@pytest.mark.parametrize(
    ("allowed", "x", "w", "reduction"), [row[1:] for row in OVERFLOWS], ids=[row[0] for row in OVERFLOWS]
)
def test_overflow_beside_an_infinity_frees_no_more_than_it_can_cause(
    allowed: set[str], x: Array, w: Array | None, reduction: str
) -> None:
    """SPECIAL-1: inf + overflow to -inf is NaN; no order makes the other infinity, or NaN out of one sign."""
    call = per_position(x, w, reduction)
    assert opinion(call).limit == allowed
    assert allowed <= limit_of(call).allowed
    assert limit_of(call).allowed == allowed


def test_a_cancelling_normaliser_that_depends_on_order_is_not_judged() -> None:
    """1 + 2^-30 - 1 - 2^-30 is 0, but float32 finds 0 or 2^-30 or -2^-30, as the order goes."""
    call = per_position(f32(1, 2, 3, 4), f32(1, 2**-30, -1, -(2**-30)))
    expected = oracle.expect(call)
    assert isinstance(expected, Returns)
    assert isinstance(expected.value, Unjudgeable)
    assert disagreement(call) == ""


@pytest.mark.parametrize(("reduction", "word"), [("sum", "0"), ("mean", "nan")])
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0), (2, 3, 4, 0)])
def test_empty_batches(shape: tuple[int, ...], reduction: str, word: str) -> None:
    target = np.zeros(shape[:1] + shape[2:], np.int64)
    assert limit_of(NLL_LOSS.call(np.ones(shape, np.float32), target, reduction=reduction)).allowed == {word}


@pytest.mark.parametrize(("reduction", "word"), [("sum", "0"), ("mean", "nan")])
def test_all_ignored(reduction: str, word: str) -> None:
    x, target = np.full((3, 2), np.nan, np.float32), np.full(3, -100)
    assert limit_of(NLL_LOSS.call(x, target, f32(NAN, INF), reduction=reduction)).allowed == {word}
    assert element_of(NLL_LOSS.call(x, target, f32(NAN, INF), reduction="none")).value.tolist() == [0, 0, 0]


def test_ignored_rows_other_classes_and_unselected_weights_do_not_matter() -> None:
    x = f32(NAN, 0.5, -2, INF, NAN, -INF).reshape(3, 2)
    call = NLL_LOSS.call(x, np.array([1, 0, -100]), f32(3, 2), reduction="mean")
    reduction = reduction_of(call)
    assert reduction.exact == Fraction(-(2 * Fraction(1, 2) + 3 * -2), 5)
    ignored_class = NLL_LOSS.call(x, np.array([1, 0, 0]), f32(NAN, 2), 0, "mean")
    assert reduction_of(ignored_class).exact == Fraction(-1, 2)
    assert reduction_of(ignored_class).n == 1
    assert reduction_of(ignored_class).positions == 3


@pytest.mark.parametrize(("dtype", "label", "sentinel"), [("uint8", 156, -100), ("uint8", 255, -1),
                                                          ("int8", 44, 300), ("uint16", 65436, -100),
                                                          ("int16", -1, 65535), ("uint64", 2**64 - 100, -100),
                                                          ("int64", -1, 2**64 - 1)])  # fmt: skip
def test_a_sentinel_the_target_cannot_hold_ignores_nothing(dtype: str, label: int, sentinel: int) -> None:
    """IGN-8: uint8 156 is not -100."""
    x = np.zeros((2, 200), np.float32)
    x[:, 156] = -7
    x[:, 44] = -5
    call = NLL_LOSS.call(x, np.array([label, 0], dtype), None, sentinel, "none")
    expected = oracle.expect(call)
    if not 0 <= label < 200:
        assert isinstance(expected, Raises)
        assert expected.poisoned is not None
        assert isinstance(expected.poisoned.value, Elementwise)
        assert np.isnan(expected.poisoned.value.value).tolist() == [True, False]
    else:
        assert element_of(call).value.tolist() == [{156: 7, 44: 5}[label], 0]
    assert disagreement(call) == ""


@pytest.mark.parametrize("sentinel", [-1, -100, 3, 4, 255, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)])
def test_sentinels_outside_the_classes_ignore(sentinel: int) -> None:
    """IGN-4; and IGN-9 by comparison: the same label under another sentinel is an index error."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    target = np.array([sentinel, 1])
    assert element_of(NLL_LOSS.call(x, target, None, sentinel, "none")).value.tolist() == [0, -4]
    assert isinstance(oracle.expect(NLL_LOSS.call(x, target, None, 0, "none")), Raises)


def test_class_axis_is_1_even_between_equal_lengths() -> None:
    x = np.arange(27, dtype=np.float64).reshape(3, 3, 3)
    target = np.array([[0, 1, 2], [2, 1, 0], [1, 1, 1]])
    expected = [[-float(x[n, target[n, d], d]) for d in range(3)] for n in range(3)]
    assert element_of(NLL_LOSS.call(x, target, None, reduction="none")).value.tolist() == expected


def test_unbatched() -> None:
    value = element_of(NLL_LOSS.call(f32(1, 2, 3), np.array(2), f32(1, 1, 4), reduction="none")).value
    assert (value.shape, value.dtype, float(value)) == ((), np.float32, -12.0)
    assert reduction_of(NLL_LOSS.call(f32(1, 2, 3), np.array(2), f32(1, 1, 4))).exact == -3
    assert limit_of(NLL_LOSS.call(f32(1, 2, 3), np.array(-100), f32(1, 1, 4))).allowed == {"nan"}
    assert element_of(NLL_LOSS.call(f32(1, 2, 3), np.array(-100), reduction="none")).value.shape == ()


def test_no_classes() -> None:
    """SHAPE-8 records; a kept target has no class to name and is out of range."""
    x = np.zeros((2, 0), np.float32)
    assert oracle.expect(NLL_LOSS.call(x, np.full(2, -100))) == Unspecified("SHAPE-8")
    assert oracle.expect(NLL_LOSS.call(x[:0], np.zeros(0, int))) == Unspecified("SHAPE-8")
    expected = oracle.expect(NLL_LOSS.call(x, np.array([0, -100]), reduction="none"))
    assert isinstance(expected, Raises)
    assert expected.poisoned is not None
    assert isinstance(expected.poisoned.value, Elementwise)
    np.testing.assert_array_equal(expected.poisoned.value.value, [math.nan, 0])


def test_subnormal_products_by_hand() -> None:
    """float16: mu = 2^-24, lambda = 2^-14. 0.75 mu rounds to mu, half of mu to 0, 1.5 mu to 2 mu."""
    mu = 2.0**-24
    x = np.array([mu, mu, 3 * mu, 2**-14, 1], np.float16)
    w = np.array([0.75, 0.5, 0.5, 0.5, 1], np.float16)
    element = element_of(per_position(x, w, "none"))
    assert element.value.tolist() == [-mu, 0, -2 * mu, -(2.0**-15), -1]
    assert element.loose.tolist() == [True, True, True, True, False]
    assert element.flushable.tolist() == [True, True, True, True, False]


def test_a_product_equal_to_the_smallest_normal_is_neither_loose_nor_flushable() -> None:
    """lambda is normal: ACC-1 frees subnormal products only, and DENORM results below lambda only."""
    for name in FLOAT_DTYPES:
        tiny = float(second_oracle.smallest_normal(name))
        element = element_of(per_position(cast([2 * tiny], name), cast([0.5], name), "none"))
        assert float(element.value[0]) == -tiny
        assert element.loose.tolist() == [False]
        assert element.flushable.tolist() == [False]


def test_bfloat16_products_below_float32() -> None:
    """2^-70 * 1.5 2^-64 = 1.5 2^-134 rounds to 2^-133, bfloat16's smallest number, and 2^-134 to 0."""
    x = cast([1.5 * 2.0**-64, 2.0**-64, 2.0**-120], "bfloat16")
    w = cast([2.0**-70, 2.0**-70, 2.0**-120], "bfloat16")
    assert element_of(per_position(x, w, "none")).value.astype(np.float64).tolist() == [-(2.0**-133), 0, 0]


def test_class_counts_beyond_the_target_dtype() -> None:
    """VALUE-7: C = 70,000 with int8 and uint16 targets."""
    x = -np.arange(70_000, dtype=np.float32).reshape(1, -1)
    for dtype, label in (("int8", 127), ("uint8", 255), ("uint16", 65535), ("int32", 69_999)):
        assert element_of(NLL_LOSS.call(x, np.array([label], dtype), reduction="none")).value.tolist() == [label]


# --- flush to zero ---------------------------------------------------------------------------------------

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
    reachable = second_oracle.flushed_limits(call) - {"finite"}
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
        if "zero" not in outcomes and product is not None and abs(product) > second_oracle.smallest_normal(dtype):
            assert not bool(element.flushable.flat[at])


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
    monkeypatch.setattr(oracle, name, wrong)

    def shows(call: Call, theirs: Opinion) -> bool:
        try:
            return bool(disagreement(call, theirs))
        except (AssertionError, IndexError, KeyError, TypeError, ValueError):
            return True

    assert any(shows(*pair) for pair in _sweep())
