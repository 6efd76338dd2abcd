"""Tables that lose nothing: one that is too wide for the terminal is written row by row."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

_GAP = "   "


def put(console: Console, table: Table) -> None:
    """Print a table; where a cell would be cut, as the name of its row and, below, the other cells with headings."""
    if console.measure(table, options=console.options.update(width=1 << 16)).maximum <= console.width:
        console.print(table)
        return
    if table.title:
        console.print(table.title, soft_wrap=True)
    names, *others = table.columns
    headings = [str(column.header) for column in others]
    for number, name in enumerate(names.cells):
        cells = [list(column.cells)[number] for column in others]
        said = [f"{heading} {cell}".strip() for heading, cell in zip(headings, cells, strict=True)]
        console.print(str(name), soft_wrap=True)
        for line in _filled(said, console.width):
            console.print(line, style="dim", soft_wrap=True)


def _filled(parts: list[str], width: int) -> list[str]:
    """Parts in lines that are as long as they may be; a part is never broken."""
    lines = [""]
    for part in parts:
        longer = lines[-1] + _GAP + part
        if lines[-1] and len(longer) > width:
            lines.append(_GAP + part)
        else:
            lines[-1] = longer
    return lines
