"""Whether the oracle and the second oracle disagree about a call, for tests of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import second_formats
import second_oracle
from lossparity.specs.call import Call
from lossparity.specs.case import Exactly, Expectation, Limit, Raises, Returns, Unjudgeable, Unspecified
from lossparity.specs.nll_loss import oracle
from lossparity.specs.reductions import Reduction
from second_oracle import Opinion, opinion


def disagreement(call: Call, theirs: Opinion | None = None) -> str:
    """What `expect` and the second oracle say differently about a call; empty when they agree."""
    return difference(call, oracle.expect(call), theirs or opinion(call))


def difference(call: Call, ours: Expectation, theirs: Opinion) -> str:
    """What an expectation and the second oracle's opinion of a call say differently."""
    match ours:
        case Raises():
            found = _raises(call, ours, theirs)
        case Unspecified():
            found = "" if theirs.recorded else f"recorded only, against {theirs}"
        case Returns() if theirs.faults or theirs.recorded:
            found = f"returns, against {theirs}"
        case Returns(shape, _, Exactly() as value):
            found = f"shape {shape}" if shape != call["target"].shape else _elements(call, value, theirs)
        case Returns(shape, _, value):
            found = f"shape {shape}" if shape != () else _reduction(call, value, theirs)
    return f"{found}: {call.describe()}" if found else ""


def _raises(call: Call, ours: Raises, theirs: Opinion) -> str:
    if ours.categories != theirs.faults:
        return f"categories {set(ours.categories)}, against {theirs.faults}"
    if (ours.poisoned is None) != (theirs.poison is None):
        return f"poisoned {ours.poisoned}, against {theirs.poison}"
    if ours.poisoned is None or theirs.poison is None:
        return ""
    shape = call["target"].shape if call["reduction"] == "none" else ()
    if (ours.poisoned.shape, ours.poisoned.dtype) != (shape, call.dtype):
        return f"shape or dtype of what is poisoned: {ours.poisoned}"
    match ours.poisoned.value:
        case Limit(allowed):
            return "" if shape == () and allowed == {"nan"} else "poison of a scalar"
        case Exactly() as value if np.isnan(value.value.reshape(-1)[theirs.poison]).all():
            return _elements(call, value, theirs)
        case other:
            return f"poisoned {other}"


def _elements(call: Call, ours: Exactly, theirs: Opinion) -> str:
    name, assumed = call.dtype, theirs.elements
    if assumed is None:
        return "elements, against none"
    if ours.value.dtype != call["input"].dtype or ours.value.shape != call["target"].shape:
        return f"value of {ours.value.dtype}{ours.value.shape}"
    codes = ours.value.reshape(-1).view(f"u{ours.value.dtype.itemsize}").tolist()
    top = 1 << (8 * ours.value.dtype.itemsize - 1)
    masks = (ours.loose, ours.flushable, ours.flushable_nan)
    if any(mask.shape != call["target"].shape or mask.dtype != bool for mask in masks):
        return "shape or dtype of a mask"
    for at, (code, expected) in enumerate(zip(codes, assumed, strict=True)):
        if expected is None:  # poisoned: the value is free
            continue
        if expected == second_oracle.NAN:
            if not np.isnan(ours.value.flat[at]):
                return f"element {at} is {ours.value.flat[at]}, not NaN"
        elif code != expected and not (code % top == 0 and expected % top == 0):
            return f"element {at} has bits {code:x}, not {expected:x}"
        wrong = _masks(name, [bool(mask.flat[at]) for mask in masks], call, theirs, at)
        if wrong:
            return f"element {at}: {wrong}"
    return ""


def _masks(name: str, masks: list[bool], call: Call, theirs: Opinion, at: int) -> str:
    loose, _, flushable_nan = masks
    product, outcomes = theirs.products[at], theirs.outcomes[at]
    if product is not None:
        code = second_formats.nearest_code(abs(product), name)
        small = 0 < abs(product) < second_formats.smallest_normal(name)
        at_border = abs(second_formats.decode(code, name)) == second_formats.smallest_normal(name)
        if loose != (small and call["weight"] is not None) and not (loose and at_border and call["weight"] is not None):
            return f"loose is {loose} for {product}"
    elif loose:
        return "loose without a finite product"
    if (outcomes == {"value", "nan"} and not flushable_nan) or (flushable_nan and "nan" not in outcomes):
        return f"flushable_nan is {flushable_nan}, outcomes are {outcomes}"
    return ""


def _reduction(call: Call, ours: Reduction | Limit | Unjudgeable | Exactly, theirs: Opinion) -> str:
    match ours:
        case Limit(allowed) if theirs.limit is not None and theirs.overflow:
            # How much overflow beside an infinity frees is tested on its own below.
            return "" if theirs.limit <= allowed <= {"nan", "inf", "-inf"} else f"limit {set(allowed)}"
        case Limit(allowed):
            return "" if theirs.limit == allowed else f"limit {set(allowed)}, against {theirs.limit}"
        case Unjudgeable():
            return "" if theirs.order_dependent else f"unjudgeable, against {theirs}"
        case Reduction():
            if theirs.limit is not None or theirs.order_dependent:
                return f"finite, against limit {theirs.limit}"
            return _finite(call, ours, theirs)
    return f"{type(ours).__name__} for a reduction"


def _finite(call: Call, ours: Reduction, theirs: Opinion) -> str:
    facts: dict[str, tuple[Any, Any]] = {
        "format": (ours.fmt.name, call["input"].dtype.name),
        "n": (ours.n, theirs.n),
        "positions": (ours.positions, int(np.prod(call["target"].shape))),
        "weighted": (ours.weighted, call["weight"] is not None),
        "S": (ours.numerator.total, theirs.S),
        "M": (ours.numerator.magnitude, theirs.M),
        "quantum": (ours.numerator.quantum, theirs.S_quantum),
        "normaliser": (ours.normaliser is None, call["reduction"] == "sum"),
    }
    if ours.normaliser is not None:
        facts |= {
            "W": (ours.normaliser.total, theirs.W),
            "W_a": (ours.normaliser.magnitude, theirs.W_abs),
            "exact": (ours.exact, -theirs.S / theirs.W),
        }
    else:
        facts["exact"] = (ours.exact, -theirs.S)
    return ", ".join(f"{name} is {mine}, not {other}" for name, (mine, other) in facts.items() if mine != other)
