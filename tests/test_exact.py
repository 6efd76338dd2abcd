"""Exact sums and products against `Fraction`, and products rounded once."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import second_formats
import second_oracle
from lossparity.specs import exact
from lossparity.specs.call import FLOAT_DTYPES, Array, dtype_of
from lossparity.specs.exact import FORMATS, ExactSum, exact_dot, exact_sum, keeps_subnormals, rounded_product

from .in_formats import TWO, cast, finite_bits, fractions

SIZES = (0, 1, 2, 7, 127, 128, 129, 1000)


def plain(terms: list[Fraction]) -> ExactSum:
    """The sum by the second oracle's plain loops."""
    total = second_oracle.sum_of(terms)
    return ExactSum(total, second_oracle.sum_of([abs(term) for term in terms]), second_oracle.common_quantum(terms))


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
            expected = second_formats.round_signed(w * x, name)
            assert code & ~sign == expected & ~sign
            assert not code & ~sign or code == expected


def test_bfloat16_products_subnormal_in_float32() -> None:
    """Around bfloat16's subnormals the products are subnormal in float32, too."""
    rng = np.random.default_rng(4)
    w = cast((1 + rng.integers(0, 128, 3000) / 128) * 2.0**-66, "bfloat16")
    x = cast((1 + rng.integers(0, 128, 3000) / 128) * 2.0 ** -rng.integers(60, 72, 3000), "bfloat16")
    expected = [second_formats.round_signed(a * b, "bfloat16") for a, b in zip(fractions(w), fractions(x), strict=True)]
    assert rounded_product(w, x).view(np.uint16).tolist() == expected
    assert {0, 1, 2, 127} <= set(expected)


def test_products_of_special_values() -> None:
    for name in FLOAT_DTYPES:
        w = cast([0, math.inf, -1, math.nan, -0.0, float(FORMATS[name].largest)], name)
        x = cast([-math.inf, 2, math.inf, 0, 1, 2], name)
        with np.errstate(all="ignore"):
            product = rounded_product(w, x).astype(np.float64).tolist()
        assert [str(value) for value in product] == ["nan", "inf", "-inf", "nan", "-0.0", "inf"]


def test_this_process_keeps_subnormals() -> None:
    assert keeps_subnormals()
