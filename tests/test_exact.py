"""Exact sums and products, and correct rounding, against `Fraction` and against the formats' own bits."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import second_oracle
from lossparity.specs import exact
from lossparity.specs.call import FLOAT_DTYPES, Array, dtype_of
from lossparity.specs.exact import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    FORMATS,
    ExactSum,
    Format,
    as_format,
    exact_dot,
    exact_sum,
    floor_log2,
    keeps_subnormals,
    neighbour,
    ordinal,
    round_to,
    rounded_product,
    steps_between,
    ulp,
)

TWO = Fraction(2)
SIZES = (0, 1, 2, 7, 127, 128, 129, 1000)


def cast(values: object, name: str) -> Array:
    """float64 numbers in a format."""
    with np.errstate(all="ignore"):
        return np.asarray(values, dtype=np.float64).astype(dtype_of(name))


def fractions(array: Array) -> list[Fraction]:
    """Every element, exactly."""
    return [Fraction(value) for value in array.astype(np.float64).ravel().tolist()]


def plain(terms: list[Fraction]) -> ExactSum:
    """The sum by the second oracle's plain loops."""
    total = second_oracle.sum_of(terms)
    return ExactSum(total, second_oracle.sum_of([abs(term) for term in terms]), second_oracle.common_quantum(terms))


def finite_bits(rng: np.random.Generator, size: int, name: str) -> Array:
    """Finite numbers drawn uniformly over bit patterns: every exponent, subnormals included."""
    dtype = dtype_of(name)
    drawn = np.frombuffer(rng.bytes((4 * size + 64) * dtype.itemsize), dtype)
    with np.errstate(all="ignore"):
        return drawn[np.isfinite(drawn.astype(np.float64))][:size].copy()


def data(kind: str, size: int, name: str) -> Array:
    """An array of one adversarial kind."""
    rng = np.random.default_rng(size)
    fmt = FORMATS[name]
    mu, largest = float(fmt.smallest_subnormal), float(fmt.largest)
    match kind:
        case "bits":
            return finite_bits(rng, size, name)
        case "subnormal":
            return cast(rng.integers(-3, 4, size) * mu, name)
        case "zeros":
            return cast(np.where(np.arange(size) % 2, -0.0, 0.0), name)
        case "largest":  # cancels down to what a single tiny term leaves
            signs = np.where(np.arange(size) % 2, -1.0, 1.0)
            array = cast(signs * largest, name)
            array[: size // 3] = cast(mu, name)
            return array
        case "one odd bit":
            array = cast(np.full(size, largest), name)
            array[size // 2 :] = cast(-3 * mu, name)
            return array
        case _:  # full significands around one
            return cast(rng.uniform(-2, 2, size), name)


KINDS = ("bits", "subnormal", "zeros", "largest", "one odd bit", "around one")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_exact_sum(name: str, kind: str, size: int) -> None:
    array = data(kind, size, name)
    assert exact_sum(array) == plain(fractions(array))
    assert exact_sum(-array).total == -exact_sum(array).total
    assert exact_sum(array[::-1]) == exact_sum(array)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_exact_dot(name: str, kind: str, size: int) -> None:
    """Products reach 2^-2148 and 2^2048 in float64: neither may be lost."""
    values = data(kind, size, name)
    for other in ("bits", kind):
        weights = np.roll(data(other, size, name), 1)
        terms = [w * x for w, x in zip(fractions(weights), fractions(values), strict=True)]
        assert exact_dot(weights, values) == plain(terms)


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_exact_sum_takes_any_shape(name: str) -> None:
    array = data("bits", 600, name)
    assert exact_sum(array.reshape(5, 4, 30)) == exact_sum(array)
    assert exact_sum(array[:1].reshape(())) == exact_sum(array[:1])


@pytest.mark.parametrize("shape", [(2, 3), (20, 30)])
def test_exact_dot_takes_any_shape(shape: tuple[int, ...]) -> None:
    """Its contract is "two finite arrays of one shape"."""
    weights, values = (data("bits", math.prod(shape), "float64") for _ in range(2))
    assert exact_dot(weights.reshape(shape), values.reshape(shape)) == exact_dot(weights, values)


def test_sums_do_not_change_where_the_implementation_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop and the bins give the same for the same data, in one block or in many."""
    weights, values = data("bits", 100, "float64"), data("around one", 100, "float64")
    looped = exact_sum(values), exact_dot(weights, values)
    monkeypatch.setattr(exact, "_VECTORISE_FROM", 0)
    assert (exact_sum(values), exact_dot(weights, values)) == looped
    monkeypatch.setattr(exact, "_BLOCK", 7)
    assert (exact_sum(values), exact_dot(weights, values)) == looped


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_blocks_beyond_2_20(name: str) -> None:
    """The fullest significands, 2^20 + 3 times: a bin holds as much as it can, and a second block begins."""
    n = (1 << 20) + 3
    value = np.nextafter(dtype_of(name).type(2), dtype_of(name).type(0))
    array = np.full(n, value)
    array[-2:] = [-value, float(FORMATS[name].smallest_subnormal)]
    expected = (n - 3) * Fraction(float(value)) + FORMATS[name].smallest_subnormal
    assert exact_sum(array).total == expected
    assert exact_sum(array).magnitude == expected + 2 * Fraction(float(value))
    assert TWO ** exact_sum(array).quantum == FORMATS[name].smallest_subnormal
    squares = exact_dot(array[:-1], array[:-1])
    assert squares.total == squares.magnitude == (n - 1) * Fraction(float(value)) ** 2


@pytest.mark.parametrize("size", [3, 200])
@pytest.mark.parametrize(
    ("values", "quantum"),
    [([0.0], 0), ([1.0], 0), ([12.0, 0.0], 2), ([12.0, 0.75], -2), ([5e-324], -1074), ([-(2.0**1000)], 1000)],
)
def test_quantum(values: list[float], quantum: int, size: int) -> None:
    assert exact_sum(np.resize(np.array(values), size)).quantum == quantum


@pytest.mark.parametrize("size", [3, 200])
def test_quantum_of_products(size: int) -> None:
    """The products' own power of two, not the factors': 6 * 10 = 15 * 2^2; (2^27+1)(2^27+1) is odd."""
    assert exact_dot(np.full(size, 6.0), np.full(size, 10.0)).quantum == 2
    assert exact_dot(np.full(size, 2.0**27 + 1), np.full(size, 2.0**27 + 1)).quantum == 0
    assert exact_dot(np.full(size, 5e-324), np.full(size, 5e-324)).quantum == -2148
    assert exact_sum(np.zeros(0)) == ExactSum(Fraction(0), Fraction(0), 0)


# --- rounding --------------------------------------------------------------------------------------------


def test_format_constants() -> None:
    """Against NumPy's and ml_dtypes' own tables."""
    for name, fmt in FORMATS.items():
        ones = np.array([1.0]).astype(dtype_of(name))
        assert Fraction(float(neighbour(ones)[0])) - 1 == Fraction(fmt.u) * 2
        assert fmt.smallest_subnormal == second_oracle.spacing(name)
        assert fmt.smallest_normal == second_oracle.smallest_normal(name)
        assert fmt.largest == second_oracle.decode(second_oracle.infinity_code(name) - 1, name)
        assert fmt.overflow_threshold == fmt.largest + ulp(fmt.largest, fmt) / 2
    for name in ("float16", "float32", "float64"):
        info = np.finfo(name)
        assert (float(FORMATS[name].largest), float(FORMATS[name].smallest_subnormal)) == (
            float(info.max),
            float(info.smallest_subnormal),
        )


def test_round_to_float16_exhaustively() -> None:
    """Every adjacent pair: the midpoint goes to the even one, a hair beside it to the nearer one."""
    codes = np.arange(0x7C00, dtype=np.uint16)
    numbers = [
        *codes.view(np.float16).astype(np.float64).tolist(),
        65536.0,
    ]  # where infinity stands in the order
    hair = TWO**-40
    for code, (low, high) in enumerate(itertools.pairwise(numbers)):
        upper = high if high < 65536 else math.inf
        middle = (Fraction(low) + Fraction(high)) / 2
        assert round_to(middle, FLOAT16) == (low if code % 2 == 0 else upper)
        assert round_to(middle - hair, FLOAT16) == low
        assert round_to(middle + hair, FLOAT16) == upper
        assert round_to(Fraction(low), FLOAT16) == low
        if code % 64 in (0, 63):
            assert round_to(-middle, FLOAT16) == -(low if code % 2 == 0 else upper)
            assert round_to(-middle - hair, FLOAT16) == -upper


def test_the_second_oracle_rounds_to_float16_like_numpy() -> None:
    """The yardstick itself: bisection over codes agrees with the processor on random float64 numbers."""
    rng = np.random.default_rng(5)
    numbers = np.concatenate([2.0 ** rng.uniform(-26, 17, 1000), rng.uniform(0, 70000, 300)])
    with np.errstate(over="ignore"):
        expected = numbers.astype(np.float16).view(np.uint16).tolist()
    assert [second_oracle.nearest_code(Fraction(number), "float16") for number in numbers.tolist()] == expected


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_round_to_around_random_midpoints(name: str) -> None:
    """Numbers, midpoints and their surroundings, down to a distance no wider format can hold."""
    rng = np.random.default_rng(11)
    fmt = FORMATS[name]
    for number in np.abs(finite_bits(rng, 150, name).astype(np.float64)).tolist():
        spacing = ulp(Fraction(number), fmt)
        for offset in (
            0,
            spacing / 2,
            spacing / 2 - spacing * TWO**-3000,
            spacing / 2 + spacing * TWO**-3000,
            -spacing / 3,
        ):
            value = Fraction(number) + offset
            got = as_format(round_to(value, fmt), fmt)
            assert int(got.view(f"u{got.dtype.itemsize}")) & ~(1 << (8 * got.dtype.itemsize - 1)) == (
                second_oracle.nearest_code(abs(value), name)
            )


@pytest.mark.parametrize(
    ("value", "fmt", "expected"),
    [
        (1 + TWO**-24 + TWO**-80, FLOAT32, 1 + 2.0**-23),  # through float64 it would be a tie, and 1
        (1 + TWO**-24, FLOAT32, 1.0),
        (1 + 3 * TWO**-24, FLOAT32, 1 + 2.0**-22),
        (1 + TWO**-11 + TWO**-40, FLOAT16, 1 + 2.0**-10),  # through float32 a tie
        (1 + TWO**-8 + TWO**-40, BFLOAT16, 1 + 2.0**-7),
        (1 + TWO**-53 + TWO**-2000, FLOAT64, 1 + 2.0**-52),
        (1 + TWO**-53, FLOAT64, 1.0),
        (TWO**-25, FLOAT16, 0.0),
        (TWO**-25 + TWO**-60, FLOAT16, 2.0**-24),
        (TWO**-1075, FLOAT64, 0.0),
        (TWO**-1075 + TWO**-2000, FLOAT64, 5e-324),
        (3 * TWO**-1075, FLOAT64, 1e-323),
        (TWO**-14 - TWO**-26, FLOAT16, 2.0**-14),  # rounds up into the normal numbers
        (Fraction(1, 3), FLOAT64, 1 / 3),
        (Fraction(0), FLOAT64, 0.0),
    ],
)
def test_round_to_by_hand(value: Fraction, fmt: Format, expected: float) -> None:
    assert round_to(value, fmt) == expected
    assert round_to(-value, fmt) == -expected


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_overflow_threshold(name: str) -> None:
    fmt = FORMATS[name]
    threshold, hair = fmt.overflow_threshold, TWO**-5000
    assert round_to(threshold, fmt) == math.inf
    assert round_to(threshold - hair, fmt) == float(fmt.largest)
    assert round_to(-threshold, fmt) == -math.inf
    assert round_to(hair - threshold, fmt) == -float(fmt.largest)
    assert round_to(threshold * TWO**3000, fmt) == math.inf


def test_what_rounds_to_zero_keeps_its_sign() -> None:
    """As IEEE 754 rounds."""
    for value, sign in ((Fraction(0), 1), (TWO**-2000, 1), (-(TWO**-2000), -1)):
        assert round_to(value, FLOAT64) == 0
        assert math.copysign(1, round_to(value, FLOAT64)) == sign


def test_floor_log2() -> None:
    for exponent in (-3000, -1, 0, 1, 3000):
        for numerator, shift in ((1, 0), (3, 1), (2**60 - 1, 59), (2**60 + 1, 60)):
            assert floor_log2(numerator * TWO**exponent) == exponent + shift
            assert floor_log2(-numerator * TWO**exponent) == exponent + shift
    assert floor_log2(Fraction(1, 3)) == -2
    assert floor_log2(Fraction(2, 3)) == -1
    assert floor_log2(Fraction(5, 3)) == 0


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_ulp(name: str) -> None:
    """The distance to the next number outwards, and the last finite spacing beyond the largest."""
    fmt = FORMATS[name]
    rng = np.random.default_rng(2)
    numbers = finite_bits(rng, 200, name)
    for number, outwards in zip(fractions(numbers), neighbour(numbers).astype(np.float64).tolist(), strict=True):
        if math.isfinite(outwards):
            assert ulp(number, fmt) == abs(Fraction(outwards) - number)
            assert ulp(number * Fraction(9, 9), fmt) == ulp(-number, fmt)
    assert ulp(Fraction(0), fmt) == fmt.smallest_subnormal
    assert ulp(fmt.smallest_subnormal / 1000, fmt) == fmt.smallest_subnormal
    assert ulp(fmt.smallest_normal, fmt) == fmt.smallest_subnormal
    assert ulp(fmt.smallest_normal * 2, fmt) == fmt.smallest_subnormal * 2
    assert ulp(fmt.largest * 8, fmt) == ulp(fmt.largest, fmt)


# --- order and neighbours --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_ordinal_exhaustively(name: str) -> None:
    """Sorted by value, consecutive numbers have consecutive ordinals."""
    every = np.arange(1 << 16, dtype=np.uint16).view(dtype_of(name))
    with np.errstate(all="ignore"):
        every = every[~np.isnan(every.astype(np.float64))]
    ordered = every[np.argsort(every.astype(np.float64), kind="stable")]
    steps = np.diff(ordinal(ordered))
    values = ordered.astype(np.float64)
    assert (steps == np.where(values[1:] == values[:-1], 0, 1)).all()


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_ordinal_around_zero_and_at_the_ends(name: str) -> None:
    mu, largest = float(FORMATS[name].smallest_subnormal), float(FORMATS[name].largest)
    line = cast([-math.inf, -largest, -mu, -0.0, 0.0, mu, largest, math.inf], name)
    spots = ordinal(line).tolist()
    assert spots[2:6] == [-1, 0, 0, 1]
    assert spots == [-spot for spot in reversed(spots)]
    assert spots[7] - spots[6] == 1
    assert spots[6] == second_oracle.infinity_code(name) - 1


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_steps_between(name: str) -> None:
    fmt = FORMATS[name]
    mu, tiny, largest = float(fmt.smallest_subnormal), float(fmt.smallest_normal), float(fmt.largest)
    a = cast([mu, -mu, 0.0, -0.0, 1.0, tiny, largest, 1.0], name)
    b = cast([-mu, mu, -mu, 0.0, 1 + 2 * fmt.u, tiny - mu, math.inf, 2.0], name)
    assert steps_between(a, b).tolist() == [2, 2, 1, 0, 1, 1, 1, 2.0 ** (fmt.t - 1)]
    assert steps_between(b, a).tolist() == steps_between(a, b).tolist()


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_neighbour(name: str) -> None:
    fmt = FORMATS[name]
    mu, tiny, largest = float(fmt.smallest_subnormal), float(fmt.smallest_normal), float(fmt.largest)
    start = cast([0.0, mu, -mu, tiny - mu, 1.0, -1.0, largest, -largest], name)
    outwards = [mu, 2 * mu, -2 * mu, tiny, 1 + 2 * fmt.u, -1 - 2 * fmt.u, math.inf, -math.inf]
    assert neighbour(start).astype(np.float64).tolist() == outwards
    assert neighbour(neighbour(start[:4])).tolist() == neighbour(start[:4], 2).tolist()
    assert neighbour(start).dtype == dtype_of(name)


def test_neighbour_of_a_zero_stays_on_its_side() -> None:
    """Further from zero on the side of its sign."""
    assert neighbour(np.array([0.0, -0.0])).tolist() == [5e-324, -5e-324]


def test_order_keeps_the_shape() -> None:
    """All three work elementwise: a scalar stays a scalar, a matrix a matrix."""
    for shape in ((), (1,), (2, 3), (0, 4)):
        array = np.ones(shape, np.float32)
        assert np.shape(ordinal(array)) == shape
        assert np.shape(steps_between(array, array)) == shape
        assert np.shape(neighbour(array)) == shape


# --- products --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_rounded_product(name: str) -> None:
    """Random bit patterns, products near the subnormals, and products next to ties."""
    rng = np.random.default_rng(3)
    fmt = FORMATS[name]
    near = 2.0 ** (fmt.emin / 2)
    pairs = [
        (finite_bits(rng, 400, name), finite_bits(rng, 400, name)),
        (cast(rng.uniform(1, 2, 400) * near, name), cast(rng.uniform(-0.1, 0.1, 400) * near, name)),
        (cast(rng.uniform(1, 2, 200), name), cast(rng.uniform(1, 2, 200), name)),
    ]
    for weights, values in pairs:
        with np.errstate(all="ignore"):
            product = rounded_product(weights, values)
        assert product.dtype == weights.dtype
        codes = product.view(f"u{product.dtype.itemsize}").tolist()
        sign = 1 << (8 * product.dtype.itemsize - 1)
        for code, w, x in zip(codes, fractions(weights), fractions(values), strict=True):
            expected = second_oracle.round_signed(w * x, name)
            assert code & ~sign == expected & ~sign
            assert not code & ~sign or code == expected


def test_bfloat16_products_subnormal_in_float32() -> None:
    """Around bfloat16's subnormals the products are subnormal in float32, too."""
    rng = np.random.default_rng(4)
    w = cast((1 + rng.integers(0, 128, 3000) / 128) * 2.0**-66, "bfloat16")
    x = cast((1 + rng.integers(0, 128, 3000) / 128) * 2.0 ** -rng.integers(60, 72, 3000), "bfloat16")
    expected = [second_oracle.round_signed(a * b, "bfloat16") for a, b in zip(fractions(w), fractions(x), strict=True)]
    assert rounded_product(w, x).view(np.uint16).tolist() == expected
    assert {0, 1, 2, 127} <= set(expected)


def test_products_of_special_values() -> None:
    for name in FLOAT_DTYPES:
        w = cast([0, math.inf, -1, math.nan, -0.0, float(FORMATS[name].largest)], name)
        x = cast([-math.inf, 2, math.inf, 0, 1, 2], name)
        with np.errstate(all="ignore"):
            product = rounded_product(w, x).astype(np.float64).tolist()
        assert [str(value) for value in product] == ["nan", "inf", "-inf", "nan", "-0.0", "inf"]


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_as_format(name: str) -> None:
    fmt = FORMATS[name]
    for value in (0.0, float(fmt.smallest_subnormal), float(fmt.largest), -1.5, math.inf):
        array = as_format(value, fmt)
        assert (array.shape, array.dtype, float(array)) == ((), dtype_of(name), value)


def test_this_process_keeps_subnormals() -> None:
    assert keeps_subnormals()
