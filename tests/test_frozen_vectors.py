"""Vectors stay what they are, and none passes because an unbatched input is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from lossparity.adapters.numpy import nll_loss
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.items.spec import VECTORS
from lossparity.specs import losses
from lossparity.specs.encoding import decode_call
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.vectors import Vector, vectors

from . import engine

DIGESTS = Path(__file__).parent / "vector_digests.txt"
TWIN = "-batched"


def stored() -> Iterator[dict[str, Any]]:
    """Every vector of every loss that ships, as its file holds it."""
    for loss in losses.BUILT_IN:
        folder = resources.files(f"lossparity.specs.{loss}").joinpath("vectors")
        for file in sorted(folder.iterdir(), key=str) if folder.is_dir() else ():
            if file.name.endswith(".json"):
                yield from json.loads(file.read_text(encoding="utf-8"))["vectors"]


def digest(vector: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(vector, sort_keys=True).encode()).hexdigest()[:16]


def test_no_vector_is_changed_or_removed() -> None:
    """Who adds one adds its line; a line is never taken away."""
    known = set(DIGESTS.read_text(encoding="utf-8").split())
    now = {digest(vector): vector["id"] for vector in stored()}
    new = {line: id for line, id in now.items() if line not in known}
    assert not known - set(now), f"changed or removed, unless these are new: {sorted(new.values())}"
    assert not new, f"add to {DIGESTS.name}, if these are new and not changed: {new}"


def test_a_changed_vector_is_noticed() -> None:
    first = next(stored())
    assert digest(first | {"comment": first["comment"] + "."}) != digest(first)
    assert digest(dict(reversed(first.items()))) == digest(first)


def is_unbatched(vector: Vector) -> bool:
    return vector.loss == NLL_LOSS.loss and decode_call(vector.call, NLL_LOSS)["input"].ndim == 1


def is_about_it(vector: Vector) -> bool:
    """Whether the unbatched form is what the vector is about: its clause, or a target that does not go with it."""
    return bool({"SHAPE-3", "ERR-4"} & set(vector.clauses)) or "unbatched" in vector.id


TWINNED = [vector for vector in vectors().values() if is_unbatched(vector) and not is_about_it(vector)]


def test_there_are_some() -> None:
    assert len(TWINNED) >= 131


@pytest.mark.parametrize("vector", TWINNED, ids=lambda vector: vector.id)
def test_an_unbatched_vector_has_a_batched_twin(vector: Vector) -> None:
    """The same call on a batch of one or a few, for the same clauses and for no dearer subject."""
    twin = vectors()[vector.id + TWIN]
    assert (twin.clauses, twin.tier, twin.experiment) == (vector.clauses, vector.tier, vector.experiment)
    assert twin.kills
    call, more = decode_call(vector.call, NLL_LOSS), decode_call(twin.call, NLL_LOSS)
    assert (more["reduction"], more["ignore_index"], more.kind) == (call["reduction"], call["ignore_index"], call.kind)
    assert (more.omitted, more.layouts) == (call.omitted, call.layouts)
    assert more["input"].shape[1:] == call["input"].shape
    assert more["target"].shape == more["input"].shape[:1]
    wider = dict(more.arrays())
    for name, array in call.arrays():
        same = wider[name] if wider[name].ndim == array.ndim else wider[name][0]
        assert (same.dtype, same.shape, same.tobytes()) == (array.dtype, array.shape, array.tobytes())


def refuses_unbatched(x: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    """Takes no (C,), and in a batch any reduction for a mean and any weight's dtype."""
    if x.ndim == 1:
        raise NotImplementedError("batches only")
    wrong = reduction not in ("none", "sum", "mean")
    return nll_loss(x, t, weight, ignore_index, "mean" if wrong else reduction)


def test_who_refuses_unbatched_input_does_not_pass_by_that(tmp_path: Path) -> None:
    """None of the vectors for ERR-6 could tell this function from a correct one, but for their twins."""
    subject = NumpySubject(refuses_unbatched, "mine")
    failed = {}
    for dtype in ("float32", "float16"):
        _, findings, _ = engine.run(subject, VECTORS, dtype, tmp_path)
        failed |= {one.origin.removeprefix("vector "): one for one in findings if one.clauses == ("ERR-6",)}
    named = {vector.id for vector in vectors().values() if "ERR-6" in vector.clauses and "batched" not in vector.id}
    assert named
    assert not named & set(failed)
    assert any(id.endswith(TWIN) for id in failed)
