"""Options that several commands have, and what they stand for."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ...reports import ours
from ...reports.records import Part
from ...specs import losses
from ...specs.errors import UsageError
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


def folder_option(default: Path | None, says: str) -> Callable[[Any], Any]:
    """`--out`: a folder where nothing of another program would be overwritten; without a default it has to be named."""
    shown: dict[str, Any] = {"default": default, "show_default": True} if default else {"required": True}
    return click.option("--out", type=click.Path(path_type=Path), callback=_ours, help=says, **shown)


def _ours(context: click.Context, option: click.Parameter, out: Path) -> Path:
    ours.require(out)
    return out


def part(text: str | None) -> Part | None:
    """The part of a run that `--part` names; raises UsageError unless it is one."""
    if text is None:
        return None
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise UsageError(f"--part {text}: write I/N with 1 <= I <= N, such as 2/5 for the second of five parts")
    return Part(int(number), int(of))


def console_command() -> str:
    """The command line, as text that can be written to any file."""
    words = shlex.join(["lossparity", *sys.argv[1:]])
    return os.fsencode(words).decode("utf-8", "replace")


def adding(*options: Callable[[Any], Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that gives a command these options, in this order."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
