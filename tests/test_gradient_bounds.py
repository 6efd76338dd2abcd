"""The bound on a mean's gradient g w/W: what any legal arithmetic computes is within it, what is wrong is outside.

A false alarm is the worst that can happen, so every order in which W can be summed is paired with every order in which
g, w and W can be combined, on ordinary, tiny, huge and cancelling data, and none of it may be judged FAIL.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from lossparity.conformance.judging.judge import Judgement, Traits, judge
from lossparity.specs.call import FLOAT_DTYPES, Array, Returned, Transform, dtype_of
from lossparity.specs.case import Case, Returns, Sparse, Status, Within
from lossparity.specs.exact import FORMATS
from lossparity.specs.nll_loss.generate import transformed
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.reductions import Arithmetic

STRICT, FLUSHING = Traits(), Traits(Arithmetic(flush=True))
HALVES = ("float16", "bfloat16")
# The accumulators that numerics.md allows for each format: the required one, and wider ones.
ACCUMULATORS = {
    "float16": (np.float32, np.float64),
    "bfloat16": (np.float32, np.float64),
    "float32": (np.float32, np.float64),
    "float64": (np.float64,),
}
Rounding = Callable[[Array], Array]  # what arithmetic does to each result, beyond rounding to nearest


# --- ways to compute -------------------------------------------------------------------------------------


def keep(value: Array) -> Array:
    """IEEE 754."""
    return value


def flush(value: Array) -> Array:
    """Subnormal numbers become 0."""
    tiny = float(FORMATS[value.dtype.name].smallest_normal)
    return np.where(np.abs(value.astype(np.float64)) < tiny, value.dtype.type(0), value)


def sequential(terms: Array, rounding: Rounding) -> Array:
    """A running sum."""
    total = terms[:1]
    for index in range(1, terms.size):
        total = rounding(total + terms[index : index + 1])
    return total


def pairwise(terms: Array, rounding: Rounding) -> Array:
    """A balanced tree."""
    while terms.size > 1:
        odd = terms[terms.size & ~1 :]
        terms = np.concatenate([rounding(terms[: terms.size & ~1 : 2] + terms[1::2]), odd])
    return terms


def sums(terms: Array, rounding: Rounding = keep) -> Iterator[Array]:
    """W in several orders."""
    if rounding is keep:
        yield np.add.accumulate(terms)[-1:]
        yield np.add.accumulate(terms[::-1])[-1:]
    else:
        yield sequential(terms, rounding)
    yield pairwise(terms, rounding)
    yield pairwise(np.sort(terms)[::-1], rounding)


def slopes(g: Array, w: Array, total: Array, rounding: Rounding = keep) -> Iterator[Array]:
    """g w/W in several orders."""
    r, inverse = rounding, rounding(g.dtype.type(1) / total)
    yield r(r(g * w) / total)
    yield r(r(g / total) * w)
    yield r(g * r(w / total))
    yield r(r(g * w) * inverse)
    yield r(r(g * inverse) * w)
    yield r(g * r(w * inverse))


def computed(case: Case, accumulator: Any, rounding: Rounding = keep) -> Iterator[Array]:
    """The case's whole gradient, by each pair of orders, rounded to its format at the end."""
    call, (w, g) = case.call, factors(case)
    with np.errstate(all="ignore"):
        w, g = (rounding(value).astype(accumulator) for value in (w, g))
        for total in sums(w, rounding):
            for slope in slopes(g, w, total, rounding):
                yield placed(case, rounding(-slope.astype(call["input"].dtype)))


def factors(case: Case) -> tuple[Array, Array]:
    """w of each kept position, and g."""
    call = case.call
    assert call.transform is not None
    assert call.transform.upstream is not None
    labels = call["target"][call["target"] != call["ignore_index"]]
    weight = np.ones(call["input"].shape[1], call["input"].dtype) if call["weight"] is None else call["weight"]
    return weight[labels], call.transform.upstream.reshape(1)


def placed(case: Case, slope: Array) -> Array:
    """A gradient with these slopes at the entries of kept positions."""
    gradient = np.zeros(case.call["input"].shape, case.call["input"].dtype)
    rows = np.flatnonzero(case.call["target"] != case.call["ignore_index"])
    gradient[rows, case.call["target"][rows]] = slope
    return gradient


# --- data ------------------------------------------------------------------------------------------------

UPSTREAMS = ("one", "some", "tiny", "huge", "negative", "zero", "subnormal")
WEIGHTS = ("none", "some", "signs", "cancelling", "wide", "tiny", "huge", "subnormal", "one_subnormal")


def case_of(weight: Any, g: float, target: Any, dtype: str, classes: int = 1) -> Case:
    """The gradient of a mean; the input itself does not matter."""
    kind, target = dtype_of(dtype), np.array(target)
    classes = classes if weight is None else len(weight)
    weight = None if weight is None else np.array(weight).astype(kind)
    transform = Transform("gradient", np.array(g).astype(kind))
    call = NLL_LOSS.call(np.zeros((target.size, classes), kind), target, weight, -100, "mean", transform=transform)
    return transformed(call, "gradient", 1, "test")


def drawn(rng: np.random.Generator, dtype: str, weights: str, upstream: str) -> Case:
    """Up to 300 positions, one in eight ignored, of up to seven classes."""
    fmt, classes = FORMATS[dtype], int(rng.choice([1, 2, 7]))
    n, some = int(rng.choice([1, 2, 3, 5, 17, 64, 300])), rng.uniform(0.25, 2, classes)
    target = rng.integers(0, classes, n)
    target[1:][rng.integers(0, 8, n - 1) == 0] = -100
    quarter = (fmt.emax - fmt.emin) // 8
    weight: Any = {
        "none": None,
        "some": some,
        "signs": some * rng.choice([-1, 1], classes),
        "cancelling": 1.0 - np.arange(classes) % 2 * (2 - 2.0**-6),
        "wide": np.ldexp(some, rng.integers(-quarter, quarter, classes)),
        "tiny": np.ldexp(some, fmt.emin // 2),
        "huge": np.ldexp(some, fmt.emax // 2),
        "subnormal": np.ldexp(some, fmt.emin - 1),
        "one_subnormal": np.ldexp(some, np.where(np.arange(classes) == 0, fmt.emin - 2, fmt.emin // 4)),
    }[weights]
    one = float(rng.uniform(0.25, 2))
    g = {"one": 1.0, "some": one, "negative": -one, "zero": 0.0}.get(upstream)
    if g is None:
        g = float(np.ldexp(one, {"tiny": fmt.emin + 2, "huge": fmt.emax // 2, "subnormal": fmt.emin - 2}[upstream]))
    return case_of(weight, g, target, dtype, classes)


def bands(case: Case) -> Within | None:
    """What is said about the slopes, None where nothing is."""
    assert isinstance(case.expectation, Returns)
    gradient = case.expectation.value
    return gradient.entries if isinstance(gradient, Sparse) and isinstance(gradient.entries, Within) else None


def cases(dtype: str, repeats: int = 2) -> Iterator[Case]:
    """Every kind of weights with every kind of upstream gradient."""
    rng = np.random.default_rng(FLOAT_DTYPES.index(dtype))
    for weights, upstream, _ in itertools.product(WEIGHTS, UPSTREAMS, range(repeats)):
        yield drawn(rng, dtype, weights, upstream)


def say(case: Case, gradient: Array, judgement: Judgement) -> str:
    """What to show when a right gradient is judged wrong."""
    w, g = factors(case)
    return f"{judgement.symptom} at {judgement.where}: w {w[:5]}, g {g}, {gradient[judgement.where]}, {bands(case)}"


# --- no false alarm --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_no_legal_way_is_accused(dtype: str) -> None:
    """GRAD-5: any order of summation and of the operations, in the required accumulator or a wider one."""
    judged = total = 0
    for case in cases(dtype, repeats=4):
        for accumulator in ACCUMULATORS[dtype]:
            for gradient in computed(case, accumulator):
                judgement = judge(case, Returned(gradient), STRICT)
                assert judgement.status is not Status.FAIL, say(case, gradient, judgement)
                judged, total = judged + (judgement.status is Status.PASS), total + 1
    assert judged > 0.7 * total  # not because nothing is said


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_no_flushing_arithmetic_is_accused(dtype: str) -> None:
    """DENORM: every operand and every result below the normal range becomes 0, on a subject that flushes."""
    for case in cases(dtype):
        for gradient in computed(case, ACCUMULATORS[dtype][0], flush):
            judgement = judge(case, Returned(gradient), FLUSHING)
            assert judgement.status is not Status.FAIL, say(case, gradient, judgement)


@pytest.mark.parametrize("dtype", HALVES)
def test_own_precision_is_inaccurate_at_most(dtype: str) -> None:
    """A half-precision gradient computed in half precision is a divergence of accuracy: its value is no nonsense."""
    inaccurate = 0
    for case in cases(dtype):
        for gradient in computed(case, dtype_of(dtype)):
            judgement = judge(case, Returned(gradient), STRICT)
            assert judgement.aspects.get("value") is not Status.FAIL, say(case, gradient, judgement)
            inaccurate += judgement.symptom == "inaccurate"
    assert inaccurate > 0


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("upstream", ["one", "tiny"])
def test_slopes_next_to_a_tie_may_be_rounded_to_either_side(upstream: str, dtype: str) -> None:
    """Two orders in float32 differ in the last bit, and so their roundings to half precision: one such in 10,000."""
    rng, kind = np.random.default_rng(3), dtype_of(dtype)
    scale = FORMATS[dtype].emin if upstream == "tiny" else 0
    w = rng.uniform(0.25, 2, (300_000, 2)).astype(kind)
    g = np.ldexp(rng.uniform(0.25, 2, (300_000, 1)), scale).astype(kind)
    wide, up = w.astype(np.float32), g.astype(np.float32)
    ways = [-slope.astype(kind) for slope in slopes(up, wide, wide.sum(1, keepdims=True))]
    disputed = np.flatnonzero(np.any([(way != ways[0]).any(1) for way in ways], axis=0))
    assert disputed.size >= 3
    for row in disputed[:40]:
        case = case_of(w[row], float(g[row, 0]), [0, 1], dtype)
        for way in ways:
            judgement = judge(case, Returned(placed(case, way[row])), STRICT)
            assert judgement.status is not Status.FAIL, say(case, placed(case, way[row]), judgement)


def test_a_long_mean_in_float16() -> None:
    """1/n is subnormal beyond 16,384 positions, and still n is exact in float32."""
    for n in (2049, 16_385, 65_537):
        case = case_of(None, 1.5, np.zeros(n, np.int64), "float16")
        for accumulator in ACCUMULATORS["float16"]:
            for slope in (np.array(1.5, accumulator) / accumulator(n), accumulator(1.5) * (1 / accumulator(n))):
                assert judge(case, Returned(placed(case, -slope.astype(np.float16))), STRICT).status is Status.PASS


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_subnormal_weights_may_all_be_read_as_zero(dtype: str) -> None:
    """DENORM: then W is 0 and each slope 0/0, even where 1/W would not have overflowed."""
    tiny = float(FORMATS[dtype].smallest_normal)
    case = case_of([tiny / 4], 1.0, np.zeros(64, np.int64), dtype)
    gradient = placed(case, np.full(64, np.nan).astype(dtype_of(dtype)))
    assert judge(case, Returned(gradient), FLUSHING).status is not Status.FAIL
    assert judge(case, Returned(gradient), STRICT).status is Status.FAIL


def test_a_subnormal_operand_may_be_read_as_zero() -> None:
    """DENORM: what that costs is the whole slope, which is no small number where W is smaller than w or than g."""
    tiny = 2.0**-126
    small_g = case_of([100.0, -99.9], 0.9 * tiny, [0, 1], "float32")
    assert judge(small_g, Returned(placed(small_g, np.float32(0))), FLUSHING).status is not Status.FAIL
    small_w = case_of([0.9 * tiny, 2.0**-10], 2.0**20, [0, 1], "float32")
    slopes = np.array([0, -(2.0**20)], np.float32)
    assert judge(small_w, Returned(placed(small_w, slopes)), FLUSHING).status is not Status.FAIL


# --- no blindness ----------------------------------------------------------------------------------------


WRONG: dict[str, Callable[[Array, Array], Array]] = {
    "W counts one position too many": lambda w, g: w * g / (w.sum() + w[0]),
    "W counts one position too few": lambda w, g: w * g / (w.sum() - w[0]),
    "W is left out": lambda w, g: w * g,
    "W is the count": lambda w, g: w * g / w.size,
    "W is 1 at least": lambda w, g: w * g / max(w.sum(), 100.0),
    "g is left out": lambda w, g: w / w.sum(),
    "g is squared": lambda w, g: w * g * g / w.sum(),
    "w is left out": lambda w, g: np.full(w.size, g / w.sum()),
    "w is applied twice": lambda w, g: w * w * g / w.sum(),
    "the sign is wrong": lambda w, g: -w * g / w.sum(),
    "everything is 0": lambda w, g: w * 0,
    "NaN": lambda w, g: w * np.nan,
}


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_way_is_outside(name: str, dtype: str) -> None:
    """Twenty positions: even bfloat16 tells W from W + w."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        weight, target = rng.uniform(0.5, 0.9, 3), rng.integers(0, 3, 20)
        case = case_of(weight, 1.75, target, dtype)
        w, g = (value.astype(np.float64) for value in factors(case))
        right = judge(case, Returned(placed(case, (-w * g / w.sum()).astype(dtype_of(dtype)))), STRICT)
        wrong = judge(case, Returned(placed(case, (-WRONG[name](w, g)).astype(dtype_of(dtype)))), STRICT)
        assert right.status is Status.PASS
        assert wrong.status is Status.FAIL
        # Running sums in half precision may be off by as much; in float32 and float64 nothing explains it.
        assert dtype in HALVES or wrong.aspects["value"] is Status.FAIL


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_normalisers_are_outside(dtype: str) -> None:
    """numerics.md: a half-precision gradient computed in its own precision is a divergence, not a tolerance."""
    case = case_of(None, 1.0, np.zeros(3000, np.int64), dtype)
    stuck = {"float16": 2048, "bfloat16": 256}[dtype]  # where a running count stops
    wrong = judge(case, Returned(placed(case, np.array(-1 / stuck).astype(dtype_of(dtype)))), STRICT)
    assert (wrong.status, wrong.symptom) == (Status.FAIL, "inaccurate")


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_the_band_of_a_short_mean_is_a_few_units_wide(dtype: str) -> None:
    """Three roundings for the operations, as many as terms for W, one to the format: no more is given away."""
    case = case_of([1.0, 3.0, 0.7], 1.3, [0, 1, 2], dtype)
    found = bands(case)
    assert found is not None
    assert found.informative.all()
    unit = np.spacing(np.abs(found.rounded.astype(np.float32 if dtype in HALVES else dtype_of(dtype))))
    if dtype in HALVES:
        unit = unit * 2.0 ** (24 - FORMATS[dtype].t)
    allowed = 1 if dtype in HALVES else 8
    assert (
        np.abs(found.required.high.astype(np.float64) - found.required.low.astype(np.float64)) <= allowed * unit
    ).all()


def test_what_own_precision_cannot_say_is_open() -> None:
    """float16 cannot even hold W = 70,000, so its precision is no excuse for a slope that is 70,000 times too large."""
    case = case_of(None, 1.0, np.zeros(70_000, np.int64), "float16")
    judgement = judge(case, Returned(placed(case, np.float16(-1))), STRICT)
    assert (judgement.status, judgement.aspects["value"]) == (Status.FAIL, Status.UNINFORMATIVE)


@pytest.mark.parametrize(
    ("why", "weight", "g"),
    [
        ("g w overflows", [2.0**120], 2.0**20),
        ("W overflows", [2.0**127], 1.0),
        ("1/W overflows", [2.0**-140], 1.0),
        ("W may be 0", [1.0, 2.0**-25, -1.0], 1.0),
    ],
)
def test_what_is_free_is_free_for_a_reason(why: str, weight: list[float], g: float) -> None:
    """Beyond the accumulator's range, or where W may be rounded to 0, nothing is said."""
    case = case_of(weight, g, [0, 1, 2] if len(weight) == 3 else [0, 0, 0], "float32")
    found = bands(case)
    assert found is not None, why
    assert found.required.free.all()
    assert not found.informative.any()
    assert judge(case, Returned(placed(case, np.float32(7))), STRICT).status is Status.UNINFORMATIVE


def test_one_slope_that_says_something_is_enough() -> None:
    """g w overflows for the first class alone: the second one's slope still passes, or convicts."""
    case = case_of([2.0**120, 1.0], 2.0**10, [0, 1], "float32")
    right, wrong = np.array([7, -(2.0**-110)], np.float32), np.array([7, -(2.0**-109)], np.float32)
    assert judge(case, Returned(placed(case, right)), STRICT).status is Status.PASS
    assert judge(case, Returned(placed(case, wrong)), STRICT).where == (1, 1)
