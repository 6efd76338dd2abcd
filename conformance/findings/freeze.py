"""Turns what failed into a vector, and keeps files of vectors."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from ...adapters import user
from ...specs import losses
from ...specs.call import SPARSE_BYTES, Call, Crashed, TimedOut
from ...specs.encoding import encode_call
from ...specs.errors import LossparityError, NotReproduced, VectorError
from ...specs.vectors import FORMAT, Vector, describe, parse, vectors
from . import shrink
from .locate import of_vector
from .replay import Replayed, Session


class _Died(Exception):
    """A call took the child down: enough is known."""


def smaller(session: Session, found: Replayed) -> Replayed:
    """A smaller call whose most telling clause fails with the same symptom, as expectedly as before; or `found`."""
    if isinstance(found.outcome, Crashed | TimedOut):
        return found
    best = [found]

    def still_fails(call: Call) -> bool:
        if not losses.find(call.signature.loss).is_within(user.domain_of(found.key), call):
            return False
        # The clauses are those that the smaller call exercises by itself.
        located = dataclasses.replace(found.located, call=encode_call(call), clauses=())
        try:
            again = session.run(located, found.subject)
        except (LossparityError, ValueError, IndexError):  # no such case
            return False
        if isinstance(again.outcome, Crashed | TimedOut):
            raise _Died
        if not _is_alike(found, again):
            return False
        best.append(again)
        return True

    with contextlib.suppress(_Died):
        shrink.shrink(found.case.call, still_fails)
    return best[-1]


def _is_alike(found: Replayed, again: Replayed) -> bool:
    """Whether the same clause fails, with the same symptom, and is explained by the same known divergence or none."""
    clause = found.failed[0]
    if found.judgement.symptom != again.judgement.symptom or clause not in again.failed:
        return False
    explained = [{one.divergence for one in each.verdicts if one.verdict.clause == clause} for each in (found, again)]
    return explained[0] == explained[1]


def freeze(session: Session, found: Replayed, id: str, comment: str) -> Vector:
    """The vector of a case that failed; raises NotReproduced unless it fails on the subject again."""
    vector = _vector(found, id, comment)
    again = session.run(of_vector(vector), found.subject)
    if not set(vector.clauses) & set(again.failed):
        raise NotReproduced(
            f"frozen as a vector the call does not fail on {found.subject} again: {again.finding.because} "
            f"Observed {again.finding.observed}"
        )
    return vector


def _vector(found: Replayed, id: str, comment: str) -> Vector:
    """Raises VectorError where the format has no words for the call, or the id is taken or no id."""
    call, ids = found.case.call, found.failed
    if any(array.nbytes > SPARSE_BYTES for _, array in call.arrays()):
        raise VectorError(f"a vector holds no arrays of hundreds of megabytes: {call.describe()}")
    if not isinstance(call["reduction"], str | None):
        raise VectorError(f"a vector's reduction is a string or null, not {call['reduction']!r}")
    id = id or f"{ids[0].lower()}-{call.digest()}"
    pattern: str = _schema()["$defs"]["vector"]["properties"]["id"]["pattern"]
    if not re.fullmatch(pattern, id):
        raise VectorError(f"{id!r} is no id of a vector: it must match {pattern}")
    if id in vectors():
        raise VectorError(f"there is a vector {id!r} already; choose another --id")
    return Vector(
        id=id,
        comment=comment or found.finding.because.rstrip("."),
        clauses=ids,
        flags=found.case.rules.flags_of(ids),
        call=encode_call(call),
        expect=describe(found.case.expectation),
        experiment=found.located.experiment,
        loss=call.signature.loss,
    )


@functools.cache
def _schema() -> dict[str, Any]:
    return json.loads(resources.files("lossparity.specs").joinpath("vectors.schema.json").read_text(encoding="utf-8"))


# --- files ---------------------------------------------------------------------------------------------------


def render(found: Sequence[Mapping[str, Any]], loss: str) -> str:
    """A file of vectors of a loss, one in each line."""
    lines = ",\n".join(f"    {json.dumps(vector)}" for vector in found)
    return f'{{\n  "format": {FORMAT},\n  "loss": "{loss}",\n  "vectors": [\n{lines}\n  ]\n}}\n'


def as_data(vector: Vector) -> dict[str, Any]:
    """A vector as a file holds it: fields that have their default are left out."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(Vector)}
    held = msgspec.structs.asdict(vector) | {"loss": ""}  # it stands above all of them
    return {name: value for name, value in held.items() if value != defaults[name]}


def append(vector: Vector, path: Path) -> None:
    """Add a vector to a file, which is made if it is not there; on any error the file stays as it was.

    Raises VectorError for a file that cannot be read, or that has a vector of this id.
    """
    held: list[Mapping[str, Any]] = []
    if path.exists():
        text = path.read_text(encoding="utf-8")
        others = parse(text, str(path))
        if vector.id in {other.id for other in others}:
            raise VectorError(f"{path}: there is a vector {vector.id!r} already; choose another --id")
        if strange := next((other.loss for other in others if other.loss != vector.loss), ""):
            raise VectorError(f"{path} holds vectors of {strange}, and this one is of {vector.loss}; name another file")
        held = json.loads(text)["vectors"]
    text = render([*held, as_data(vector)], vector.loss)
    parse(text, str(path))
    _replace(path, text)


def _replace(path: Path, text: str) -> None:
    """Write a file beside this one, and put it in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=".lossparity-", delete=False
    ) as file:
        file.write(text)
    try:
        os.chmod(file.name, path.stat().st_mode if path.exists() else 0o644)
        os.replace(file.name, path)
    except OSError:
        os.unlink(file.name)
        raise
