"""A user's own function as a backend, for `lossparity check`, and as a subject, for `lossparity.conformance.testing`.

`FRAMEWORK@MODULE:FUNCTION`, with `?` behind it and what is asked of it, how it spells arguments and how it is executed,
is the name by which each process of a run finds it:
jax@/home/me/my_losses.py:nll?float32,int64,2-d,reduction=mean,no weight,without jvp,input:x,compiled.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np

from ..specs import loading
from ..specs.call import FLOAT_DTYPES, TARGET_DTYPES, Array, Call, Signature
from ..specs.domain import EVERYTHING, Domain, of_words
from ..specs.errors import CannotCompile, UsageError
from .base import USERS, Backend, Capabilities, Compiler, Subject
from .binding import Binding
from .domains import with_targets

SIGN = "@"
_ALONE = "a user's function is executed in one way only"
_WATCHED = 1 << 27  # bytes of an argument that is compared with what it held before; larger ones are left to PURE-1
_COMPILED, _TRACED, _IS = "compiled", "traced", ":"  # in keys
FOUND_BY = "found by -b "  # begins the note that holds a function's key


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be checked: a function of a module, or of a file, on the arrays of a framework."""

    framework: str
    module: str  # package.module, or the path of a file that ends in .py
    function: str  # its name there; dots lead into classes
    domain: Domain = EVERYTHING  # without targets those that are the framework's own default
    arguments: tuple[tuple[str, str], ...] = ()  # of the loss -> as the function spells them
    compiled: bool = False  # it is compiled by us, with the framework's compiler
    traced: bool = False  # it is traced in a way that cannot be recognised

    @property
    def key(self) -> str:
        """The name by which `parse` finds it again."""
        flags = (_COMPILED,) * self.compiled + (_TRACED,) * self.traced
        renamed = (f"{name}{_IS}{own}" for name, own in self.arguments)
        words = (*self.domain.words, *renamed, *flags)
        return f"{self.framework}{SIGN}{self.place}?{','.join(words)}"

    @property
    def place(self) -> str:
        """MODULE:FUNCTION."""
        return f"{self.module}:{self.function}"

    @property
    def is_file(self) -> bool:
        """Whether the module is named by its file."""
        return loading.is_file(self.module)

    @property
    def subject(self) -> str:
        """The subject's name, numpy:my_losses.nll; no built-in variant has a dot in it."""
        module = Path(self.module).stem if self.is_file else self.module
        return f"{self.framework}:" + re.sub(r"[^\w.]", "_", f"{module}.{self.function}")

    @property
    def without(self) -> dict[str, str]:
        """Capabilities.without: the dtypes and features that are not asked for."""
        dtypes, targets = self.domain.dtypes or FLOAT_DTYPES, self.domain.targets
        no_dtype = f"not asked for: --dtypes {','.join(dtypes)}"
        no_target = f"not asked for: --targets {','.join(targets)}"
        without = {dtype: no_dtype for dtype in FLOAT_DTYPES if dtype not in dtypes}
        without |= {f"target {dtype}": no_target for dtype in TARGET_DTYPES if dtype not in targets}
        return without | {name: f"not asked for: --without '{name}'" for name in self.domain.spared}

    def binding(self, signature: Signature) -> Binding:
        """How the function is called."""
        return Binding(signature, self.domain, dict(self.arguments))


def target(
    framework: str,
    place: str,
    domain: Domain = EVERYTHING,
    arguments: Iterable[tuple[str, str]] = (),
    *,
    compiled: bool = False,
    traced: bool = False,
) -> Target:
    """What MODULE:FUNCTION means here, asked for a domain; raises UsageError unless it has that form."""
    module, _, function = place.rpartition(":")
    if not module or not function:
        raise UsageError(f"{place!r} names no function; write MODULE:FUNCTION or path/to/file.py:FUNCTION")
    if loading.is_file(module):
        module = str(Path(module).resolve())
    return Target(framework, module, function, domain, tuple(arguments), compiled, traced)


def target_of(
    function: Callable[..., Any],
    framework: str,
    domain: Domain = EVERYTHING,
    arguments: Iterable[tuple[str, str]] = (),
    *,
    signature: Signature,
    compiled: bool = False,
    traced: bool = False,
) -> Target:
    """A function of this signature as a target, named by the module that defines it; the rest as for `target`.

    Raises UsageError unless it can be called as the suite will call it.
    """
    if not callable(function):
        raise UsageError(f"{_shortened(repr(function))} is of type {_name(type(function))}; pass the function itself")
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None) or type(function).__module__
    found = Target(framework, module, name, domain, tuple(arguments), compiled, traced)
    found.binding(signature).require_fit(function, found.place)
    return found


def parse(key: str) -> Target:
    """The target that `Target.key` named."""
    framework, _, rest = key.partition(SIGN)
    place, mark, words = rest.rpartition("?") if "?" in rest else (rest, "", "")
    named = [word for word in words.split(",") if word] if mark else []
    flags = {flag: flag in named for flag in (_COMPILED, _TRACED)}
    renamed = [(name, own) for name, sign, own in (word.partition(_IS) for word in named) if sign]
    domain = of_words([word for word in named if word not in flags and _IS not in word])
    return target(framework, place, domain, renamed, compiled=flags[_COMPILED], traced=flags[_TRACED])


def domain_of(key: str) -> Domain:
    """What the function that a key names is asked for; everything of a backend that is no user's function."""
    return parse(key).domain if SIGN in key else EVERYTHING


def backend(target: Target, framework: Backend) -> Backend:
    """The framework, with the user's function as its only subjects; the function is imported with the subjects.

    Raises UsageError when its adapter has nothing to wrap, or nothing to compile, a function with.
    """
    require_wrap(framework)
    if target.compiled:
        _require_compiler(framework)

    def wrapped(signature: Signature, device: str) -> list[Subject]:
        return subjects(signature, load(target, signature), target, framework, device)

    return dataclasses.replace(framework, subjects=wrapped)


def subjects(
    signature: Signature, function: Callable[..., Any], target: Target, framework: Backend, device: str
) -> list[Subject]:
    """The function in each mode of the framework, which is imported already, asked for what the target says."""
    target = dataclasses.replace(target, domain=with_targets(target.domain, framework.targets))
    compiler = None
    if target.compiled:
        require_eager(function, target, framework)
    function = target.binding(signature).bound(function)
    if target.compiled:
        compiler = _require_compiler(framework)
        function = compiler.compile(signature, function)
    wrap = require_wrap(framework)
    return [UserSubject(one, target, compiler) for one in wrap(signature, function, target.subject, device)]


def require_wrap(framework: Backend) -> Callable[[Signature, Callable[..., Any], str, str], Sequence[Subject]]:
    """What wraps a function on arrays of the framework; raises UsageError when its adapter has nothing for that."""
    if framework.wrap is None:
        raise UsageError(f"the adapter of {framework.name} cannot wrap a user's function: it defines no Backend.wrap")
    return framework.wrap


def require_eager(function: Callable[..., Any], target: Target, framework: Backend) -> None:
    """Guard that a function can be compiled; raises UsageError when there is no compiler, or it has been at work."""
    if by := _require_compiler(framework).made(function):
        raise UsageError(f"{target.place} is compiled already, by {by}: leave `compiled` out, this is recognised")


def _require_compiler(framework: Backend) -> Compiler:
    if framework.compiler is None:
        raise UsageError(
            f"nothing compiles functions on arrays of {framework.name} (its adapter defines no Backend.compiler): "
            "leave `compiled` out, or check a function on arrays of torch, jax or tensorflow"
        )
    return framework.compiler


# --- running ---------------------------------------------------------------------------------------------


class Foreign(Exception):
    """What a user's function returned is no array of its framework."""

    def __init__(self, result: Any, kind: type | UnionType) -> None:
        wanted = str(kind) if isinstance(kind, UnionType) else _name(kind)
        super().__init__(f"{_name(type(result))}, which is no {wanted}: {_shortened(repr(result))}")


def returning(function: Callable[..., Any], kind: type | UnionType) -> Callable[..., Any]:
    """The function; it raises Foreign where it returns something else than an array of this kind."""

    def checked(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        if not isinstance(result, kind):
            raise Foreign(result, kind)
        return result

    return checked


@dataclass(frozen=True, slots=True)
class _Result:
    """What a call returned, and its arguments with copies of what they held before."""

    value: Any
    arguments: tuple[tuple[str, Array, Array], ...]
    laid: frozenset[str]


def _style(can: Capabilities, target: Target) -> str:
    """How a function is executed, for the report: what was asked, recognised or declared."""
    if target.compiled:
        return f"compiled for this by {can.style}"
    if can.traced:
        return f"recognised as compiled by {can.style}"
    return f"{can.style}, declared as traced" if target.traced else can.style


class UserSubject:
    """A user's function as a subject: what it returns is its own doing, and never an error of the bridge."""

    def __init__(self, inner: Subject, target: Target, compiler: Compiler | None = None) -> None:
        self._inner, self._compiler, self._place = inner, compiler, target.place
        self.name, self.device = inner.name, inner.device
        self.random_state = getattr(inner, "random_state", None)  # of the framework's global generator
        can = inner.capabilities
        self.capabilities = dataclasses.replace(
            can,
            binding=USERS,
            style=_style(can, target),
            traced=can.traced or target.traced,
            tier=min(can.tier, 2) if target.traced else can.tier,
            without={**can.without, "siblings": _ALONE, **target.without},
            domain=target.domain,
            notes=(target.place, FOUND_BY + target.key, *can.notes),
        )

    def prepare(self, call: Call) -> Callable[[], Any]:
        """The framework's invocation; a foreign result is returned, so that it counts as a result."""
        invoke = self._inner.prepare(call)
        arguments = tuple((name, array, array.copy()) for name, array in call.arrays() if array.nbytes < _WATCHED)
        laid = frozenset(name for name, _ in call.layouts)

        def run() -> _Result:
            try:
                return _Result(invoke(), arguments, laid)
            except Foreign as foreign:
                return _Result(foreign, arguments, laid)
            except Exception as error:
                self._require_compilable(error)
                if isinstance(error, NotImplementedError) and type(error) is not NotImplementedError:
                    raise NotImplementedError(f"{type(error).__name__}: {error}") from error
                raise

        return run

    def _require_compilable(self, error: Exception) -> None:
        """Raise CannotCompile if an exception says that what we were told to compile cannot be compiled."""
        if self._compiler is not None and (why := self._compiler.refuses(error)):
            raise CannotCompile(
                f"{self._place} cannot be compiled as a whole: {why}. Rewrite that, or compile it yourself as you use "
                "it and check what comes of it without `compiled`"
            ) from error

    def read(self, result: Any) -> Array:
        """The result; one that is no array of the framework becomes a text that says so, whose dtype is always wrong.

        So does the result of a call that modified its arguments. They are restored, since other calls share them,
        but for those laid into buffers that are watched: PURE-1 has a look at them.
        """
        assert isinstance(result, _Result)
        modified = {name: (now, old) for name, now, old in result.arguments if now.tobytes() != old.tobytes()}
        if modified:
            for name, (now, before) in modified.items():
                if name not in result.laid:
                    now[...] = before
            return np.array(f"a result, and {' and '.join(modified)} modified in place")
        if isinstance(result.value, Foreign):
            return np.array(str(result.value))
        try:
            return self._inner.read(result.value)
        except Exception as error:
            return np.array(f"{_name(type(result.value))} that cannot be read: {error!r}")

    def echo(self, call: Call) -> Mapping[str, Array]:
        """What the framework's bridge makes of the arrays."""
        return self._inner.echo(call)

    def compilations(self) -> int:
        """What the framework counts."""
        return self._inner.compilations()


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else text[:97] + "..."


# --- loading ---------------------------------------------------------------------------------------------


def load(target: Target, signature: Signature) -> Callable[..., Any]:
    """Import the function; raises UsageError that says what is wrong, where, and what to do."""
    found = loading.load(target.module, target.function, callable, "FUNCTION")
    if not callable(found):
        raise UsageError(f"{target.place} is of type {type(found).__name__}; name a function instead")
    target.binding(signature).require_fit(found, target.place)
    return found
