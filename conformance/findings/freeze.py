"""Turns what failed into a vector, and keeps files of vectors."""

from __future__ import annotations

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

from ...specs.call import SPARSE_BYTES
from ...specs.encoding import encode_call
from ...specs.errors import NotReproduced, VectorError
from ...specs.vectors import FORMAT, Vector, describe, parse, vectors
from .locate import of_vector
from .replay import Replayed, Session


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
    for name in (one.name for one in call.signature.options if one.choices):
        if not isinstance(call[name], str | None):
            raise VectorError(f"a vector's {name} is a string or null, not {call[name]!r}")
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
