"""Losses that users of PyTorch put together of its others."""

from __future__ import annotations

from typing import Any

from torch.nn import functional


def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """log_softmax, then nll_loss: takes indices only, and does not smooth them."""
    logs = functional.log_softmax(input, min(1, input.ndim - 1))
    return functional.nll_loss(logs, target, weight, ignore_index=ignore_index, reduction=reduction)
