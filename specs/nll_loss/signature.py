"""How `nll_loss` is called."""

from ..call import REDUCTIONS, Option, Parameter, Signature

NLL_LOSS = Signature(
    "nll_loss",
    arrays=(
        Parameter("input", "x", differentiable=True),
        Parameter("target", "t", holds="classes"),
        Parameter("weight", "w", optional=True, differentiable=True),
    ),
    options=(Option("ignore_index", -100), Option("reduction", "mean", REDUCTIONS)),
)
