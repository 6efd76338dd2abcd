"""TensorFlow: `nll_loss` with PyTorch's signature and meaning; see port.py."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .port import nll_loss

__all__ = ["nll_loss"]


def __getattr__(name: str) -> Any:
    """Import the port, and with it TensorFlow, only when it is asked for: the adapter beside it must not."""
    if name == "nll_loss":
        from .port import nll_loss

        return nll_loss
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
