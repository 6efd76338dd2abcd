"""What is wrong with a call of log_softmax, and calls that must raise (ERR)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..call import FLOAT_DTYPES, Call, dtype_name
from .signature import LOG_SOFTMAX

# Dtypes that input may not have; complex ones are floating-point numbers to some frameworks.
BAD_DTYPES = ("int64", "int32", "int8", "uint8", "bool", "complex64", "complex128")


def structural_faults(call: Call) -> frozenset[str]:
    """Categories of everything wrong with dtype and dim; empty for a well-formed call, as one of a 0-d input is."""
    x, faults = call["input"], set()
    if dtype_name(x.dtype) not in FLOAT_DTYPES:
        faults.add("dtype")
    if x.ndim and not -x.ndim <= call["dim"] < x.ndim:
        faults.add("index")
    return frozenset(faults)


def faulty(legal: Call) -> Iterator[Call]:
    """Every kind of fault in the place of a legal call."""
    rank = legal["input"].ndim
    for dim in (rank, rank + 1, -rank - 1, -rank - 2, 100, -100, 2**31, -(2**31)):
        yield legal.replace(dim=dim)
    for name in BAD_DTYPES:
        yield legal.replace(input=np.ones(legal["input"].shape, name))


def faulty_in_corners(legal: Call) -> Iterator[Call]:
    """Faults where a check is easily forgotten: nothing to compute, two faults at once, one class."""
    for shape in ((0, 5), (5, 0), (0,), (2, 0, 3)):
        yield legal.replace(input=np.zeros(shape, legal["input"].dtype), dim=len(shape))
        yield legal.replace(input=np.zeros(shape, legal["input"].dtype), dim=-len(shape) - 1)
        for name in BAD_DTYPES[:5]:
            yield legal.replace(input=np.zeros(shape, name), dim=-1)
    for name in BAD_DTYPES:
        yield LOG_SOFTMAX.call(np.ones((3, 1), name), 1)
        yield LOG_SOFTMAX.call(np.ones((3, 2), name), 2)


def scalars(legal: Call) -> Iterator[Call]:
    """A 0-d input (SHAPE-5)."""
    for dim in (0, -1):
        yield legal.replace(input=legal["input"].reshape(-1)[:1].reshape(()), dim=dim)
