"""What is done about unexpected results before a check ends: calls are made smaller, a likely cause is looked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import msgspec

from ...reports.records import Finding, Header, Record
from ...specs.errors import LossparityError
from ..findings.locate import of_finding
from ..findings.replay import Hint, Replayed, Session
from ..findings.smaller import smaller
from ..items.spec import Request
from ..judging import explain
from .likeness import SECONDS, likeness
from .proportion import proportion

KINDS = 5  # of unexpected results that are followed up


@dataclasses.dataclass(frozen=True)
class FollowUp:
    """How a run's unexpected results on a user's function, found by `key`, are followed up.

    Each is made smaller for so many seconds, and its cause is looked for as long again. `said` takes a sentence about
    one that could not be.
    """

    key: str
    request: Request
    seconds: float
    said: Callable[[str], None]

    def __call__(self, header: Header, records: Sequence[Record]) -> Iterator[Finding]:
        """Of each kind of unexpected findings a smaller one, with a hint, where there is any of both."""
        kinds = explain.kinds(records)[:KINDS]
        if not kinds:
            return
        try:
            with Session(self.key, kinds[0].loss, self.request) as session:
                for one in kinds:
                    yield from _smaller(session, one, header, self.seconds)
        except LossparityError as error:
            self.said(f"The calls below were not made smaller: {error}")


def _smaller(session: Session, one: Finding, header: Header, seconds: float) -> Iterator[Finding]:
    found = session.run(of_finding(one, session.key, header), one.subject)
    if not found.failed or not found.is_reproduced:
        return  # it shows after other calls only; `lossparity replay` says so
    small = smaller(session, found, seconds)
    said = hinted(session, found, small, seconds)
    if small is not found or said.hint.text:
        origin = f"{one.origin}, made smaller" if small is not found else one.origin
        told = {"made_from": one.digest, "origin": origin, "family": one.family, "device": one.device}
        yield msgspec.structs.replace(said.finding, **told)


def hinted(session: Session, found: Replayed, small: Replayed, seconds: float = SECONDS) -> Replayed:
    """A failure whose call was made smaller, with a hint at its cause where there is one; `found` is as it was."""
    mutant = likeness(session, small, seconds)
    like = f"it behaves like the mutant {mutant.name}: {mutant.says}" if mutant else ""
    text = "; ".join(one for one in (like, proportion(found, small)) if one)
    return dataclasses.replace(small, hint=Hint(text, mutant.flags if mutant else ()))
