"""Makes the call of a case that failed smaller, as long as the subject fails in the same way."""

from __future__ import annotations

import contextlib
import dataclasses

from ...adapters import user
from ...specs import losses
from ...specs.call import Call, Crashed, TimedOut
from ...specs.encoding import encode_call
from ...specs.errors import LossparityError
from . import shrink
from .replay import Replayed, Session

# Symptoms that are one fault in a small call and in a large one.
_KINDS = (("nan", "inf", "overflow"), ("value", "inaccurate"))


class _Died(Exception):
    """A call took the child down: enough is known."""


def smaller(session: Session, found: Replayed, seconds: float = shrink.SECONDS) -> Replayed:
    """A smaller call that fails some of the same clauses, with the same symptom, as expectedly; or `found`.

    Which of them does not matter: those that a smaller call still fails are the ones that it is about, and a call that
    fails out of order in memory and in order alike is not about memory. It takes about so many seconds at most.
    """
    own = _own(found)
    if isinstance(found.outcome, Crashed | TimedOut) or not own:
        return found
    best = [found]

    def still_fails(call: Call) -> bool:
        if not losses.find(call.signature.loss).is_within(user.domain_of(found.key), call):
            return False
        located = dataclasses.replace(found.located, call=encode_call(call), clauses=(), lead=())
        try:
            again = session.run(located, found.subject)
        except (LossparityError, ValueError, IndexError):  # no such case
            return False
        if isinstance(again.outcome, Crashed | TimedOut):
            raise _Died
        if not _is_alike(found, again, own):
            return False
        best.append(again)
        return True

    with contextlib.suppress(_Died):
        shrink.shrink(found.case.call, still_fails, seconds=seconds)
    return best[-1]


def _own(found: Replayed) -> set[str]:
    """The clauses that failed and that the call exercises by itself, whatever it was made for.

    A smaller call was not made for anything, and could never fail the others.
    """
    itself = dataclasses.replace(found.located, clauses=()).case().clauses
    return set(found.failed) & set(itself)


def _is_alike(found: Replayed, again: Replayed, own: set[str]) -> bool:
    """Whether some of the same clauses fail, with a like symptom, and known divergences explain them likewise."""
    common = own & set(again.failed)
    if not common or _kind(found.judgement.symptom) != _kind(again.judgement.symptom):
        return False
    explained = [{one.divergence for one in each.verdicts if one.verdict.clause in common} for each in (found, again)]
    return explained[0] == explained[1]


def _kind(symptom: str) -> str:
    return next((kind[0] for kind in _KINDS if symptom in kind), symptom)
