"""log_softmax and its derivatives as formulas over tracked numbers, rows by classes.

Each is written in all the ways in which implementations compute it, as far as they differ in their rounding: `either`
of them is legal.
"""

from __future__ import annotations

from ..tracked.number import Tracked, either, exp, largest, log, stored, total

CLASSES = 1  # the axis


def log_softmax(x: Tracked) -> Tracked:
    """x - m - ln sum exp(x - m), m the largest of a row.

    The shift comes first: x - (m + ln s) would lose what a row has in common (Blanchard, Higham and Higham, IMA Journal
    of Numerical Analysis 41, 2021, analyse both).
    """
    shifted = x - largest(x, CLASSES)
    return shifted - log(total(exp(shifted), CLASSES))


def gradient(x: Tracked, upstream: Tracked) -> Tracked:
    """g - P sum g; P is made of exponentials, or of the result as it is stored."""
    exponentials, normaliser, share = _parts(x)
    g = total(upstream, CLASSES)
    return upstream - either(exponentials / normaliser * g, exponentials * (g / normaliser), share * g)


def along(x: Tracked, direction: Tracked) -> Tracked:
    """v - P.v, the derivative of the result along v, and that of <gradient, v> by the upstream gradient."""
    return direction - _mean(x, direction)


def second(x: Tracked, upstream: Tracked, direction: Tracked) -> Tracked:
    """(sum g) P (P.v - v), the derivative of <gradient, v> by the input.

    Differentiating g - P sum g as it stands gives a difference of products, in which the sum may be a factor of either.
    """
    exponentials, normaliser, share = _parts(x)
    probabilities = either(exponentials / normaliser, share)
    mean, g = _mean(x, direction), total(upstream, CLASSES)
    apart = probabilities * direction * g, probabilities * (mean * g)
    return either(probabilities * (mean - direction) * g, apart[1] - apart[0])


def _mean(x: Tracked, direction: Tracked) -> Tracked:
    """P.v."""
    exponentials, normaliser, share = _parts(x)
    return either(
        total(exponentials * direction, CLASSES) / normaliser,
        total(exponentials / normaliser * direction, CLASSES),
        total(share * direction, CLASSES),
    )


def _parts(x: Tracked) -> tuple[Tracked, Tracked, Tracked]:
    """exp(x - m), its sum, and the probabilities as they are made of the stored result."""
    shifted = x - largest(x, CLASSES)
    exponentials = exp(shifted)
    normaliser = total(exponentials, CLASSES)
    return exponentials, normaliser, exp(stored(shifted - log(normaliser)))
