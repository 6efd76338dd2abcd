"""Derivatives of formulas by reverse accumulation, every step of which is tracked."""

from __future__ import annotations

import numpy as np

from .evaluation import Operands, Tracked
from .selection import either, total, where


def gradient(z: Tracked, x: Tracked, upstream: Tracked) -> Tracked:
    """The derivative of <upstream, z> by x, which has x's shape: what an honest automatic derivative may return.

    Where a formula offers several forms, the derivative of each is legal. Raises ValueError where z is not made of x.
    """
    ways = max((len(node.ways) for node in _in_order(z, 0)), default=1)
    forms = [_gradient(z, x, upstream, way) for way in range(ways)]
    return forms[0] if ways == 1 else either(*forms)


def _operands(node: Tracked, way: int) -> Operands:
    return node.ways[min(way, len(node.ways) - 1)] if node.ways else ()


def _in_order(z: Tracked, way: int) -> list[Tracked]:
    """All that z was made of, operands first."""
    order: list[Tracked] = []
    seen: set[int] = set()
    stack = [(z, False)]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack += [(node, True), *((operand, False) for operand, _ in _operands(node, way))]
    return order


def _gradient(z: Tracked, x: Tracked, upstream: Tracked, way: int) -> Tracked:
    order = _in_order(z, way)
    gradients = {id(z): upstream}
    for node in reversed(order):
        if id(node) not in gradients:
            continue
        g = gradients[id(node)]
        for operand, pull in _operands(node, way):
            part = _summed(_annihilated(g, pull(g)), operand)
            gradients[id(operand)] = gradients[id(operand)] + part if id(operand) in gradients else part
    if id(x) not in gradients:
        raise ValueError("the formula has no derivative by this number, of which it is not made")
    return where(np.ones(x.shape, bool), gradients[id(x)], 0)


def _annihilated(g: Tracked, part: Tracked) -> Tracked:
    """What was not asked for has no derivative, were that infinite."""
    nothing = g.size == 0
    return where(nothing, 0, part) if nothing.any() else part


def _summed(part: Tracked, operand: Tracked) -> Tracked:
    """Summed over the axes along which the operand was repeated."""
    for axis, length in enumerate(operand.shape):
        if length == 1 < part.shape[axis]:
            part = total(part, axis)
    return part
