"""Losses and gradients with one side effect each, for tests/test_purity.py."""

from __future__ import annotations

import functools
import itertools
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from lossparity.adapters.numpy.ports.nll_loss import nll_loss, nll_loss_gradient
from lossparity.specs.call import Array
from lossparity.specs.exact import neighbour

Loss = Callable[..., Any]


def loss(change: Callable[..., Any]) -> Loss:
    """A function with the loss's signature, from one on (x, t, w, i, r)."""

    @functools.wraps(change)
    def function(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
        return change(input, target, weight, ignore_index, reduction)

    return function


def gradient(change: Callable[..., Any]) -> Loss:
    """A gradient, from a function on the right gradient, its input and its upstream gradient."""

    @functools.wraps(change)
    def function(input: Any, *arguments: Any, upstream: Any, **options: Any) -> Any:
        right = nll_loss_gradient(input, *arguments, upstream=upstream, **options)
        return change(right, input, upstream)

    return function


# --- PURE-1: arguments -----------------------------------------------------------------------------------


def buffer(array: Array) -> Array:
    """The whole of the memory that an array lies in."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.reshape(-1)


@loss
def negates_its_input(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """In place, to save memory."""
    result = nll_loss(x, t, w, i, r)
    np.negative(x, out=x)
    return result


@loss
def masks_its_target(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """In place: ignored positions become class 0."""
    result = nll_loss(x, t, w, i, r)
    t[t == i] = 0
    t.reshape(-1)[:1] = 1 - t.reshape(-1)[:1]
    return result


@loss
def normalises_its_weight(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    result = nll_loss(x, t, w, i, r)
    if w is not None:
        w /= w.sum()
    return result


@loss
def writes_behind_its_input(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """One element too far."""
    result = nll_loss(x, t, w, i, r)
    np.lib.stride_tricks.as_strided(x.reshape(-1), (x.size + 1,))[-1] = 0
    return result


@loss
def writes_before_its_target(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    result = nll_loss(x, t, w, i, r)
    buffer(t)[:1] = 3
    return result


@gradient
def spoils_its_upstream(right: Array, x: Array, upstream: Array) -> Any:
    upstream *= 2
    return right


@gradient
def writes_over_its_input(right: Array, x: Array, upstream: Array) -> Any:
    x[...] = right
    return right


# --- PURE-2: results -------------------------------------------------------------------------------------


@loss
def returns_a_view(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """Of its input: the memory is shared, whatever the values are."""
    return x.reshape(-1)[: t.size].reshape(t.shape) if r == "none" else x.reshape(-1)[:1].reshape(())


class ReusesABuffer:
    """The same memory for each result of a shape."""

    __name__ = "ReusesABuffer"

    def __init__(self) -> None:
        self._buffers: dict[Any, Array] = {}

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        result = np.asarray(nll_loss(*arguments, **options))
        kept = self._buffers.setdefault((result.shape, result.dtype), result)
        kept[...] = result
        return kept


@gradient
def returns_its_input(right: Array, x: Array, upstream: Array) -> Any:
    return x


@gradient
def shares_its_upstream(right: Array, x: Array, upstream: Array) -> Any:
    return np.lib.stride_tricks.as_strided(upstream, x.shape, (0,) * x.ndim)


# --- PURE-3: state ---------------------------------------------------------------------------------------


class CountsItsCalls:
    """Each call returns a little more."""

    def __init__(self) -> None:
        self._count = itertools.count()

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        result = nll_loss(*arguments, **options)
        return np.add(result, next(self._count)).astype(result.dtype)


class UsesTheWeightOfTheCallBefore:
    """As a module that updates its buffer after use."""

    def __init__(self) -> None:
        self._weight: Any = None

    def __call__(self, input: Any, target: Any, weight: Any = None, **options: Any) -> Any:
        used = weight if self._weight is None or weight is None or self._weight.shape != weight.shape else self._weight
        self._weight = None if weight is None else weight.copy()
        return nll_loss(input, target, used, **options)


class KeepsTheFirstWeight:
    """As a compiled function that took the weight for a constant."""

    def __init__(self) -> None:
        self._weights: dict[Any, Array] = {}

    def __call__(self, input: Any, target: Any, weight: Any = None, **options: Any) -> Any:
        if weight is not None:
            weight = self._weights.setdefault((weight.shape, weight.dtype), weight.copy())
        return nll_loss(input, target, weight, **options)


class RemembersResults:
    """A cache whose key forgets the weight."""

    def __init__(self) -> None:
        self._results: dict[Any, Any] = {}

    def __call__(self, input: Any, target: Any, weight: Any = None, **options: Any) -> Any:
        key = (input.tobytes(), target.tobytes(), *options.values())
        if key not in self._results:
            self._results[key] = nll_loss(input, target, weight, **options)
        return np.array(self._results[key])


@loss
def draws_from_numpy(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """The result does not depend on it, but the next user's does."""
    np.random.rand()
    return nll_loss(x, t, w, i, r)


@loss
def draws_from_python(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    random.random()
    return nll_loss(x, t, w, i, r)


@loss
def seeds_numpy(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """Every call leaves the generator in the same state, whatever it was in."""
    np.random.seed(0)
    return nll_loss(x, t, w, i, r)


# --- PURE-4: the same bits -------------------------------------------------------------------------------


_CALLS = itertools.count()


@loss
def changing(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    """Every other call is off by one representable number, as atomic additions in any order are."""
    result = np.asarray(nll_loss(x, t, w, i, r))
    return neighbour(result) if next(_CALLS) % 2 else result


@gradient
def changing_gradient(right: Array, x: Array, upstream: Array) -> Any:
    return neighbour(right) if next(_CALLS) % 2 else right


# --- PURE-5: threads -------------------------------------------------------------------------------------


class SharesScratch:
    """Its arguments wait in a global buffer until they are used; `lock` makes that right."""

    def __init__(self, lock: Any) -> None:
        self._lock, self._scratch = lock, ()

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        with self._lock:
            self._scratch = (arguments, options)
            time.sleep(0.0002)
            arguments, options = self._scratch
            return nll_loss(*arguments, **options)


class IsBusy:
    """Refuses a second call while one is under way."""

    def __init__(self) -> None:
        self._busy = False

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self._busy:
            raise RuntimeError("busy")
        self._busy = True
        try:
            time.sleep(0.0002)
            return nll_loss(*arguments, **options)
        finally:
            self._busy = False


class Unlocked:
    """No lock at all."""

    def __enter__(self) -> None: ...

    def __exit__(self, *details: object) -> None: ...


class Slow:
    """Takes so many seconds a call, and says how many there were."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.calls = seconds, 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        time.sleep(self.seconds)
        return nll_loss(*arguments, **options)
