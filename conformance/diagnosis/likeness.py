"""Which mutant a function behaves like, on the call that failed and on the vectors of its kind.

A mutant is named only where all of these come out alike: wrong results bit for bit, right ones within what rounding
may do. So one fault is never taken for another that shows in the same call by chance.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ...adapters import user
from ...adapters.execution import execute
from ...specs import losses
from ...specs.call import Crashed, Outcome, Raised, Returned, TimedOut
from ...specs.case import Status
from ...specs.encoding import decode_call
from ...specs.errors import BridgeError
from ...specs.vectors import Vector, vectors
from ..findings.locate import of_vector
from ..findings.replay import Replayed, Session
from ..items.child import START_SECONDS, Child
from ..judging.judge import judge
from ..mutants import zoo
from ..mutants.kills import subject_of
from ..mutants.zoo import Variant

SECONDS = 5.0  # for all calls of mutants, each time
_CANDIDATES, _VECTORS = 12, 150  # at most
_FEWEST = 2  # vectors that a mutant has to fail, for the likeness to mean anything
Encoded = dict[str, Any]


def likeness(session: Session, found: Replayed, seconds: float = SECONDS) -> Variant | None:
    """The mutant that the subject of a case that failed cannot be told from; None where there is none, or several.

    None, too, where mutants need longer than so many seconds for a call, or for the vectors.
    """
    loss = found.case.call.signature.loss
    if loss not in zoo.with_variants() or found.located.experiment or not isinstance(found.outcome, Returned | Raised):
        return None
    chosen = [one for one in zoo.mutants(loss) if one.framework in _frameworks(found)]
    if not chosen:
        return None
    with Child(_serve, seconds, silent=True) as child:
        first = _asked(child, chosen, [found.located.call])
        alike = [one for one in chosen if one.name in first and _alike(first[one.name][0], found.outcome)]
        alike = _confirmed(child, session, found, alike[:_CANDIDATES]) if alike else []
    return alike[0] if len(alike) == 1 else None


def _confirmed(child: Child, session: Session, found: Replayed, candidates: Sequence[Variant]) -> list[Variant]:
    """Of mutants that answer one call as the subject does, those that answer the vectors so too."""
    within, domain = losses.find(found.case.call.signature.loss).is_within, user.domain_of(session.key)
    cases = [located for located in map(of_vector, _vectors(found)) if within(domain, located.case().call)]
    runs = [session.run(located, found.subject) for located in cases]
    runs = [run for run in runs if isinstance(run.outcome, Returned | Raised)]
    answers = _asked(child, candidates, [run.located.call for run in runs])
    confirmed: list[Variant] = []
    for one in candidates:
        judged = [
            (judge(run.case, outcome, run.traits).status is Status.FAIL, _alike(outcome, run.outcome), run)
            for outcome, run in zip(answers.get(one.name, ()), runs, strict=False)
        ]
        fails = sum(failed for failed, _, _ in judged)
        differs = any(not alike and (failed or _is_wrong(run)) for failed, alike, run in judged)
        if fails >= _FEWEST and not differs:
            confirmed.append(one)
    return confirmed


def _is_wrong(run: Replayed) -> bool:
    """Whether a result is wrong for more than flushed subnormal numbers: frameworks do that, and no mutant of NumPy."""
    return run.judgement.status is Status.FAIL and run.judgement.symptom != "subnormals"


def _frameworks(found: Replayed) -> list[str]:
    """Whose mutants can answer the call: NumPy's compute values only."""
    own = [found.backend] if found.backend in zoo.FRAMEWORKS else []
    if found.case.call.transform is None:
        return list(dict.fromkeys([*own, "numpy"]))
    others = [name for name in ("torch", "jax") if importlib.util.find_spec(name) is not None]
    return own if own and own != ["numpy"] else others[:1]


def _vectors(found: Replayed) -> list[Vector]:
    """Vectors that ask for a value, as the case does, or for a derivative; in its dtype, as far as there are any."""
    call = found.case.call
    alike = [
        one
        for one in vectors().values()
        if one.loss == call.signature.loss
        and not one.experiment
        and ("transform" in one.call) == (call.transform is not None)
    ]
    alike.sort(key=lambda one: one.call["input"]["dtype"] != call.dtype)
    return alike[:_VECTORS]


def _alike(a: Outcome, b: Outcome) -> bool:
    """Whether two outcomes are the same bits, any NaN being like any other, or errors of one category."""
    match a, b:
        case Returned(x), Returned(y):
            if x.shape != y.shape or x.dtype != y.dtype or x.dtype.kind == "U":
                return False
            return bool(((x == y) & (np.signbit(x) == np.signbit(y)) | np.isnan(x) & np.isnan(y)).all())
        case Raised(x), Raised(y):
            return x == y
        case _:
            return False


def _asked(child: Child, chosen: Sequence[Variant], calls: Sequence[Encoded]) -> Mapping[str, list[Outcome]]:
    """What these mutants make of calls, as many of them as there is time for."""
    child.send((chosen, calls))
    answer = child.receive(START_SECONDS)
    return {} if isinstance(answer, Crashed | TimedOut) else answer


# --- the other process -----------------------------------------------------------------------------------------


def _serve(pipe: Connection, seconds: float) -> None:
    """Answer calls by variants until the other end closes, for so many seconds each time."""
    while True:
        try:
            chosen, calls = pipe.recv()
        except EOFError:
            return
        decoded = [decode_call(one, losses.find(chosen[0].loss).signature) for one in calls]
        end, answers = time.monotonic() + seconds, {}
        for variant in chosen:
            if time.monotonic() < end:
                answers[variant.name] = list(_answers(variant, decoded))
        pipe.send(answers)


def _answers(variant: Variant, calls: Iterable[Any]) -> Iterator[Outcome]:
    subject = subject_of(variant)
    for call in calls:
        try:
            yield execute(subject, call)[0]
        except BridgeError as error:
            yield Raised("BridgeError", str(error))
