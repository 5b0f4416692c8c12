"""Which slot trains what, which one waits, and when: a state machine without Ray, threads or a clock of its own.

A slot is what one trial takes up. Whether a process runs in it is Ray Tune's business: Tune starts one for a trial, and
passes it on when the trial ends. Two habits of Tune's shape the rules (``tune/execution/tune_controller.py``):

- It lets an idle process go. So every slot always has a trial: one that trains a replicate, or one that waits.
- It starts a process for the trial that asked for it, and nobody knows when, or whether. So such a trial only waits,
  and a replicate is handed out when a process is free for it: it is never held up by a slot that comes late.

Nothing is given up: a slot without a process has a trial that waits for one, for as long as it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

from search.plan.stages import Replicate


class NoAssignment(Enum):
    """Why no trial is handed out."""

    ALL_BUSY = auto()  #: every slot has its trial
    EXHAUSTED = auto()  #: there is nothing left to train


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a trial does."""

    replicate: Replicate | None  #: None to wait
    started_at: float | None = None  #: when it got its process; None until then


class Slots:
    """The slots of a search and the trial of each.

    Args:
        work: yields what to train next, None while there is nothing; ends when there is nothing left to train.
        count: how many trials there is room for.
    """

    def __init__(self, work: Iterator[Replicate | None], count: int) -> None:
        self._work = work
        self._count = count
        self._assignments: dict[str, Assignment] = {}  # by trial
        self._free = 0  # processes whose trial has ended, until the next one is handed out
        self._stopping: set[str] = set()  # trials that were told to stop waiting and have not ended
        self._next: Replicate | None = None  # taken from the work, not handed out yet
        self._exhausted = False  # whether the work has ended

    @property
    def over(self) -> bool:
        """Whether the search can end: nothing is left to train, and no process is left that could stop by itself."""
        return self._exhausted and all(each.started_at is None for each in self._assignments.values())

    def grow(self, count: int) -> None:
        """Use the slots of nodes that have joined. There are never fewer: a slot that is lost may come back."""
        self._count = max(self._count, count)

    def find(self, trial: str) -> Assignment | None:
        """Return what a trial does; None if it has ended."""
        return self._assignments.get(trial)

    def assign(self, trial: str) -> Assignment | NoAssignment:
        """Say what a new trial does: train where a process is free, else wait for one.

        Raises:
            Exception: what the work raised.
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
        """Take note that a trial got its process."""
        self._assignments[trial] = replace(self._assignments[trial], started_at=now)
        return self._assignments[trial]

    def should_stop_waiting(self, trial: str) -> bool:
        """Say whether a trial that waits is to stop: something can be trained in its place, or nothing is left.

        Raises:
            Exception: what the work raised.
        """
        for_others = self._free or self._stopping  # what there is to train is theirs
        if not for_others and self._fetch_next():
            self._stopping.add(trial)
        return self._exhausted or trial in self._stopping

    def end(self, trial: str) -> Assignment:
        """Take note that a trial has ended and left its process, if it had one, to the next."""
        assignment = self._remove(trial)
        self._free += assignment.started_at is not None
        return assignment

    def lose(self, trial: str) -> Assignment:
        """Take note that a trial has ended and its process is gone."""
        return self._remove(trial)

    def lose_all(self) -> dict[str, Assignment]:
        """Take note that all trials have ended and all processes are gone."""
        lost = {trial: self.lose(trial) for trial in list(self._assignments)}
        self._free = 0
        return lost

    def _remove(self, trial: str) -> Assignment:
        self._stopping.discard(trial)
        return self._assignments.pop(trial)

    def _fetch_next(self) -> bool:
        """Take the next replicate from the work, if there is one now; say whether there is."""
        if self._next is None and not self._exhausted:
            try:
                self._next = next(self._work)
            except StopIteration:
                self._exhausted = True
        return self._next is not None
