"""cross_entropy and its derivatives as formulas over tracked numbers, rows by classes.

Every derivative by the input is one of log_softmax, y: the loss is linear in y, - sum q[c] y[c], and the factors q do
not depend on the input. Where implementations differ in rounding, `either` way is legal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..call import Array
from ..log_softmax import formula as of_log_softmax
from ..tracked.number import Evaluation, Tracked, either, exp, largest, masked, stored, take, total, where
from .selection import Selection

CLASSES, ROWS = 1, 0  # the axes
Store = Callable[[Tracked], Tracked]


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What a call computes with, as tracked numbers; `store` is what happens to log_softmax before it is used."""

    selection: Selection
    at: Evaluation
    logits: Tracked
    weight: Tracked | None
    probabilities: Tracked | None
    store: Store = stored

    @classmethod
    def of(cls, selection: Selection, at: Evaluation, logits: Array, store: Store = stored) -> Terms:
        """The terms of a selection, with other logits perhaps."""
        x = at.number(logits)
        w = None if selection.weight is None else at.number(selection.weight)
        p = None if selection.probabilities is None else at.number(selection.probabilities)
        return cls(selection, at, x, w, p, store)

    @property
    def classes(self) -> int:
        """C."""
        return self.logits.shape[CLASSES]

    @property
    def labels(self) -> Array:
        """The index of each row."""
        assert self.selection.labels is not None
        return self.selection.labels

    @property
    def hot(self) -> Array:
        """Where a class is its row's index."""
        return self.labels[:, None] == np.arange(self.classes)

    @property
    def rest(self) -> Tracked:
        """1 - e."""
        return 1 - self.at.constant(self.selection.smoothing)

    @property
    def share(self) -> Tracked:
        """e/C."""
        return self.at.constant(self.selection.smoothing) / float(self.classes)

    @property
    def smoothed(self) -> Tracked:
        """(1-e) p + e/C."""
        assert self.probabilities is not None
        return self.probabilities * self.rest + self.share if self.selection.smoothing else self.probabilities

    def y(self) -> Tracked:
        """log_softmax."""
        return self.store(of_log_softmax.log_softmax(self.logits))

    def along(self, direction: Array) -> Tracked:
        """Its derivative along a direction."""
        return self.store(of_log_softmax.along(self.logits, self.at.number(direction)))


# --- the loss --------------------------------------------------------------------------------------------


def reduced(terms: Terms, y: Tracked, reduction: str) -> Tracked:
    """The loss of y under a reduction: one number per row, or a single one."""
    if terms.probabilities is not None:
        return of_probabilities(terms, y, terms.smoothed, reduction)
    rows = _of_labels(terms, y)
    if reduction == "none":
        return _either_as_documented(*(total(form, CLASSES) for form in rows))
    # Added up row by row, or over rows and classes at once.
    losses = _either_as_documented(total(rows[0], ROWS), *(total(form, None) for form in rows[1:]))
    return losses if reduction == "sum" else losses / normaliser(terms)


def _either_as_documented(documented: Tracked, *others: Tracked) -> Tracked:
    """Any of these forms; where the documented one overflows, that others do not is no reproach."""
    z = either(documented, *others)
    return Tracked(z.evaluation, z.value, z.errors, z.size, documented.specials, z.ways)


def of_probabilities(terms: Terms, y: Tracked, p: Tracked, reduction: str) -> Tracked:
    """The loss of y with these probabilities; those that are 0 where y is -inf add nothing."""
    w = terms.weight
    products = y * p if w is None else either(y * p * w, y * (p * w), y * w * p)
    products = where(masked(p, y), 0, products)
    if reduction == "none":
        return -total(products, CLASSES)
    losses = -total(products, None)
    return losses if reduction == "sum" else losses / normaliser(terms)


def _of_labels(terms: Terms, y: Tracked) -> list[Tracked]:
    """Losses in two forms: one number per row, and with smoothing such as add up to it along the classes, too."""
    w, own = _target_weight(terms), take(y, terms.labels, CLASSES)
    own = own if w is None else w * own
    if not terms.selection.smoothing:
        return [-own]
    w = terms.weight
    spread = total(y if w is None else y * w, CLASSES)
    factors = where(terms.hot, terms.rest, 0) + terms.share
    return [-(own * terms.rest + spread * terms.share), -(y * (factors if w is None else factors * w))]


def normaliser(terms: Terms) -> Tracked:
    """W, or how many rows there are."""
    w = None if terms.probabilities is not None else _target_weight(terms)
    return terms.at.constant(terms.selection.rows) if w is None else total(w, ROWS)


# --- derivatives -----------------------------------------------------------------------------------------


def gradient(terms: Terms, upstream: Array, reduction: str) -> Tracked:
    """By the input."""
    if terms.probabilities is not None or terms.selection.smoothing:
        return of_log_softmax.gradient(terms.logits, -factors(terms, upstream, reduction))
    k = _slopes(terms, _target_weight(terms), upstream, reduction)
    shifted = terms.logits - largest(terms.logits, CLASSES)
    grown = exp(shifted)
    whole = total(grown, CLASSES)
    p = either(grown / whole, exp(terms.y()))
    others = either(p * k, grown * (k / whole))
    return where(terms.hot, either((p - 1) * k, others - k), others)


def second(terms: Terms, upstream: Array, direction: Array, reduction: str) -> Tracked:
    """By the input, of the gradient by it times a direction."""
    q = factors(terms, upstream, reduction)
    return of_log_softmax.second(terms.logits, -q, terms.at.number(direction))


def gradient_by_probabilities(terms: Terms, upstream: Array, reduction: str) -> Tracked:
    """-g (1-e) w[c] y[c], over the number of rows for a mean."""
    k = _slopes(terms, terms.weight, upstream, reduction)
    return -(terms.y() * k * terms.rest) if terms.selection.smoothing else -(terms.y() * k)


def factors(terms: Terms, upstream: Array, reduction: str) -> Tracked:
    """q, by which the gradient of the loss by y is -q."""
    if terms.probabilities is None and not terms.selection.smoothing:
        return where(terms.hot, _slopes(terms, _target_weight(terms), upstream, reduction), 0)
    k = _slopes(terms, terms.weight, upstream, reduction)
    if terms.probabilities is not None:
        return terms.smoothed * k
    own = where(terms.hot, terms.rest, 0)
    return either(own * k + k * terms.share, k * (own + terms.share))


def _target_weight(terms: Terms) -> Tracked | None:
    """w[t]."""
    return None if terms.weight is None else take(terms.weight, terms.labels, CLASSES)


def _slopes(terms: Terms, w: Tracked | None, upstream: Array, reduction: str) -> Tracked:
    """g w, over the normaliser for a mean; one g per row, or one for all."""
    g = terms.at.number(upstream.reshape(-1, 1))
    if reduction != "mean":
        return g if w is None else g * w
    by = normaliser(terms)
    return g / by if w is None else either(g * w / by, g / by * w, g * (w / by))
