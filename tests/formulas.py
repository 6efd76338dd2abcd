"""Losses as formulas over tracked numbers, for tests of the arithmetic: rows by classes."""

from __future__ import annotations

from lossparity.specs.call import Array
from lossparity.specs.tracked.gradient import gradient
from lossparity.specs.tracked.number import (
    Tracked,
    either,
    exp,
    largest,
    log,
    masked,
    sqrt,
    stored,
    take,
    total,
    where,
)


def log_softmax(x: Tracked, axis: int = -1) -> Tracked:
    shifted = x - largest(x, axis)
    y = shifted - log(total(exp(shifted), axis))
    return y.made_of((x, lambda g: g - softmax(x, axis) * total(g, axis)))


def softmax(x: Tracked, axis: int = -1) -> Tracked:
    e = exp(x - largest(x, axis))
    return either(e / total(e, axis), exp(stored(log_softmax(x, axis))))


def log_softmax_of_torch(x: Tracked) -> Tracked:
    """As PyTorch computes it on a CPU: sums, and their logarithms, are rounded to half formats."""
    shifted = x - largest(x, -1)
    y = stored(shifted - stored(log(stored(total(exp(shifted), -1)))))
    return y.made_of((x, lambda g: g - exp(y) * total(g, -1)))


def unshifted_last(x: Tracked) -> Tracked:
    """x - (m + L): the common offset eats what it adds to."""
    m = largest(x, -1)
    return x - (m + log(total(exp(x - m), -1)))


def cross_entropy(
    x: Tracked, target: Array, weight: Tracked, smoothing: float = 0.1, reduction: str = "mean"
) -> Tracked:
    return _smoothed(stored(log_softmax(x)), target, weight, smoothing, reduction)


def cross_entropy_of_torch(x: Tracked, target: Array, weight: Tracked, smoothing: float, reduction: str) -> Tracked:
    y = log_softmax_of_torch(x)
    if not smoothing:
        return nll_loss(y, target, weight, reduction)
    return _smoothed(y, target, weight, smoothing, reduction)


def _smoothed(y: Tracked, target: Array, weight: Tracked, smoothing: float, reduction: str) -> Tracked:
    w = take(weight, target, -1)
    loss = -stored(w * take(y, target, -1))
    s = y.evaluation.constant(smoothing)
    loss = (1 - s) * loss - stored(total(y * weight, -1)) * (s / float(y.shape[-1]))
    if reduction == "none":
        return loss
    return total(loss) if reduction == "sum" else stored(total(loss)) / stored(total(w))


def kl_div(x: Tracked, t: Tracked) -> Tracked:
    logs = log(t)
    terms = either(t * (logs - x), stored(t * logs) - stored(t * x))
    return where(masked(t, x), 0, where(t == 0, -(t * x), terms))


def js_divergence(p: Tracked, q: Tracked) -> Tracked:
    m = stored((p + q) * 0.5)
    return (total(_kl(p, m), -1) + total(_kl(q, m), -1)) * 0.5


def _kl(p: Tracked, q: Tracked) -> Tracked:
    return where(p == 0, 0, either(p * (log(p) - log(q)), p * log(p / q)))


def distance(p: Tracked, q: Tracked) -> Tracked:
    return sqrt(js_divergence(p / total(p, -1), q / total(q, -1)))


def focal(x: Tracked, target: Array) -> Tracked:
    y = take(log_softmax(x), target, -1)
    miss = 1 - exp(y)
    return -(miss * miss * y)


def smooth_l1(x: Tracked, t: Tracked) -> Tracked:
    d = x - t
    size = where(d > 0, d, -d)
    return where(size < 1, d * d * 0.5, size - 0.5)


def nll_loss(x: Tracked, target: Array, weight: Tracked | None, reduction: str) -> Tracked:
    w = x.evaluation.constant(1.0) if weight is None else take(weight, target, -1)
    loss = -take(x, target, -1) if weight is None else -(w * take(x, target, -1))
    if reduction == "none":
        return loss
    count = x.evaluation.constant(float(target.size)) if weight is None else total(w)
    return total(loss) if reduction == "sum" else total(loss) / count


def slope(z: Tracked, x: Tracked) -> Tracked:
    """The derivative of the sum of z."""
    return gradient(z, x, x.evaluation.constant(1.0))
