"""Options that several commands have, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from ...specs import losses
from ...specs.loss import Loss

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")

_NAMED = "that ships, MODULE:OBJECT or path/to/file.py:OBJECT of your own"
LOSSES = click.option("--loss", "places", multiple=True, metavar="NAME",
                      help=f"Only this loss: one {_NAMED}; repeatable. Default: all that ship.")  # fmt: skip
LOSS = click.option("--loss", "place", default=losses.DEFAULT, show_default=True, metavar="NAME",
                    help=f"Which loss: one {_NAMED}.")  # fmt: skip


def chosen(places: Sequence[str]) -> list[Loss]:
    """The losses that `--loss` names, all that ship without it; raises UsageError for one that does not exist."""
    return [losses.find(place) for place in places] if places else list(losses.every())


def adding(*options: Callable[[Any], Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that gives a command these options, in this order."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
