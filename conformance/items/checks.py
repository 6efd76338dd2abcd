"""Whether a call that must fail leaves its arguments alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...specs.call import Call
from ...specs.case import Status
from ...specs.rules import Aspect


def unchanged(before: Mapping[str, bytes], call: Call) -> Mapping[Aspect, Status]:
    """ERR-9: the arguments hold the bytes they held before."""
    same = all(before[name] == array.tobytes() for name, array in call.arrays())
    return {Aspect.ARGUMENTS: Status.PASS if same else Status.FAIL}


def restore(before: Mapping[str, bytes], call: Call) -> None:
    """Put the arguments' bytes back: calls of one base share arrays, and the next must not suffer."""
    for name, array in call.arrays():
        if before[name] != array.tobytes():
            array[...] = np.frombuffer(before[name], array.dtype).reshape(array.shape)


def snapshot(call: Call) -> Mapping[str, bytes]:
    """The arguments' bytes."""
    return {name: array.tobytes() for name, array in call.arrays()}
