"""Formats, correct rounding, and the order of numbers, against the formats' own bits."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import second_formats
from lossparity.specs.call import FLOAT_DTYPES, dtype_of
from lossparity.specs.exact import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    FORMATS,
    Format,
    as_format,
    floor_log2,
    neighbour,
    ordinal,
    round_to,
    steps_between,
    ulp,
)

from .in_formats import TWO, cast, finite_bits, fractions

# --- rounding --------------------------------------------------------------------------------------------


def test_format_constants() -> None:
    """Against NumPy's and ml_dtypes' own tables."""
    for name, fmt in FORMATS.items():
        ones = np.array([1.0]).astype(dtype_of(name))
        assert Fraction(float(neighbour(ones)[0])) - 1 == Fraction(fmt.u) * 2
        assert fmt.smallest_subnormal == second_formats.spacing(name)
        assert fmt.smallest_normal == second_formats.smallest_normal(name)
        assert fmt.largest == second_formats.decode(second_formats.infinity_code(name) - 1, name)
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
    assert [second_formats.nearest_code(Fraction(number), "float16") for number in numbers.tolist()] == expected


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
                second_formats.nearest_code(abs(value), name)
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
    assert spots[6] == second_formats.infinity_code(name) - 1


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


@pytest.mark.parametrize("name", FLOAT_DTYPES)
def test_as_format(name: str) -> None:
    fmt = FORMATS[name]
    for value in (0.0, float(fmt.smallest_subnormal), float(fmt.largest), -1.5, math.inf):
        array = as_format(value, fmt)
        assert (array.shape, array.dtype, float(array)) == ((), dtype_of(name), value)
