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


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What a call computes with, as tracked numbers, shared by all calls on the same arrays with the same smoothing.

    `is_stored` tells that log_softmax, and what nll_loss and the sum of a smoothed row make of it, may be rounded to
    the storage format before they are used. With a direction its derivative along that takes log_softmax's place.
    """

    selection: Selection
    at: Evaluation
    is_stored: bool = True
    direction: Array | None = None

    def once(self, name: str, make: Callable[[], Tracked]) -> Tracked:
        """What does not depend on the reduction, made once for calls with weights and once for those without."""
        if self.direction is not None:
            return make()
        return self.at.once((name, self.is_stored, self.selection.weight is None), make)

    @property
    def logits(self) -> Tracked:
        """x."""
        return self.at.once("logits", lambda: self.at.number(self.selection.limits))

    @property
    def weight(self) -> Tracked | None:
        """w, one row."""
        w = self.selection.weight
        return None if w is None else self.at.once("weight", lambda: self.at.number(w))

    @property
    def probabilities(self) -> Tracked | None:
        """p."""
        p = self.selection.probabilities
        return None if p is None else self.at.once("probabilities", lambda: self.at.number(p))

    @property
    def classes(self) -> int:
        """C."""
        return self.selection.logits.shape[CLASSES]

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

    def smoothed(self) -> Tracked:
        """(1-e) p + e/C."""
        p = self.probabilities
        assert p is not None
        return self.once("smoothed", lambda: p * self.rest + self.share) if self.selection.smoothing else p

    def y(self) -> Tracked:
        """log_softmax, or its derivative along the direction."""
        if self.direction is None:
            return self.at.once(("y", self.is_stored), lambda: self.handed_on(of_log_softmax.log_softmax(self.logits)))
        return self.handed_on(of_log_softmax.along(self.logits, self.at.number(self.direction)))

    def handed_on(self, part: Tracked) -> Tracked:
        """A part of the loss as the next operation finds it."""
        return stored(part) if self.is_stored else part

    def rounded(self, part: Tracked) -> Tracked:
        """A part that may be handed on so where it fits: that it overflows there is avoidable."""
        z = self.handed_on(part)
        return Tracked(z.evaluation, z.value, z.errors, z.size, part.specials, z.ways)


# --- the loss --------------------------------------------------------------------------------------------


def reduced(terms: Terms, reduction: str) -> Tracked:
    """The loss under a reduction: one number per row, or a single one."""
    if terms.probabilities is not None:
        return of_probabilities(terms, terms.y(), terms.smoothed(), reduction)
    if reduction == "none":
        return terms.once("none", lambda: _of_rows(terms))
    losses = terms.once("sum", lambda: _of_all(terms))
    return losses if reduction == "sum" else losses / normaliser(terms)


def _of_rows(terms: Terms) -> Tracked:
    return _either_as_documented(*(total(form, CLASSES) for form in _of_labels(terms)))


def _of_all(terms: Terms) -> Tracked:
    """Added up row by row, or over rows and classes at once."""
    rows = _of_labels(terms)
    return _either_as_documented(total(rows[0], ROWS), *(total(form, None) for form in rows[1:]))


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


def _of_labels(terms: Terms) -> list[Tracked]:
    """Losses in two forms: one number per row, and with smoothing such as add up to it along the classes, too."""
    w, y = terms.weight, terms.y()

    def own() -> Tracked:
        at_label, own_weight = take(y, terms.labels, CLASSES), _target_weight(terms)
        return at_label if own_weight is None else terms.rounded(own_weight * at_label)

    if not terms.selection.smoothing:
        return [terms.once("own", lambda: -own())]

    def by_row() -> Tracked:
        spread = terms.rounded(total(y if w is None else y * w, CLASSES))
        return -(own() * terms.rest + spread * terms.share)

    def by_class() -> Tracked:
        factors = where(terms.hot, terms.rest, 0) + terms.share
        return -(y * (factors if w is None else factors * w))

    return [terms.once("by row", by_row), terms.once("by class", by_class)]


def normaliser(terms: Terms) -> Tracked:
    """W, or how many rows there are."""
    w = None if terms.probabilities is not None else _target_weight(terms)
    return terms.at.constant(terms.selection.rows) if w is None else terms.at.once("W", lambda: total(w, ROWS))


# --- derivatives -----------------------------------------------------------------------------------------


def gradient(terms: Terms, upstream: Array, reduction: str) -> Tracked:
    """By the input."""
    if terms.probabilities is not None or terms.selection.smoothing:
        early = of_log_softmax.gradient(terms.logits, -factors(terms, upstream, reduction))
        # What every class has in common may be multiplied in at the end.
        late = of_log_softmax.gradient(terms.logits, -_spread(terms, _weight(terms)))
        return either(early, late * _slopes(terms, None, upstream, reduction))
    k = terms.rounded(_slopes(terms, _target_weight(terms), upstream, reduction))
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
    """q, by which the gradient of the loss by y is -q: what log_softmax's derivative is handed."""
    if terms.probabilities is None and not terms.selection.smoothing:
        return where(terms.hot, terms.rounded(_slopes(terms, _target_weight(terms), upstream, reduction)), 0)
    return terms.rounded(_spread(terms, _slopes(terms, terms.weight, upstream, reduction)))


def _weight(terms: Terms) -> Tracked:
    """w, 1 where there is none."""
    return terms.at.constant(1) if terms.weight is None else terms.weight


def _spread(terms: Terms, k: Tracked) -> Tracked:
    """k p, the probabilities being those of smoothed indices, too."""
    if terms.probabilities is not None:
        return terms.smoothed() * k
    own = where(terms.hot, terms.rest, 0)
    return either(own * k + k * terms.share, k * (own + terms.share))


def _target_weight(terms: Terms) -> Tracked | None:
    """w[t]."""
    w = terms.weight
    return None if w is None else terms.at.once("w[t]", lambda: take(w, terms.labels, CLASSES))


def _slopes(terms: Terms, w: Tracked | None, upstream: Array, reduction: str) -> Tracked:
    """g w, over the normaliser for a mean; one g per row, or one for all."""
    g = terms.at.number(upstream.reshape(-1, 1))
    if reduction != "mean":
        return g if w is None else g * w
    by = normaliser(terms)
    return g / by if w is None else either(g * w / by, g / by * w, g * (w / by))
