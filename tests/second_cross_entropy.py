"""A second oracle for `cross_entropy`, written from the specification's text alone.

It shares no code with `specs`: Python loops over positions and classes, mpmath with 420 decimal digits on extended real
numbers. Slow and plain on purpose; `test_cross_entropy_oracle.py` holds the fast one against it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import mpmath
from mpmath import mpf
from second_log_softmax import DIGITS, FORMATS, derivative_of, probabilities, value_of
from second_log_softmax import NAN as ABSENT

Number = Any  # mpf, NaN and infinities among them
Place = tuple[int, ...]
INFINITY = mpf("inf")


@dataclass
class Opinion:
    """What the specification makes of one call: categories of error, nothing, or what stands at each place.

    NaN is right as well at the places of `or_nan`; anything at those of `open`; `poisoned` calls raise or return this.
    """

    faults: set[str] = field(default_factory=set)
    recorded: bool = False
    elements: dict[Place, Number] = field(default_factory=dict)
    or_nan: set[Place] = field(default_factory=set)
    open: set[Place] = field(default_factory=set)


def opinion(call: Any) -> Opinion:
    """Judge one call that is not mapped over a leading axis."""
    x, target = call["input"], call["target"]
    faults = _faults(call)
    if faults:
        return Opinion(faults)
    axis = min(1, x.ndim - 1)
    if x.shape[axis] == 0:
        return Opinion(recorded=True)
    with mpmath.workdps(DIGITS):
        places = list(itertools.product(*(range(length) for length in x.shape[:axis] + x.shape[axis + 1 :])))
        positions = [Position.of(call, place, axis, target.dtype.kind in "iu") for place in places]
        kept = [one for one in positions if one.is_kept]
        if any(one.label is not None and not 0 <= one.label < len(one.logits) for one in kept):
            return Opinion({"index"}) if call.transform is None or call.transform.kind in _VALUES else Opinion()
        return _found(call, positions, kept, axis)


_VALUES = ("value", "value_in_training", "autocast")


def _faults(call: Any) -> set[str]:
    x, target, weight, faults = call["input"], call["target"], call["weight"], set()
    soft = target.dtype.name in FORMATS
    if x.dtype.name not in FORMATS or (target.dtype != x.dtype if soft else target.dtype.kind not in "iu"):
        faults.add("dtype")
    wanted = x.shape if soft else x.shape[:1] * (x.ndim > 1) + x.shape[2:]
    if x.ndim == 0 or target.shape != wanted:
        faults |= {"shape", "dtype"} if soft else {"shape"}
    if soft and call["ignore_index"] >= 0:
        faults.add("value")
    if not 0 <= call["label_smoothing"] <= 1 or call["reduction"] not in ("none", "sum", "mean"):
        faults.add("value")
    if weight is not None and x.ndim:
        faults |= {"shape"} if weight.shape != x.shape[min(1, x.ndim - 1) :][:1] else set()
        faults |= {"dtype"} if weight.dtype != x.dtype else set()
    if (
        faults
        and not soft
        and target.dtype.kind in "iu"
        and x.ndim
        and target.shape == wanted
        and x.dtype.name in FORMATS
    ):
        labels = [int(one) for one in target.reshape(-1)]
        classes = x.shape[min(1, x.ndim - 1)]
        if any(one != call["ignore_index"] and not 0 <= one < classes for one in labels):
            faults.add("index")
    return faults


def _number(value: Any) -> Number:
    return mpf(float(value))


@dataclass
class Position:
    """One position of a call in numbers."""

    place: Place
    logits: list[Number]
    label: int | None
    p: list[Number] | None
    weights: list[Number]
    e: Number
    is_kept: bool

    @classmethod
    def of(cls, call: Any, place: Place, axis: int, has_labels: bool) -> Position:
        classes = call["input"].shape[axis]
        column = [(*place[:axis], c, *place[axis:]) for c in range(classes)]
        label = int(call["target"][place]) if has_labels else None
        p = None if has_labels else [_number(call["target"][one]) for one in column]
        weights = [mpf(1)] * classes if call["weight"] is None else [_number(one) for one in call["weight"]]
        logits = [_number(call["input"][one]) for one in column]
        kept = label is None or label != call["ignore_index"]
        return cls(place, logits, label, p, weights, mpf(call["label_smoothing"]), kept)

    @property
    def row(self) -> list[Number]:
        """The logits as the other oracle takes them."""
        return [ABSENT if mpmath.isnan(one) else one for one in self.logits]

    @property
    def w(self) -> Number:
        """w[t]."""
        return self.weights[self.label or 0]

    def y(self) -> list[Number]:
        """log_softmax, its limit where +inf is among the logits."""
        values, limits = value_of(self.row)
        chosen = [one if limit is None else limit for one, limit in zip(values, limits, strict=True)]
        return [mpf("nan") if one == ABSENT else one for one in chosen]

    def factors(self) -> list[Number]:
        """q, the loss being - sum q y."""
        c = len(self.logits)
        if self.p is not None:
            return [w * ((1 - self.e) * p + self.e / c) for w, p in zip(self.weights, self.p, strict=True)]
        own = [self.w * (1 - self.e) if k == self.label else mpf(0) for k in range(c)]
        return [q + w * self.e / c for q, w in zip(own, self.weights, strict=True)] if self.e else own

    def loss(self, y: list[Number]) -> Number:
        """That of y in the place of log_softmax."""
        c = len(y)
        if self.p is not None:
            pairs = zip(self.weights, [(1 - self.e) * p + self.e / c for p in self.p], y, strict=True)
            return -mpmath.fsum([w * p * one for w, p, one in pairs if not (p == 0 and one == -INFINITY)] or [mpf(0)])
        assert self.label is not None
        own = (1 - self.e) * self.w * -y[self.label]
        if not self.e:
            return own
        return own + self.e / c * sum((w * -one for w, one in zip(self.weights, y, strict=True)), mpf(0))

    def may_be_nan(self) -> bool:
        """Whether NaN is right as well: +inf among the logits, probability 0 at -inf."""
        if any(mpmath.isnan(one) for one in self.logits):
            return False
        if INFINITY in self.logits:
            return True
        present = max(self.logits) > -INFINITY
        return self.p is not None and not self.e and present and any(
            p == 0 and one == -INFINITY for p, one in zip(self.p, self.logits, strict=True)
        )  # fmt: skip

    def is_finite(self) -> bool:
        """Whether the loss is."""
        if any(mpmath.isnan(one) or one == INFINITY for one in self.logits) or max(self.logits) == -INFINITY:
            return False
        return bool(mpmath.isfinite(self.loss(self.y()))) and not any(mpmath.isnan(p) for p in self.p or ())


def _divided(a: Number, b: Number) -> Number:
    """By IEEE 754."""
    if b != 0 or mpmath.isnan(a):
        return a / b if b != 0 else a
    return mpf("nan") if a == 0 else a * INFINITY


def _found(call: Any, positions: list[Position], kept: list[Position], axis: int) -> Opinion:
    transform, mean = call.transform, call["reduction"] == "mean"
    kind = "value" if transform is None else transform.kind
    soft = bool(positions) and positions[0].p is not None
    w = mpf(len(kept)) if soft or call["weight"] is None else mpmath.fsum([one.w for one in kept])
    empty = mean and (not kept or w == 0)
    if kind in _VALUES:
        if not soft and any(one.e == 1 and one.logits[one.label or 0] == -INFINITY for one in kept):
            return Opinion(recorded=True)
        if kept and w == 0 and mean and kept[0].e:
            return Opinion(recorded=True)
        return _reduced(call, positions, {one.place: one.loss(one.y()) for one in kept}, w)
    if empty:
        return Opinion(recorded=True)
    if kind in ("jvp", "second_upstream"):
        return _directional(call, positions, kept, w, axis)
    return _array(call, positions, kept, w if mean else mpf(1), axis)


def _reduced(call: Any, positions: list[Position], losses: dict[Place, Number], w: Number) -> Opinion:
    unsure = {one.place for one in positions if one.is_kept and one.may_be_nan()}
    if call["reduction"] == "none":
        return Opinion(elements={one.place: losses.get(one.place, mpf(0)) for one in positions}, or_nan=unsure)
    s = sum(losses.values(), mpf(0))
    whole = _divided(s, w) if call["reduction"] == "mean" else s
    return Opinion(elements={(): whole}, or_nan={()} if unsure else set())


def _column(array: Any, place: Place, axis: int, classes: int) -> list[Number]:
    return [_number(array[(*place[:axis], c, *place[axis:])]) for c in range(classes)]


def _directional(call: Any, positions: list[Position], kept: list[Position], w: Number, axis: int) -> Opinion:
    """Along a direction; nothing is said where some loss is not finite."""
    if not all(one.is_finite() for one in kept):
        return Opinion(recorded=True)
    losses: dict[Place, Number] = {}
    for one in kept:
        v = _column(call.transform.direction, one.place, axis, len(one.logits))
        if call.wrt == "input":
            losses[one.place] = -_dot(one.factors(), derivative_of("jvp", one.row, [], v))
        else:
            moved = zip(one.weights, v, one.y(), strict=True)
            losses[one.place] = -mpmath.fsum([a * (1 - one.e) * b * y for a, b, y in moved if b or y > -INFINITY])
    found = _reduced(call, positions, losses, w)
    found.or_nan = set()
    return found


def _dot(a: list[Number], b: list[Number]) -> Number:
    return mpmath.fsum([p * q for p, q in zip(a, b, strict=True)])


def _array(call: Any, positions: list[Position], kept: list[Position], share: Number, axis: int) -> Opinion:
    """A gradient, or its derivative by the input."""
    found = Opinion()
    transform = call.transform
    upstream = transform.upstream
    for one in positions:
        column = [(*one.place[:axis], c, *one.place[axis:]) for c in range(len(one.logits))]
        found.elements |= dict.fromkeys(column, mpf(0))
        if not one.is_kept:
            continue
        g = _number(upstream[one.place if call["reduction"] == "none" else ()])
        masked = call.wrt == "target" and -INFINITY in one.logits
        if not one.is_finite() or not mpmath.isfinite(g) or masked:
            found.open |= set(column)
            continue
        k = g / share
        if call.wrt == "target":
            values = [-k * (1 - one.e) * w * y for w, y in zip(one.weights, one.y(), strict=True)]
            values = [mpf(0)] * len(values) if transform.kind == "second" else values
        elif transform.kind == "second":
            v = _column(transform.direction, one.place, axis, len(one.logits))
            values = derivative_of("second", one.row, [-k * q for q in one.factors()], v)
        else:
            q = one.factors()
            s = mpmath.fsum(q)
            values = [k * (p * s - own) for p, own in zip(probabilities(one.row), q, strict=True)]
        found.elements |= dict(zip(column, values, strict=True))
    found.recorded = bool(kept) and len(found.open) == sum(len(one.logits) for one in kept)
    return found
