"""How much of what a user's function is for was really judged, and why the rest was not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .records import Item, SubjectInfo, count_statuses

_JUDGED = ("pass", "fail", "crash", "timeout")
_SHOWN = 3  # reasons that are named


@dataclass(frozen=True, slots=True)
class Coverage:
    """What came of the calls of one loss's domain that were asked of a user's function.

    `judged` are those that say right or wrong; of the others some decide nothing, some were not run, and the rest is
    not supported, `declined` telling how many for which reason.
    """

    subject: str
    loss: str
    domain: str  # in words
    planned: int
    judged: int
    undecided: int
    not_run: int
    declined: dict[str, int]
    unexpected: int
    returned: int  # calls that came back with a result

    @property
    def share(self) -> float:
        """The share of the calls that was judged."""
        return self.judged / self.planned if self.planned else 0.0

    @property
    def sentence(self) -> str:
        """What was found, for what, and how much of that was judged."""
        percent = 100 * self.judged // self.planned if self.planned else 0
        rest = [f"{self.undecided:,} decide nothing"] * bool(self.undecided)
        rest += [f"{self.not_run:,} were not run"] * bool(self.not_run)
        rest += [f"{count:,} not supported ({reason})" for reason, count in list(self.declined.items())[:_SHOWN]]
        if more := sum(list(self.declined.values())[_SHOWN:]):
            rest.append(f"{more:,} not supported for other reasons")
        left = f"; of the rest {', '.join(rest)}" if rest else ""
        return f"{self.subject} {self._verdict} {self.domain}: {percent} % of {self.planned:,} calls judged{left}."

    @property
    def _verdict(self) -> str:
        if self.unexpected:
            return "does not conform, asked for"
        if not self.returned:
            return "was not judged, asked for"
        return "conforms, as far as it ran, for" if self.not_run else "conforms for"


def coverages(subjects: Iterable[SubjectInfo], items: Sequence[Item]) -> list[Coverage]:
    """Of each user's function that was asked for a domain, how much of it was covered."""
    return [_of(one, [item for item in items if _is_of(item, one)]) for one in subjects if one.domain]


def alike(reason: str, known: Iterable[str]) -> str:
    """The known reason that differs from this one in numbers alone, or itself: messages name sizes."""
    return next((one for one in known if without_numbers(one) == without_numbers(reason)), reason)


def without_numbers(text: str) -> str:
    """A message with its numbers replaced, so that like messages count as one."""
    return re.sub(r"\d+", "#", text)


def _is_of(item: Item, subject: SubjectInfo) -> bool:
    return (item.subject, item.loss) == (subject.name, subject.loss)


def _of(subject: SubjectInfo, items: Sequence[Item]) -> Coverage:
    statuses, declined = count_statuses(items), Counter[str]()
    for item in items:
        for reason, count in item.declined.items():
            declined[alike(reason, declined)] += count
    return Coverage(
        subject=subject.name,
        loss=subject.loss,
        domain=subject.domain,
        planned=sum(item.planned for item in items),
        judged=sum(statuses[status] for status in _JUDGED),
        undecided=statuses["uninformative"],
        not_run=statuses["not_run"],
        declined=dict(declined.most_common()),
        unexpected=sum(item.unexpected for item in items),
        returned=sum(item.returned for item in items),
    )
