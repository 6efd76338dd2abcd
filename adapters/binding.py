"""How a user's function takes the arguments of a loss: by which names, and which of them it goes without."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..specs.call import Signature
from ..specs.domain import EVERYTHING, Domain
from ..specs.errors import UsageError, nearest
from .base import BINDS, Form
from .spelling import literal

_ITSELF = "its_own"  # in scripts
_BY_POSITION, _ANY_NAME = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_KEYWORD


@dataclass(frozen=True)
class Binding:
    """How a function of a domain is called, `names` saying what it calls the loss's arguments.

    Arguments that are absent from the domain are not passed, unless the function cannot be called without them. An
    option that has one value there is not passed to a function that does not take it.
    """

    signature: Signature
    domain: Domain = EVERYTHING
    names: Mapping[str, str] = field(default_factory=dict)

    def require_fit(self, function: Callable[..., Any], place: str) -> None:
        """Guard that a function takes what it will be called with; some compiled ones do not tell.

        Raises UsageError.
        """
        signature, own = self.signature, own_signature(function)
        if unknown := next((name for name in self.names if name not in signature.names), ""):
            known = nearest(unknown, signature.names)
            raise UsageError(f"arguments: {signature.loss} has no argument {unknown!r}; {known}")
        if own is None:
            return
        taken = ", ".join(map(str, own.parameters))
        if missing := next((name for name in self.names.values() if not _takes(own, name)), ""):
            raise UsageError(f"arguments: {place} takes ({taken}), and no {missing!r}")
        named = {name: signature.defaults.get(name) for name in signature.omissible if name not in self._omitted(own)}
        given: dict[str, Any] = dict.fromkeys(signature.required)
        try:
            for arguments in (given, given | named):
                positional, keywords = self._speller(own)(arguments)
                own.bind(*positional, **keywords)
        except TypeError as error:
            called = ", ".join((*signature.required, *(f"{name}={value!r}" for name, value in named.items())))
            raise UsageError(
                f"{place} takes ({taken}), but is called with ({called}): {error}; what it does not take can be left "
                "out, such as --no-weight, what it calls otherwise can be named, such as --arguments weight=w"
            ) from error

    def bound(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, to be called with required arrays by position and the rest by the loss's names.

        It is the function itself where that makes no difference.
        """
        own, required = own_signature(function), self.signature.required
        omitted, spelt = tuple(self._omitted(own)), self._speller(own)
        if not omitted and not self.names:
            return function
        usual = self.signature.defaults | {name: known[0] for name, known in self.domain.choices}

        def call(*arrays: Any, **rest: Any) -> Any:  # plain enough to be compiled
            given = dict(zip(required, arrays, strict=False))
            given.update(rest)
            for name in omitted:
                if name in given:
                    value = given.pop(name)
                    if value != usual[name] if name in usual else value is not None:
                        raise NotImplementedError(f"it takes no {name}")
            positional, keywords = spelt(given)
            return function(*positional, **keywords)

        told: Any = call
        told.__signature__ = self._as_called()
        setattr(told, BINDS, (call, function))
        return call

    def lines(self, own: inspect.Signature | None = None) -> tuple[str, ...]:
        """Lines of a script that do what `bound` does to the function of the loss's name, as far as can be told.

        `own` is what the function takes; without it an option that it does not take is told by its usual value.
        """
        signature, defaults = self.signature, self.signature.defaults
        usual = {name for name, values in self.domain.choices if values == (defaults[name],)}
        omitted = self._omitted(own) if own is not None else {*self.domain.absent, *usual}
        if not omitted and not self.names:
            return ()
        rest = (f"{name}={literal(defaults.get(name))}" for name in signature.omissible)
        named = [name for name in signature.omissible if name not in omitted]
        given = [*signature.required] if not self.names else [f"{self.names.get(n, n)}={n}" for n in signature.required]
        given += [f"{self.names.get(name, name)}={name}" for name in named]
        return (
            f"{_ITSELF} = {signature.loss}",
            f"def {signature.loss}({', '.join([*signature.required, *rest])}):",
            f"    return {_ITSELF}({', '.join(given)})",
        )

    def _omitted(self, own: inspect.Signature | None) -> frozenset[str]:
        """Arguments that are not passed."""
        absent = (name for name in self.domain.absent if own is None or not _needs(own, self.names.get(name, name)))
        single = (name for name, values in self.domain.choices if len(values) == 1)
        untaken = (name for name in single if own is not None and not _takes(own, self.names.get(name, name)))
        return frozenset((*absent, *untaken))

    def _speller(self, own: inspect.Signature | None) -> Callable[[dict[str, Any]], tuple[list[Any], dict[str, Any]]]:
        """What gives a function its arguments: if it has names of its own all by name, unless it has positions only."""
        names, required = dict(self.names), self.signature.required
        placed = [] if own is None else [name for name, one in own.parameters.items() if one.kind is _BY_POSITION]

        def as_they_are(given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
            return [given[name] for name in required], {n: value for n, value in given.items() if n not in required}

        def by_name(given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
            keywords = {names.get(name, name): value for name, value in given.items()}
            return [keywords.pop(name) for name in placed if name in keywords], keywords

        return by_name if names else as_they_are

    def _as_called(self) -> inspect.Signature:
        """What the bound function takes."""
        kind, defaults = inspect.Parameter.POSITIONAL_OR_KEYWORD, self.signature.defaults
        required = (inspect.Parameter(name, kind) for name in self.signature.required)
        rest = (inspect.Parameter(name, kind, default=defaults.get(name)) for name in self.signature.omissible)
        return inspect.Signature((*required, *rest))


def binding_of(form: Form, signature: Signature) -> Binding:
    """How the function of a form is called."""
    return Binding(signature, form.domain, form.names)


def function_lines(form: Form, signature: Signature) -> tuple[str, ...]:
    """Lines of a script that define a form's function under the loss's name."""
    module, _, name = form.function.partition(":")
    renamed = f" as {signature.loss}" * (name != signature.loss)
    lines = binding_of(form, signature).lines(own_signature(form.load())) if form.names or form.domain.is_narrow else ()
    return (f"from {module} import {name}{renamed}", *lines)


def own_signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """What a function takes by its own words, whatever it wraps; None of one that does not tell.

    What torch.compile made says nothing of its own, and tells of what was compiled.
    """
    is_own = inspect.isfunction(function) and not hasattr(function, "_torchdynamo_orig_callable")
    try:
        return inspect.signature(function, follow_wrapped=not is_own)
    except (TypeError, ValueError):
        return None


def _takes(own: inspect.Signature, name: str) -> bool:
    """Whether a function has a parameter of this name, or takes whatever is named."""
    return name in own.parameters or any(one.kind is _ANY_NAME for one in own.parameters.values())


def _needs(own: inspect.Signature, name: str) -> bool:
    """Whether a function cannot be called without a parameter of this name."""
    return name in own.parameters and own.parameters[name].default is inspect.Parameter.empty
