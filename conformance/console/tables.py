"""Tables that lose nothing: one that is too wide for the terminal is written row by row."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP, _FIXED = "   ", "\N{NO-BREAK SPACE}"


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
        said = (f"{heading} {cell}".strip().replace(" ", _FIXED) for heading, cell in zip(headings, cells, strict=True))
        console.print(Text(str(name)), soft_wrap=True)
        console.print(Text(_GAP + _GAP.join(said), style="dim"), soft_wrap=False)
