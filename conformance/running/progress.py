"""Told as long work goes on; the command line shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Progress:
    """What is told of a run: how many items, each that is done with its calls, and sentences."""

    started: Callable[[int], None] = lambda total: None
    finished: Callable[[str, int], None] = lambda item, calls: None
    said: Callable[[str], None] = lambda message: None
