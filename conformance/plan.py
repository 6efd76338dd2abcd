"""What a run will do: which backends, which items, in which groups, and what to expect of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..adapters import registry
from ..adapters.base import Backend, Subject
from ..specs.call import FLOAT_DTYPES
from ..specs.errors import AdapterUnavailable, BridgeError, NothingRan, UsageError, nearest
from ..specs.nll_loss.frozen import vectors
from ..specs.nll_loss.generate import FAMILIES, PROFILES
from . import ledger
from .ledger import Divergence
from .runner import VECTORS, ItemSpec, Plan

DEFAULT_PROFILE = "quick"


@dataclass(frozen=True)
class Selection:
    """The run that was asked for, in a form that crosses process boundaries as JSON."""

    backends: tuple[str, ...]
    subjects: tuple[str, ...]  # empty: all of the backends'
    profile: str
    seed: int
    strict: bool
    device: str
    ledgers: tuple[str, ...]
    trail: str
    seconds: float  # a call's time limit
    heartbeat: bool = True
    families: tuple[str, ...] = ()  # empty: all

    def encode(self) -> str:
        """The selection as JSON."""
        return json.dumps(self.__dict__)

    @classmethod
    def decode(cls, text: str) -> Selection:
        """The selection that `encode` wrote."""
        data = {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()}
        return cls(**data)

    @property
    def plan(self) -> Plan:
        """What an item needs to know of it."""
        return Plan(self.profile, self.seed, self.strict, self.device, self.heartbeat)


def check_profile(name: str) -> str:
    """The profile's name; raises UsageError with the nearest known ones."""
    if name not in PROFILES:
        raise UsageError(f"no profile {name!r}; {nearest(name, PROFILES)}")
    return name


def choose_backends(names: Sequence[str]) -> tuple[list[str], list[Backend]]:
    """(backend or subject names as given, backends to run), torch first; without names all that are installed.

    Raises UsageError for unknown names and AdapterUnavailable for backends that were asked for and are absent.
    """
    if not names:
        known = [registry.backend(name) for name in registry.names()]
        return [], _in_import_order([found for found in known if registry.is_installed(found)])
    chosen: dict[str, Backend] = {}
    subjects: list[str] = []
    for name in names:
        backend, is_subject = _split(name)
        found = registry.backend(backend)
        if not registry.is_installed(found):
            raise AdapterUnavailable(f"backend {backend} is not installed; install it with: {found.install}")
        chosen[found.name] = found
        subjects += [name] if is_subject else []
        if not is_subject and name in registry.BUILT_IN:
            subjects.append(f"{name}*")
    return subjects, _in_import_order(list(chosen.values()))


def _split(name: str) -> tuple[str, bool]:
    """A name given to -b as (backend, whether it names one subject such as torch:compile)."""
    backend, colon, _ = name.partition(":")
    return (backend, True) if colon and backend in registry.BUILT_IN else (name, False)


def _in_import_order(backends: list[Backend]) -> list[Backend]:
    order = {name: number for number, name in enumerate(registry.BUILT_IN)}
    return sorted(backends, key=lambda backend: order.get(backend.name, len(order)))


def start(backends: Iterable[Backend], device: str, wanted: Sequence[str] = ()) -> dict[str, tuple[Backend, Subject]]:
    """Import the backends and make their subjects, by name.

    `wanted` holds subject names and `backend*` patterns, as `choose_backends` gives them; empty is all. Raises
    AdapterUnavailable for a backend or device that cannot start, UsageError for a subject that does not exist.
    """
    found: dict[str, tuple[Backend, Subject]] = {}
    for backend in backends:
        registry.start(backend)
        try:
            subjects = backend.subjects(device)
        except BridgeError as error:
            raise AdapterUnavailable(f"{error}; choose another with --device") from error
        found |= {subject.name: (backend, subject) for subject in subjects}
    for name in wanted:
        if not name.endswith("*") and name not in found:
            raise UsageError(f"no subject {name!r}; {nearest(name, found)}")
    whole = {name[:-1] for name in wanted if name.endswith("*")}
    return {
        name: pair for name, pair in found.items() if not wanted or name in wanted or pair[0].name in whole
    }


def divergences(backends: Iterable[Backend], files: Iterable[str], subjects: Iterable[str]) -> list[Divergence]:
    """The known divergences of the backends that run, and of `--ledger` files; raises LedgerError."""
    subjects, rows = tuple(subjects), []
    for backend in backends:
        text = ledger.shipped(backend.name)
        if text is not None:
            rows += ledger.load(text, f"adapters/{backend.name}/divergences.toml", subjects, vectors())
    for file in files:
        rows += ledger.load_file(Path(file), subjects, vectors())
    return rows


def items(subjects: Iterable[str], families: Sequence[str] = ()) -> list[ItemSpec]:
    """Every item: cheap and deadly ones first, dear subjects last; raises NothingRan when there is none."""
    for name in families:
        if name not in (*FAMILIES, VECTORS):
            raise UsageError(f"no family {name!r}; {nearest(name, (*FAMILIES, VECTORS))}")
    order = [VECTORS, *FAMILIES]
    specs = [
        ItemSpec(subject, family, dtype)
        for subject in subjects
        for dtype in FLOAT_DTYPES
        for family in order
        if not families or family in families
    ]
    if not specs:
        raise NothingRan("the selection leaves nothing to run; choose other backends or families")
    return specs


def group(spec: ItemSpec) -> str:
    """Items of one group run on one worker: they share what a subject compiles for a dtype."""
    return f"{spec.subject}/{spec.dtype}"
