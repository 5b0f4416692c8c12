"""Decides which slot trains what: a pure state machine without Ray, threads or a clock.

A slot is the resources of one trial. Ray Tune manages its process: Tune starts a process for a trial, and reuses it for
the next trial. Two properties of Tune determine the rules (``tune/execution/tune_controller.py``):

- It stops an idle process. So every slot always has a trial: one that trains a replicate, or one that waits.
- It starts a process for a specific trial, at an unknown time or never. So such a trial only waits, and a replicate is
  assigned once a process is free. A slot that starts late delays no replicate.

No slot is given up: a slot without a process keeps a trial that waits for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

from search.plan.stages import Replicate


class NoAssignment(Enum):
    """Why a new trial gets no assignment."""

    ALL_BUSY = auto()  #: every slot has a trial
    EXHAUSTED = auto()  #: there is nothing left to train


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a trial does: train a replicate, or wait."""

    replicate: Replicate | None  #: None to wait
    started_at: float | None = None  #: when its process started; None until then


class Slots:
    """The slots of a search and their trials.

    Args:
        work: yields the replicate to train next, or None while there is none; ends when all is trained.
        count: the number of slots.
    """

    def __init__(self, work: Iterator[Replicate | None], count: int) -> None:
        self._work = work
        self._count = count
        self._assignments: dict[str, Assignment] = {}  # by trial
        self._free = 0  # processes whose trial has ended and that have no new trial
        self._stopping: set[str] = set()  # waiting trials that were stopped and have not ended
        self._next: Replicate | None = None  # fetched from the work, not assigned yet
        self._exhausted = False  # whether the work has ended

    @property
    def is_over(self) -> bool:
        """Whether the search can end: nothing is left to train, and no trial has a process."""
        return self._exhausted and all(each.started_at is None for each in self._assignments.values())

    def grow(self, count: int) -> None:
        """Increase the number of slots when nodes join. It never decreases, because a lost slot may come back."""
        self._count = max(self._count, count)

    def find(self, trial: str) -> Assignment | None:
        """Return the assignment of a trial; None if it has ended."""
        return self._assignments.get(trial)

    def assign(self, trial: str) -> Assignment | NoAssignment:
        """Assign work to a new trial: a replicate if a process is free, else waiting.

        Raises:
            Exception: whatever the work raised.
        """
        if len(self._assignments) >= self._count:
            return NoAssignment.ALL_BUSY
        self._fetch_next()
        if self._exhausted:
            return NoAssignment.EXHAUSTED
        replicate = None
        if self._free:
            self._free -= 1
            replicate, self._next = self._next, None
        self._assignments[trial] = Assignment(replicate=replicate)
        return self._assignments[trial]

    def start(self, trial: str, now: float) -> Assignment:
        """Record that a trial's process started."""
        self._assignments[trial] = replace(self._assignments[trial], started_at=now)
        return self._assignments[trial]

    def should_stop_waiting(self, trial: str) -> bool:
        """Return whether a waiting trial must stop: its process is needed for a replicate, or nothing is left.

        Raises:
            Exception: whatever the work raised.
        """
        for_others = self._free or self._stopping  # they get the next replicate
        if not for_others and self._fetch_next():
            self._stopping.add(trial)
        return self._exhausted or trial in self._stopping

    def end(self, trial: str) -> Assignment:
        """Record that a trial ended; its process, if any, becomes free."""
        assignment = self._remove(trial)
        self._free += assignment.started_at is not None
        return assignment

    def lose(self, trial: str) -> Assignment:
        """Record that a trial ended and its process is lost."""
        return self._remove(trial)

    def lose_all(self) -> dict[str, Assignment]:
        """Record that all trials ended and all processes are lost."""
        lost = {trial: self.lose(trial) for trial in list(self._assignments)}
        self._free = 0
        return lost

    def _remove(self, trial: str) -> Assignment:
        self._stopping.discard(trial)
        return self._assignments.pop(trial)

    def _fetch_next(self) -> bool:
        """Fetch the next replicate from the work; return whether there is one."""
        if self._next is None and not self._exhausted:
            try:
                self._next = next(self._work)
            except StopIteration:
                self._exhausted = True
        return self._next is not None
