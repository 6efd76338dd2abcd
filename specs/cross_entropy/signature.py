"""How `cross_entropy` is called."""

from __future__ import annotations

from ..call import REDUCTIONS, Option, Parameter, Signature

CROSS_ENTROPY = Signature(
    "cross_entropy",
    (
        Parameter("input", "x", differentiable=True),
        Parameter("target", "t", "either", differentiable=True),
        Parameter("weight", "w", optional=True),
    ),
    (Option("ignore_index", -100), Option("reduction", "mean", REDUCTIONS), Option("label_smoothing", 0.0)),
)
