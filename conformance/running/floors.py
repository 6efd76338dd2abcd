"""How many calls must have judged each clause on each subject: a check that quietly stops checking is an error.

floors.toml is committed; it holds about half of what profile `quick` judges on the subject that sees least.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from ...specs import losses
from ...specs.loss import LARGE


def blind_spots(subjects: Sequence[str], judged: Mapping[tuple[str, str], int], *, on_cpu: bool) -> Iterator[str]:
    """One sentence for each clause that was judged too rarely on a built-in subject."""
    table = _table()
    everywhere = {} if on_cpu else table["accelerators"]
    for subject in subjects:
        if subject not in table["subjects"]:
            continue
        exempt = everywhere | table["exempt"].get(subject, {})
        for clause, floor in table["floors"].items():
            if clause not in exempt and judged.get((subject, clause), 0) < floor:
                yield (
                    f"clause {clause} was judged by {judged.get((subject, clause), 0)} calls of {subject}, fewer than "
                    f"the committed floor of {floor} (conformance/running/floors.toml): its cases no longer reach it"
                )


def problems() -> Iterator[str]:
    """Floors and exemptions against the clauses."""
    table = _table()
    named = set(table["floors"])
    judged = (clause for clause in losses.find(losses.DEFAULT).rules.clauses.values() if clause.level != "RECORD")
    wanted = {clause.id for clause in judged if clause.families != (LARGE,)}  # a profile of its own
    for clause in sorted(wanted - named):
        yield f"floors.toml: no floor for clause {clause}"
    for clause in sorted(named - wanted):
        yield f"floors.toml: a floor for {clause}, which no check judges"
    for subject, exempt in (*table["exempt"].items(), ("an accelerator", table["accelerators"])):
        for clause in sorted(set(exempt) - named):
            yield f"floors.toml: {subject} is exempt from {clause}, which has no floor"


def _table() -> dict[str, Any]:
    text = resources.files("lossparity.conformance.running").joinpath("floors.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
