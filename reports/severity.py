"""How much a known divergence matters to whoever meets it: five words, the worst first, decided once for each row.

`conformance/judging/severities.py` finds the word from the row's own data, records carry it, and everything that
sorts or colours divergences reads it from here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

from .records import DivergenceInfo


class Severity(enum.StrEnum):
    """What a divergence does to its user, the worst first. The values are what records and rows say."""

    WRONG_NUMBER = "silent wrong number"
    WRONG_GRADIENT = "silent wrong gradient"
    MISSING_ERROR = "missing error"
    REFUSAL = "loud refusal"
    LAST_DIGITS = "last digits"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)

    @property
    def meaning(self) -> str:
        """One sentence."""
        return _MEANINGS[self]


_MEANINGS = {
    Severity.WRONG_NUMBER: "A legal call returns a wrong loss, and nothing says so.",
    Severity.WRONG_GRADIENT: "The loss is right, a derivative of it is wrong, and nothing says so.",
    Severity.MISSING_ERROR: "A call that must fail returns something.",
    Severity.REFUSAL: "A call does not work, and says so: it raises, ends the process or does not come back.",
    Severity.LAST_DIGITS: "Rounding errors, larger than they should be.",
}


def severity_of(divergence: DivergenceInfo) -> Severity | None:
    """The severity that a record says; None in early files, and for a word of the future."""
    return next((one for one in Severity if one == divergence.severity), None)


def by_severity(
    divergences: Iterable[DivergenceInfo], observed: Mapping[str, int] | None = None
) -> list[DivergenceInfo]:
    """The worst first, those of no known severity before them; of one severity those that showed most often."""
    counts = observed or {}

    def place(divergence: DivergenceInfo) -> tuple[int, int]:
        severity = severity_of(divergence)
        return (-1 if severity is None else severity.rank), -counts.get(divergence.id, 0)

    return sorted(divergences, key=place)
