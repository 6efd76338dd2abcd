"""Whether a domain leaves anything to ask, before anything runs."""

from __future__ import annotations

import dataclasses

from ...adapters.domains import SHORT
from ...specs import losses
from ...specs.call import FLOAT_DTYPES
from ...specs.domain import Domain
from ...specs.errors import NothingRan
from ...specs.loss import LARGE, Draw, Loss
from ...specs.vectors import vector_cases
from ..items.spec import VECTORS, Request
from .plan import check_families

_DEAREST = 3  # the tier of subjects that are asked most


def require_some(request: Request) -> None:
    """Guard that a domain leaves something to ask; raises NothingRan naming the options that leave nothing.

    Raises UsageError for a family that does not exist.
    """
    check_families(request.families, request.losses)
    domain = request.domain
    if request.profile == LARGE or any(_is_asked(losses.find(place), request, domain) for place in request.losses):
        return
    raise NothingRan(f"nothing is left to ask: {blamed(request)} leave no call of {', '.join(request.losses)}")


def blamed(request: Request) -> str:
    """The options of which each alone, or else all together, leave nothing to ask."""
    parts, found = list(request.domain.parts()), [losses.find(place) for place in request.losses]
    alone = [name for name, rest in parts if any(_is_asked(loss, request, rest) for loss in found)]
    families = [f"--family {name}" for name in request.families]
    return " and ".join([*map(_as_typed, alone or [name for name, _ in parts]), *families])


def _as_typed(option: str) -> str:
    """An option by the shorter name that it has for the commonest arguments."""
    name = option.removeprefix("--no ")
    return f"--no-{name.replace('_', '-')}" if name in SHORT else option.replace("--only reduction=", "--reductions ")


def _is_asked(loss: Loss, request: Request, domain: Domain) -> bool:
    """Whether a loss has a case in a domain, of the families that are asked for."""
    return any(
        _has_case(loss, family, dataclasses.replace(request, domain=domain), dtype)
        for dtype in domain.dtypes or FLOAT_DTYPES
        for family in (*loss.families_of(request.profile), VECTORS)
        if not request.families or family in request.families
    )


def _has_case(loss: Loss, family: str, request: Request, dtype: str) -> bool:
    domain = request.domain
    if family == VECTORS:
        cases = vector_cases(loss.name, dtype, lambda call: loss.is_within(domain, call))
    else:
        cases = iter(loss.families[family].cases(Draw(dtype, request.profile, request.seed, _DEAREST, domain)))
    return any(loss.is_within(domain, case.call) for case in cases)
