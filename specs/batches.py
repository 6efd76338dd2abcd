"""Calls that are mapped over a leading axis: the calls that they stand for, and the answer that theirs make."""

from __future__ import annotations

from collections.abc import Sequence

from .call import Call, Transform
from .case import Expectation, Returns, Stack, Unspecified


def calls_of_batch(call: Call) -> list[Call]:
    """The calls that a mapped call stands for, `vmap` being the value of each and `vmap_gradient` its gradient."""
    transform = call.transform
    assert transform is not None
    lengths = [len(array) for name, array in call.arrays() if name in transform.batched]

    def at(number: int) -> Call:
        parts = {name: array[number] for name, array in call.arrays() if name in transform.batched}
        inner = Transform("gradient", transform.upstream) if transform.kind == "vmap_gradient" else None
        return call.replace(**parts, transform=inner, layouts=())

    return [at(number) for number in range(lengths[0])]


def stacked(answers: Sequence[Expectation], clause: str) -> Expectation:
    """What is demanded of a mapped call whose calls all have to return; `clause` records it where one may do anything.

    Raises IndexError for a batch of none.
    """
    first, parts = answers[0], [one.value for one in answers if isinstance(one, Returns)]
    if not isinstance(first, Returns) or len(parts) < len(answers):
        return Unspecified(clause)
    return Returns((len(parts), *first.shape), first.dtype, Stack(tuple(parts)))  # pyright: ignore[reportArgumentType] -- parts of a batch are no stacks
