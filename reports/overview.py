"""Losses by subjects: what a report of more than one loss, or of more than one device, says first."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .matrix import Cell, Matrix, State, cells
from .merge import matters
from .records import Run
from .verdict import Outlook, Summary, apart, plural, summarise, worst


@dataclass(frozen=True)
class Overview:
    """Matrices of the same runs, one for each loss on each device; at least one."""

    matrices: tuple[Matrix, ...]

    @classmethod
    def of(cls, runs: Sequence[Run], missing: Sequence[str] = ()) -> Overview:
        """What runs say; `missing` are sentences on runs that should be there."""
        return cls(tuple(cells(runs, missing, matter) for matter in matters(runs) or [None]))

    @functools.cached_property
    def summaries(self) -> list[Summary]:
        """What each matrix says first."""
        return [summarise(matrix) for matrix in self.matrices]

    @property
    def names(self) -> list[str]:
        """What each matrix is called: by its loss, and by its device where there are several."""
        several = len({matrix.merged.matter.device for matrix in self.matrices}) > 1
        return [f"{loss} on {device}" if several else loss for loss, device in (m.merged.matter for m in self.matrices)]

    @property
    def addresses(self) -> list[str]:
        """The file that each matrix's page is written to."""
        return [re.sub(r"[^A-Za-z0-9_.-]+", "-", name) + ".html" for name in self.names]

    @property
    def subjects(self) -> list[str]:
        """All subjects, in the order of first appearance."""
        return list(dict.fromkeys(subject.name for matrix in self.matrices for subject in matrix.subjects))

    def worst(self, matrix: Matrix, subject: str) -> tuple[State, list[Cell]] | None:
        """The worst state of a subject's clauses and which are in it; None where it has nothing for this loss."""
        row = [cell for (_, name), cell in matrix.cells.items() if name == subject]
        if not row:
            return None
        state = min((cell.state for cell in row), key=lambda state: state.rank)
        return state, [cell for cell in row if cell.state is state]

    @property
    def warnings(self) -> list[str]:
        """What a reader must know first, each once."""
        return list(dict.fromkeys(warning for one in self.summaries for warning in one.warnings))

    @property
    def outlook(self) -> Outlook:
        """The worst of all."""
        return worst(one.outlook for one in self.summaries)

    @property
    def headline(self) -> str:
        """The worst of all in a few words; of unexpected results their number."""
        if self.outlook is Outlook.UNEXPECTED and (count := sum(one.unexpected for one in self.summaries)):
            return plural(count, "unexpected result")
        return next(one.headline for one in self.summaries if one.outlook is self.outlook)

    @property
    def sentence(self) -> str:
        """Which losses are as expected and which are not; of a single matrix what it says itself."""
        if len(self.summaries) == 1:
            return self.summaries[0].sentence
        pairs = zip(self.names, self.summaries, strict=True)
        said = apart((name, one.outlook, one.headline) for name, one in pairs)
        return f"{plural(len(self.summaries), 'report')}; {'; '.join(said)}."
