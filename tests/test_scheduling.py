"""Work of workers that die: it reaches another, and none that is not ready for it."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest
from lossparity.conformance.running.scheduling import GroupScheduling

ITEMS = [f"item{i}@group{i}" for i in range(12)]


class Worker:
    """What the scheduler knows of a worker process."""

    def __init__(self, exit_code: int = 1) -> None:
        process = SimpleNamespace(returncode=exit_code, wait=lambda seconds: exit_code)
        self.gateway = SimpleNamespace(id="worker", _io=SimpleNamespace(popen=process))
        self.shutting_down = False
        self.queued: list[str] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        assert not self.shutting_down
        self.queued += [ITEMS[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True


@pytest.fixture
def scheduler() -> GroupScheduling:
    options = SimpleNamespace(loadscopereorder=False)
    config: Any = SimpleNamespace(getvalue=lambda name: ["2*popen"], option=options)
    forgiven: list[str] = []

    def forgives(worker: str, item: str) -> bool:
        """Whatever died for the first time."""
        forgiven.append(item)
        return forgiven.count(item) == 1

    return GroupScheduling(config, None, forgives)


def join(scheduler: GroupScheduling, worker: Any) -> None:
    """What a session does once a worker has collected."""
    scheduler.add_node_collection(worker, ITEMS)
    if scheduler.collection_is_completed:
        scheduler.schedule()


def start(scheduler: GroupScheduling, exit_code: int = 1) -> tuple[Any, Any]:
    first: Any = Worker(exit_code)
    second: Any = Worker()
    for worker in (first, second):
        scheduler.add_node(worker)
    for worker in (first, second):
        join(scheduler, worker)
    return first, second


def finish(scheduler: GroupScheduling, *workers: Any) -> set[str]:
    """Let the workers run what they are given, to the end; the items done, each of them once."""
    done: list[str] = []
    while not scheduler.tests_finished:
        before = len(done)
        for worker in workers:
            for item in [item for item in worker.queued if item not in done]:
                done.append(item)
                scheduler.mark_test_complete(worker, ITEMS.index(item))
        assert len(done) > before, "some work is lost"
    assert len(set(done)) == len(done) == sum(len(worker.queued) for worker in workers)
    assert all(worker.shutting_down for worker in workers), "a worker keeps its last item until it hears of the end"
    return set(done)


def test_two_replacements_are_each_given_work_once_they_have_collected(scheduler: GroupScheduling) -> None:
    """Both workers die; the first replacement is ready while the second still collects."""
    died = {scheduler.remove_node(worker) for worker in start(scheduler)}
    third: Any = Worker()
    fourth: Any = Worker()
    scheduler.add_node(third)
    scheduler.add_node(fourth)
    join(scheduler, third)
    assert third.queued
    assert not fourth.queued
    join(scheduler, fourth)
    assert fourth.queued
    assert finish(scheduler, third, fourth) == set(ITEMS) - died


def test_the_item_that_killed_a_worker_kills_no_other(scheduler: GroupScheduling) -> None:
    first, second = start(scheduler)
    fatal = scheduler.remove_node(first)
    assert fatal == first.queued[0]
    assert finish(scheduler, second) == set(ITEMS) - {fatal}


def test_the_item_of_a_worker_that_was_killed_runs_once_more(scheduler: GroupScheduling) -> None:
    first, second = start(scheduler, -signal.SIGKILL)
    assert scheduler.remove_node(first) is None
    third: Any = Worker(-signal.SIGKILL)
    scheduler.add_node(third)
    join(scheduler, third)
    assert finish(scheduler, second, third) == set(ITEMS)


def test_what_is_killed_twice_runs_no_more(scheduler: GroupScheduling) -> None:
    first, second = start(scheduler, -signal.SIGKILL)
    item = first.queued[0]
    assert scheduler.remove_node(first) is None
    while item not in second.queued:
        for one in list(second.queued):
            scheduler.mark_test_complete(second, ITEMS.index(one))
    second.gateway._io.popen.returncode = -signal.SIGKILL
    done = [one for one in second.queued if one != item]
    for one in done:
        scheduler.mark_test_complete(second, ITEMS.index(one))
    assert scheduler.remove_node(second) == item
