"""What is timed of a loss: its points, as far as memory goes, and the arrays that a point stands for."""

from __future__ import annotations

import os

import numpy as np

from ...specs.call import Call, Transform
from ...specs.errors import SpecError, UsageError
from ...specs.loss import Loss
from ...specs.speed import Point, Speed


def speed_of(loss: Loss) -> Speed:
    """How the loss is timed; raises UsageError where it does not say."""
    if loss.speed is None:
        raise UsageError(
            f"{loss.name} does not say how it is timed; give its Loss a `speed`, a lossparity.specs.speed.Speed"
        )
    return loss.speed


def points(loss: Loss, memory: int) -> list[Point]:
    """The whole sweep, the most telling points first, without what does not fit into memory (bytes).

    Raises SpecError when two points have one name.
    """
    speed = speed_of(loss)
    found: dict[str, Point] = {}
    for point in speed.points():
        if found.setdefault(point.name, point) != point:
            raise SpecError(
                f"{loss.name}: two points of its sweep are called {point.name!r}; give them names of their own"
            )
    return [point for point in found.values() if speed.copies * point.nbytes <= memory]


def memory_cap() -> int:
    """Bytes that one point may take: a quarter of the machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4


def call_of(loss: Loss, point: Point, seed: int) -> Call:
    """The call that a point stands for, with the upstream gradient 1 unless only the loss counts."""
    call = speed_of(loss).call_of(point, seed)
    if point.work == "forward":
        return call
    upstream = np.ones(loss.shape(call), call[call.signature.main].dtype)
    return call.replace(transform=Transform("gradient", upstream))
