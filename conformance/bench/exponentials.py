"""How fast a framework computes exponentials: the limit of losses that are made of them.

Each framework's own function of one array, by the bridge through which its subjects are timed. It goes over a block
that stays in a near cache again and again, so that the arithmetic is what takes the time; what is computed on the way
of reading a large array can be as fast, and hardly faster.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ...adapters import registry
from ...adapters.base import Form, loop
from ...specs.call import Call, Parameter, Signature, dtype_of

_EXP = Signature("exp", (Parameter("input", "x", differentiable=True),))
_BLOCKS = (1 << 14, 1 << 16, 1 << 18, 1 << 20)  # small ones stay nearer, large ones are worth several threads
_TRIES = 5
_Run = Callable[[int], Any]


@contextlib.contextmanager
def references(backends: Iterable[str], count: int, dtype: str, device: str) -> Iterator[dict[str, _Run]]:
    """By backend a loop that computes so many exponentials; of backends that name no exponential there is none.

    Half precision is computed in float32, as by losses.
    """
    dtype = "float64" if dtype == "float64" else "float32"
    with contextlib.ExitStack() as stack:
        found = {key: _fastest(key, count, dtype, device, stack) for key in dict.fromkeys(backends) if count}
        yield {key: run for key, run in found.items() if run is not None}


def _fastest(key: str, count: int, dtype: str, device: str, stack: contextlib.ExitStack) -> _Run | None:
    """The loop over the block whose elements take the least time."""
    backend = registry.backend(key)
    if not backend.exponential or backend.wrap is None:
        return None
    function = Form(backend.exponential, "").load()
    subject = backend.wrap(_EXP, function, backend.exponential, device)[0]
    runs: dict[int, _Run] = {}
    for block in dict.fromkeys(min(block, count) for block in _BLOCKS):
        runs[block] = stack.enter_context(loop(subject, _call(block, dtype), "forward"))
    block = min(runs, key=lambda block: _seconds(runs[block]) / block)
    calls = max(1, round(count / block))
    return functools.partial(_times, runs[block], calls)


def _times(run: _Run, calls: int, times: int) -> Any:
    return run(calls * times)


def _seconds(run: _Run) -> float:
    """The least of several times, after one that may compile."""
    run(1)
    seconds: list[float] = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        run(1)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _call(size: int, dtype: str) -> Call:
    """Numbers as they are below the largest logit of a row."""
    return _EXP.call((-8 * np.random.default_rng(size).random(size)).astype(dtype_of(dtype)))
