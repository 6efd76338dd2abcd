"""A loss that does not ship, and what computes it in each framework, for test_any_loss."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from lossparity.specs.call import REDUCTIONS, Option, Parameter, Signature

POWER_LOSS = Signature(
    "power_loss",
    arrays=(
        Parameter("guess", "x", differentiable=True),
        Parameter("truth", "y", differentiable=True),
        Parameter("scale", "s", optional=True),
    ),
    options=(Option("power", 2), Option("reduction", "mean", REDUCTIONS)),
)


def power_loss(guess: Any, truth: Any, scale: Any = None, power: int = 2, reduction: str = "mean") -> Any:
    """|guess - truth| ** power, power being even; arrays of NumPy, torch and JAX have these methods."""
    losses = (guess - truth) ** power
    losses = losses if scale is None else losses * scale
    return losses if reduction == "none" else getattr(losses, reduction)()


def power_loss_gradient(
    guess: Any, truth: Any, scale: Any = None, power: int = 2, reduction: str = "mean", upstream: Any = None
) -> Any:
    """Its gradient by guess."""
    count = guess.size if reduction == "mean" else 1
    slope = power * (guess - truth) ** (power - 1) * (1 if scale is None else scale) * upstream / count
    return slope.astype(guess.dtype)


def in_tensorflow(guess: Any, truth: Any, scale: Any = None, power: Any = 2, reduction: str = "mean") -> Any:
    """The same in TensorFlow, where a power may be a tensor."""
    import tensorflow as tf

    losses = (guess - truth) ** tf.cast(power, guess.dtype)
    losses = losses if scale is None else losses * scale
    return losses if reduction == "none" else getattr(tf, f"reduce_{reduction}")(losses)


def takes_one(guess: Any) -> Any:
    """No such loss: it lacks an array."""
    return guess


def needs_more(guess: Any, truth: Any, margin: Any, scale: Any = None, power: Any = 2, reduction: Any = "mean") -> Any:
    """No such loss: it wants another array."""
    return np.maximum(guess - truth, margin)


if importlib.util.find_spec("torch") is not None:
    import torch

    class PowerLoss(torch.nn.Module):
        """The same as a module of torch."""

        def __init__(self, scale: Any = None, power: int = 2, reduction: str = "mean") -> None:
            super().__init__()
            self.register_buffer("scale", scale)
            self.power, self.reduction = power, reduction

        def forward(self, guess: Any, truth: Any) -> Any:
            return power_loss(guess, truth, self.scale, self.power, self.reduction)
