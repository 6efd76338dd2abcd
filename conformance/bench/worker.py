"""A fresh process that times: imports, checks, warms up, then goes round and round among the contestants.

It tells the other end of its pipe what it is about to do before it does it, so that a contestant that takes the
process down or never comes back is known by name.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from multiprocessing.connection import Connection

from ...adapters import registry
from ...adapters.base import loop
from ...reports.bench import Cold, Memory
from ...specs import losses
from ...specs.errors import LossparityError
from . import contest, meters, sweep
from .contest import Job
from .measure import declined, measure


def main(pipe: Connection, job: Job) -> None:
    """The process: do the job and send what comes of it.

    Messages are ("ready", contestants), ("about", point, contestant, stage), records, and in the end "end" or an error.
    """
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(devnull, stream)  # frameworks log, users' functions print; what matters is sent
    if job.threads == "1" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        match job.threads:
            case contest.COLD:
                pipe.send(_cold(pipe, job))
            case contest.MEMORY:
                pipe.send(_memory(pipe, job))
            case _:
                _time(pipe, job)
        pipe.send("end")
    except Exception as error:
        pipe.send(error if isinstance(error, LossparityError) else RuntimeError(f"{type(error).__name__}: {error}"))


def _time(pipe: Connection, job: Job) -> None:
    pipe.send(("about", "", "", "importing"))
    runners = contest.start(job)
    pipe.send(("ready", [one.info for one in runners]))
    last = 0.0
    for number, point in enumerate(job.points):
        if number and time.monotonic() + last > job.until:
            return
        start = time.monotonic()
        for record in measure(runners, point, job, lambda *what: pipe.send(("about", *what))):
            pipe.send(record)
        last = time.monotonic() - start


# --- cold starts -----------------------------------------------------------------------------------------


def _cold(pipe: Connection, job: Job) -> Cold:
    """Import one backend, and call each of its contestants twice."""
    loss = losses.find(job.loss)
    point = sweep.speed_of(loss).cold
    pipe.send(("about", point.name, "", "importing"))
    runners = contest.start(job)
    call = sweep.call_of(loss, point, job.seed)
    first: dict[str, float] = {}
    second: dict[str, float] = {}
    compilations: dict[str, int] = {}
    failed: dict[str, str] = {}
    for runner in runners:
        if (point.name, runner.name) in job.excluded:
            continue
        pipe.send(("about", point.name, runner.name, "its first call"))
        before = runner.subject.compilations()
        start = time.perf_counter()
        try:
            with loop(runner.subject, call, point.work) as run:
                run(1)
                between = time.perf_counter()
                run(1)
                first[runner.name], second[runner.name] = between - start, time.perf_counter() - between
        except Exception as error:
            failed[runner.name] = f"{type(error).__name__}: {str(error)[:200]}"
        compilations[runner.name] = runner.subject.compilations() - before
    return Cold(
        process=job.process, backend=job.backends[0], import_seconds=_import_seconds(job.backends[0]),
        first=first, second=second, compilations=compilations, failed=failed,
    )  # fmt: skip


def _import_seconds(name: str) -> float:
    """Seconds that the framework's import takes in an interpreter that has imported nothing yet."""
    module = registry.backend(name).module
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(ended.stdout.split()[-1])


# --- memory ----------------------------------------------------------------------------------------------


def _memory(pipe: Connection, job: Job) -> Memory:
    """How much memory the calls of one backend's contestants take, as far as time allows."""
    loss = losses.find(job.loss)
    points = sweep.speed_of(loss).memory
    job = dataclasses.replace(job, telling=points)
    pipe.send(("about", points[0].name, "", "importing"))
    runners = contest.start(job)
    peaks: dict[str, dict[str, int]] = {point.name: {} for point in points}
    failed: dict[str, str] = {}
    for point in points:
        call = sweep.call_of(loss, point, job.seed)
        for runner in runners:
            is_declined = declined(runner, point, job) or runner.subject.capabilities.refuses(call)
            if is_declined or (point.name, runner.name) in job.excluded:
                continue
            if time.monotonic() > job.until:
                failed.setdefault(runner.name, "there was no time left: give it a larger --budget")
                continue
            pipe.send(("about", point.name, runner.name, "its memory"))
            try:
                with loop(runner.subject, call, point.work) as run:
                    peaks[point.name][runner.name] = meters.peak(run)
            except Exception as error:
                failed[runner.name] = f"{type(error).__name__}: {str(error)[:200]}"
    return Memory(backend=job.backends[0], points=points, peaks=peaks, failed=failed)
