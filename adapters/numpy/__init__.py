"""NumPy: losses and their gradients, with PyTorch's signatures and meaning; see ports/."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ports.cross_entropy import cross_entropy, cross_entropy_gradient
    from .ports.log_softmax import log_softmax, log_softmax_gradient
    from .ports.nll_loss import nll_loss, nll_loss_gradient

__all__ = [
    "cross_entropy",
    "cross_entropy_gradient",
    "log_softmax",
    "log_softmax_gradient",
    "nll_loss",
    "nll_loss_gradient",
]


def __getattr__(name: str) -> Any:
    """Import a port, and with it NumPy, only when it is asked for: the adapter beside it must not."""
    if name in __all__:
        return getattr(importlib.import_module(f".ports.{name.removesuffix('_gradient')}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
