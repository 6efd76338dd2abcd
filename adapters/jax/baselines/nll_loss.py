"""What users write in JAX, or take from optax, instead of an nll_loss, to be timed beside it; all under jit."""

from __future__ import annotations

import importlib.util
from typing import Any

import jax
import jax.numpy as jnp

from ...base import PLAIN, Baseline, Capabilities, reduced
from ..subject import JaxSubject

_NAN = "Nothing is ignored. A target that is no class gives NaN, but from -C to -1 it wraps in silence."


def one_hot(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """A dense product with 0 and 1."""
    return reduced(-(input * jax.nn.one_hot(target, input.shape[1], dtype=input.dtype)).sum(1), reduction)


def take_along_axis(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """One gather."""
    return reduced(-jnp.take_along_axis(input, target[:, None], axis=1)[:, 0], reduction)


def indexing(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """One gather, in the usual spelling; indices that do not exist are clamped."""
    return reduced(-input[jnp.arange(target.shape[0]), target], reduction)


def masked(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """One gather, without the positions whose target is -100."""
    kept = target != -100
    picked = jnp.take_along_axis(input, jnp.where(kept, target, 0)[:, None], axis=1)[:, 0]
    losses = jnp.where(kept, -picked, 0)
    return losses.sum() / kept.sum() if reduction == "mean" else reduced(losses, reduction)


def optax(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """Optax's cross-entropy on log-probabilities."""
    from optax import softmax_cross_entropy_with_integer_labels

    return reduced(softmax_cross_entropy_with_integer_labels(input, target), reduction)


def baselines(device: str) -> list[Baseline]:
    """The functions above; optax's where it is installed."""
    again = f"Takes logits: a logarithm of a sum is computed once more, and has a gradient. {_NAN}"
    nan = "Nothing is ignored. A target that is no class gives 0 in silence. NaN in a row spoils it (0 * NaN)."
    clamped = "Nothing is ignored. A target beyond the classes is clamped to the last one, and one from -C to -1 wraps."
    counted = "A target that is neither a class nor -100 gives NaN, but from -C to -1 it wraps in silence."
    rows = [
        (one_hot, "(input * jax.nn.one_hot(target, C)).sum(1)", nan, PLAIN),
        (take_along_axis, "jnp.take_along_axis", _NAN, PLAIN),
        (indexing, "input[jnp.arange(N), target]", clamped, PLAIN),
        (masked, "jnp.take_along_axis where target != -100", counted, PLAIN - {"ignored positions"}),
    ]
    if importlib.util.find_spec("optax") is not None:
        rows.append((optax, "optax.softmax_cross_entropy_with_integer_labels", again, PLAIN))
    can = Capabilities(binding="baseline", style="jit", tier=2, traced=True)
    return [
        Baseline(
            subject=JaxSubject(
                f"jax:{function.__name__}", jax.jit(function, static_argnames="reduction"), device, can, ("reduction",)
            ),
            says=says,
            differs=differs,
            lacks=lacks,
        )
        for function, says, differs, lacks in rows
    ]
