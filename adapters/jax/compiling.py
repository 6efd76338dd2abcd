"""jax.jit for users' functions: what it made, and that it never runs eagerly in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...specs.errors import BridgeError
from ..base import Compiler, unwrapped

FIXED = ("ignore_index", "reduction")  # part of the program


def require_jit(name: str) -> None:
    """Guard that what jax.jit made does not run eagerly in silence; raises BridgeError."""
    import jax

    config: Any = jax.config
    if config.jax_disable_jit:
        raise BridgeError(
            f"{name}: jax_disable_jit is on, so that what jax.jit compiles would run eagerly: switch it off "
            "(JAX_DISABLE_JIT, jax.disable_jit)"
        )


def _made(function: Any) -> str:
    """Whether jax.jit made a function."""
    import jax

    return "jax.jit" if isinstance(unwrapped(function), type(jax.jit(_made))) else ""


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    import jax

    return jax.jit(function, static_argnames=FIXED)


def _refuses(error: BaseException) -> str:
    """Whether a function asked for values while it was traced."""
    import jax

    kinds = (jax.errors.JAXTypeError, jax.errors.NonConcreteBooleanIndexError)
    return f"{type(error).__name__}: {str(error).splitlines()[0]}" if isinstance(error, kinds) else ""


COMPILER = Compiler(
    made=_made,
    compile=_compile,
    refuses=_refuses,
    line='{name} = jax.jit({name}, static_argnames=("ignore_index", "reduction"))',
)
