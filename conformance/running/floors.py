"""How many calls must have judged each clause on each subject: a check that quietly stops checking is an error.

A loss that ships has a table, floors.LOSS.toml, which is committed; it holds about half of what profile `quick` judges
on the subject that sees least. Others have none, and nothing is asked of them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from ...specs.loss import LARGE, Loss


def blind_spots(
    loss: str, subjects: Sequence[str], judged: Mapping[tuple[str, str], int], *, on_cpu: bool
) -> Iterator[str]:
    """One sentence for each clause that was judged too rarely on a built-in subject."""
    table = _table(loss)
    if table is None:
        return
    everywhere = {} if on_cpu else table["accelerators"]
    for subject in subjects:
        if subject not in table["subjects"]:
            continue
        exempt = everywhere | table["exempt"].get(subject, {})
        for clause, floor in table["floors"].items():
            if clause not in exempt and judged.get((subject, clause), 0) < floor:
                yield (
                    f"clause {clause} was judged by {judged.get((subject, clause), 0)} calls of {subject}, fewer than "
                    f"the committed floor of {floor} (conformance/running/{_file(loss)}): its cases no longer reach it"
                )


def problems(loss: Loss) -> Iterator[str]:
    """Floors and exemptions against the clauses of a loss that ships."""
    table, file = _table(loss.name), _file(loss.name)
    if table is None:
        yield f"{file}: is not there; a loss that ships has floors"
        return
    named = set(table["floors"])
    judged = (clause for clause in loss.rules.clauses.values() if clause.level != "RECORD")
    wanted = {clause.id for clause in judged if clause.families != (LARGE,)}  # a profile of its own
    for clause in sorted(wanted - named):
        yield f"{file}: no floor for clause {clause}"
    for clause in sorted(named - wanted):
        yield f"{file}: a floor for {clause}, which no check judges"
    for subject, exempt in (*table["exempt"].items(), ("an accelerator", table["accelerators"])):
        for clause in sorted(set(exempt) - named):
            yield f"{file}: {subject} is exempt from {clause}, which has no floor"


def _file(loss: str) -> str:
    return f"floors.{loss}.toml"


def _table(loss: str) -> dict[str, Any] | None:
    place = resources.files("lossparity.conformance.running").joinpath(_file(loss))
    return tomllib.loads(place.read_text(encoding="utf-8")) if place.is_file() else None
