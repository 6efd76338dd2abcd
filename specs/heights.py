"""How high a summation tree must have been, proven from how far its result is off.

A sum that adds n terms, in whatever order, is a tree, whose height h is the most additions that some term goes
through. `accuracy.error_bound` bounds the error of a tree of height h: by its additions, and by all that is not the
tree's, which is products, the errors of terms that are computed, the count or the sum of weights, the quotient,
underflow and flushing. A mean may divide its terms one by one, or its sum, or both. To that is added here one rounding
to the storage format p, u_p (|R| + E_h) + mu_p/2, whatever the accumulator was. Call it B_h. Each of these allowances
is the largest that is legal, and B_h grows with h.

An implementation whose additions round once each, in p itself or in anything finer, and whose tree has height h is off
by B_h at most: a finer accumulator has a smaller u, mu and lambda in every part of it. Read backwards: where the error
exceeds B_h, no such implementation with a tree of height h, or lower, made it. The smallest h whose B_h holds the error
is therefore a lower bound on the tree's height; of a mean with weights, on that of the higher of its two trees. It says
nothing of results that are no roundings at all: where even a running sum, h = n - 1, may not be so far off, or where
every order of additions is exact in p, there is no height to be had. So n terms never prove more than n - 1 additions.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from .accuracy import error_bound, is_certified
from .reductions import IEEE, Arithmetic, Reduction, Tier


def proven_height(reduction: Reduction, observed: float, arithmetic: Arithmetic = IEEE, known: int = 0) -> int:
    """The least height of a summation tree that explains a finite observed value; at least the `known` one.

    Ask only of values that may be roundings: of one that no tree explains it is the known one.
    """
    highest = reduction.n - 1
    arithmetic = dataclasses.replace(arithmetic, per_term=True)
    if highest <= known or is_certified(reduction, reduction.fmt, arithmetic):
        return known
    error = abs(Fraction(observed) - reduction.exact)
    if _explains(reduction, known, error, arithmetic) or not _explains(reduction, highest, error, arithmetic):
        return known
    too_low, enough = known, highest
    while enough - too_low > 1:
        middle = (too_low + enough) // 2
        if _explains(reduction, middle, error, arithmetic):
            enough = middle
        else:
            too_low = middle
    return enough


def _explains(reduction: Reduction, height: int, error: Fraction, arithmetic: Arithmetic) -> bool:
    """Whether an implementation whose tree has this height may be off by so much."""
    fmt = reduction.fmt
    bound = error_bound(reduction, Tier(fmt, height), arithmetic)
    if bound.holds(error):
        return True
    size = bound.exact
    stored = Fraction(fmt.u) * (abs(reduction.exact) + size) + fmt.smallest_subnormal / 2
    return error <= size + stored
