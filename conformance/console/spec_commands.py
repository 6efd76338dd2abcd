"""The commands that read specifications: `losses` and `clauses`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...specs import losses
from ...specs.errors import UsageError, nearest
from ...specs.loss import Loss
from ...specs.rules import Clause, Rules
from .options import JSON, LOSSES, chosen

console = Console(highlight=False, markup=False)


@click.command(name="losses")
@JSON
def losses_command(as_json: bool) -> None:
    """Show which losses there are, what they take, and how much is known of them."""
    found = [losses.find(name) for name in losses.names()]
    if as_json:
        click.echo(msgspec.json.encode([_as_data(loss) for loss in found]).decode())
        return
    table = Table("loss", "takes", "clauses", "families", box=None, pad_edge=False)
    for loss in found:
        table.add_row(loss.name, usage(loss), str(len(loss.rules.clauses)), ", ".join(loss.families))
    console.print(table)
    console.print("One of your own: --loss path/to/file.py:OBJECT, an object lossparity.specs.loss.Loss", style="dim")


def usage(loss: Loss) -> str:
    """How a loss is called: `(input, target, weight=None, reduction="mean")`."""
    arrays = [one.name + "=None" * one.optional for one in loss.signature.arrays]
    options = [f"{one.name}={msgspec.json.encode(one.default).decode()}" for one in loss.signature.options]
    return f"({', '.join([*arrays, *options])})"


def _as_data(loss: Loss) -> dict[str, Any]:
    return {
        "name": loss.name,
        "takes": usage(loss),
        "arrays": [one.name for one in loss.signature.arrays],
        "options": loss.signature.defaults,
        "clauses": len(loss.rules.clauses),
        "families": list(loss.families),
    }


@click.command(name="clauses")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@LOSSES
@JSON
def clauses_command(ids: Sequence[str], places: Sequence[str], as_json: bool) -> None:
    """Show what the specification of a loss says: all clauses, or some with their bug classes."""
    found = [(loss, one) for loss in chosen(places) for one in _named(loss.rules, ids)]
    for id in ids:
        if id.upper() not in {one.id for _, one in found}:
            known = [known for loss in chosen(places) for known in loss.rules.clauses]
            raise UsageError(f"no clause {id!r}; {nearest(id.upper(), known)}")
    if as_json:
        rows = [{"loss": loss.name, **msgspec.structs.asdict(one)} for loss, one in found]
        click.echo(msgspec.json.encode(rows).decode())
        return
    if ids:
        for loss, one in found:
            _print(loss, one)
        return
    several = len({loss.name for loss, _ in found}) > 1
    table = Table(*["loss"] * several, "clause", "level", "statement", "source", box=None, pad_edge=False)
    for loss, one in found:
        table.add_row(*[loss.name] * several, one.id, one.level, one.statement, one.source)
    console.print(table)


def _named(rules: Rules, ids: Sequence[str]) -> list[Clause]:
    """The clauses with these ids, in their order, as far as they are there; all without any."""
    if not ids:
        return list(rules.clauses.values())
    return [rules.clauses[id.upper()] for id in ids if id.upper() in rules.clauses]


def _print(loss: Loss, one: Clause) -> None:
    console.print(Text(one.id, "bold") + f"  {one.level}  source {one.source}")
    console.print(f"  {one.statement}", soft_wrap=True)
    for name in one.flags:
        flag = loss.rules.flags[name]
        console.print(f"  {name}: {flag.fault} Seen in {', '.join(flag.seen_in)}.", soft_wrap=True)
