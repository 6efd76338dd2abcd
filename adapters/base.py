"""What an adapter is: a bridge between Calls and one framework's arrays, and a declaration of what it can do.

An adapter never sees an expectation and never helps the implementation behind it. `prepare` and `read` are ours:
when they fail it is a BridgeError. What happens between them is the framework's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Protocol

from ..specs.call import FLOAT_DTYPES, TARGET_DTYPES, Array, Call, Outcome, Raised, Returned, Unsupported, dtype_name
from ..specs.errors import BridgeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a subject declares about itself.

    `binding` is native (the framework's own op) or composed (a port made of its ops). `traced` subjects cannot see
    target values while Python validates, so they poison instead of raising. `tier` says how dear a new signature
    is: 1 about a second of compilation, 2 a tenth, 3 nothing. `isolate` subjects may take their process down on a
    bad target. `without` explains each dtype that is missing; only what it explains may be UNSUPPORTED.
    """

    binding: str
    style: str
    traced: bool = False
    tier: int = 3
    isolate: bool = False
    per_term: bool = False
    without: Mapping[str, str] = field(default_factory=dict)  # dtype or "target <dtype>" -> reason
    notes: tuple[str, ...] = ()

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Floating-point dtypes of input that the subject takes."""
        return tuple(dtype for dtype in FLOAT_DTYPES if dtype not in self.without)

    @property
    def target_dtypes(self) -> tuple[str, ...]:
        """Integer dtypes of target that the subject takes."""
        return tuple(dtype for dtype in TARGET_DTYPES if f"target {dtype}" not in self.without)

    def refuses(self, call: Call) -> str | None:
        """Why the subject does not take this call, or None. Calls that must raise on their dtype are taken."""
        target = f"target {dtype_name(call.target.dtype)}"
        if call.dtype in self.without:
            return f"{call.dtype}: {self.without[call.dtype]}"
        return f"{target}: {self.without[target]}" if target in self.without else None


class Subject(Protocol):
    """One way of executing the loss."""

    name: str
    device: str
    capabilities: Capabilities

    def prepare(self, call: Call) -> Callable[[], Any]:
        """Convert the arguments bit for bit and return the invocation, ready to be called and to block."""
        ...

    def read(self, result: Any) -> Array:
        """Bring a result back bit for bit; raises BridgeError unless the framework under test made it."""
        ...

    def compilations(self) -> int:
        """Programs compiled so far in this process; 0 for subjects that do not compile."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A framework: how it is found, named and installed, and what makes its subjects for a device."""

    name: str
    module: str  # the import that must succeed
    install: str
    subjects: Callable[[str], list[Subject]]
    version: Callable[[], str]
    devices: Callable[[], list[str]]


def execute(subject: Subject, call: Call) -> tuple[Outcome, float]:
    """Run one call on one subject; returns what happened and the seconds spent inside the implementation.

    Raises BridgeError when our conversion fails, which is never the implementation's fault.
    """
    if reason := subject.capabilities.refuses(call):
        return Unsupported(reason), 0.0
    try:
        invoke = subject.prepare(call)
    except Exception as error:
        raise BridgeError(f"{subject.name}: cannot convert the arguments of {call.describe()}: {error!r}") from error
    start = time.perf_counter()
    try:
        result = invoke()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and its like must not end the run
        return Raised(type(error).__name__, str(error)), time.perf_counter() - start
    seconds = time.perf_counter() - start
    try:
        return Returned(subject.read(result)), seconds
    except BridgeError:
        raise
    except Exception as error:
        raise BridgeError(f"{subject.name}: cannot read the result of {call.describe()}: {error!r}") from error


def require_type(result: Any, kind: type | UnionType, subject: str) -> None:
    """Guard that a result was made by the framework under test; raises BridgeError otherwise."""
    if not isinstance(result, kind):
        raise BridgeError(
            f"{subject}: the result is a {type(result).__module__}.{type(result).__name__}, "
            f"not a {kind}: it was not computed by the framework under test"
        )
