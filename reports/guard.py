"""Keeps what fails to draw from costing the rest of a report: it is named in its place, and warned of."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import markupsafe

_Made = TypeVar("_Made")
_LONGEST = 300  # of an error's message


class NotDrawn(UserWarning):
    """A part of a report failed to draw; commands print it in a line, and the suite's own tests fail of it."""


def guarded(name: str, make: Callable[[], _Made], instead: Callable[[str], _Made]) -> _Made:
    """What `make` gives; where it raises, what `instead` makes of a sentence that names the part and the reason."""
    try:
        return make()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # what draws charts is written in Rust, and its panics are no Exceptions
        reason = " ".join(str(error).split())[:_LONGEST]
        sentence = f"{name} could not be drawn: {type(error).__name__}{': ' if reason else ''}{reason}"
        warnings.warn(sentence, NotDrawn, stacklevel=2)
        return instead(sentence)


def paragraph(sentence: str) -> markupsafe.Markup:
    """The sentence as HTML, to stand where the part would be."""
    return markupsafe.Markup('<p class="warning" role="alert">{}.</p>').format(sentence)


def section(title: str, anchor: str, caller: Callable[[], Any]) -> Any:
    """What stands in a template between a call of this and `endcall`, guarded."""
    place = markupsafe.Markup('<section id="{}"><h2>{}</h2>{}</section>')
    return guarded(f"The section “{title}”", caller, lambda said: place.format(anchor, title, paragraph(said)))
