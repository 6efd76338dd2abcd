"""tf.function for users' functions: what is one, and that it never runs eagerly in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...specs.call import Signature
from ...specs.errors import BridgeError
from ..base import Compiler, unwrapped


class OneByOne:
    """A tf.function with reduce_retracing, made anew for each signature.

    Its graphs grow more general with what it has seen, up to an unknown rank, so that what comes of a call would hang
    on the calls before it: no two runs of a test, and no replay of a call, would see the same.
    """

    def __init__(self, graph: Any) -> None:
        self._graph, self._made = graph, dict[tuple[Any, ...], Any]()
        self._jit_compile = graph._jit_compile

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the one that is there for tensors of these shapes and dtypes."""
        import tensorflow as tf

        given = (*enumerate(arguments), *sorted(options.items()))
        signature = tuple((name, one.shape, one.dtype) for name, one in given if isinstance(one, tf.Tensor))
        if signature not in self._made:
            self._made[signature] = self._graph._clone(None)
        return self._made[signature](*arguments, **options)

    def experimental_get_tracing_count(self) -> int:
        """The graphs of all of them."""
        return sum(one.experimental_get_tracing_count() for one in self._made.values())


def require_graphs(name: str) -> None:
    """Guard that a tf.function does not run eagerly in silence; raises BridgeError."""
    import tensorflow as tf

    if tf.config.functions_run_eagerly():
        raise BridgeError(
            f"{name}: tf.config.run_functions_eagerly(True) is in effect, so that a tf.function would run "
            "eagerly: switch it off"
        )


def _made(function: Any) -> str:
    """Whether a function is a tf.function, and whether XLA compiles it."""
    import tensorflow as tf

    graph = unwrapped(function)
    if not isinstance(graph, tf.types.experimental.PolymorphicFunction):
        return ""
    return "tf.function, XLA" if getattr(graph, "_jit_compile", False) else "tf.function"


def _compile(signature: Signature, function: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf

    return tf.function(function)


def _refuses(error: BaseException) -> str:
    """Whether a function asked for values while a graph was made of it."""
    import tensorflow as tf

    if isinstance(error, tf.errors.OperatorNotAllowedInGraphError):
        return f"{type(error).__name__}: {str(error).strip().splitlines()[-1].strip()}"
    return ""


COMPILER = Compiler(made=_made, compile=_compile, refuses=_refuses, line="{name} = tf.function({name})")
