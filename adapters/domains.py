"""Makes a domain of what a user said, and says what in it does not exist."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypedDict, Unpack

from ..specs.call import FLOAT_DTYPES, TARGET_DTYPES, Option, Signature
from ..specs.domain import Domain
from ..specs.errors import UsageError, nearest
from .base import FEATURES

SHORT = ("weight", "ignore_index")  # arguments that have an option of their own, such as --no-weight


class Asking(TypedDict, total=False):
    """What a user may say of a domain, by the names of the options of `lossparity check`.

    `only` are the values that options take, `no` the arguments that are never given; `reductions`, `no_weight` and
    `no_ignore_index` are short for those of nll_loss.
    """

    dtypes: str | Iterable[str]
    targets: str | Iterable[str]
    without: str | Iterable[str]
    ranks: int | Iterable[int]
    reductions: str | Iterable[str]
    only: Mapping[str, Iterable[Any]]
    no: str | Iterable[str]
    no_weight: bool
    no_ignore_index: bool
    no_empty: bool
    no_unbatched: bool


def domain_of(signature: Signature, dashes: str = "", **asking: Unpack[Asking]) -> Domain:
    """The domain of a loss of this signature; raises UsageError naming the option, which begins with `dashes`."""
    if unknown := next((name for name in asking if name not in Asking.__annotations__), ""):
        raise UsageError(f"there is no option {unknown!r}; {nearest(unknown, Asking.__annotations__)}")
    dtypes, targets, without, ranks, no, reductions = (
        _once(asking.get(name, ())) for name in ("dtypes", "targets", "without", "ranks", "no", "reductions")
    )
    no = _once((*no, *(name for name in SHORT if asking.get(f"no_{name}"))))
    only = dict(asking.get("only", {})) | ({"reduction": reductions} if reductions else {})
    _check(dtypes, FLOAT_DTYPES, f"{dashes}dtypes")
    _check(targets, TARGET_DTYPES, f"{dashes}targets")
    _check(without, FEATURES, f"{dashes}without")
    _check(no, signature.omissible, f"{dashes}no", f"{signature.loss} does without")
    for rank in ranks:
        if rank < 0:
            raise UsageError(f"{dashes}ranks: {rank} is no number of axes; write such as 2 or 2,3")
    return Domain(
        dtypes=dtypes,
        targets=targets,
        ranks=ranks,
        choices=tuple(_values(signature, name, _once(values), dashes) for name, values in only.items()),
        absent=no,
        empty=not asking.get("no_empty"),
        unbatched=not asking.get("no_unbatched"),
        spared=without,
    )


def with_targets(domain: Domain, targets: tuple[str, ...]) -> Domain:
    """The domain with the dtypes of target that are a framework's own default, unless some were named."""
    return domain if domain.targets else dataclasses.replace(domain, targets=targets)


def asked_for(domain: Domain, signature: Signature, targets: tuple[str, ...]) -> Domain:
    """The same, of a loss of this signature: where no array holds classes there is nothing to leave out."""
    return with_targets(domain, targets if any(one.holds != "reals" for one in signature.arrays) else ())


def _values(signature: Signature, name: str, values: tuple[Any, ...], dashes: str) -> tuple[str, tuple[Any, ...]]:
    options: dict[str, Option] = {one.name: one for one in signature.options}
    said = f"{dashes}only"
    if name not in options:
        raise UsageError(f"{said}: {signature.loss} has no option {name!r}; {nearest(name, options)}")
    if not values:
        raise UsageError(f"{said}: {name} has to have some value, such as {options[name].default!r}")
    if options[name].choices:
        _check(values, options[name].choices, f"{said} {name}")
    return name, values


def _once(values: Any) -> tuple[Any, ...]:
    """A value by itself, or each of several."""
    return (values,) if isinstance(values, str | int) else tuple(dict.fromkeys(values))


def _check(given: Iterable[Any], known: Collection[Any], option: str, whose: str = "") -> None:
    for word in given:
        if word not in known:
            where = f"{whose} no argument {word!r}" if whose else f"there is no {word!r}"
            raise UsageError(f"{option}: {where}; {nearest(str(word), map(str, known))}")
