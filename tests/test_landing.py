"""A site of several reports: what leads to them, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import sample_run
from click.testing import CliRunner, Result
from lossparity.conformance import cli
from lossparity.reports import bench, kills, landing
from lossparity.reports.verdict import Outlook
from sample_bench import everything, stored

from .sample_pages import Page

ZOO = kills.Zoo(
    lossparity="0.1.0", command="lossparity mutants", started="2026-07-14T02:30:00+00:00",
    machine={}, profile="quick", seeds=1, thorough=False, families=(), mutants=(), correct=(), rivals=(), vectors=0,
    vacuous=(), absent={}, seconds=1.0,
)  # fmt: skip


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """What the jobs of a night leave: runs of two kinds, a kill matrix and a bench file."""
    for wheels in ("pinned", "pre-release"):
        for backend in ("numpy", "jax"):
            sample_run.sample(tmp_path / f"{wheels}-{backend}" / "records.jsonl", backends=[backend])
    (tmp_path / "mutants").mkdir()
    kills.write([ZOO], tmp_path / "mutants")
    stored(tmp_path / "bench" / bench.FILE, everything())
    return tmp_path


def parts(night: Path) -> list[str]:
    runs = [f"{wheels}={night / f'{wheels}-{backend}'}" for wheels in ("pinned", "pre-release")
            for backend in ("numpy", "jax")]  # fmt: skip
    return [*runs, f"mutants={night / 'mutants'}", f"speed={night / 'bench'}"]


def site(night: Path, *more: str) -> tuple[Result, Path]:
    out = night / "site"
    return CliRunner().invoke(cli.main, ["site", *parts(night), "--out", str(out), *more]), out


def links(file: Path) -> dict[str, Path]:
    """The links of a page that lead to other files, by address."""
    page = Page(file.read_text(encoding="utf-8"))
    there = {link for link in page.links if not link.startswith(("#", "http"))}
    return {link: (file.parent / link).resolve() for link in there}


def test_every_page_is_reached_from_the_landing_page_and_leads_back(night: Path) -> None:
    done, out = site(night)
    assert done.exit_code == 0, done.output
    assert "All as expected" in done.output
    assert set(links(out / "index.html")) == {
        "pinned/index.html", "pre-release/index.html", "mutants.html", "bench.html",
    }  # fmt: skip
    pages = [out / link for link in links(out / "index.html")]
    for page in pages:
        assert all(target.exists() for target in links(page).values())
        assert out / "index.html" in links(page).values()
    for name in ("mutants.html", "bench.html"):
        assert out / name in links(out / "pinned" / "index.html").values()
    assert "6 subjects" not in Page((out / "pinned" / "index.html").read_text()).text
    assert "4 subjects" in Page((out / "pinned" / "index.html").read_text()).text


def test_the_speed_of_each_loss_has_a_page_whichever_part_it_comes_from(night: Path) -> None:
    stored(night / "more" / bench.FILE, everything(), loss="squares")
    done, out = site(night, f"more={night / 'more'}")
    assert done.exit_code == 0, done.output
    assert {"bench.html", "bench-squares.html"} <= set(links(out / "index.html"))
    for name, other in (("bench.html", "bench-squares.html"), ("bench-squares.html", "bench.html")):
        assert other in links(out / name)
    assert "squares: who is fast" in Page((out / "index.html").read_text()).text


@pytest.mark.parametrize(
    ("gone", "part", "how"),
    [
        ("pinned-jax/records.jsonl", "pinned", "damaged"),
        ("mutants/mutants.json", "mutants", "absent"),
        ("bench/bench.jsonl", "speed", "empty"),
    ],
)
def test_what_is_missing_is_named_and_is_no_dead_link(gone: str, part: str, how: str, night: Path) -> None:
    file = night / gone
    if how == "absent":
        file.unlink()
    else:
        file.write_text("" if how == "empty" else '{"format": 1}\n')
    done, out = site(night)
    assert done.exit_code == 1
    index = Page((out / "index.html").read_text())
    assert "Incomplete" in index.text
    assert f"Missing. {part}: " in index.text
    assert str(file.parent) in index.text
    assert f"{part}: " in (out / "summary.md").read_text()
    for page in [out / "index.html", *(out / link for link in links(out / "index.html"))]:
        assert all(target.exists() for target in links(page).values())
    assert ("mutants.html" in links(out / "index.html")) is (part != "mutants")


def test_a_page_whose_run_is_missing_is_not_green(night: Path) -> None:
    """The other backends of the part are all as expected."""
    (night / "pinned-jax" / "records.jsonl").unlink()
    site(night)
    text = Page((night / "site" / "pinned" / "index.html").read_text()).text
    assert "As expected" not in text
    assert text.index("Incomplete") < text.index("Read this first. pinned:") < text.index("Subjects at a glance")
    assert "⚠️" in (night / "site" / "pinned" / "summary.md").read_text()


def test_a_part_without_any_run_is_missing_alone(night: Path) -> None:
    for backend in ("numpy", "jax"):
        (night / f"pre-release-{backend}" / "records.jsonl").unlink()
    done, out = site(night)
    assert done.exit_code == 1
    assert "pre-release/index.html" not in links(out / "index.html")
    assert Page((out / "index.html").read_text()).text.count("Missing. pre-release: ") == 2


def test_a_failed_job_is_told_and_leaves_nothing_green(night: Path) -> None:
    done, out = site(night, "--failed", "conformance")
    assert done.exit_code == 1
    text = Page((out / "index.html").read_text()).text
    assert "The job conformance failed" in text
    assert "All as expected" not in text


def test_the_worst_part_is_the_verdict(night: Path) -> None:
    sample_run.sample(night / "pre-release-jax" / "records.jsonl", backends=["jax"], unexpected=True)
    done, out = site(night, "--json")
    assert done.exit_code == 0, done.output  # nothing is missing; the run itself has said the rest
    assert json.loads(done.output)["outlook"] == Outlook.UNEXPECTED.value
    assert "not as expected: pre-release (1 unexpected result)" in (out / "summary.md").read_text()


def test_a_mutant_that_survives_is_not_as_expected(night: Path) -> None:
    defect = kills.Mutant(
        name="slip", framework="numpy", says="a slip", edits=(), flags=(), named=("ACC-1",), families={}, clauses=(),
        vectors=(), calls=3, seconds=0.1, because="", caught_by={},
    )  # fmt: skip
    kills.write([msgspec.structs.replace(ZOO, mutants=(defect,))], night / "mutants")
    made = landing.write({"mutants": [night / "mutants"]}, night / "site")
    assert made.outlook is Outlook.UNEXPECTED


@pytest.mark.parametrize("part", ["pinned", "=x", "x=", "../x=y", "a/b=y"])
def test_a_part_needs_a_name_and_a_place(part: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.main, ["site", part, "--out", str(tmp_path / "site")])
    assert done.exit_code == 4
    assert "Traceback" not in done.output
