"""What an adapter is: a bridge between Calls and one framework's arrays, and a declaration of what it can do.

An adapter never sees an expectation and never helps the implementation behind it. `prepare` and `read` are ours:
when they fail it is a BridgeError. What happens between them is the framework's.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Protocol

import numpy as np

from ..specs import losses
from ..specs.call import (
    FLOAT_DTYPES,
    TARGET_DTYPES,
    Array,
    Call,
    Signature,
    dtype_name,
)
from ..specs.domain import EVERYTHING, Domain
from ..specs.errors import BridgeError
from .spelling import Spelling

BINDS = "_lossparity_binds"  # attribute of a function put around another: (itself, the other)
USERS = "user"  # the binding of a user's function

# What a subject may be without, besides dtypes.
FEATURES = {
    "gradient": "a gradient with respect to input",
    "weight gradient": "a gradient with respect to weight",
    "target gradient": "a gradient with respect to target",
    "class targets": "a target of indices, where a loss takes probabilities too",
    "probability targets": "a target of probabilities, where a loss takes indices too",
    "training": "a value whose gradient is taken later",
    "second backward": "a second backward pass through one graph",
    "autocast": "automatic mixed precision",
    "second order": "derivatives of the gradient",
    "jvp": "forward mode",
    "vmap": "mapping over a leading axis",
    "strides": "arrays whose elements lie elsewhere than in C order",
    "negative strides": "arrays that run backwards",
    "read-only arrays": "arrays that may not be written to",
    "mutable arrays": "arguments that could be modified, and results that could share their memory",
    "siblings": "another way of executing the same function to compare with",
    "wide targets": "targets beyond 32 bits",
}
_FEATURES_OF = {
    "gradient": ("gradient",),
    "gradient_again": ("gradient", "second backward"),
    "gradient_between": ("gradient", "training"),
    "second": ("gradient", "second order"),
    "second_upstream": ("gradient", "second order"),
    "jvp": ("jvp",),
    "vmap": ("vmap",),
    "vmap_gradient": ("gradient", "vmap"),
    "value_in_training": ("gradient", "training"),
    "autocast": ("autocast",),
}
_FEATURE_OF_LAYOUT = {"negative": "negative strides", "read_only": "read-only arrays"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a subject declares about itself.

    `binding` is native (the framework's own op) or composed (a port made of its ops). `traced` subjects cannot see
    target values while Python validates, so they poison instead of raising. `tier` says how dear a new signature
    is: 1 about a second of compilation, 2 a tenth, 3 nothing. `isolate` subjects may take their process down on a
    bad target, as all may on an accelerator. `without` explains each dtype and each feature (FEATURES) that is
    missing, and `domain` says which calls it is for; only what they explain may be UNSUPPORTED.
    """

    binding: str
    style: str
    traced: bool = False
    tier: int = 3
    isolate: bool = False
    per_term: bool = False
    without: Mapping[str, str] = field(default_factory=dict)  # dtype, "target <dtype>" or feature -> reason
    domain: Domain = EVERYTHING
    notes: tuple[str, ...] = ()

    @property
    def is_users(self) -> bool:
        """Whether it is a user's function, which is asked for what it takes and may say that it does not do more."""
        return self.binding == USERS

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Floating-point dtypes of input that the subject takes."""
        return tuple(dtype for dtype in FLOAT_DTYPES if dtype not in self.without)

    @property
    def target_dtypes(self) -> tuple[str, ...]:
        """Integer dtypes of target that the subject takes."""
        return tuple(dtype for dtype in TARGET_DTYPES if f"target {dtype}" not in self.without)

    def lacks(self, kind: str, wrt: str = "") -> bool:
        """Whether the subject is without a feature that this kind of Transform takes, by the main array or `wrt`."""
        return any(feature in self.without for feature in _features(kind, wrt))

    def refuses(self, call: Call) -> str | None:
        """Why the subject does not take this call, or None. Calls that must raise on their dtype are taken."""
        targets = (f"target {dtype_name(array.dtype)}" for array in call.classes())
        for what in (call.dtype, *targets, *_needs(call)):
            if what in self.without:
                return f"{what}: {self.without[what]}"
        if (wide := self.without.get("wide targets")) and any(map(_is_wide, call.classes())):
            return f"wide targets: {wide}"
        if self.domain.is_narrow and not losses.find(call.signature.loss).is_within(self.domain, call):
            return f"outside of what it is for: {self.domain.said}"
        return None


def _features(kind: str, wrt: str) -> Iterator[str]:
    """The features that a kind of Transform takes."""
    if wrt and "gradient" in _FEATURES_OF[kind]:
        yield f"{wrt} gradient"
    yield from _FEATURES_OF[kind]


def _needs(call: Call) -> Iterator[str]:
    """The features that a call takes."""
    if call.transform is not None:
        yield from _features(call.transform.kind, call.transform.wrt)
    for one in call.signature.arrays:
        if one.holds == "either" and one.name in call.given:
            kind = call.given[one.name].dtype.kind
            yield from ["class targets"] * (kind in "iu") + ["probability targets"] * (kind in "fV")
    for _, layout in call.layouts:
        yield "strides"
        if layout in _FEATURE_OF_LAYOUT:
            yield _FEATURE_OF_LAYOUT[layout]


def _is_wide(target: Array) -> bool:
    """Whether a 64-bit target holds a number that 32 bits of its kind do not."""
    if target.dtype not in (np.int64, np.uint64) or not target.size:
        return False
    info = np.iinfo(np.int32 if target.dtype == np.int64 else np.uint32)
    return bool(target.min() < info.min or target.max() > info.max)


# What can be timed: the loss, its gradient once the loss is there, and both as a training step does.
WORK = ("forward", "backward", "both")


class Subject(Protocol):
    """One way of executing a loss."""

    name: str
    device: str  # as --device named it
    capabilities: Capabilities

    def prepare(self, call: Call) -> Callable[[], Any]:
        """Convert the arguments bit for bit and return the invocation, ready to be called and to block."""
        ...

    def read(self, result: Any) -> Array:
        """Bring a result back bit for bit; raises BridgeError unless the framework under test made it."""
        ...

    def echo(self, call: Call) -> Mapping[str, Array]:
        """Each array of `call.arrays()`, handed over as `prepare` does it and brought back by `read`."""
        ...

    def compilations(self) -> int:
        """Programs compiled so far in this process; 0 for subjects that do not compile."""
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """A function of a framework as one of the subjects of a loss: a line of a backend's table.

    `function` is its place, `package.module:name`, imported when it is needed. The subject's name, `torch:compile`,
    says how it is executed, too. `binding`, `without` and `domain` are those of Capabilities; what this function is
    without comes on top of what the framework is. `names` says what it calls the loss's arguments, as far as it calls
    them otherwise. `fixed` are options that its compiler has to know, besides those that have choices. `needs` is the
    package that has to be installed besides the framework.
    """

    function: str
    subject: str
    binding: str = "native"
    without: Mapping[str, str] = field(default_factory=dict)
    domain: Domain = EVERYTHING
    names: Mapping[str, str] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    needs: str = ""

    def load(self) -> Any:
        """The function, imported now."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(module), name)


Forms = Mapping[str, tuple[Form, ...]]  # by the names of losses


def form_of(forms: Forms, loss: str, subject: str, usual: str) -> Form:
    """The form that is a subject of a loss; for others, such as users' functions, one of the function at `usual`."""
    return next((form for form in forms.get(loss, ()) if form.subject == subject), Form(usual, subject))


def not_installed(forms: Forms, signature: Signature) -> dict[str, str]:
    """Subjects of a loss that need a package which is not installed, with what to do."""
    needing = (form for form in forms.get(signature.loss, ()) if form.needs)
    return {
        form.subject: f"{form.needs} is not installed: pip install {form.needs}"
        for form in needing
        if importlib.util.find_spec(form.needs) is None
    }


# What a function of input and target alone cannot do.
PLAIN = frozenset({"weight", "ignored positions", "spatial axes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What users write or take instead of a loss: timed beside its subjects, and never judged as one.

    `says` is how it is written, `differs` what it means otherwise than the specification. `lacks` are the parts of a
    call that it cannot do: weight, ignored positions, spatial axes, none, or the gradient.
    """

    subject: Subject
    says: str
    differs: str
    lacks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """How users of a framework compile a function, for theirs.

    `made` tells by what a function was compiled, in the words of the framework's users, and "" of one that is not.
    `compile` compiles one of this signature that is not, with options fixed where the framework asks for that, and
    `line` does the same to {name} in a script, {options} being a list of their names. `refuses` tells, of an exception,
    that this compiler cannot take the function as it is written, and "" of one that is the function's own.
    """

    made: Callable[[Any], str]
    compile: Callable[[Signature, Callable[..., Any]], Callable[..., Any]]
    refuses: Callable[[BaseException], str]
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A framework: how it is found, named and installed, and what makes its subjects of a loss for a device."""

    name: str
    module: str  # the import that must succeed
    install: str
    # (signature, device) -> the subjects of this loss: [] where the framework has nothing for it.
    subjects: Callable[[Signature, str], list[Subject]]
    version: Callable[[], str]
    devices: Callable[[], list[str]]
    # (signature, function, name, device) -> a user's own as a subject in each of `modes`, for `lossparity check`.
    wrap: Callable[[Signature, Callable[..., Any], str, str], Sequence[Subject]] | None = None
    modes: tuple[str, ...] = ("",)  # what follows `name` in the names of these subjects
    targets: tuple[str, ...] = ("int64",)  # dtypes of target that are the framework's own default: asked of users'
    compiler: Compiler | None = None
    # (subject, call) -> how a user writes the call down, for reproducers; of a user's function as of the eager subject.
    spell: Callable[[str, Call], Spelling] | None = None
    # Subjects of a loss that this machine has no tools for, with what is missing and what to do: they are left out.
    lacking: Callable[[Signature], Mapping[str, str]] = lambda signature: {}
    # (signature, device) -> what is timed beside the subjects, `lossparity bench`.
    baselines: Callable[[Signature, str], list[Baseline]] | None = None
    # Its exponential, `package.module:name`: what losses that are made of exponentials are compared with there.
    exponential: str = ""


def on_cpu(device: str) -> bool:
    """Whether a device, as --device names it, is a CPU and no accelerator."""
    return device.partition(":")[0] == "cpu"


def loop(subject: Subject, call: Call, work: str) -> AbstractContextManager[Callable[[int], Any]]:
    """For timing: a function that does one of WORK so many times, waits for the device, and returns the last result.

    `call` asks for a gradient unless the work is "forward". Subjects may have a `loop` of their own, with these
    arguments, that leaves out what `prepare` needs and a user's program would not do at each call. Without it "both"
    is the loss and then the gradient.
    """
    own: Callable[..., Any] | None = getattr(subject, "loop", None)
    if own is not None:
        return own(call, work)
    steps = [subject.prepare(call.replace(transform=None))] if work != "backward" else []
    steps += [subject.prepare(call)] if work != "forward" else []
    return contextlib.nullcontext(repeated(steps[0] if len(steps) == 1 else lambda: [step() for step in steps]))


def baselines_in(package: str) -> Callable[[Signature, str], list[Baseline]]:
    """Backend.baselines of a package that has a module for each loss, whose `baselines(device)` makes them."""

    def find(signature: Signature, device: str) -> list[Baseline]:
        module = f"{package}.{signature.loss}"
        if not signature.loss.isidentifier() or importlib.util.find_spec(module) is None:
            return []
        found: list[Baseline] = importlib.import_module(module).baselines(device)
        return found

    return find


def unwrapped(function: Any) -> Any:
    """What a functools.partial, or a function that `adapters.binding` put around another, calls in the end."""
    while True:
        itself, inner = getattr(function, BINDS, (None, None))
        if isinstance(function, functools.partial):
            function = function.func
        elif inner is not None and itself is function:  # wrappers around it take its attributes over
            function = inner
        else:
            return function


def reduced(losses: Any, reduction: str) -> Any:
    """Losses reduced by their own methods, as users write it; for baselines."""
    return losses if reduction == "none" else getattr(losses, reduction)()


def repeated(step: Callable[[], Any], wait: Callable[[Any], Any] | None = None) -> Callable[[int], Any]:
    """A function that takes a step so many times, waits for the last result, and returns it."""

    def run(times: int) -> Any:
        result = None
        for _ in range(times):
            result = step()
        if wait is not None:
            wait(result)
        return result

    return run


def require_type(result: Any, kind: type | UnionType, subject: str) -> None:
    """Guard that a result was made by the framework under test; raises BridgeError otherwise."""
    if not isinstance(result, kind):
        raise BridgeError(
            f"{subject}: the result is a {type(result).__module__}.{type(result).__name__}, "
            f"not a {kind}: it was not computed by the framework under test"
        )


def require_device(found: Any, wanted: Any, subject: str) -> None:
    """Guard that a result lies where it was to be computed; raises BridgeError otherwise."""
    if found != wanted:
        raise BridgeError(f"{subject}: the result lies on {found}, not on {wanted}: it was not computed there")
