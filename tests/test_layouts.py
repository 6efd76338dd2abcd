"""Arrangements in memory: they keep values, have the strides they claim, and lie among poison."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from lossparity.specs.call import FLOAT_DTYPES, TARGET_DTYPES, Array, Call, Transform, dtype_of
from lossparity.specs.encoding import decode_call, encode_call
from lossparity.specs.errors import VectorError
from lossparity.specs.layouts import LAYOUTS, extent, lay
from lossparity.specs.nll_loss.corpus import corpus
from lossparity.specs.nll_loss.signature import NLL_LOSS
from numpy.lib.array_utils import byte_bounds

SHAPES = ((6,), (4, 3), (4, 3, 2), (2, 3, 4, 5), (2, 3, 2, 4, 2))
DTYPES = FLOAT_DTYPES + TARGET_DTYPES
GUARD = 64  # elements on each side


def numbered(shape: tuple[int, ...], dtype: str = "float32") -> Array:
    """All elements different, as far as that goes, and none of them poison."""
    return (np.arange(np.prod(shape)) % 100).astype(dtype_of(dtype)).reshape(shape)


def kept(array: Array, layout: str) -> Array:
    """The values that an arrangement keeps: of a broadcast array those of the first row."""
    return np.broadcast_to(array[:1], array.shape) if layout == "broadcast" else array


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_are_kept(layout: str) -> None:
    """LAYOUT-1 compares results of equal values; shape and dtype are kept, and the original is left alone."""
    for shape, dtype in itertools.product(SHAPES, DTYPES):
        array = numbered(shape, dtype)
        before = array.copy()
        view = lay(array, layout)
        assert (view.shape, view.dtype) == (array.shape, array.dtype)
        assert (view == kept(array, layout)).all()
        assert not np.shares_memory(view, array)
        assert array.tobytes() == before.tobytes()


# Strides of an array of shape (2, 3, 4, 5), in elements.
STRIDES = {
    "fortran": (1, 2, 6, 24),
    "channels_last": (60, 1, 15, 3),
    "class_first": (20, 40, 5, 1),
    "transposed": (60, 20, 1, 4),
    "strided": (120, 40, 10, 2),
    "sliced": (6 * 7 * 8, 7 * 8, 8, 1),
    "negative": (-60, -20, -5, -1),
    "broadcast": (0, 20, 5, 1),
    "offset": (60, 20, 5, 1),
    "read_only": (60, 20, 5, 1),
    "page": (60, 20, 5, 1),
}


def in_elements(array: Array) -> tuple[int, ...]:
    return tuple(stride // array.itemsize for stride in array.strides)


def test_every_layout_is_tested() -> None:
    assert set(STRIDES) == set(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float64", "uint8"])
def test_strides_are_what_the_name_says(dtype: str, layout: str) -> None:
    assert in_elements(lay(numbered((2, 3, 4, 5), dtype), layout)) == STRIDES[layout]


@pytest.mark.parametrize(
    ("layout", "shape", "strides"),
    [
        ("fortran", (4, 3), (1, 4)),
        ("transposed", (4, 3), (1, 4)),
        ("class_first", (4, 3), (1, 4)),
        ("channels_last", (4, 3, 2), (6, 1, 3)),
        ("transposed", (4, 3, 2), (6, 1, 3)),
        ("strided", (6,), (2,)),
        ("negative", (6,), (-1,)),
        ("broadcast", (6,), (0,)),
        ("sliced", (4, 3), (6, 1)),
    ],
)
def test_strides_of_smaller_ranks(layout: str, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    assert in_elements(lay(numbered(shape), layout)) == strides


def test_read_only_is_the_one_that_cannot_be_written() -> None:
    for layout in LAYOUTS:
        assert lay(numbered((4, 3)), layout).flags.writeable == (layout != "read_only")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scalars_and_empty_arrays_are_copied(layout: str) -> None:
    for array in (np.array(7.0), np.zeros((0, 3)), np.zeros((2, 0, 3))):
        view = lay(array, layout)
        assert (view.shape, view.tolist()) == (array.shape, array.tolist())
        assert view is not array


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(KeyError):
        lay(np.zeros(3), "diagonal")


# --- neighbours ------------------------------------------------------------------------------------------


def is_poison(array: Array) -> Array:
    """NaN, or the largest number of an integer dtype."""
    return array == np.iinfo(array.dtype).max if array.dtype.kind in "iu" else np.isnan(array)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "page"])
def test_neighbours_are_poison(layout: str) -> None:
    """Everything in the buffer but the array's elements is, gaps included, and there is some on each side."""
    for shape, dtype in itertools.product(SHAPES, DTYPES):
        view = lay(numbered(shape, dtype), layout)
        buffer = extent(view).view(view.dtype)
        poison = is_poison(buffer)
        elements = view[:1].size if layout == "broadcast" else view.size
        assert np.count_nonzero(~poison) == elements
        assert poison[:GUARD].all()
        assert poison[-GUARD:].all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "int64", "uint8"])
def test_the_extent_is_the_buffer_itself(dtype: str, layout: str) -> None:
    """PURE-1 watches it: it shares memory with the array, and what is written through the array is seen in it."""
    view = lay(numbered((4, 3, 2), dtype), layout)
    whole = extent(view)
    assert whole.dtype == np.uint8
    assert np.shares_memory(whole, view)
    (start, end), (first, last) = byte_bounds(whole), byte_bounds(view)
    assert start <= first < last <= end
    guards = 0 if layout == "page" else 2 * GUARD * view.itemsize
    assert whole.size >= guards + (view[:1] if layout == "broadcast" else view).nbytes
    before = whole.copy()
    if view.flags.writeable:
        view[(-1,) * view.ndim] = 101
        assert (whole != before).any()


def test_the_extent_of_any_array_is_the_array_that_owns_its_memory() -> None:
    """Calls that were not laid into buffers have one too."""
    array = np.arange(24.0).reshape(4, 6)
    assert extent(array[1:3, ::2]).size == array.nbytes
    assert np.shares_memory(extent(array[1:3, ::2].T), array)


# --- the protected page ----------------------------------------------------------------------------------

READ = """
import sys
import numpy as np
from lossparity.specs.call import dtype_of
from lossparity.specs.layouts import lay
array = np.ones(tuple(map(int, sys.argv[2].split(","))), dtype_of(sys.argv[1]))
view = lay(array, "page").reshape(-1)
more = np.lib.stride_tricks.as_strided(view, (view.size + int(sys.argv[3]),))
print(float(more.astype(float).sum()))
"""


def read(dtype: str, shape: str, further: int) -> subprocess.CompletedProcess[str]:
    """Read an array that ends at the page, and so many elements further, in a process of its own."""
    command = [sys.executable, "-c", READ, dtype, shape, str(further)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("dtype", "shape"), [("float32", "4,3,2"), ("uint8", "5"), ("bfloat16", "3000,2")])
def test_reading_past_a_page_ends_the_process(dtype: str, shape: str) -> None:
    """The array itself can be read to its last element; one element further is fatal, not lucky."""
    within, beyond = read(dtype, shape, 0), read(dtype, shape, 1)
    assert within.returncode == 0, within.stderr
    assert float(within.stdout) == np.prod([int(length) for length in shape.split(",")])
    assert beyond.returncode in (-signal.SIGSEGV, -signal.SIGBUS)
    assert beyond.stdout == ""


def test_pages_are_given_back() -> None:
    """A thousand arrays on pages of their own do not pile up."""
    addresses = {lay(np.zeros(3), "page").ctypes.data for _ in range(1000)}
    assert len(addresses) < 100


# --- calls -----------------------------------------------------------------------------------------------


def call_in(layout: str, dtype: str, kind: str = "gradient") -> Call:
    """A weighted call whose arrays are all in one arrangement, those of its transform too."""
    x, target = numbered((4, 3, 2), dtype), numbered((4, 2), "int64") % 3
    upstream = lay(numbered((4, 2), dtype), layout) if kind == "gradient" else None
    direction = numbered((4, 3, 2), dtype) if kind == "jvp" else None
    transform = None if kind == "value" else Transform(kind, upstream, direction)
    call = NLL_LOSS.call(x, target, numbered((3,), dtype), -100, "none", transform=transform)
    call = call.laid([(name, layout) for name in ("input", "target", "weight")])
    layouts = (*call.layouts, ("upstream", layout)) if upstream is not None else call.layouts
    return call.replace(layouts=layouts)


def stored(call: Call) -> Call:
    """A call after it was written as JSON and read again."""
    return decode_call(json.loads(json.dumps(encode_call(call))), NLL_LOSS)


def assert_same(a: Call, b: Call) -> None:
    """Equal in every bit, in every stride and in what is asked for."""
    arrays, others = dict(a.arrays()), dict(b.arrays())
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert (array.dtype, array.shape, array.tobytes()) == (
            others[name].dtype,
            others[name].shape,
            others[name].tobytes(),
        ), name
        assert array.strides == others[name].strides or name not in dict(a.layouts), name
    batched = [call.transform.batched if call.transform else None for call in (a, b)]
    assert (a.kind, batched[0], a.layouts, a.options) == (b.kind, batched[1], b.layouts, b.options)
    assert a.digest() == b.digest()
    assert a.describe() == b.describe()


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_calls_round_trip_with_their_layouts(layout: str, dtype: str) -> None:
    for kind in ("value", "gradient", "jvp"):
        call = call_in(layout, dtype, kind)
        assert_same(call, stored(call))
        assert layout in call.describe()


@pytest.mark.parametrize("family", ["gradient", "layout"])
def test_the_corpus_round_trips(family: str) -> None:
    """Every kind of transform, batches and special numbers included."""
    kinds = set()
    for case in itertools.islice(corpus(family, "bfloat16", "quick", 0), 0, None, 7 if family == "layout" else 1):
        if case.call["input"].size < 1000:
            assert_same(case.call, stored(case.call))
            kinds.add(case.call.kind)
    assert len(kinds) == (2 if family == "layout" else 9)


def test_laid_names_only_what_has_an_arrangement() -> None:
    """A 0-d target has none, and a weight that is not there neither."""
    call = NLL_LOSS.call(np.zeros(3, np.float32), np.array(1))
    assert call.laid([("input", "strided"), ("target", "strided"), ("weight", "strided")]).layouts == (
        ("input", "strided"),
    )


def test_every_difference_changes_the_digest() -> None:
    """What is asked for, along what, mapped over what, and where it lies in memory."""
    plain = call_in("offset", "float32", "value")
    plain = plain.replace(layouts=())
    one, two = (np.full((4, 2), number, np.float32) for number in (1, 2))
    direction = np.ones((4, 3, 2), np.float32)
    transforms: list[Any] = [
        None,
        Transform("gradient", one),
        Transform("gradient", two),
        Transform("gradient", one, wrt="weight"),
        Transform("second", one, direction),
        Transform("second_upstream", one, direction),
        Transform("second", one, direction * 2),
        Transform("jvp", None, direction),
        Transform("vmap", batched=("input",)),
        Transform("vmap", batched=("input", "target")),
        Transform("vmap_gradient", one, batched=("input",)),
    ]
    calls = [plain.replace(transform=transform) for transform in transforms]
    calls += [plain.laid([(name, layout)]) for name in ("input", "target", "weight") for layout in LAYOUTS]
    assert len({call.digest() for call in calls}) == len(calls)
    assert len({call.describe() for call in calls}) == len(calls) - 2  # numbers are not described


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"transform": "gradiant"}, "gradient"),
        ({"layouts": {"input": "diagonal"}}, "diagonal"),
        ({"layouts": ["input"]}, "call"),
        ({"upstream": {"dtype": "float32"}}, "upstream"),
    ],
)
def test_a_broken_call_is_refused(change: dict[str, Any], word: str) -> None:
    data = encode_call(call_in("strided", "float32")) | change
    with pytest.raises(VectorError, match=word):
        decode_call(data, NLL_LOSS)
