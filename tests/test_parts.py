"""Parts of a run: which items each has, and how they are added up again."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from lossparity.conformance.items.spec import Request
from lossparity.conformance.planning import plan
from lossparity.conformance.running import soundness
from lossparity.reports import html
from lossparity.reports.matrix import cells
from lossparity.reports.merge import merge
from lossparity.reports.records import Item, Part, Run, Tally, count_statuses
from lossparity.reports.verdict import Outlook, summarise
from lossparity.specs.errors import RecordsError

from .short_records import HEADER
from .test_cli import lossparity
from .test_cli import run as run_in

SUBJECTS = {"nll_loss": ("numpy", "torch", "jax")}
FAMILIES = ("--family", "shape", "--family", "error")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    """A run of NumPy in three parts."""
    folder = tmp_path_factory.mktemp("parts")
    found = {}
    for number in (1, 2, 3):
        done, found[number] = run_in(folder / str(number), "-b", "numpy", "--part", f"{number}/3", *FAMILIES)
        assert done.returncode == 0, done.stdout + done.stderr
    return found


def test_each_item_falls_to_one_part() -> None:
    whole = [spec.id for spec in plan.items(SUBJECTS, Request())]
    for count in (1, 2, 7, 100):
        shares = [plan.items(SUBJECTS, Request(part=Part(number, count))) for number in range(1, count + 1)]
        assert Counter(spec.id for share in shares for spec in share) == Counter(whole)
        groups = [{plan.group(spec) for spec in share} for share in shares]
        assert all(not one & other for one, other in itertools.combinations(groups, 2))
    assert any(not share for share in shares)  # more parts than groups: some have none, and that is no error


def test_parts_add_up_to_the_whole(parts: dict[int, Run], tmp_path: Path) -> None:
    _, whole = run_in(tmp_path / "whole", "-b", "numpy", *FAMILIES)
    assert len({run.header.plan for run in parts.values()}) == 1 != bool(whole.header.part)
    assert {run.header.plan for run in parts.values()} == {whole.header.plan}
    merged, alone = merge(list(parts.values())), merge([whole])
    assert count_statuses(merged.of(Item)) == count_statuses(alone.of(Item))
    assert _counts(merged.of(Tally)) == _counts(alone.of(Tally))
    assert {index for owners in merged.owners.values() for index in owners} == {0, 1, 2}
    assert merged.missing == ()
    assert summarise(cells(list(parts.values()))).outlook is Outlook.EXPECTED


def _counts(tallies: list[Tally]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for one in tallies:
        found[one.clause, one.status] += one.count
    return found


def test_a_part_that_is_missing_is_named(parts: dict[int, Run], tmp_path: Path) -> None:
    some = [parts[1], parts[3]]
    (sentence,) = merge(some).missing
    assert sentence.startswith(f"Part 2/3 of the run with the plan {parts[1].header.plan} is not here")
    assert summarise(cells(some)).outlook is Outlook.INCOMPLETE
    assert "Part 2/3 of the run" in html.write_site(some, tmp_path).read_text(encoding="utf-8")
    done = lossparity("report", str(Path(parts[1].path).parent), "--out", str(tmp_path / "site"))
    assert "missing: Part 2/3" in done.stdout
    assert "missing: Part 3/3" in done.stdout


def test_of_a_part_that_is_here_twice_the_newer_one_counts(parts: dict[int, Run]) -> None:
    newer = _begun(parts[2], "2099-01-01T00:00:00+00:00")
    newer = msgspec.structs.replace(newer, records=tuple(r for r in newer.records if not isinstance(r, Item)))
    merged = merge([*parts.values(), newer])
    (note,) = merged.replaced
    assert note.startswith("Part 2/3 of the plan")
    assert len(merged.of(Item)) == len(parts[1].of(Item)) + len(parts[3].of(Item))


def test_a_whole_run_replaces_older_parts_and_is_replaced_by_newer_ones(parts: dict[int, Run]) -> None:
    whole = msgspec.structs.replace(parts[1], header=msgspec.structs.replace(parts[1].header, part=None))
    for moment, count in (("2099-01-01T00:00:00+00:00", 1), ("1999-01-01T00:00:00+00:00", 3)):
        merged = merge([*parts.values(), _begun(whole, moment)])
        assert {len(owners) for owners in merged.owners.values()} == {count}
        assert "In several runs: numpy" in merged.replaced[0]


def _begun(run: Run, moment: str) -> Run:
    return msgspec.structs.replace(run, header=msgspec.structs.replace(run.header, started=moment))


@pytest.mark.parametrize("change", [{"plan": "0123456789ab"}, {"part": Part(2, 4)}])
def test_parts_of_different_runs_are_refused_with_both_digests(
    parts: dict[int, Run], change: dict[str, object]
) -> None:
    other = msgspec.structs.replace(parts[2], header=msgspec.structs.replace(parts[2].header, **change))
    with pytest.raises(RecordsError, match="cannot be added up") as caught:
        merge([parts[1], other])
    assert parts[1].header.plan in str(caught.value)
    assert other.header.plan in str(caught.value)


def test_the_plan_tells_runs_apart() -> None:
    """What decides what is judged, and how."""
    asked = [Request(), Request(seed=1), Request(profile="ci"), Request(strict=True), Request(families=("shape",)),
             Request(explored=3)]  # fmt: skip
    versions = {"numpy": "2.4"}

    def digest(request: Request, versions: dict[str, str]) -> str:
        spec = plan.RunSpec(request=request, backends=("numpy",), subjects={"nll_loss": ("numpy",)},
                            owners={"numpy": ("numpy",)})  # fmt: skip
        return plan.digest(spec, plan.divergences(spec), versions)

    digests = [digest(request, versions) for request in asked] + [digest(Request(), {"numpy": "2.5"})]
    assert len(set(digests)) == len(digests)
    assert (
        digest(Request(part=Part(1, 2)), versions)
        == digest(Request(part=Part(2, 2), seconds=9), versions)
        == digests[0]
    )


def test_what_is_asked_of_a_run_is_asked_of_its_parts_together(parts: dict[int, Run]) -> None:
    """Heartbeats and floors: parts without any are as blind as a run without any, once they are all here."""
    runs = list(parts.values())
    assert list(soundness.of_parts(runs)) == []
    silent = [
        msgspec.structs.replace(
            run,
            records=tuple(msgspec.structs.replace(r, heartbeats=0) if isinstance(r, Item) else r for r in run.records),
        )
        for run in runs
    ]
    assert any("no heartbeat of numpy/nll_loss in family shape" in one for one in soundness.of_parts(silent))
    assert list(soundness.of_parts(silent[:2])) == []
    every = [msgspec.structs.replace(run, header=msgspec.structs.replace(run.header, families=())) for run in runs]
    assert any("clause GRAD-1 was judged by 0 calls of numpy" in one for one in soundness.of_parts(every))


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "1/0", "-1/3"])
def test_what_is_no_part_is_told(text: str) -> None:
    done = lossparity("run", "-b", "numpy", "--part", text)
    assert done.returncode == 4
    assert "write I/N with 1 <= I <= N, such as 2/5" in done.stderr


def test_headers_of_format_1_have_no_part() -> None:
    assert (HEADER.plan, HEADER.part) == ("", None)
