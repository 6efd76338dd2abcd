"""The commands that follow a finding up: `replay` runs it again, `freeze` keeps it as a vector."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console

from ...specs import losses
from ...specs.case import Status
from ...specs.errors import NotReproduced
from ..items.spec import Request
from ..judging import explain
from ..judging.ledger import BESIDE
from ..planning import plan
from .options import adding

if TYPE_CHECKING:  # what they need takes a while to import, and --help needs none of it
    from ..findings.replay import Replayed
    from ..findings.reproducer import Reproducer

console = Console(highlight=False, markup=False)
errors = Console(stderr=True, highlight=False, markup=False)

_CASE = """CASE is the id of a vector that comes with the suite; FILE.json, a file with one vector, or FILE.json#ID; or
    a finding: a run's folder or records.jsonl, with the beginning of a digest behind it, reports-out#cb72ede0."""


def _options(*, shrink: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """What both commands take; `shrink` is whether the call is made smaller unless told otherwise."""
    options = (
        click.argument("case"),
        click.option("-b", "--backend", "names", multiple=True, metavar="NAME", help="Backend (torch), subject "
                     "(torch:compile), package.module:object or FRAMEWORK@FILE.py:FUNCTION; repeatable. Default: whom "
                     "a finding is about; for a vector every installed subject."),
        click.option("--shrink/--no-shrink", default=shrink, show_default=True,
                     help="Make the call smaller first, as long as it fails in the same way."),
        click.option("--loss", "places", multiple=True, metavar="MODULE:OBJECT", help="Where the case's loss is, if it "
                     "does not come with the suite; path/to/file.py:OBJECT works too."),
        click.option("--device", default="cpu", show_default=True, help="Where to compute, e.g. cuda or cuda:1."),
        click.option("--timeout", type=click.FloatRange(min=1), default=60.0, show_default=True,
                     help="Seconds that a call may take."),
        click.option("--strict", is_flag=True, help="Treat SHOULD clauses like MUST."),
        click.option("--ledger", "ledgers", multiple=True, metavar="FILE",
                     help="More known divergences (TOML); repeatable."),
        click.option("--forget", "forgotten", multiple=True, metavar="ID",
                     help="Do without this known divergence; repeatable."),
    )  # fmt: skip

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        command.__doc__ = f"{command.__doc__ or ''}\n\n    {_CASE}"
        return adding(*options)(command)

    return decorate


@click.command(name="replay")
@_options(shrink=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--script", type=click.Path(path_type=Path), help="Write the standalone reproducer here.")
@click.option("--issue", "report", type=click.Path(path_type=Path), help="Write a bug report for the project here.")
def replay_command(
    case: str,
    names: tuple[str, ...],
    shrink: bool,
    as_json: bool,
    script: Path | None,
    report: Path | None,
    **options: Any,
) -> None:
    """Run one case again, explain what came of it, and show a script that reproduces a failure.

    Exit codes are those of `run`: 0 as expected, 1 unexpected. A finding of a run that does not fail again on its
    subject ends with 3, and with what may be the reason.
    """
    found, request = _replayed(case, names, options)
    found = [_followed(one, shrink, request) for one in found]
    scripts = [one.reproduce() for one in found]
    if as_json:
        click.echo(msgspec.json.encode([_as_data(*pair) for pair in zip(found, scripts, strict=True)]).decode())
    else:
        for one, reproducer in zip(found, scripts, strict=True):
            if one.failed or not one.is_expected or len(found) == 1:
                _show(one, reproducer, with_script=script is None)
            else:
                _show_passed(one)
    _write(list(zip(found, scripts, strict=True)), script, report)
    _require_reproduced(found)
    sys.exit(0 if all(one.is_expected for one in found) else 1)


def _require_reproduced(found: Sequence[Replayed]) -> None:
    """Tell what shows at times only; raise NotReproduced where what a run said does not show at all."""
    for one in found:
        if one.is_reproduced and one.runs > 1:
            errors.print(f"It showed at run {one.runs}: the same call does not always come out alike")
    if lost := [one.why_gone for one in found if not one.is_reproduced]:
        raise NotReproduced("does not reproduce: " + "\n".join(lost))


@click.command(name="freeze")
@_options(shrink=True)
@click.option("--id", default="", help="The vector's name. Default: made of clause and digest.")
@click.option("--comment", default="", help="What the vector is about, in a few words. Default: what went wrong.")
@click.option("--out", type=click.Path(path_type=Path), help="Add it to this file. Default: print a file of its own.")
def freeze_command(
    case: str, names: tuple[str, ...], shrink: bool, id: str, comment: str, out: Path | None, **options: Any
) -> None:
    """Turn a failing case into a vector: bit for bit, with what is exact, seen to fail once more.

    Of several that fail, the first unexpected one is taken.
    """
    from ..findings import freeze
    from ..findings.replay import Session
    from ..findings.smaller import smaller

    found, request = _replayed(case, names, options)
    failed = sorted((one for one in found if one.failed), key=lambda one: one.is_expected)
    if not failed:
        raise NotReproduced(f"{case} does not fail on {', '.join(one.subject for one in found)}: nothing to freeze")
    with Session(failed[0].key, failed[0].located.loss, request) as session:
        one = smaller(session, failed[0]) if shrink else failed[0]
        vector = freeze.freeze(session, one, id, comment)
    where, more = "standard output", ""
    if out is None:
        click.echo(freeze.render([freeze.as_data(vector)], vector.loss), nl=False)
    else:
        freeze.append(vector, out)
        where = str(out)
        more = f'\nIn a file of known divergences beside it: vector = "{out.name}{BESIDE}{vector.id}"'
    errors.print(
        f"vector {vector.id}, in {where}: {', '.join(vector.clauses)} fail on {one.subject}, seen again\n"
        f"  {one.case.call.describe()}{more}",
        soft_wrap=True,
    )


def _replayed(case: str, names: Sequence[str], options: dict[str, Any]) -> tuple[list[Replayed], Request]:
    from ..findings.locate import locate
    from ..findings.replay import replay

    for place in options["places"]:
        losses.find(place)  # known by its name from now on
    request = Request(
        device=plan.check_device(options["device"]),
        seconds=options["timeout"],
        strict=options["strict"],
        ledgers=plan.paths(options["ledgers"]),
        forgotten=options["forgotten"],
    )
    found = replay(locate(case), names, request)
    return found, request


def _followed(one: Replayed, shrink: bool, request: Request) -> Replayed:
    """A case that failed, its call made smaller if that is asked for, with a hint at the cause."""
    from ..diagnosis.follow import hinted
    from ..findings.replay import Session
    from ..findings.smaller import smaller

    if not one.failed:
        return one
    with Session(one.key, one.located.loss, request) as session:
        return hinted(session, one, smaller(session, one) if shrink else one)


def _show(one: Replayed, reproducer: Reproducer, *, with_script: bool) -> None:
    """A case as findings are shown, with what each clause says, and the script."""
    style = "" if one.is_expected else "red"
    state = "as expected" if one.is_expected else "unexpected"
    console.print(
        f"{state}: {explain.finding(one.finding, one.case.rules.clauses)}",
        style=style,
        soft_wrap=True,
    )
    for line in _verdicts(one):
        console.print(f"  {line}", soft_wrap=True)
    for row in one.rows:
        console.print(f"  known     {row.id}: {row.title}", soft_wrap=True)
    if reproducer.text and with_script:
        console.print(f"\n{reproducer.text}", soft_wrap=True)
        console.print(f"It was run, and printed:\n{reproducer.output}", soft_wrap=True)
    elif one.failed and reproducer.why_not:
        console.print(f"  script    {reproducer.why_not}", soft_wrap=True)


def _show_passed(one: Replayed) -> None:
    """A case that came out well, where others are shown too."""
    observed = one.finding.observed.splitlines()[0]
    said = f"as expected: {one.subject}, {one.judgement.status.value}: {observed}"
    console.print(said, soft_wrap=True)


def _verdicts(one: Replayed) -> list[str]:
    """Clauses by status: `fail      VALUE-3, ACC-2`."""
    by_status: dict[Status, list[str]] = {}
    for resolved in one.verdicts:
        by_status.setdefault(resolved.verdict.status, []).append(resolved.verdict.clause)
    return [f"{status.value:<10}{', '.join(ids)}" for status, ids in by_status.items()]


def _as_data(one: Replayed, reproducer: Reproducer) -> dict[str, Any]:
    verdicts = [
        {
            "clause": resolved.verdict.clause,
            "status": resolved.verdict.status.value,
            "expected": resolved.expected,
            "divergence": resolved.divergence,
        }
        for resolved in one.verdicts
    ]
    return {
        "subject": one.subject,
        "version": one.version,
        "expected": one.is_expected,
        "reproduced": one.is_reproduced,
        "runs": one.runs,
        "why_not_reproduced": one.why_gone or None,
        "finding": one.finding,
        "verdicts": verdicts,
        "script": reproducer.text or None,
        "script_printed": reproducer.output or None,
        "why_no_script": reproducer.why_not or None,
    }


def _write(pairs: list[tuple[Replayed, Reproducer]], script: Path | None, report: Path | None) -> None:
    """Write what was asked for, about the first that failed, unexpected ones before others."""
    if script is None and report is None:
        return
    failed = sorted((pair for pair in pairs if pair[0].failed), key=lambda pair: pair[0].is_expected)
    if not failed:
        errors.print("Nothing failed: there is nothing to write")
        return
    one, reproducer = failed[0]
    if len(failed) > 1:
        others = ", ".join(other.subject for other, _ in failed[1:])
        errors.print(f"Written about {one.subject}; {others} failed too, choose with -b", soft_wrap=True)
    if script is not None and reproducer.text:
        script.write_text(reproducer.text, encoding="utf-8")
        errors.print(f"Reproducer: {script}", soft_wrap=True)
    if report is not None:
        from ..findings import issue

        report.write_text(issue.issue(one, reproducer), encoding="utf-8")
        errors.print(f"Report: {report}", soft_wrap=True)
