"""A loss that is no nll_loss, with what it takes to be timed: squared differences of whole numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from lossparity.specs.call import REDUCTIONS, Array, Call, Option, Parameter, Signature, dtype_of
from lossparity.specs.case import Case, Exactly, Returns
from lossparity.specs.loss import Loss
from lossparity.specs.nll_loss.loss import LOSS as NLL_LOSS
from lossparity.specs.speed import Point, Speed, dense

SQUARES = Signature(
    "squares",
    (Parameter("input", "x", differentiable=True), Parameter("target", "t")),
    (Option("reduction", "mean", REDUCTIONS),),
)


def squares(input: Array, target: Array, reduction: str = "mean") -> Array:
    """The loss, for NumPy."""
    losses = (input - target) ** 2
    return losses if reduction == "none" else getattr(losses, reduction)()


def gradient(input: Array, target: Array, reduction: str = "mean", upstream: Array | None = None) -> Array:
    """Its gradient, for NumPy."""
    share = input.size if reduction == "mean" else 1
    return 2 * (input - target) * (upstream / input.dtype.type(share))


# --- what it takes to be timed ---------------------------------------------------------------------------


def points() -> Iterator[Point]:
    """Sizes, in each kind of work."""
    for work in ("forward", "backward", "both"):
        for size in (1024, 64, 1 << 20):
            yield Point(loss="squares", sizes={"N": size}, work=work, choices={"reduction": "mean"})


def call_of(point: Point, seed: int) -> Call:
    """Small whole numbers: their squares and sums are exact."""
    numbers = np.random.default_rng(seed).integers(-8, 8, (2, point.sizes["N"])).astype(dtype_of(point.dtype))
    return SQUARES.call(*numbers, reduction=point.choices["reduction"])


def shape(call: Call) -> tuple[int, ...]:
    """That of the value."""
    return call["input"].shape if call["reduction"] == "none" else ()


SPEED = Speed(points=points, call_of=call_of, traffic=dense(shape), cold=next(points()))


# --- the rest of the loss, as far as timing needs it -----------------------------------------------------


def case_of(call: Call, family: str, tier: int, origin: str, also: tuple[str, ...] = ()) -> Case:
    """What is exact is due."""
    if call.transform is None:
        due = np.asarray(squares(call["input"], call["target"], call["reduction"]))
    else:
        due = gradient(call["input"], call["target"], call["reduction"], call.transform.upstream)
    nowhere = np.zeros(due.shape, bool)
    value = Exactly(due, nowhere, nowhere, nowhere)
    clauses = ("VALUE-1",)
    return Case(
        call, {}, Returns(due.shape, call.dtype, value), clauses, (), family, tier, origin, rules=NLL_LOSS.rules
    )


LOSS = dataclasses.replace(NLL_LOSS, signature=SQUARES, case_of=case_of, shape=shape, speed=SPEED)


def _timed_as(name: str, **changes: Any) -> Loss:
    """The same loss under another name, timed with these changes."""
    signature = dataclasses.replace(SQUARES, loss=name)

    def called(point: Point, seed: int) -> Call:
        return dataclasses.replace(call_of(point, seed), signature=signature)

    return dataclasses.replace(LOSS, signature=signature, speed=dataclasses.replace(SPEED, call_of=called, **changes))


# As if each square took an exponential; and with a point at which memory is measured.
EXPONENTIAL = _timed_as("exponential_squares", traffic=dense(shape, lambda call: call["input"].size))
LARGE = Point(loss="hungry_squares", sizes={"N": 1 << 22}, choices={"reduction": "mean"})
HUNGRY = _timed_as("hungry_squares", memory=(LARGE,))
TRAINED = _timed_as("trained_squares", memory=tuple(points()))
UNTIMED = dataclasses.replace(LOSS, signature=dataclasses.replace(SQUARES, loss="untimed"), speed=None)
