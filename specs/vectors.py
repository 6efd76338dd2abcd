"""Vectors: frozen, bit-exact, language-neutral cases in JSON, each saying what it is for and what must come of it.

specs/INTERPRETING.md explains the format to readers in other languages; specs/vectors.schema.json is its schema.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import msgspec
import numpy as np

from . import losses
from .call import FLOAT_DTYPES, Array, Call
from .case import Case, Exactly, Expectation, Limit, Raises, Returns, Sparse, Within
from .encoding import decode_call
from .errors import UsageError, VectorError
from .exact import round_to
from .loss import Loss
from .reductions import Reduction

FORMAT = 1


class Vector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One frozen case. `expect` repeats the oracle's answer for readers without an oracle; lint compares them.

    `loss` stands above all vectors of a file. `experiment` names a clause that several calls made of this one decide.
    `kills` are some of the mutants that fail it; a vector that fails none says `why` it is there.
    """

    id: str
    comment: str
    clauses: tuple[str, ...]
    flags: tuple[str, ...]
    call: dict[str, Any]
    expect: dict[str, Any]
    tier: int = 1
    experiment: str = ""
    kills: tuple[str, ...] = ()
    why: str = ""
    loss: str = ""


class VectorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of vectors."""

    format: int
    loss: str
    vectors: tuple[Vector, ...]


@functools.cache
def vectors() -> Mapping[str, Vector]:
    """All vectors of all losses by id; raises VectorError naming file, vector and reason."""
    found: dict[str, Vector] = {}
    for file in (file for loss in losses.every() for file in _files(loss)):
        for vector in parse(file.read_text(encoding="utf-8"), file.name):
            if vector.id in found:
                raise VectorError(f"{file.name}: vector {vector.id} stands twice; every vector needs an id of its own")
            found[vector.id] = vector
    return found


def _files(loss: Loss) -> list[Traversable]:
    folder = resources.files(loss.rules.package).joinpath("vectors")
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((file for file in found if file.name.endswith(".json")), key=lambda file: file.name)


def parse(text: str, where: str) -> tuple[Vector, ...]:
    """The vectors of one file's text; raises VectorError for anything that is wrong with it."""
    try:
        file = msgspec.convert(json.loads(text), VectorFile)
    except (json.JSONDecodeError, msgspec.ValidationError) as error:
        raise VectorError(f"{where}: {error}") from error
    if file.format > FORMAT:
        raise VectorError(f"{where}: format {file.format}, this lossparity reads up to {FORMAT}; upgrade lossparity")
    try:
        loss = losses.find(file.loss)
    except UsageError as error:
        raise VectorError(f"{where}: {error}") from error
    for vector in file.vectors:
        unknown = [*(set(vector.clauses) - set(loss.rules.clauses)), *(set(vector.flags) - set(loss.rules.flags))]
        if unknown:
            raise VectorError(f"{where}: vector {vector.id}: no clause or flag {unknown[0]!r}")
        decode_call(vector.call, loss.signature, f"{where}: vector {vector.id}")
    return tuple(msgspec.structs.replace(vector, loss=file.loss) for vector in file.vectors)


def case_of(vector: Vector, name: str = "") -> Case:
    """The case that a vector freezes, with the oracle's expectation; `name` is its id unless it is not one of ours."""
    origin = f"vector {name or vector.id}"
    loss = losses.find(vector.loss)
    case = loss.case_of(_call_of(vector, origin), "vectors", vector.tier, origin, vector.clauses)
    return case.in_experiment(vector.experiment) if vector.experiment else case


def _call_of(vector: Vector, origin: str) -> Call:
    return decode_call(vector.call, losses.find(vector.loss).signature, origin)


def vector_cases(loss: str, dtype: str, asks: Callable[[Call], bool] | None = None) -> Iterator[Case]:
    """The vectors of a loss whose first array has this dtype; those of no floating-point dtype run with float32.

    `asks` says which calls are wanted, before anything is computed for them.
    """
    found = (vector for vector in vectors().values() if (vector.loss, item_dtype(vector)) == (loss, dtype))
    return (case_of(one) for one in found if asks is None or asks(_call_of(one, one.id)))


def item_dtype(vector: Vector) -> str:
    """The dtype whose item of family `vectors` holds a vector."""
    own: str = vector.call[losses.find(vector.loss).signature.arrays[0].name]["dtype"]
    return own if own in FLOAT_DTYPES else "float32"


def describe(expectation: Expectation) -> dict[str, Any]:
    """An expectation as a vector's `expect`: exact as a fraction, rounded in hexadecimal."""
    match expectation:
        case Raises(categories, poisoned):
            return {"raises": sorted(categories), "traced_may_return_nan": poisoned is not None}
        case Returns(shape, _, Exactly() as prescribed):
            flat = prescribed.value.reshape(-1).astype(float).tolist()
            shortest = flat[:1] if len(set(map(repr, flat))) == 1 else flat
            return {"shape": list(shape), "values": [_number(value) for value in shortest]}
        case Returns(shape, _, Reduction() as reduction):
            exact = reduction.exact
            rounded = _number(round_to(exact, reduction.fmt))
            return {"shape": list(shape), "exact": f"{exact.numerator}/{exact.denominator}", "rounded": rounded}
        case Returns(shape, _, Limit() as limit):
            return {"shape": list(shape), "one_of": sorted(limit.allowed)}
        case Returns(shape, _, Sparse(flat, entries)):
            return {"shape": list(shape), "entries": _entries(flat, entries)}
        case Returns(shape, _, Within(rounded) as entries):
            return {"shape": list(shape), "entries": _entries(np.arange(rounded.size), entries)}
        case _:
            return {"unspecified": True}


def _entries(flat: Array, entries: Exactly | Within) -> list[list[Any]]:
    """[position in row-major order, rounded value, smallest and largest that are allowed]; free: all are."""
    if isinstance(entries, Exactly):
        columns = [entries.value.astype(float)] * 3
    else:
        band = entries.required
        low = np.where(band.free, -np.inf, band.low.astype(float)).reshape(-1)
        high = np.where(band.free, np.inf, band.high.astype(float)).reshape(-1)
        columns = [entries.rounded.astype(float).reshape(-1), low, high]
    rows = zip(flat.tolist(), *(column.tolist() for column in columns), strict=True)
    return [[place, *map(_number, values)] for place, *values in rows]


def problems(vector: Vector) -> Iterator[str]:
    """What lint has to say about a vector."""
    case = case_of(vector)
    if describe(case.expectation) != vector.expect:
        yield f"vector {vector.id}: the oracle expects {describe(case.expectation)}, the file says {vector.expect}"
    if not vector.clauses or not vector.flags:
        yield f"vector {vector.id}: names no clause or no flag"


def _number(value: float) -> str:
    return value.hex() if math.isfinite(value) else repr(value)
