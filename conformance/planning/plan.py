"""What a run will do: which backends, which items, in which groups, and what to expect of them."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import itertools
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ...adapters import registry, user
from ...adapters.base import Backend, Subject
from ...adapters.handover import require_echo
from ...reports.records import Part
from ...specs import losses
from ...specs.call import FLOAT_DTYPES, Signature
from ...specs.errors import AdapterUnavailable, NothingRan, UsageError, nearest
from ...specs.loss import LARGE, PROFILES
from ..items.spec import DEFAULT_PROFILE, VECTORS, ItemSpec, Request
from ..judging import rows
from ..judging.ledger import Divergence


class NoSuchDevice(AdapterUnavailable):
    """A backend is here, and the device is not."""


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What was asked for, and what was found for it, in a form that crosses process boundaries as JSON."""

    request: Request
    backends: tuple[str, ...]  # as -b named them; empty: all that are installed
    subjects: dict[str, tuple[str, ...]]  # loss -> those that run
    owners: dict[str, tuple[str, ...]]  # backend -> all its subjects, also those that do not run
    # loss -> subject -> dtypes whose subnormal numbers it flushes
    flushing: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    trail: str = ""  # folder of breadcrumbs

    def encode(self) -> str:
        """The specification of a run as JSON."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> RunSpec:
        """What `encode` wrote."""
        return msgspec.json.decode(text, type=cls)


def check_profile(name: str) -> str:
    """The profile's name; raises UsageError with the nearest known ones."""
    if name not in PROFILES:
        raise UsageError(f"no profile {name!r}; {nearest(name, PROFILES)}")
    return name


def check_device(name: str) -> str:
    """The device's name; raises UsageError unless it is a kind of device, with a number or without."""
    kind, colon, number = name.partition(":")
    if kind not in rows.DEVICES or colon and not number.isdecimal():
        raise UsageError(
            f"no device {name!r}; choose one of {', '.join(rows.DEVICES)}, "
            "with a number such as cuda:1 if there are more"
        )
    return name


def choose_seed(profile: str, seed: int | None) -> int:
    """The seed asked for; otherwise 0, and a fresh one each night."""
    if seed is not None:
        return seed
    return secrets.randbelow(2**31) if profile == "nightly" else 0


def choose_backends(names: Sequence[str]) -> list[Backend]:
    """The backends that `-b` names (or whose subjects it names), torch first; without names all installed ones.

    Raises UsageError for unknown names, AdapterUnavailable for backends that were asked for and are absent.
    """
    if not names:
        known = [registry.backend(name) for name in registry.names()]
        return _in_import_order(found for found in known if registry.is_installed(found))
    chosen = {found.name: found for found in (registry.backend(_backend_of(name)) for name in names)}
    for found in chosen.values():
        if not registry.is_installed(found):
            raise AdapterUnavailable(f"backend {found.name} is not installed; install it with: {found.install}")
    return _in_import_order(chosen.values())


def choose_subjects(names: Sequence[str], known: Mapping[str, str], places: Sequence[str]) -> tuple[str, ...]:
    """The subjects of the losses at `places` that `-b` names, dear ones as `known` (subject -> backend) orders them.

    A backend's name stands for all its subjects; raises UsageError for a subject that does not exist,
    AdapterUnavailable for one that this machine has no tools for, whichever of the losses is asked.
    """
    names = [registry.backend(name).name if _is_path(name) else name for name in names]
    for name in names:
        backend = _backend_of(name)
        if name in known or name == backend:
            continue
        for signature in (losses.find(place).signature for place in places):
            if why := registry.backend(backend).lacking(signature).get(name):
                raise AdapterUnavailable(f"{name}: {why}")
        raise UsageError(f"no subject {name!r}; {nearest(name, known)}")
    return tuple(subject for subject, backend in known.items() if not names or {subject, backend} & set(names))


def paths(files: Iterable[str]) -> tuple[str, ...]:
    """Files as every process finds them, whatever its current directory."""
    return tuple(str(Path(file).resolve()) for file in files)


def key_of(backend: Backend, names: Sequence[str]) -> str:
    """The name by which another process finds a backend again that was chosen by these names."""
    return next((name for name in names if _is_path(name) and registry.backend(name) is backend), backend.name)


def _backend_of(name: str) -> str:
    """torch for torch:compile; package.module:object, users' functions and plain names as they are."""
    return name if _is_path(name) else name.partition(":")[0]


def _is_path(name: str) -> bool:
    """Whether a name given to -b is a package.module:object, or FRAMEWORK@ a user's one."""
    return ":" in name and name.partition(":")[0] not in registry.names()


def _in_import_order(backends: Iterable[Backend]) -> list[Backend]:
    order = {name: number for number, name in enumerate(registry.BUILT_IN)}
    return sorted(backends, key=lambda backend: order.get(backend.name, len(order)))


def start(backend: Backend, signature: Signature, device: str) -> list[Subject]:
    """Import a backend and make its subjects of a loss, whose bridges can be checked, but those it lacks tools for.

    Raises AdapterUnavailable when it or the device cannot start, or a subject is without `echo`.
    """
    registry.start(backend)
    known = backend.devices()
    if not {device, f"{device}:0", device.removesuffix(":0")} & set(known):
        raise NoSuchDevice(
            f"{backend.name} has no device {device!r}; it has {', '.join(known)}: choose one with --device"
        )
    lacking = backend.lacking(signature)
    subjects = [one for one in backend.subjects(signature, device) if one.name not in lacking]
    for subject in subjects:
        require_echo(subject)
    gc.freeze()  # a framework's modules stay; the collector need not walk through them again and again
    return subjects


def divergences(run: RunSpec) -> list[Divergence]:
    """The known divergences that backends bring along, and those of `--ledger` files, but those to be forgotten.

    Raises LedgerError for broken rows, UsageError for an id to forget that does not exist.
    """
    subjects = [name for owned in run.owners.values() for name in owned]
    found: list[Divergence] = []
    for backend in choose_backends(run.backends):
        key = key_of(backend, run.backends)
        if user.SIGN in key:
            found += machinery(user.parse(key).framework, run.owners.get(backend.name, ()))
        else:
            # Those of ours were checked by `lint`, and may be of losses and of subjects that this run goes without.
            found += rows.brought_along(key, None if key in registry.BUILT_IN else subjects)
    for file in run.request.ledgers:
        found += rows.load_file(Path(file), subjects)
    rows.require_distinct(found)
    known = [row.id for row in found]
    for id in run.request.forgotten:
        if id not in known:
            raise UsageError(f"no known divergence {id!r} to forget; {nearest(id, known)}")
    return [row for row in found if row.id not in run.request.forgotten]


def machinery(framework: str, subjects: Iterable[str]) -> list[Divergence]:
    """What is known of how a framework differentiates and maps, and so is expected of a user's function on it."""
    known, eager = rows.brought_along(framework, None), registry.backend(framework).name
    return [row.lend(eager, tuple(subjects)) for row in known if row.machinery and eager in row.subjects]


def check_families(names: Iterable[str], places: Iterable[str]) -> None:
    """Guard that each is a family of one of these losses; raises UsageError that offers the nearest."""
    by_loss = (losses.find(place).families_of(DEFAULT_PROFILE) for place in places)
    known = dict.fromkeys((VECTORS, *itertools.chain.from_iterable(by_loss)))
    for name in names:
        if name not in known:
            raise UsageError(f"no family {name!r}; {nearest(name, known)}")


def items(subjects: Mapping[str, Iterable[str]], request: Request) -> list[ItemSpec]:
    """Every item of the subjects of each loss: cheap and deadly ones first, dear subjects last.

    Raises NothingRan when there is none, UsageError for a family that no loss has. Profile `large` is one family of its
    own. A part of a run has the groups whose hash falls to it, which may be none.
    """
    check_families(request.families, subjects)
    orders = {
        loss: [*[VECTORS] * (request.profile != LARGE), *losses.find(loss).families_of(request.profile)]
        for loss in subjects
    }
    specs = [
        ItemSpec(subject, family, dtype, loss, request.device)
        for loss, order in orders.items()
        for subject in subjects[loss]
        for dtype in sorted(FLOAT_DTYPES, key=lambda dtype: dtype != "float32")  # what compilers do most in comes first
        if dtype in (request.domain.dtypes or FLOAT_DTYPES)
        for family in order
        if not request.families or family in request.families
    ]
    if not specs:
        raise NothingRan("the selection leaves nothing to run; choose other backends or families")
    return [spec for spec in specs if request.part is None or _falls_to(request.part, group(spec))]


def group(spec: ItemSpec) -> str:
    """Items of one group run on one worker: they share what a subject compiles for a dtype.

    Calls that must fail share little with the others, and take as long on a subject that is isolated for them.
    """
    return f"{spec.loss_name}/{spec.subject}/{spec.dtype}" + "/error" * (spec.family == "error")


def _falls_to(part: Part, name: str) -> bool:
    """Whether a group belongs to a part of a run: by its name alone, so that all machines agree."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % part.of == part.number - 1


def digest(run: RunSpec, known: Iterable[Divergence], versions: Mapping[str, str]) -> str:
    """Twelve hexadecimal digits that all parts of a run have in common, and other runs do not.

    They stand for everything that decides what is judged and how: the items of all parts, the seed, the divergences
    that are `known`, and the `versions` of lossparity and of what it tests. Paths, which machines differ in, are left
    out.
    """
    request = dataclasses.replace(run.request, part=None)
    asked = (request.profile, request.seed, request.strict, request.device, request.explored)
    names = [spec.id for spec in items(run.subjects, request)], [row.id for row in known]
    domain = [request.domain.words] if request.domain.is_narrow else []
    content = (asked, *names, sorted(versions.items()), *domain)
    return hashlib.sha256(repr(content).encode()).hexdigest()[:12]
