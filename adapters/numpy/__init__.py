"""NumPy: `nll_loss` and its gradient, with PyTorch's signature and meaning; see port.py."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .port import nll_loss, nll_loss_gradient

__all__ = ["nll_loss", "nll_loss_gradient"]


def __getattr__(name: str) -> Any:
    """Import the port, and with it NumPy, only when it is asked for: the adapter beside it must not."""
    if name in __all__:
        from . import port

        return getattr(port, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
