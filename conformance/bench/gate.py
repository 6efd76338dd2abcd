"""Whether contestants compute the right thing: only those are timed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...adapters import registry
from ...adapters.base import Subject
from ...adapters.execution import execute
from ...specs import losses
from ...specs.call import Array, Call, Outcome, Raised, Returned, Unsupported
from ...specs.case import Status, Verdict
from ...specs.rules import Rules
from ...specs.speed import Point
from ..items.probe import probe
from ..judging import explain
from ..judging.judge import Traits, judge

# What a baseline may be off by, relative to our own port: it is not judged, but it must be the same loss.
_CLOSE = {"float64": 1e-6, "float32": 1e-4, "float16": 3e-2, "bfloat16": 3e-2}


class Gate:
    """Whether contestants compute the right thing at a point: only those are timed."""

    def __init__(self, call: Call, point: Point) -> None:
        self.dtype = call.dtype
        value = call.replace(transform=None)
        calls = [call] if point.work != "both" else [value, call]
        loss = losses.find(call.signature.loss)
        self.cases = [loss.case_of(one, "bench", 3, point.name, ()) for one in calls]
        self._value = value
        self._reference: Outcome | None = None

    def verdict(self, subject: Subject, is_baseline: bool) -> tuple[str, str, Array]:
        """(reason, kind, answer): the reason is empty for one that may be timed."""
        answer = np.zeros(0)
        if is_baseline and (reason := self._far(subject)):
            return reason, "wrong", answer
        for case in self.cases:
            outcome, _ = execute(subject, case.call)
            match outcome:
                case Unsupported(reason):
                    return reason, "unsupported", answer
                case Raised(kind, message):
                    return f"{kind}: {message[:200]}", "raised", answer
                case Returned(value):
                    answer = value.copy()
                case other:
                    return str(other), "crash", answer
            if is_baseline:
                continue
            judgement = judge(case, outcome, _traits(subject, self.dtype, case.call.signature.loss))
            if judgement.status is Status.FAIL and _breaks_a_must(case.rules, judgement.verdicts):
                return f"fails its verdict: {explain.because(case, judgement, outcome)}", "wrong", answer
        return "", "", answer

    def changed(self, subject: Subject, answer: Array, result: Any) -> str:
        """Why what the timed loop computed is not what passed the gate, or nothing."""
        value = subject.read(result[-1] if isinstance(result, tuple | list) else result)
        return (
            "" if self._close(value, answer) else "the timed loop gives another result than the call that was checked"
        )

    def _far(self, subject: Subject) -> str:
        """Why a baseline is not the same loss, or nothing. Its gradient may be another one: that of log_softmax too."""
        if self._reference is None:
            ports = registry.backend("numpy").subjects(self._value.signature, "cpu")
            if not ports:
                return "nothing to compare it with: there is no NumPy port of this loss"
            self._reference = execute(ports[0], self._value)[0]
        found, reference = execute(subject, self._value)[0], self._reference
        assert isinstance(reference, Returned)
        if not isinstance(found, Returned) or self._close(found.value, reference.value):
            return ""  # an error is told where the call itself is tried
        return f"not the same loss: relative to the exact result it is off by more than {_CLOSE[self.dtype]:g}"

    def _close(self, one: Array, other: Array) -> bool:
        if np.array_equal(one, other):  # the usual case, and by far the faster look
            return True
        wide = [array.astype(np.float64) for array in (one, other)]
        return one.shape == other.shape and np.allclose(*wide, rtol=_CLOSE[self.dtype], equal_nan=True)


def _breaks_a_must(rules: Rules, verdicts: Sequence[Verdict]) -> bool:
    return any(one.status is Status.FAIL and rules.clauses[one.clause].level == "MUST" for one in verdicts)


@functools.lru_cache(maxsize=256)
def _traits(subject: Subject, dtype: str, loss: str) -> Traits:
    return probe(subject, dtype, losses.find(loss))
