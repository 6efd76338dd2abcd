"""The package as it is listed, as it lies in the tree, and as it is installed."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("specs", "adapters", "reports", "conformance")
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LISTED: list[str] = PYPROJECT["tool"]["setuptools"]["packages"]
SHIPPED: list[str] = PYPROJECT["tool"]["setuptools"]["package-data"]["*"]
PAGES = {"specs/INTERPRETING.md", "specs/vectors.schema.json", "specs/nll_loss/spec.md"}


def is_installed_from_a_wheel() -> bool:
    """Whether the tests run against a wheel and not against this checkout."""
    return not Path(str(resources.files("lossparity.specs").joinpath("call.py"))).is_relative_to(ROOT / "specs")


def packages_in_the_tree() -> set[str]:
    """Names of the folders that hold an `__init__.py`."""
    folders = (path.parent.relative_to(ROOT) for floor in FLOORS for path in (ROOT / floor).rglob("__init__.py"))
    return {".".join(("lossparity", *folder.parts)) for folder in folders}


def files_in_the_tree() -> set[str]:
    """Modules and data files of all floors, as paths below the root."""
    found = set()
    for folder in {name.removeprefix("lossparity.").replace(".", "/") for name in LISTED}:
        for pattern in ("*.py", *SHIPPED):
            found |= {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob(pattern)}
    return found


def test_every_folder_with_modules_is_listed_as_a_package() -> None:
    holders = {path.parent for floor in FLOORS for path in (ROOT / floor).rglob("*.py")}
    assert {".".join(("lossparity", *folder.relative_to(ROOT).parts)) for folder in holders} == set(LISTED)
    assert packages_in_the_tree() == set(LISTED)
    assert len(LISTED) == len(set(LISTED))


def test_each_floor_is_mapped_and_typed() -> None:
    assert PYPROJECT["tool"]["setuptools"]["package-dir"] == {f"lossparity.{floor}": floor for floor in FLOORS}
    for floor in FLOORS:
        assert resources.files(f"lossparity.{floor}").joinpath("py.typed").is_file()


@pytest.mark.parametrize("name", LISTED)
def test_every_package_imports_without_a_framework(name: str) -> None:
    assert importlib.import_module(name)


def test_data_files_are_all_of_a_kind_that_is_shipped() -> None:
    kinds = {".py", *(Path(pattern).suffix or pattern for pattern in SHIPPED)}
    there = [path for floor in FLOORS for path in (ROOT / floor).rglob("*") if path.is_file()]
    left_out = {
        path.relative_to(ROOT).as_posix()
        for path in there
        if not any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
        and (path.suffix or path.name) not in kinds
    }
    assert not left_out


def test_every_file_of_the_tree_is_installed() -> None:
    files = files_in_the_tree()
    assert files >= PAGES
    for file in files:
        package, _, name = file.rpartition("/")
        installed = resources.files("lossparity." + package.replace("/", ".")).joinpath(name)
        assert installed.is_file(), f"{file} is not installed"
        assert installed.read_bytes() == (ROOT / file).read_bytes(), f"{file} is installed in another version"


def test_nothing_else_is_installed() -> None:
    if not is_installed_from_a_wheel():
        pytest.skip("an editable install has no files of its own")
    # A build leaves an egg-info in the checkout, which is found too: what is installed has a RECORD.
    installed = next(d for d in metadata.distributions(name="lossparity") if d.read_text("RECORD"))
    files = installed.files or []
    own = {str(file).replace(os.sep, "/") for file in files if file.parts[0] == "lossparity"}
    own = {file.removeprefix("lossparity/") for file in own if "__pycache__" not in file}
    assert own == files_in_the_tree()


def test_the_version_is_the_same_everywhere() -> None:
    version = PYPROJECT["project"]["version"]
    assert metadata.version("lossparity") == version
    done = subprocess.run(
        [sys.executable, "-m", "lossparity.conformance.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert version in done.stdout


def test_the_command_is_installed_and_lists_its_own() -> None:
    (command,) = metadata.entry_points(group="console_scripts", name="lossparity")
    assert command.value == "lossparity.conformance.cli:main"
    main = command.load()
    assert {"run", "check", "report", "backends", "clauses", "lint"} <= set(main.commands)


def test_the_licence_comes_along() -> None:
    licences = [file for file in metadata.files("lossparity") or [] if file.name == "LICENSE"]
    assert licences or not is_installed_from_a_wheel()
    assert metadata.metadata("lossparity")["License-Expression"] == "Apache-2.0"


def test_extras_are_the_frameworks_and_all_of_them() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert extras["all"] == ["lossparity[torch,jax,tensorflow]"]
    assert {"torch", "jax", "tensorflow"} <= set(extras)


def test_pins_name_no_machine_and_no_local_version() -> None:
    lines = (ROOT / "constraints" / "cpu.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
    pinned = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    needed = PYPROJECT["project"]["dependencies"]
    names = {re.split(r"[<>=!;\[ ]", line)[0].lower().replace("_", "-") for line in needed}
    assert names | {"torch", "jax", "tensorflow-cpu"} <= pinned


def test_vectors_fit_their_schema() -> None:
    schema = json.loads(resources.files("lossparity.specs").joinpath("vectors.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    folder = resources.files("lossparity.specs.nll_loss.vectors")
    files = [file for file in folder.iterdir() if file.name.endswith(".json")]
    assert files
    for file in files:
        data = json.loads(file.read_text(encoding="utf-8"))
        validator.validate(data)
        for vector in data["vectors"]:
            without = {"format": 1, "loss": "nll_loss", "vectors": [vector | {"call": {}}]}
            assert not validator.is_valid(without)


def test_the_template_is_an_adapter_whose_divergences_load() -> None:
    from lossparity.adapters.base import Backend
    from lossparity.adapters.template.adapter import BACKEND
    from lossparity.conformance import rows

    assert isinstance(BACKEND, Backend)
    subjects = [subject.name for subject in BACKEND.subjects("cpu")]
    brought = rows.brought_along("lossparity.adapters.template.adapter:BACKEND", subjects)
    assert brought
    for row in brought:
        exec(compile(row.reproducer, row.id, "exec"), {})
