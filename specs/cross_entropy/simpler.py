"""Calls of cross_entropy with less in them, as only this loss can tell."""

from __future__ import annotations

from collections.abc import Iterator

from ..call import Call
from ..classes import simpler as of_classes
from .faults import structural_faults
from .selection import is_soft


def simpler(call: Call) -> Iterator[Call]:
    """Without smoothing; without ignored positions; of probabilities, with the default ignore_index."""
    if structural_faults(call):
        return
    if call["label_smoothing"]:
        yield call.replace(label_smoothing=0.0)
    if is_soft(call):
        if call["ignore_index"] != of_classes.DEFAULT:
            yield call.replace(ignore_index=of_classes.DEFAULT)
        return
    # A class that nobody refers to is in every sum all the same: none is left out.
    yield from of_classes.without_ignored(call)
    yield from of_classes.plain_sentinel(call)
