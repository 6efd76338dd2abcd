"""The command line: a thin front that parses, calls, and prints."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from ..adapters import registry
from ..adapters.domains import asked_for
from ..reports import bench as reports_bench
from ..reports import folder, ratios, records
from ..reports import kills as reports_kills
from ..specs import losses
from ..specs.errors import LossparityError, UsageError
from ..specs.loss import PROFILES, Loss
from .console import domain, follow_up, publish, show, spec_commands, streams
from .console import progress as waiting
from .console.options import JSON, LOSS, LOSSES, adding, chosen, console_command, folder_option, part
from .items.spec import DEFAULT_PROFILE, Request
from .planning import asking, machine, plan
from .planning.plan import RunSpec

console = Console(highlight=False, markup=False)
errors = Console(stderr=True, highlight=False, markup=False)

OUT = Path("reports-out")
CHECKED = OUT / "check"
_FAMILIES = tuple(losses.find(losses.DEFAULT).families_of(DEFAULT_PROFILE))
# For a test of the suite only: a run without heartbeats must end as an engine error.
HEARTBEAT_OFF = "LOSSPARITY_WITHOUT_HEARTBEAT"


class _Group(click.Group):
    """Turns our errors into one line and their exit code, click's usage errors into 4."""

    @streams.robust()
    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            with show.drawing(errors):
                sys.exit(super().main(*args, standalone_mode=False, **kwargs))
        except LossparityError as error:
            errors.print(f"lossparity: {error}", soft_wrap=True)
            sys.exit(error.exit_code)
        except click.exceptions.Abort:
            sys.exit(2)
        except click.ClickException as error:
            error.show()
            sys.exit(UsageError.exit_code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lossparity")
def main() -> None:
    """Runs one specification of a loss against every framework's implementation and the exact answer.

    Exit codes: 0 all as expected; 1 something unexpected; 2 interrupted; 3 the suite itself failed; 4 usage, or an
    invalid specification, vector or ledger; 5 nothing ran; 6 a backend that was asked for could not start.
    """


def _running(timeout: float, out: Path) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of commands that run the suite, where a call may take so many seconds, and where it all goes."""
    options = (
        click.option("--profile", default=DEFAULT_PROFILE, show_default=True, metavar="|".join(PROFILES),
                     help="How much to run."),
        click.option("--device", default="cpu", show_default=True, help="Where to compute, e.g. cuda or cuda:1."),
        click.option("-n", "--workers", type=click.IntRange(min=1), default=None,
                     help="Worker processes. Default: all cores."),
        click.option("--seed", type=int, default=None,
                     help="Seed of the corpus and of exploration. Default: 0; nightly: drawn and printed."),
        click.option("--strict", is_flag=True, help="Treat SHOULD clauses like MUST."),
        click.option("--family", "families", multiple=True, metavar="NAME",
                     help=f"Only this family of cases; repeatable. Those of {losses.DEFAULT}: vectors, "
                     f"{', '.join(_FAMILIES)}."),
        click.option("--ledger", "ledgers", multiple=True, metavar="FILE",
                     help="More known divergences (TOML); repeatable."),
        click.option("--forget", "forgotten", multiple=True, metavar="ID",
                     help="Do without this known divergence, to see it as a failure; repeatable."),
        click.option("--timeout", type=click.FloatRange(min=1), default=timeout, show_default=True,
                     help="Seconds that one call may take."),
        click.option("--limit", type=click.FloatRange(min=0, min_open=True), metavar="MINUTES",
                     help="Start no more calls after so many minutes, and count what is left as not run."),
        click.option("-v", "--verbose", is_flag=True, help="Show where the time went, too."),
        folder_option(out, f"Folder for records.jsonl and index.html. {out} holds a folder for each run, and latest "
                      "leads to the newest; any other holds the run itself, and earlier ones in folders inside."),
        click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Keep only the newest N runs in OUT. "
                     "Default: all."),
    )  # fmt: skip

    return adding(*options)


@main.command()
@LOSSES
@click.option("-b", "--backend", "backends", multiple=True, metavar="NAME", help="Backend (torch), subject "
              "(torch:compile) or package.module:object; repeatable. Default: every installed backend.")  # fmt: skip
@click.option("--part", metavar="I/N", help="Only the I-th of N parts of the run, for as many machines; `lossparity "
              "report` adds them up.")  # fmt: skip
@_running(timeout=300.0, out=OUT)
@JSON
def run(places: tuple[str, ...], backends: tuple[str, ...], **options: Any) -> None:
    """Run the suite and write OUT/records.jsonl and OUT/index.html."""
    request = _asked(options, chosen(places))
    _run(backends, request, **options)


@main.command()
@click.argument("target", metavar="MODULE:FUNCTION")
@LOSS
@click.option("--framework", required=True, metavar="|".join(registry.BUILT_IN), help="Whose arrays it takes.")
@domain.for_domain()
@click.option("--compiled", is_flag=True, help="Compile the function first: jax.jit, tf.function, torch.compile.")
@click.option("--traced", is_flag=True, help="It calls something traced, which cannot raise on what targets hold and "
              "returns NaN. What jax.jit, tf.function, torch.compile or torch.jit made is recognised.")  # fmt: skip
@click.option("-x", "stop", is_flag=True, help="Stop at the first unexpected result.")
@click.option("--shrink/--no-shrink", default=True, show_default=True, help="Make the calls that are shown smaller, as "
              "long as they fail in the same way, and look for a likely cause.")  # fmt: skip
@click.option("--shrink-seconds", type=click.FloatRange(min=0.1), default=3.0, show_default=True,
              help="How long for each of at most five; frameworks that compile every new shape need more.")  # fmt: skip
@_running(timeout=60.0, out=CHECKED)
@JSON
def check(
    target: str,
    place: str,
    framework: str,
    compiled: bool,
    traced: bool,
    shrink: bool,
    shrink_seconds: float,
    **options: Any,
) -> None:
    """Run the suite on a function of your own, and write OUT/records.jsonl and OUT/index.html.

    The function takes the loss's arguments, `lossparity losses` shows them, as arrays of the framework: those of
    nll_loss are (input, target, weight=None, ignore_index=-100, reduction="mean"). path/to/file.py:FUNCTION works too,
    and the current directory is importable. Of the framework's known divergences only those of its differentiation and
    mapping are expected of the function.
    """
    loss = losses.find(place)
    found = domain.target_of(framework, target, loss.signature, options, compiled=compiled, traced=traced)
    within = asked_for(found.domain, loss.signature, registry.backend(framework).targets)
    request = dataclasses.replace(_asked(options, [loss]), domain=within, is_check=True)
    asking.require_some(request)
    _run((found.key,), request, shrink_seconds=shrink_seconds if shrink else None, **options)


def _asked(options: dict[str, Any], asked: Sequence[Loss]) -> Request:
    """What the options of `_running` ask of a run of these losses; takes them out of `options`."""
    profile, device = plan.check_profile(options.pop("profile")), plan.check_device(options.pop("device"))
    return Request(
        losses=tuple(losses.place(loss.name) for loss in asked),
        profile=profile,
        seed=plan.choose_seed(profile, options.pop("seed")),
        strict=options.pop("strict"),
        device=device,
        families=options.pop("families"),
        ledgers=plan.paths(options.pop("ledgers")),
        forgotten=options.pop("forgotten"),
        seconds=options.pop("timeout"),
        part=part(options.pop("part", None)),
        stop=options.pop("stop", False),
        heartbeat=HEARTBEAT_OFF not in os.environ,
    )


def _run(names: tuple[str, ...], request: Request, *, out: Path, keep: int | None, **options: Any) -> None:
    """Run the suite on these backends, in a folder that nobody else writes to, and exit with its code."""
    command, sys.argv[1:] = console_command(), []  # workers are told the latter, and take UTF-8 alone
    with folder.claimed(out, dated=out in (OUT, CHECKED), keep=keep, command=command) as begin:
        _perform(names, request, begin, command, **options)


def _perform(
    names: tuple[str, ...], request: Request, begin: Callable[[], Path], command: str,
    *, workers: int | None, limit: float | None, as_json: bool, verbose: bool, shrink_seconds: float | None = None,
) -> None:  # fmt: skip
    """The same, once the folder is known; `begin` says where in it."""
    from ..reports import html
    from ..reports.overview import Overview
    from . import lint as lint_module
    from .diagnosis.follow import FollowUp
    from .planning import survey
    from .running import controller

    screen = errors if as_json else console
    lint_module.require_consistent()
    screen.print("Looking at what is installed ...", style="dim")
    found = survey.survey(names, request.device, request.seconds, show.aside(screen), request.losses)
    spec = RunSpec(
        request=request,
        backends=names or tuple(backend.name for backend in found.backends),
        subjects=found.chosen(names),
        owners=found.owners,
        flushing=found.flushing,
    )
    show.opening(screen, spec, found)
    out = begin()
    follow = FollowUp(names[0], request, shrink_seconds, show.aside(screen)) if shrink_seconds else None
    with waiting.progress(screen) as progress:
        result = controller.run(spec, found, workers or machine.cores(), out, progress, command, limit, follow)
    run_read = records.read(result.file)
    said = Overview.of([run_read])
    show.closing(screen, run_read, said, result, verbose=verbose)  # at once: drawing the page takes a second or more
    index = html.write_overview(said, out)
    screen.print(f"Report: {index}", soft_wrap=True)
    if silent := domain.nothing_said(request, result.exit_code, run_read.of(records.Item)):
        errors.print(f"lossparity: {silent}", soft_wrap=True)
    streams.farewell(errors, index)
    if as_json:
        click.echo(msgspec.json.encode(show.as_data(run_read, result, index)).decode())
    sys.exit(result.exit_code)


@main.command()
@click.option("--device", default="cpu", show_default=True, help="Where to compute.")
@JSON
def backends(device: str, as_json: bool) -> None:
    """Show what is installed, with versions, devices and capabilities, and how to install the rest."""
    from .planning import survey

    said = show.aside(errors if as_json else console)
    found = survey.survey((), plan.check_device(device), said=said)
    missing = found.missing_tools
    if as_json:
        content = {
            "subjects": found.subjects,
            "absent": found.absent,
            "elsewhere": found.elsewhere,
            "missing_tools": missing,
        }
        click.echo(msgspec.json.encode(content).decode())
        return
    show.backends(console, found, missing)


@main.command()
@LOSSES
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--profile", default=DEFAULT_PROFILE, show_default=True, metavar="|".join(PROFILES),
              help="How much to run.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="How many corpora the correct "
              "ones have to pass.")  # fmt: skip
@click.option("--thorough", is_flag=True, help="Run every case on every mutant, to see all clauses that notice it.")
@click.option("-n", "--workers", type=click.IntRange(min=1), default=None, help="Processes. Default: all cores.")
@folder_option(OUT, "Folder for mutants.json and mutants.html.")
@JSON
def mutants(
    places: tuple[str, ...],
    names: tuple[str, ...],
    profile: str,
    seeds: int,
    thorough: bool,
    workers: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Test the suite itself on implementations that are wrong on purpose.

    Says which clause, family and vector kills which mutant, beside correct implementations that must not be accused.
    NAMEs choose some of them. Exit code 1 if a mutant survives, a clause does not see a mutant that is named for it,
    a correct implementation is accused, or a vector fails no mutant and gives no reason.
    """
    from ..reports import html
    from .mutants import kills, zoo

    screen = errors if as_json else console
    variants = kills.choose([losses.find(place).name for place in places] or zoo.with_variants(), names)
    command = console_command()
    depth = kills.ALL if thorough else kills.SPARING
    profile, workers = plan.check_profile(profile), workers or machine.cores()
    found: list[reports_kills.Zoo] = []
    for loss in dict.fromkeys(variant.loss for variant in variants):
        chosen = [variant for variant in variants if variant.loss == loss]
        with waiting.progress(screen) as progress:
            found.append(kills.run(chosen, profile, seeds, depth, workers, progress, command))
    file = reports_kills.write(found, out)
    page, *_ = html.write_mutants(found, out, beside_run=folder.address(out))
    publish.link(out)
    if as_json:
        click.echo(file.read_text(encoding="utf-8"))
    else:
        for zoo_of_loss in found:
            show.zoo(console, zoo_of_loss)
        console.print(f"Report: {page}", soft_wrap=True)
    sys.exit(0 if all(one.is_sound for one in found) else 1)


@main.command()
@LOSS
@click.option("-b", "--backend", "backends", multiple=True, metavar="NAME", help="Backend with its baselines (torch), "
              "subject (torch:compile), baseline (jax:optax), or FRAMEWORK@MODULE:FUNCTION; repeatable. Default: "
              "everything that is installed.")  # fmt: skip
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), default=300.0, show_default=True,
              help="Seconds for all of it. More time means more points, processes and rounds.")  # fmt: skip
@click.option("--baseline", default="torch", show_default=True, metavar="NAME", help="What the others are compared "
              "with, where it computes the right thing.")  # fmt: skip
@click.option("--threads", type=click.Choice(["1", "all", "both"]), default="both", show_default=True,
              help="One thread on one processor, all of them, or a table for each.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="Where to compute, e.g. cuda.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the arrays and of the order of rounds.")
@click.option("--timeout", type=click.FloatRange(min=1), default=120.0, show_default=True,
              help="Seconds without a sign of life after which a contestant is given up.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with what OUT/bench.jsonl has.")
@folder_option(OUT, "Folder for bench.jsonl and bench.html.")
@JSON
def bench(
    place: str, backends: tuple[str, ...], budget: float, baseline: str, threads: str, device: str, seed: int,
    timeout: float, resume: bool, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """Time subjects and what users write instead, against each other and against the machine's limit.

    Only what computes the right thing is timed. OUT/bench.jsonl has every sample, OUT/bench.html the tables and
    pictures. Run it on an otherwise idle machine; where it is too noisy, nothing is claimed.
    """
    from ..reports import speed_page
    from .bench import run as harness

    screen = errors if as_json else console
    options = harness.Options(
        loss=losses.place(losses.find(place).name), names=backends,
        budget=budget, device=plan.check_device(device), seed=seed, baseline=baseline, timeout=timeout,
        resume=resume, command=console_command(),
        threads=("1", "all") if threads == "both" else (threads,),
    )  # fmt: skip
    screen.print(f"Up to {budget:g} s: {options.processes} fresh processes for each point", style="dim")
    with waiting.clock(screen, budget) as said:
        found = harness.run(options, out, harness.Watch(said))
    page, boards = speed_page.write_bench(found, out, beside_run=folder.address(out))
    publish.link(out)
    if as_json:
        click.echo(msgspec.json.encode(show.bench_data(found, boards, page)).decode())
        return
    show.boards(console, found, boards)
    console.print(f"Samples: {found.path}\nReport: {page}", soft_wrap=True)


@main.command()
@LOSSES
@JSON
def lint(places: Sequence[str], as_json: bool) -> None:
    """Check that clauses, flags, vectors and known divergences are consistent; exit 4 when they are not.

    Of a loss of one's own its tables and families are looked at.
    """
    from . import lint as tables

    found = chosen(places)
    problems = [one for loss in found for one in tables.problems_of(loss)] if places else list(tables.problems())
    if as_json:
        click.echo(msgspec.json.encode(problems).decode())
    else:
        for problem in problems:
            errors.print(problem, soft_wrap=True)
        if not problems:
            console.print("\n".join(map(tables.counted_of, found)) if places else tables.counted())
    sys.exit(UsageError.exit_code if problems else 0)


@main.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@JSON
def compare(before: Path, after: Path, as_json: bool) -> None:
    """Compare two runs of `lossparity bench`; exit 1 if something has become slower.

    BEFORE and AFTER are files bench.jsonl or the folders that hold them. Times are compared as multiples of the
    machine's own gather in the same rounds, never in seconds.
    """
    runs = [reports_bench.read(path) for path in (before, after)]
    found = ratios.changes(*runs)
    if not found:
        raise UsageError(f"{before} and {after} have no contestant at the same point; nothing can be compared")
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        show.changes(console, found, runs)
    sys.exit(1 if any(one.claim == "regression" for one in found) else 0)


main.add_command(spec_commands.losses_command)
main.add_command(spec_commands.clauses_command)
main.add_command(publish.report_command)
main.add_command(publish.site_command)
main.add_command(follow_up.replay_command)
main.add_command(follow_up.freeze_command)


if __name__ == "__main__":
    main()
