"""What users write in PyTorch instead of nll_loss, to be timed beside it."""

from __future__ import annotations

from typing import Any

from torch.nn import functional

from ...base import PLAIN, Baseline, Capabilities, reduced
from ..subject import TorchSubject


def one_hot(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """A dense product with 0 and 1."""
    hot = functional.one_hot(target, input.shape[1]).to(input.dtype)
    return reduced(-(input * hot).sum(1), reduction)


def gather(input: Any, target: Any, weight: None = None, reduction: str = "mean") -> Any:
    """One gather."""
    return reduced(-input.gather(1, target[:, None])[:, 0], reduction)


def baselines(device: str) -> list[Baseline]:
    """The functions above, and cross_entropy, which normalises what is normalised already."""
    nothing = "Nothing is ignored, and there are no weights."
    again = "Takes logits: log_softmax is computed once more, and has a gradient. Of the value the last digits change."
    rows = [
        (
            "one_hot",
            one_hot,
            "(input * one_hot(target)).sum(1)",
            f"{nothing} NaN in a row spoils it (0 * NaN).",
            PLAIN,
        ),
        ("gather", gather, "input.gather(1, target[:, None])", nothing, PLAIN),
        ("cross_entropy", functional.cross_entropy, "torch.nn.functional.cross_entropy", again, frozenset[str]()),
    ]
    can = Capabilities(binding="baseline", style="eager")
    return [
        Baseline(subject=TorchSubject(f"torch:{name}", function, device, can), says=says, differs=differs, lacks=lacks)
        for name, function, says, differs, lacks in rows
    ]
