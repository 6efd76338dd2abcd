"""Hands groups of items to workers, and survives the death of a worker.

pytest-xdist's own group scheduler (as of 3.8) queues the item that killed a worker again, so that it kills the next one
too, may leave a replacement worker waiting for ever (a worker runs its last item only when it hears that no more will
come), and gives work to one that has not said yet what it collected, which ends the run.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from xdist.scheduler import LoadGroupScheduling

_DYING_SECONDS = 5  # until a process whose pipe is closed has ended


class GroupScheduling(LoadGroupScheduling):
    """Each group goes to one worker; what a dead worker left of it, but for the fatal item, to another.

    `forgives` says of a worker that was killed from outside, and of its item, whether that goes to another one too.
    """

    def __init__(self, config: Any, log: Any, forgives: Callable[[str, str], bool]) -> None:
        super().__init__(config, log)
        self._forgives = forgives

    def remove_node(self, node: Any) -> str | None:
        """Take a finished or dead worker out; returns the item that it died of, if it did."""
        workload = self.assigned_work.pop(node)
        crashed = next((id for unit in workload.values() for id, done in unit.items() if not done), None)
        if crashed and was_killed(node) and self._forgives(node.gateway.id, crashed):
            crashed = None
        for scope, unit in workload.items():
            left = {id: False for id, done in unit.items() if not done and id != crashed}
            if left:
                self.workqueue[scope] = left
        for other in self.assigned_work:
            self._reschedule(other)
        return crashed

    @property
    def tests_finished(self) -> bool:
        """Whether nothing is pending; xdist counts one item as none, and may end a run whose workers die."""
        return self.collection_is_completed and not self.has_pending

    def _reschedule(self, node: Any) -> None:
        """Keep a worker busy with at least two items, and tell it when there are no more."""
        if node.shutting_down or node not in self.registered_collections:
            return  # A replacement that is still collecting: its turn comes when it has.
        while self.workqueue and self._pending_of(self.assigned_work[node]) <= 2:
            self._assign_work_unit(node)
        if not self.workqueue:
            node.shutdown()


def was_killed(node: Any) -> bool:
    """Whether a dead worker ended by SIGKILL, which others send: a person, or the kernel when memory runs out."""
    process = getattr(node.gateway._io, "popen", None)  # execnet has no other way to ask
    if process is None:
        return False
    with contextlib.suppress(subprocess.TimeoutExpired):  # it closed its pipe, and lives: nobody killed it
        process.wait(_DYING_SECONDS)
    return process.returncode == -signal.SIGKILL
