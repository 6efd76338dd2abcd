"""The package as it is listed, as it lies in the tree, and as it is installed."""

from __future__ import annotations

import configparser
import importlib
import itertools
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
from ruamel.yaml import YAML

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


# --- the workflows ---------------------------------------------------------------------------------------


def workflow(name: str) -> dict[str, Any]:
    """A workflow's jobs."""
    text = (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    return YAML(typ="safe").load(text)["jobs"]


def tox_environments() -> dict[str, str]:
    """The environments of tox.ini with their settings, names in braces written out."""
    found = configparser.ConfigParser(interpolation=None)
    found.read(ROOT / "tox.ini", encoding="utf-8")
    made: dict[str, str] = {}
    for section in found.sections():
        if section.startswith("testenv:"):
            braces = re.findall(r"\{([^}]*)\}", section)
            names = itertools.product(*(brace.split(",") for brace in braces))
            text = "\n".join(found[section].values())
            made |= {"".join(name) if braces else section.removeprefix("testenv:"): text for name in names}
    return made


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    """A job's steps once for each combination of its matrix, whose values are filled in."""
    matrix = job.get("strategy", {}).get("matrix", {})
    rows = matrix.get("include") or [
        dict(zip(matrix, values, strict=True)) for values in itertools.product(*matrix.values())
    ]
    found = []
    for row in rows:
        text = json.dumps(job["steps"])
        for name, value in row.items():
            text = text.replace(f"${{{{ matrix.{name} }}}}", value)
        found += json.loads(text)
    return found


def uploaded(jobs: dict[str, Any]) -> dict[str, str]:
    """The artifacts that jobs leave for the report, each with its job."""
    return {
        step["with"]["name"]: name
        for name, job in jobs.items()
        for step in steps(job)
        if name != "report" and step.get("uses", "").startswith("actions/upload-artifact")
    }


def test_the_night_merges_whatever_its_jobs_leave() -> None:
    jobs = workflow("nightly.yml")
    left = uploaded(jobs)
    text = json.dumps(jobs["report"]["steps"])
    merged = re.findall(r"([\w-]+)=downloaded/([\w-]+)", text)
    assert {name for _, name in merged} == set(left)
    assert all(name.startswith(part) for part, name in merged if name not in ("mutants", "bench"))
    assert set(jobs["report"]["needs"]) == set(left.values())
    for job in set(left.values()):
        assert f"--failed {job}" in text  # a page whose job failed is not green


def test_what_goes_wrong_at_night_opens_an_issue() -> None:
    jobs = workflow("nightly.yml")
    assert set(jobs["issue"]["needs"]) == set(jobs) - {"issue"}
    assert all(f"contains(needs.*.result, '{result}')" in jobs["issue"]["if"] for result in ("failure", "cancelled"))
    assert jobs["pages"]["needs"] == "report"
    for step in (one for job in jobs.values() for one in job["steps"]):
        if step.get("uses", "").startswith(("actions/upload-", "actions/cache/save")):
            assert step["if"] == "always()", step  # also of a job that failed


def test_workflows_ask_for_environments_that_there_are() -> None:
    known = set(tox_environments())
    asked = {
        name.strip('"')
        for file in ("ci.yml", "nightly.yml")
        for job in workflow(file).values()
        for step in steps(job)
        for name in re.findall(r"tox\"? run -e (\S+)", step.get("run", ""))
    }
    assert {"numpy", "torch", "mutants", "bench", "site", "report", "$ENVIRONMENT"} <= asked
    assert asked - {"$ENVIRONMENT"} <= known
    backends = workflow("nightly.yml")["conformance"]["strategy"]["matrix"]["backend"]
    assert {f"{backend}{suffix}" for backend in backends for suffix in ("", "-pre")} <= known


def test_a_pre_release_is_of_the_framework_alone() -> None:
    """Our own dependencies stay as pinned, and no setting makes pip take other pre-releases."""
    text = (ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8")
    assert "PIP_PRE" not in text
    settings = tox_environments()["numpy-pre"]
    lines = dict(re.findall(r"([a-z]+)-pre: env PIP_CONSTRAINT= python -m pip install --pre --upgrade (.+)", settings))
    own = {re.split(r"[<>=!;\[ ]", line)[0].lower() for line in PYPROJECT["project"]["dependencies"]}
    assert {name: set(packages.split()) & own for name, packages in lines.items()} == {
        "numpy": {"numpy"}, "torch": set(), "jax": set(), "tensorflow": set(),
    }  # fmt: skip
    extras = PYPROJECT["project"]["optional-dependencies"]
    for name in ("torch", "jax", "tensorflow"):
        assert re.split(r"[<>=]", extras[name][0])[0] in lines[name].split()


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
    from lossparity.conformance.judging import rows
    from lossparity.specs.nll_loss.signature import NLL_LOSS

    assert isinstance(BACKEND, Backend)
    subjects = [subject.name for subject in BACKEND.subjects(NLL_LOSS, "cpu")]
    brought = rows.brought_along("lossparity.adapters.template.adapter:BACKEND", subjects)
    assert brought
    for row in brought:
        exec(compile(row.reproducer, row.id, "exec"), {})
