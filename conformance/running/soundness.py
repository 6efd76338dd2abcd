"""What a run owes: each item accounted for, proof that it can fail, and enough calls for each clause."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ...adapters.base import on_cpu
from ...reports import merge
from ...reports.records import Item, Run, Tally
from ...specs.case import FAILED, Status
from ...specs.loss import LARGE
from ..items.spec import VECTORS
from . import floors

# Statuses of verdicts that say something about the implementation.
JUDGED = FAILED | {Status.PASS}


def unaccounted(items: Sequence[Item]) -> Iterator[str]:
    """Calls that got lost, or that our own bridge could not carry."""
    for item in items:
        if item.planned != sum(item.statuses.values()):
            yield f"{item.id}: planned {item.planned} calls, accounted for {sum(item.statuses.values())}"
        if lost := item.statuses.get(Status.ERROR.value, 0):
            yield f"{item.id}: our own bridge failed on {lost} calls; the records say how"


def silent_hearts(items: Sequence[Item], *, in_small: bool = False) -> list[str]:
    """Where the suite never showed that it can fail; not to be asked of a run that was stopped midway, nor of a part.

    The families of a subject count over its dtypes. In a small domain there may be no call whose outcome could be
    perturbed.
    """
    problems = [item.problem for item in items if item.problem]
    beats: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    passed: Counter[tuple[str, str, str]] = Counter()
    failed: Counter[tuple[str, str, str]] = Counter()
    for item in items:
        key = item.subject, item.loss, item.family
        beats[key] += item.heartbeats
        passed[key] += item.statuses.get(Status.PASS.value, 0)
        failed[key] += sum(item.statuses.get(status.value, 0) for status in FAILED)
    for key, count in beats.items():
        subject, loss, family = key
        blind = count == 0 and passed[key] > 0 and not failed[key]  # what fails shows that it can
        if blind and family != VECTORS and not in_small:
            where = f"{subject}/{loss} in family {family}"
            problems.append(f"no heartbeat of {where}: a suite that cannot fail must not pass")
    return problems


def blind_spots(
    subjects: Mapping[str, Sequence[str]], judged: Mapping[tuple[str, str, str], int], device: str
) -> Iterator[str]:
    """Clauses that too few calls judged: `subjects` are whole ones by loss, `judged` is by loss, subject and clause."""
    for loss, names in subjects.items():
        of_loss = {(subject, clause): count for (one, subject, clause), count in judged.items() if one == loss}
        yield from floors.blind_spots(loss, names, of_loss, on_cpu=on_cpu(device))


def of_parts(runs: Sequence[Run]) -> Iterator[str]:
    """What cannot be asked of a part of a run, asked of those whose parts are all here."""
    plans: dict[tuple[str, int], dict[int, Run]] = {}
    for run in runs:
        if (part := run.header.part) is not None:
            plans.setdefault((run.header.plan, part.of), {})[part.number] = run
    for (_, count), parts in plans.items():
        if len(parts) == count and all(one.footer and one.footer.ended == "complete" for one in parts.values()):
            yield from _of_whole(list(parts.values()))


def _of_whole(parts: Sequence[Run]) -> Iterator[str]:
    header = parts[0].header
    for matter in merge.matters(parts):
        found = merge.merge(parts, matter=matter)
        yield from silent_hearts(found.of(Item))
        if not header.families and header.profile != LARGE:
            yield from blind_spots({matter.loss: [one.name for one in found.subjects]}, _judged(found), matter.device)


def _judged(found: merge.Merged) -> Counter[tuple[str, str, str]]:
    judged: Counter[tuple[str, str, str]] = Counter()
    for one in found.of(Tally):
        if one.status in JUDGED:
            judged[one.loss, one.subject, one.clause] += one.count
    return judged
