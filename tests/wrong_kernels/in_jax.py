"""JAX functions with one fault each."""

from typing import Any

import jax.numpy as jnp
from lossparity.adapters.jax import nll_loss

from tests.wrong_kernels import FAULTS


def make(fault: str) -> Any:
    def loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
        right = nll_loss(input, target, weight, ignore_index, reduction)
        if reduction not in ("sum", "mean"):
            return right
        held = jnp.iinfo(target.dtype).min <= ignore_index <= jnp.iinfo(target.dtype).max
        kept = target != ignore_index if held else jnp.ones(target.shape, bool)
        if fault == "ignored_times_zero":
            axis = min(1, input.ndim - 1)
            picked = jnp.take_along_axis(input, jnp.expand_dims(jnp.where(kept, target, 0), axis), axis)
            return right + (picked.squeeze(axis) * ~kept).sum().astype(right.dtype)
        if fault == "none" or reduction == "sum":
            return right
        total = nll_loss(input, target, weight, ignore_index, "sum")
        return (total / (target.size if fault == "mean_over_all" else kept.sum())).astype(input.dtype)

    return loss


for _fault in ("none", *FAULTS):
    globals()[_fault] = make(_fault)
