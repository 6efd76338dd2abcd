"""How `log_softmax` is called."""

from __future__ import annotations

from ..call import Option, Parameter, Signature

LOG_SOFTMAX = Signature("log_softmax", (Parameter("input", "x", differentiable=True),), (Option("dim", -1),))
