"""Makes a domain of what a user said, and says what in it does not exist."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ..specs.call import FLOAT_DTYPES, TARGET_DTYPES, Option, Signature
from ..specs.domain import Domain
from ..specs.errors import UsageError, nearest
from .base import FEATURES


def domain_of(
    signature: Signature,
    *,
    dtypes: Sequence[str] = (),
    targets: Sequence[str] = (),
    without: Sequence[str] = (),
    ranks: Sequence[int] = (),
    only: Mapping[str, Sequence[Any]] | None = None,
    no: Sequence[str] = (),
    empty: bool = True,
    unbatched: bool = True,
    dashes: str = "",
) -> Domain:
    """The domain of a loss of this signature; raises UsageError naming the option, which begins with `dashes`.

    `only` are the values that options take, `no` the arguments that are never given.
    """
    _check(dtypes, FLOAT_DTYPES, f"{dashes}dtypes")
    _check(targets, TARGET_DTYPES, f"{dashes}targets")
    _check(without, FEATURES, f"{dashes}without")
    _check(no, signature.omissible, f"{dashes}no", f"{signature.loss} does without")
    for rank in ranks:
        if rank < 0:
            raise UsageError(f"{dashes}ranks: {rank} is no number of axes; write such as 2 or 2,3")
    return Domain(
        dtypes=_once(dtypes),
        targets=_once(targets),
        ranks=_once(ranks),
        choices=tuple(_values(signature, name, values, dashes) for name, values in (only or {}).items()),
        absent=_once(no),
        empty=empty,
        unbatched=unbatched,
        spared=_once(without),
    )


def with_targets(domain: Domain, targets: tuple[str, ...]) -> Domain:
    """The domain with the dtypes of target that are a framework's own default, unless some were named."""
    return domain if domain.targets else dataclasses.replace(domain, targets=targets)


def _values(signature: Signature, name: str, values: Sequence[Any], dashes: str) -> tuple[str, tuple[Any, ...]]:
    options: dict[str, Option] = {one.name: one for one in signature.options}
    said = f"{dashes}only"
    if name not in options:
        raise UsageError(f"{said}: {signature.loss} has no option {name!r}; {nearest(name, options)}")
    if not values:
        raise UsageError(f"{said}: {name} has to have some value, such as {options[name].default!r}")
    if options[name].choices:
        _check(values, options[name].choices, f"{said} {name}")
    return name, _once(values)


def _once(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def _check(given: Iterable[Any], known: Collection[Any], option: str, whose: str = "") -> None:
    for word in given:
        if word not in known:
            where = f"{whose} no argument {word!r}" if whose else f"there is no {word!r}"
            raise UsageError(f"{option}: {where}; {nearest(str(word), map(str, known))}")
