"""jax.jit for users' functions: what it made, and that it never runs eagerly in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...specs.call import Signature
from ...specs.errors import BridgeError
from ..base import Compiler, unwrapped


def chosen(signature: Signature) -> tuple[str, ...]:
    """The options of which each choice is a program of its own, where others are traced."""
    return tuple(one.name for one in signature.options if one.choices)


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


def _compile(signature: Signature, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with all its options as part of the program."""
    import jax

    return jax.jit(function, static_argnames=tuple(signature.defaults))


def _refuses(error: BaseException) -> str:
    """Whether a function asked for values while it was traced."""
    import jax

    kinds = (jax.errors.JAXTypeError, jax.errors.NonConcreteBooleanIndexError)
    return f"{type(error).__name__}: {str(error).splitlines()[0]}" if isinstance(error, kinds) else ""


COMPILER = Compiler(
    made=_made,
    compile=_compile,
    refuses=_refuses,
    line="{name} = jax.jit({name}, static_argnames={options})",
)
