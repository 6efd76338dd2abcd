"""Runs one call on one subject, and tells what the framework did from what our bridge did."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..specs.call import Call, Crashed, Outcome, Raised, Returned, Unsupported, dtype_name
from ..specs.errors import BridgeError
from .base import Subject, on_cpu
from .handover import checked, lacking


def execute(subject: Subject, call: Call) -> tuple[Outcome, float]:
    """Run one call on one subject; returns what happened and the seconds spent inside the implementation.

    Crashed stands for an accelerator that computes nothing more in this process, as after an assertion on a CUDA
    device: whoever sees it has to end the process.

    Raises BridgeError when our conversion fails, which is never the implementation's fault, nor is a dtype that the
    subject declares it is without: such a call is Unsupported. What is compiled may raise it as well, where it would
    not run as what it is taken for.
    """
    if reason := subject.capabilities.refuses(call):
        return Unsupported(reason), 0.0
    invoke = _handed_over(subject, call)
    if isinstance(invoke, Unsupported):
        return invoke, 0.0
    start = time.perf_counter()
    try:
        result = invoke()
    except (KeyboardInterrupt, BridgeError):
        raise
    except BaseException as error:  # SystemExit and its like must not end the run
        seconds = time.perf_counter() - start
        if not on_cpu(subject.device) and not _prepares(subject, call):
            return Crashed(f"{type(error).__name__}: {error}; the device is of no use afterwards"), seconds
        return Raised(type(error).__name__, str(error)), seconds
    seconds = time.perf_counter() - start
    try:
        return Returned(subject.read(result)), seconds
    except BridgeError:
        raise
    except Exception as error:
        raise BridgeError(f"{subject.name}: cannot read the result of {call.describe()}: {error!r}") from error


def declined(subject: Subject, outcome: Outcome) -> Outcome:
    """The outcome of a legal call: by NotImplementedError a user's function says that it does not do this."""
    if isinstance(outcome, Raised) and outcome.type == NotImplementedError.__name__ and subject.capabilities.is_users:
        return Unsupported(": ".join(filter(None, (outcome.type, outcome.message.strip()))))
    return outcome


def _handed_over(subject: Subject, call: Call) -> Callable[[], Any] | Unsupported:
    """The invocation of a call, whose arrays came over the bridge as they are; raises BridgeError when they do not."""
    try:
        invoke = subject.prepare(call)
        reason = checked(subject, call)
    except Exception as error:
        reason = next(filter(None, (lacking(subject, call, name, array) for name, array in call.arrays())), "")
        if reason:
            return Unsupported(reason)
        if isinstance(error, BridgeError):
            raise
        raise BridgeError(_cannot_convert(subject, call, error)) from error
    return Unsupported(reason) if reason else invoke


def _cannot_convert(subject: Subject, call: Call, error: Exception) -> str:
    dtypes = ", ".join(dict.fromkeys(dtype_name(array.dtype) for _, array in call.arrays()))
    return (
        f"{subject.name}: cannot convert the arguments of {call.describe()}: {error!r}; mend the adapter, or, if the "
        f"framework has no such dtype ({dtypes}), declare that in Capabilities.without"
    )


def _prepares(subject: Subject, call: Call) -> bool:
    """Whether a call that could be prepared before still can be."""
    try:
        subject.prepare(call)
    except Exception:
        return False
    return True
