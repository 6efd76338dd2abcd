"""JAX: losses with PyTorch's signatures and meaning; see ports/."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ports.cross_entropy import cross_entropy
    from .ports.nll_loss import nll_loss

__all__ = ["cross_entropy", "nll_loss"]


def __getattr__(name: str) -> Any:
    """Import a port, and with it JAX, only when it is asked for: the adapter beside it must not."""
    if name in __all__:
        return getattr(importlib.import_module(f".ports.{name}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
