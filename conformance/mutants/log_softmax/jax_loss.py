"""A correct log_softmax in JAX whose derivative is written by hand, one step to a line.

jax_faults.toml and jax_correct.toml edit these lines. The one rule, `_along`, is both: forward mode runs it, and the
gradient is its transpose, which JAX makes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

WIDE: Any = {"float16": jnp.float32, "bfloat16": jnp.float32, "float32": jnp.float32, "float64": jnp.float64}


def log_softmax(input: Any, dim: int = -1) -> Any:
    """The logarithms of lossparity's specification, for JAX arrays."""
    x = input
    if x.dtype.name not in WIDE:
        raise TypeError(f"input is {x.dtype}")
    if not -x.ndim <= dim < x.ndim:
        raise IndexError(f"input {x.shape} has no axis {dim}")
    return _compiled(x, dim % x.ndim)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _loss(x: Any, dim: int) -> Any:
    """The logarithms, in input's dtype."""
    rows = x.astype(WIDE[x.dtype.name])
    shifted = rows - rows.max(dim, keepdims=True, initial=-jnp.inf)
    total = jnp.exp(shifted).sum(dim, keepdims=True)
    return (shifted - jnp.log(total)).astype(x.dtype)


@_loss.defjvp
def _along(dim: int, primals: Any, tangents: Any) -> Any:
    """The logarithms and their derivative along a tangent of `x`."""
    (x,), (moved,) = primals, tangents
    wide = WIDE[x.dtype.name]
    share = jax.nn.softmax(x.astype(wide), dim)
    rate = moved.astype(wide)
    mean = (share * rate).sum(dim, keepdims=True)
    return _loss(x, dim), (rate - mean).astype(x.dtype)


_compiled: Any = jax.jit(_loss, static_argnums=1)
