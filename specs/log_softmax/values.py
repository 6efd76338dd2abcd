"""What stands in the arrays of a generated call: families of logits, special values among them, upstream gradients.

Each function fills from a `Stream` and rounds into a format. Why a family exists stands beside it.
"""

from __future__ import annotations

import math

import numpy as np

from ..call import Array, dtype_of
from ..exact import FORMATS, Format
from ..stream import Stream

# --- logits: (stream, rows, classes, format) -> float64 values, rounded into the format afterwards ----------


def ordinary(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """What networks put out: of either sign, most of them below 8 in size."""
    size = rows * classes
    return 4.0 * (stream.uniform(size) + stream.uniform(size) + stream.uniform(size) - 1.5)


def dyadic(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """Multiples of 1/8 of either sign: differences are exact."""
    return stream.integers(-63, 64, rows * classes) / 8.0


def equal(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """One number along each row: the result is -ln C, and the sum of exponentials is exact."""
    return np.repeat(stream.integers(-40, 41, rows) / 7.0, classes)


def normalised(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """Nearly log-probabilities: the normaliser is next to 0, where a logarithm is delicate."""
    return -math.log(max(classes, 1)) + (stream.uniform(rows * classes) - 0.5) / 16.0


def offset(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """A large number in common, from 1e4 to 1e30, and differences of whole steps of the format there."""
    reachable = [exponent for exponent in (13, 20, 33, 66, 99) if exponent < fmt.emax]
    exponents = np.repeat(np.array(reachable)[stream.integers(0, len(reachable), rows)], classes)
    steps = stream.integers(-16, 17, rows * classes) * np.ldexp(1.0, np.maximum(exponents - fmt.t + 1, -3))
    return np.repeat(stream.signs(rows), classes) * (np.ldexp(1.0, exponents) + steps)


def dominant(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """One class 1 to 800 above the others: probabilities underflow, logarithms of them don't."""
    above = np.array([1, 2, 5, 10, 16, 17, 20, 37, 50, 88, 104, 150, 700, 800], np.float64)
    logits = stream.integers(-8, 9, rows * classes).reshape(rows, classes) / 64.0
    if classes:
        logits[np.arange(rows), stream.integers(0, classes, rows)] += above[stream.integers(0, above.size, rows)]
    return logits.reshape(-1)


def last_dominant(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """The last class 15 above the others and more: a sum that stops before it is nothing like the whole."""
    logits = stream.integers(-8, 9, rows * classes).reshape(rows, classes) / 8.0
    logits[:, -1:] += 17.0 + stream.integers(0, 16, rows)[:, None]
    return logits.reshape(-1)


def close(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """Differences of a few 1e-8, or of the smallest steps of the format at 1."""
    return 1.0 + stream.integers(-4, 5, rows * classes) * max(1e-8, fmt.u)


def wide(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """Exponents over half of the format's range, of either sign."""
    half, size = min(fmt.emax // 2, 300), rows * classes
    return np.ldexp(1.0 + stream.uniform(size), stream.integers(-half, half, size)) * stream.signs(size)


def very_negative(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """Classes masked by a large number: all of a row, so that it has to be taken off first."""
    return -float(fmt.largest) * 2.0**-12 * (1.0 + stream.uniform(rows * classes))


def subnormal(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """Below the normal range."""
    size = rows * classes
    return np.ldexp(stream.integers(0, 2 ** (fmt.t - 1), size) * stream.signs(size), fmt.emin - fmt.t + 1)


def near_overflow(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """Up to the largest number, one sign in most rows: where both occur differences overflow."""
    sizes = float(fmt.largest) * (0.5 + 0.5 * stream.uniform(rows * classes))
    signs = np.repeat(stream.signs(rows), classes)
    return sizes * np.where(stream.integers(0, 8, rows * classes) > 0, signs, -signs)


def swamped(stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    """One large exponential first, then such of half its last place: a running sum in the format loses all others."""
    logits = np.full((rows, classes), -fmt.t * math.log(2.0))
    logits[:, :1] = 0.0
    return logits.reshape(-1)


INPUTS = {
    family.__name__: family
    for family in (ordinary, dyadic, equal, normalised, offset, dominant, last_dominant, close, wide)
} | {family.__name__: family for family in (very_negative, subnormal, near_overflow, swamped)}


def inputs(family: str, stream: Stream, shape: tuple[int, ...], axis: int, dtype: str) -> Array:
    """An input of one family, whose rows lie along an axis."""
    classes = shape[axis]
    rows = math.prod(shape[:axis] + shape[axis + 1 :])
    with np.errstate(over="ignore"):
        values = INPUTS[family](stream, rows, classes, FORMATS[dtype]).astype(dtype_of(dtype))
    return np.ascontiguousarray(np.moveaxis(values.reshape(*shape[:axis], *shape[axis + 1 :], classes), -1, axis))


# --- special values --------------------------------------------------------------------------------------

# What may be planted among logits (SPECIAL-1, SPECIAL-3 to SPECIAL-5).
PLANTS = ("masked", "masked_rows", "nan", "infinity", "infinities", "mixed", "negative_zeros")


def plant(kind: str, stream: Stream, rows: Array) -> None:
    """Put special values into logits, rows by classes, in place; of `masked` some class is left in each row."""
    n, classes = rows.shape
    spread = stream.integers(0, 8, rows.size).reshape(rows.shape)
    some, one = stream.integers(0, 2, n) > 0, stream.integers(0, max(classes, 1), n)
    if not rows.size:
        return
    match kind:
        case "masked":
            hidden = spread < 5
            hidden[np.arange(n), one] = False
            rows[hidden] = -np.inf
        case "masked_rows":
            rows[some] = -np.inf
        case "nan":
            rows[some, one[some]] = np.nan
        case "infinity":
            rows[some, one[some]] = np.inf
        case "infinities":
            rows[(spread < 3) & some[:, None]] = np.inf
        case "mixed":
            rows[spread < 3] = np.array([-np.inf, np.inf, np.nan])[spread[spread < 3]].astype(rows.dtype)
        case "negative_zeros":
            rows[spread < 4] = -0.0
        case _:
            raise ValueError(f"no special values {kind!r}")


# --- upstream gradients ----------------------------------------------------------------------------------

UPSTREAMS = ("ones", "random", "negative", "dyadic", "zero", "zero_rows", "mixed", "one_hot", "tiny", "huge")
UPSTREAMS += ("nonfinite",)


def upstream(kind: str, stream: Stream, shape: tuple[int, ...], axis: int, dtype: str) -> Array:
    """An upstream gradient of one kind: of one sign but for `mixed`."""
    classes, n = shape[axis], math.prod(shape[:axis] + shape[axis + 1 :])
    rows = _upstream(kind, stream, n, classes, FORMATS[dtype]).astype(dtype_of(dtype))
    return np.ascontiguousarray(np.moveaxis(rows.reshape(*shape[:axis], *shape[axis + 1 :], classes), -1, axis))


def _upstream(kind: str, stream: Stream, rows: int, classes: int, fmt: Format) -> Array:
    some = (0.25 + 1.75 * stream.uniform(rows * classes)).reshape(rows, classes)
    match kind:
        case "ones":
            return np.ones(some.shape)
        case "zero":
            return np.zeros(some.shape)
        case "zero_rows":
            return some * stream.integers(0, 2, rows)[:, None]
        case "random":
            return some
        case "negative":
            return -some
        case "dyadic":
            return stream.integers(1, 33, some.size).reshape(some.shape) / 8.0
        case "mixed":
            return stream.integers(-2, 3, some.size).reshape(some.shape) * some
        case "one_hot":
            return -np.where(np.arange(classes) == stream.integers(0, max(classes, 1), rows)[:, None], some, 0.0)
        case "tiny":
            return some * 2.0 ** (fmt.emin // 2)
        case "huge":
            return some * 2.0 ** (fmt.emax // 2)
        case "nonfinite":
            special = np.array([np.inf, np.nan, -np.inf])[stream.integers(0, 3, rows)]
            hit = (np.arange(classes) == 0) & (stream.integers(0, 2, rows) > 0)[:, None]
            return np.where(hit, special[:, None], some)
    raise ValueError(f"no kind of upstream gradient {kind!r}")


def direction(stream: Stream, shape: tuple[int, ...], dtype: str) -> Array:
    """A direction for derivatives of either sign."""
    size = math.prod(shape)
    return (stream.uniform(size) * stream.signs(size)).astype(dtype_of(dtype)).reshape(shape)
