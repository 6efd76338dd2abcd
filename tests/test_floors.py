"""Floors and rooms: what imports what, read from the source without importing anything."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("specs", "adapters", "reports", "conformance")  # from the ground up
# The rooms of a floor, from the ground up; "" are the modules that lie in the floor itself.
ROOMS = {
    "specs": ("", "tracked", "common", "classes", "nll_loss", "log_softmax", "cross_entropy"),
    "adapters": ("", "template", "numpy", "torch", "jax", "tensorflow"),
    "reports": ("", "site"),
    "conformance": (
        "judging",
        "items",
        "planning",
        "findings",
        "running",
        "bench",
        "mutants",
        "diagnosis",
        "console",
        "",
    ),
}
FRAMEWORKS = {"torch", "jax", "jaxlib", "tensorflow", "keras"}
MODULES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
BRIDGES = [path for path in MODULES if path.name in ("adapter.py", "subject.py")]
LOSSES = {path.parent.name for path in (ROOT / "specs").glob("*/loss.py")}
PORTS = sorted((ROOT / "adapters").glob("*/ports/[!_]*.py"))


def name_of(path: Path) -> str:
    """A file below the repository's root, as pytest shows it."""
    return path.relative_to(ROOT).as_posix()


def imports(source: str, module: tuple[str, ...], inside: bool = True) -> Iterator[str]:
    """Absolute names of what a module imports; with `inside` also from within functions.

    `module` are the parts of its own absolute name, e.g. ("lossparity", "specs", "call").
    """
    tree = ast.parse(source)
    for node in ast.walk(tree) if inside else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = module[: -node.level] if node.level else ()
            parts = (*start, *(node.module or "").split(".")) if node.module else start
            yield ".".join(parts)
            yield from (".".join((*parts, alias.name)) for alias in node.names)


def absolute(path: Path) -> tuple[str, ...]:
    """Parts of a module's absolute name, `__init__` standing for the module that a package is."""
    return ("lossparity", *path.relative_to(ROOT).with_suffix("").parts)


def floors_of(names: Iterator[str]) -> set[str]:
    """The floors that are imported."""
    parts = (name.split(".") for name in names)
    return {found[1] for found in parts if found[0] == "lossparity" and len(found) > 1}


def too_high(source: str, module: tuple[str, ...]) -> set[str]:
    """Floors above its own that a module imports."""
    return floors_of(imports(source, module)) - set(FLOORS[: FLOORS.index(module[1]) + 1])


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_floor_imports_a_higher_one(path: Path) -> None:
    assert not too_high(path.read_text(encoding="utf-8"), absolute(path))


def modules_of(names: Iterator[str]) -> set[str]:
    """The modules of ours among what is imported, without "lossparity." in front."""
    known = {".".join(absolute(path)[1:]).removesuffix(".__init__") for path in MODULES}
    return {found for name in names if (found := name.removeprefix("lossparity.")) in known}


def room_of(module: str) -> tuple[str, str]:
    """The floor and the room of a module, as `modules_of` names it."""
    floor, *rest = module.split(".")
    return floor, rest[0] if rest and rest[0] in ROOMS[floor] else ""


def upwards(source: str, module: tuple[str, ...]) -> set[str]:
    """Modules in rooms above its own, on its own floor, that a module imports."""
    floor, room = room_of(".".join(module[1:]))
    rooms = ROOMS[floor]
    found = {name: room_of(name) for name in modules_of(imports(source, module))}
    above = rooms[rooms.index(room) + 1 :]
    return {name for name, (there, its) in found.items() if there == floor and its in above and name.count(".")}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_room_imports_a_higher_one(path: Path) -> None:
    assert not upwards(path.read_text(encoding="utf-8"), absolute(path))


def test_every_folder_is_a_room() -> None:
    folders = {path.parent.relative_to(ROOT).parts[:2] for path in MODULES} - {(floor,) for floor in FLOORS}
    assert folders == {(floor, room) for floor, rooms in ROOMS.items() for room in rooms if room}


def test_contributors_are_told_the_order_of_rooms() -> None:
    *rooms, _ = ROOMS["conformance"]
    told = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    assert " < ".join(f"`{room}`" for room in rooms) in told


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        ".".join(absolute(path)[1:]).removesuffix(".__init__"): modules_of(
            imports(path.read_text(encoding="utf-8"), absolute(path))
        )
        for path in MODULES
    }
    assert circle_in(graph) == []


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """What is left of a graph without all that leads nowhere: circles, and what leads into them."""
    left = dict(graph)
    while ends := [name for name, targets in left.items() if not (targets - {name}) & left.keys()]:
        for name in ends:
            del left[name]
    return sorted(left)


def test_a_circle_is_seen() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("conformance.judging.judge", "from ..items import runner"),
        ("conformance.judging.judge", "def late():\n    from lossparity.conformance.running.plugin import Workshop"),
        ("conformance.items.runner", "from ..planning.plan import RunSpec"),
        ("conformance.console.show", "from .. import cli"),
        ("specs.call", "from .nll_loss.oracle import expect"),
        ("adapters.base", "from .torch import subject"),
    ],
)
def test_an_upward_import_is_seen(module: str, source: str) -> None:
    assert upwards(source, ("lossparity", *module.split(".")))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("conformance.running.plugin", "from ..judging.judge import judge\nfrom ..planning import plan"),
        ("conformance.cli", "from .console import show"),
        ("specs.nll_loss.oracle", "from ..exact import ulp\nfrom . import facts"),
    ],
)
def test_a_downward_import_is_let_through(module: str, source: str) -> None:
    assert not upwards(source, ("lossparity", *module.split(".")))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_frameworks_are_imported_by_their_adapters_alone(path: Path) -> None:
    found = {name.split(".")[0] for name in imports(path.read_text(encoding="utf-8"), absolute(path))} & FRAMEWORKS
    own = path.relative_to(ROOT).parts
    allowed = {own[1]} if own[0] == "adapters" and len(own) > 2 else set()
    if own[:2] == ("conformance", "mutants"):  # implementations too: torch_loss.py
        allowed = {path.stem.removesuffix("_loss")}
    if own[0] == "conformance" and path.name in ("rivals.py", "kills.py"):  # PyTorch's tests, on arrays of each
        allowed = FRAMEWORKS
    assert found <= allowed


@pytest.mark.parametrize("path", BRIDGES, ids=name_of)
def test_an_adapter_can_be_looked_at_without_its_framework(path: Path) -> None:
    found = {name.split(".")[0] for name in imports(path.read_text(encoding="utf-8"), absolute(path), inside=False)}
    assert not found & FRAMEWORKS


@pytest.mark.parametrize("path", PORTS, ids=name_of)
def test_a_port_imports_its_framework_numpy_the_standard_library_and_other_ports(path: Path) -> None:
    names = imports(path.read_text(encoding="utf-8"), absolute(path))
    beside = ".".join(absolute(path)[:-1])
    found = {name.split(".")[0] for name in names if not name.startswith(f"{beside}.")}
    assert found - set(sys.stdlib_module_names) <= {path.parent.parent.name, "numpy"}


def losses_of(source: str, module: tuple[str, ...]) -> set[str]:
    """Losses from whose folders a module imports."""
    names = (name.split(".") for name in modules_of(imports(source, module)))
    return {parts[1] for parts in names if parts[0] == "specs" and len(parts) > 1} & LOSSES


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.is_relative_to(ROOT / "reports") or path.parent.name == "bench"],
    ids=name_of,
)
def test_reports_and_the_bench_take_losses_by_name(path: Path) -> None:
    assert not losses_of(path.read_text(encoding="utf-8"), absolute(path))


def test_a_loss_that_is_imported_is_seen() -> None:
    assert losses_of("from ...specs.nll_loss.speed import point", ("lossparity", "conformance", "bench", "sweep"))
    assert not losses_of("from ...specs import losses", ("lossparity", "conformance", "bench", "sweep"))


def test_there_is_something_to_look_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(FLOORS)
    assert {path.parent.parent.name for path in PORTS} >= {"numpy", "jax", "tensorflow"}


@pytest.mark.parametrize(
    ("floor", "source"),
    [
        ("specs", "from ..conformance.judging.judge import judge"),
        ("specs", "from ..conformance import judge"),
        ("specs", "import lossparity.reports.records"),
        ("specs", "from .. import adapters"),
        ("adapters", "def late():\n    from lossparity.reports import records"),
        ("reports", "from lossparity import conformance"),
    ],
)
def test_a_forbidden_import_is_seen(floor: str, source: str) -> None:
    assert too_high(source, ("lossparity", floor, "module"))


@pytest.mark.parametrize(
    ("floor", "source"),
    [
        ("conformance", "from ..specs import call\nfrom ..adapters import base\nfrom ..reports import records"),
        ("reports", "from ..specs.errors import RecordsError\nfrom . import matrix"),
        ("specs", "import numpy\nfrom .call import Call"),
    ],
)
def test_an_allowed_import_is_let_through(floor: str, source: str) -> None:
    assert not too_high(source, ("lossparity", floor, "module"))
