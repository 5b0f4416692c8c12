"""How far the running trials of a search are, and how long a trial takes, from the epochs that they report."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from statistics import mean

from search.store import progress
from search.store.database import Connection
from search.views import EpochProgress

SHOW_SECONDS = 3.0  # between two writes: each wakes up everybody who follows the search
RECENT_TRIALS = 50  # newest finished trials whose mean duration predicts the rest


@dataclass
class _Trial:
    planned: int | None  # epochs; None if unknown
    started: float
    base: int = 0  # the epoch that it had finished when it started, from a checkpoint
    first: int | None = None  # the last epoch of its first report; None until there is one
    first_reported: float = 0.0  # when
    epoch: int = 0  # the last one that it has finished
    reported: float = 0.0  # when

    @property
    def done(self) -> float:
        """The part of the trial that is done; 0 if its number of epochs is unknown."""
        return min(1.0, max(0, self.epoch) / self.planned) if self.planned else 0.0


class Pace:
    """Knows the epochs of running trials. Thread-safe; never waits for the database.

    Args:
        clock: a monotonic one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[int, _Trial] = {}
        self._durations: deque[float] = deque(maxlen=RECENT_TRIALS)
        self.version = 0  #: raised by every change

    def start(self, trial_id: int, planned: int | None) -> None:
        """Record that a trial starts, of so many epochs if that is known."""
        with self._lock:
            self._running[trial_id] = _Trial(None if planned is None else max(1, planned), self._clock())
            self.version += 1

    def report(self, trial_id: int, epochs: Collection[int]) -> None:
        """Record that a trial has finished epochs."""
        with self._lock:
            trial = self._running.get(trial_id)
            if trial is None or not epochs:
                return
            trial.epoch, trial.reported = max(trial.epoch, *epochs), self._clock()
            if trial.first is None:
                trial.base, trial.first, trial.first_reported = min(epochs) - 1, trial.epoch, trial.reported
            self.version += 1

    def end(self, trial_id: int, *, finished: bool) -> None:
        """Record that a trial has ended, and whether its duration tells something about others."""
        with self._lock:
            trial = self._running.pop(trial_id, None)
            if trial is not None and finished:
                self._durations.append(self._clock() - trial.started)
            self.version += 1

    def read(self) -> EpochProgress | None:
        """Describe the running trials; None if none runs."""
        with self._lock:
            running = list(self._running.values())
            if not running:
                return None
            epochs = [trial.epoch for trial in running]
            planned, *others = {trial.planned for trial in running}
            return EpochProgress(
                low=min(epochs),
                high=max(epochs),
                planned=None if others or planned is None or max(epochs) > planned else planned,
                done=sum(trial.done for trial in running),
                seconds_per_trial=self._predict(running),
            )

    def _predict(self, running: list[_Trial]) -> float | None:
        """Predict the duration of a trial: from finished ones, else from the epochs of those that run.

        The first epoch counts only while there is no other: until then its process starts and loads the data.
        """
        if self._durations:
            return mean(self._durations)
        reported = [(each, each.first, each.planned) for each in running if each.first is not None and each.planned]
        trained = sum((trial.epoch - first) / planned for trial, first, planned in reported)
        if trained > 0:
            return sum(trial.reported - trial.first_reported for trial, *_ in reported) / trained
        trained = sum((trial.epoch - trial.base) / planned for trial, _, planned in reported)
        return sum(trial.reported - trial.started for trial, *_ in reported) / trained if trained > 0 else None


class ShownProgress:
    """Stores a pace whenever it has changed, every few seconds at most.

    One thread calls it, in transactions that may fail: what was saved counts once it is confirmed.
    """

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace
        self._clock = clock
        self._version = 0
        self._event: int | None = None
        self._saved_at = float("-inf")
        self._unconfirmed: tuple[int, int, float] | None = None

    def save_if_due(self, connection: Connection, search_id: str) -> None:
        """Store the pace if it is due; then :meth:`confirm`, once that is committed."""
        version, now = self._pace.version, self._clock()
        self._unconfirmed = None
        if version != self._version and now - self._saved_at >= SHOW_SECONDS:
            event = progress.save(connection, search_id, self._pace.read(), self._event)
            self._unconfirmed = version, event, now

    def confirm(self) -> None:
        """Tell that the last transaction was committed."""
        if self._unconfirmed is not None:
            self._version, self._event, self._saved_at = self._unconfirmed
