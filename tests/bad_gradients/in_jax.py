"""JAX functions with a backward of their own (jax.custom_vjp) and one fault in it."""

from typing import Any

import jax
import jax.numpy as jnp
from lossparity.adapters.jax import nll_loss

from tests.bad_gradients import FAULTS


def make(fault: str) -> Any:
    def loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
        def value(x: Any) -> Any:
            return nll_loss(x, target, weight, ignore_index, reduction)

        forward: Any = jax.custom_vjp(value)
        forward.defvjp(lambda x: (forward(x), x), lambda x, g: (backward(x, g),))

        def backward(x: Any, g: Any) -> Any:
            axis = min(1, x.ndim - 1)
            kept = jnp.asarray(target) != ignore_index
            safe = jnp.where(kept, target, 0)
            w = jnp.ones(safe.shape, x.dtype) if weight is None else jnp.asarray(weight)[safe]
            slope = -jnp.broadcast_to(jnp.ones_like(g) if fault == "upstream_ignored" else g, safe.shape)
            slope = slope if fault == "weight_missing" else slope * w
            if reduction == "mean" and fault != "normaliser_missing":
                slope = slope / jnp.where(kept, w, 0).sum()
            if fault != "ignored_row_not_zero":  # last: 0/0 is NaN
                slope = jnp.where(kept, slope, 0)
            gradient = jnp.where(jnp.arange(x.shape[axis]) == safe[..., None], slope[..., None], 0)
            gradient = jnp.moveaxis(gradient, -1, axis).astype(x.dtype)
            if fault == "arrangement" and x.ndim > 3:
                gradient = jnp.flip(gradient, -1)
            if fault == "nan_in_ignored_row":
                gradient = gradient + jnp.where(jnp.expand_dims(kept, axis), 0, x * 0)
            return gradient

        return forward(input)

    return loss


for _fault in ("none", *FAULTS):
    globals()[_fault] = make(_fault)
