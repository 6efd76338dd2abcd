"""Names an item and what is asked of it: plain data, which the controlling process and every worker share."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...adapters.base import Capabilities, Subject
from ...reports.records import Item, Part
from ...specs import losses
from ...specs.case import Case
from ...specs.domain import EVERYTHING, Domain
from ...specs.loss import Draw, Loss
from ...specs.vectors import vector_cases
from ..judging.ledger import NOTHING_KNOWN, Ledger
from . import experiments

DEFAULT_PROFILE = "quick"
_NO_TIME: dict[str, Any] = {"seconds": 0.0, "framework_seconds": 0.0, "compilations": 0, "compile_seconds": 0.0}
VECTORS = "vectors"  # the family of pinned cases


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a user asks of a run, of whatever it runs on."""

    profile: str = DEFAULT_PROFILE
    seed: int = 0
    strict: bool = False
    device: str = "cpu"
    families: tuple[str, ...] = ()  # empty: all
    ledgers: tuple[str, ...] = ()  # files
    forgotten: tuple[str, ...] = ()  # ids of known divergences to do without
    seconds: float = 300.0  # a call's time limit
    stop: bool = False  # at the first unexpected result, here or in another worker
    heartbeat: bool = True
    explored: int | None = None  # None: what the profile says
    part: Part | None = None  # None: all of it
    losses: tuple[str, ...] = losses.BUILT_IN  # as `losses.find` takes them
    domain: Domain = EVERYTHING  # the calls that are asked for
    is_check: bool = False  # of a user's function, which is not asked for what its framework has nothing for


@dataclass(frozen=True, slots=True)
class ItemSpec:
    """Names one item: one family of a loss's cases on one subject, on one device, in one dtype."""

    subject: str
    family: str
    dtype: str
    loss_name: str = losses.DEFAULT
    device: str = "cpu"

    @property
    def loss(self) -> Loss:
        """Whose family it is."""
        return losses.find(self.loss_name)

    @property
    def id(self) -> str:
        """The item's name, as pytest shows it."""
        return f"{self.family}[{self.subject}/{self.loss_name}-{self.dtype}]"

    @property
    def whose(self) -> dict[str, str]:
        """The fields by which records of any of its families name it."""
        return {"loss": self.loss_name, "subject": self.subject, "device": self.device, "dtype": self.dtype}

    @property
    def who(self) -> dict[str, str]:
        """The fields by which its own records name it."""
        return {**self.whose, "family": self.family}

    def record(self, statuses: Mapping[str, int], unexpected: int = 0, **measured: Any) -> Item:
        """The item's record: how its calls came out, which are all that were planned, and took no time, unless told."""
        took = dict(_NO_TIME, planned=sum(statuses.values())) | measured
        return Item(id=self.id, **self.who, statuses=dict(statuses), unexpected=unexpected, **took)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a subject in one item: calls of the domain, and of a user's function those that can be made.

    What a framework has nothing for, such as the gradient of a NumPy function, would say nothing about that.
    """

    loss: Loss
    request: Request
    can: Capabilities

    def lacks(self, kind: str) -> bool:
        """Whether a kind of Transform (`Signature.kinds`) is not asked for."""
        transform = self.loss.signature.kinds[kind]
        return self.request.is_check and self.can.lacks(transform.kind, transform.wrt)

    def wants(self, case: Case) -> bool:
        """Whether a case is asked for."""
        kind, domain = case.call.kind, self.request.domain
        if self.request.is_check and (
            kind != "value" and self.lacks(kind) or experiments.missing(case.experiment, self.can)
        ):
            return False
        return self.loss.is_within(domain, case.call)

    def draw(self, dtype: str, tier: int) -> Draw:
        """What cases of a family are for."""
        return Draw(dtype, self.request.profile, self.request.seed, tier, self.request.domain, self.lacks)


def planned_cases(
    spec: ItemSpec, request: Request, subject: Subject, ledger: Ledger = NOTHING_KNOWN
) -> tuple[Iterable[Case], int]:
    """The corpus of one item, what of the family's cases is meant for a subject of this cost, and its size."""
    tier = subject.capabilities.tier
    asked = Asked(spec.loss, request, subject.capabilities)
    if spec.family == "layout" and "strides" in subject.capabilities.without:
        tier = 1  # a few calls show the reason as well as thousands
    if spec.family == VECTORS:
        within = functools.partial(spec.loss.is_within, request.domain)
        known = (*vector_cases(spec.loss_name, spec.dtype, within), *ledger.vector_cases(spec.loss_name, spec.dtype))
        vectors = [case for case in known if case.tier <= tier and asked.wants(case)]
        return vectors, len(vectors)
    family, draw = spec.loss.families[spec.family], asked.draw(spec.dtype, tier)
    if family.size is not None:
        return filter(asked.wants, family.cases(draw)), family.size(draw)
    made = list(filter(asked.wants, family.cases(draw)))  # few, and not to be counted but by making them
    return made, len(made)
