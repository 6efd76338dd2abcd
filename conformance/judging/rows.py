"""Reads rows of known divergences from files, and refuses those that say something impossible.

A file is about one loss, whose name it bears, and lies in a folder, on disk or inside a package; what a row pins is a
vector that comes with the suite, or one of a file of vectors in the same folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path, PurePath
from typing import Any

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from ...adapters import registry
from ...reports.severity import Severity
from ...specs import losses
from ...specs.case import NoFact
from ...specs.errors import LedgerError, UsageError, VectorError, nearest
from ...specs.loss import Loss
from ...specs.tables import load_table
from ...specs.vectors import Vector, parse, problems, vectors
from . import severities
from .ledger import BESIDE, COMPARE, NONE, REFERENCE, Divergence, Row, condition
from .look import SYMPTOMS

FOLDER = "divergences"  # what a backend brings along, beside its module: a file for each loss
_SUFFIX = ".toml"
CAUSES = ("bug", "by_design", "not_implemented", "adapter_gap")
FALLBACKS = {
    "nothing": "anything within the signature",
    "own_precision": "within what the format's own precision can do in any order; where that says nothing, right in "
    "sign and not more than twice too large",
    "undecided": "the format's own precision does not decide the value, and the selector says why",
    "raises": "the call raises a Python exception",
}
MODES = ("always", "sometimes")
DEVICES = ("cpu", "cuda", "mps", "rocm", "tpu", "xpu")  # kinds that some framework knows; what is here is asked later


def brought_along(backend: str, subjects: Iterable[str] | None) -> tuple[Divergence, ...]:
    """The rows that a backend, by the name that -b gives it, brings along; without `subjects` any may be named."""
    home = registry.home(backend)
    if home is None or not (folder := home.joinpath(FOLDER)).is_dir():
        return ()
    subjects = None if subjects is None else tuple(subjects)
    files = sorted((file for file in folder.iterdir() if file.name.endswith(_SUFFIX)), key=lambda file: file.name)
    return tuple(row for file in files for row in _brought(backend, file, subjects, folder))


def _brought(
    backend: str, file: Traversable, subjects: Iterable[str] | None, folder: Traversable
) -> tuple[Divergence, ...]:
    where = f"adapters/{backend}/{FOLDER}/{file.name}" if backend in registry.BUILT_IN else str(file)
    try:
        loss = losses.find(file.name.removesuffix(_SUFFIX))
    except UsageError as error:
        raise LedgerError(f"{where}: a file of known divergences bears the name of their loss: {error}") from error
    return load(_read(file, where), where, loss, subjects, folder)


def load_file(path: Path, subjects: Iterable[str] | None) -> tuple[Divergence, ...]:
    """Rows of a file on disk, of the loss whose name it bears, else of the default one.

    Raises LedgerError when it cannot be read.
    """
    text = _read(path, str(path), "; name a TOML file of [[divergence]] rows")
    try:
        loss = losses.find(path.stem)
    except UsageError:  # it is called as its owner likes
        loss = losses.find(losses.DEFAULT)
    return load(text, str(path), loss, subjects, path.parent)


def _read(file: Traversable, where: str, advice: str = "") -> str:
    """A file's text; raises LedgerError with the reason why there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise LedgerError(f"{where}: {error.strerror}{advice}") from error
    except UnicodeDecodeError as error:
        raise LedgerError(f"{where}: not UTF-8: {error}{advice}") from error


def load(
    text: str, where: str, loss: Loss, subjects: Iterable[str] | None = None, folder: Traversable | None = None
) -> tuple[Divergence, ...]:
    """Rows of a file's text about a loss, their own vectors lying in `folder`.

    Raises LedgerError naming file, row and reason.
    """
    pins = _Pins(folder)
    known = None if subjects is None else tuple(subjects)
    rows: list[Divergence] = []
    for row in load_table(text, "divergence", Row, where, LedgerError):
        try:
            if problem := _problem(row, loss, known):
                raise LedgerError(problem)
            found = Divergence(**msgspec.structs.asdict(row), loss=loss.name, pinned=pins.find(row.vector))
            if problem := _pin_problem(found) or severities.problem(found):
                raise LedgerError(problem)
        except (LedgerError, VectorError) as error:
            raise LedgerError(f"{where}: row {row.id}: {error}") from error
        rows.append(found)
    return tuple(rows)


def require_distinct(rows: Iterable[Divergence]) -> None:
    """Raise LedgerError where rows of several files share an id, or mean different vectors by one name."""
    seen: set[str] = set()
    pins: dict[str, Vector] = {}
    for row in rows:
        if row.id in seen:
            raise LedgerError(
                f"row {row.id} stands in two files of known divergences: give one of them another id, or name the "
                f"file once; the {FOLDER}/ beside an adapter need no --ledger"
            )
        if pins.setdefault(row.vector, row.pinned) != row.pinned:
            raise LedgerError(f"row {row.id}: another file names another vector {row.vector}; rename one of the files")
        seen.add(row.id)


# --- rows ------------------------------------------------------------------------------------------------


def _problem(row: Row, loss: Loss, subjects: tuple[str, ...] | None) -> str | None:
    """What is wrong with a row's words, or None."""
    words: list[tuple[str, Iterable[str], Iterable[str]]] = [
        ("subject", row.subjects, row.subjects if subjects is None else subjects),
        ("clause", row.clauses, (*loss.rules.clauses, "*")),
        ("symptom", row.signature, SYMPTOMS),
        ("fact", row.selector, loss.facts),
        ("cause", (row.cause,), CAUSES),
        ("fallback", (row.fallback,), FALLBACKS),
        ("mode", (row.mode,), MODES),
        ("severity", filter(None, (row.severity,)), Severity),
        ("device", (device.partition(":")[0] for device in row.devices), DEVICES),
    ]
    for kind, used, known in words:
        known = tuple(known)
        for word in used:
            if word not in known:
                return f"unknown {kind} {word!r}; {nearest(word, known)}"
    if not row.subjects or not row.clauses or not row.signature:
        return "subjects, clauses and signature must each name at least one"
    if row.cause == "bug" and not (row.references or row.reproducer):
        return "a bug needs a public reference or a reproducer"
    return next(_selector_problems(row.selector, loss.facts), None) or _version_problem(row.versions)


def _selector_problems(selector: Mapping[str, Any], facts: Iterable[str]) -> Iterator[str]:
    for fact, wanted in selector.items():
        comparisons = wanted if isinstance(wanted, dict) else {"==": wanted}
        for sign, operand in comparisons.items():
            if sign not in COMPARE:
                yield f"unknown operator {sign!r} on {fact}; {nearest(sign, COMPARE)}"
            if sign.endswith("in") and not isinstance(operand, list):
                yield f"{sign!r} on {fact} needs a list, not {operand!r}"
            for one in operand if isinstance(operand, list) else [operand]:
                named = isinstance(one, str) and one.startswith(REFERENCE) and one != NONE
                if named and one.removeprefix(REFERENCE) not in facts:
                    near = nearest(one, [REFERENCE + name for name in ("None", *facts)])
                    yield f"{one!r} on {fact} is no fact; {near} ({NONE} is Python's None)"


def _version_problem(versions: str) -> str | None:
    try:
        SpecifierSet(versions)
    except InvalidSpecifier:
        return f"versions {versions!r} is not a version specifier such as '>=2.0,<3'"
    return None


# --- vectors ---------------------------------------------------------------------------------------------


class _Pins:
    """The vectors that rows of one file may name."""

    def __init__(self, folder: Traversable | None) -> None:
        self._folder = folder
        self._files: dict[str, dict[str, Vector]] = {}

    def find(self, name: str) -> Vector:
        """The vector of this name; raises LedgerError or VectorError."""
        file, beside, id = name.partition(BESIDE)
        if not beside:
            if name in vectors():
                return vectors()[name]
            own = f"; one of your own is named as my_vectors.json{BESIDE}ID, in the folder of this file"
            raise LedgerError(f"unknown vector {name!r}; {nearest(name, vectors())}{own}")
        found = self._file(file)
        if id not in found:
            raise LedgerError(f"{file} has no vector {id!r}; {nearest(id, found)}")
        return found[id]

    def _file(self, name: str) -> dict[str, Vector]:
        """The vectors of one file, by id."""
        if name not in self._files:
            if self._folder is None or PurePath(name).name != name:
                raise LedgerError(f'{name!r} is no file beside that of the row; write vector = "my_vectors.json#ID"')
            found = parse(_read(self._folder.joinpath(name), f"{name}, beside the file of the row"), name)
            for vector in found:
                _check(vector, name)
            self._files[name] = {vector.id: vector for vector in found}
        return self._files[name]


def _check(vector: Vector, file: str) -> None:
    """Raise LedgerError unless a vector is what it says, under a name of its own."""
    if vector.id in vectors():
        raise LedgerError(f"{file}: vector {vector.id} has the id of one that comes with the suite; give it another")
    for problem in problems(vector):
        raise LedgerError(f"{file}: {problem}; freeze it anew")


def _pin_problem(row: Divergence) -> str | None:
    """Why a row's vector cannot show it, or None."""
    if row.pinned.loss != row.loss:
        return f"its vector {row.vector} is one of {row.pinned.loss}, and the row of {row.loss}"
    case = row.case
    if (fact := row.misses(case.facts)) is not None:
        wanted = condition(row.selector[fact])
        try:
            value = f"{fact} is {case.facts[fact]!r}"
        except NoFact:
            value = f"its call has no {fact}"
        return f"its vector {row.vector} is outside its selector: {value}, wanted is {fact} {wanted}"
    if "*" not in row.clauses and not set(case.clauses) & set(row.clauses):
        return f"its vector {row.vector} exercises none of its clauses, but {', '.join(case.clauses)}"
    return None
