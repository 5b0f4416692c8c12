"""Follows all searches in the database while a run lasts, ten times a second."""

from __future__ import annotations

import threading
import time

from sqlalchemy import Engine, text

from search.store.database import DatabaseError, now
from search.store.tables import searches
from tests.faults.history import History, Sample

SECONDS = 0.1
AT_LEAST_EVERY = 1.0  # seconds, though nothing changes

TRIALS = """
SELECT t.trial_id, CAST(t.state AS VARCHAR) AS state, s.study_name, v.value
FROM trials t JOIN studies s ON s.study_id = t.study_id LEFT JOIN trial_values v ON v.trial_id = t.trial_id
"""


class Observer:
    """Adds samples to a history: from a thread, or whenever it is told to look."""

    def __init__(self, engine: Engine, history: History, *, follows: bool = True) -> None:
        isolation = "REPEATABLE READ" if engine.dialect.name == "postgresql" else None
        self._engine = engine.execution_options(isolation_level=isolation) if isolation else engine
        self._history = history
        self._stopping = threading.Event()
        self.last: dict[str, Sample] = {}  #: of each search
        self._thread = threading.Thread(target=self._follow, daemon=True)
        if follows:
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._engine.dispose()

    def _follow(self) -> None:
        while not self._stopping.wait(SECONDS):
            try:
                self.look()
            except DatabaseError:  # it is down: there is nothing to see
                continue

    def look(self) -> None:
        """Add a sample of each search that changed."""
        with self._engine.connect() as connection:
            columns = searches.c.id, searches.c.status, searches.c.requested_status, searches.c.epoch
            held = (searches.c.lease_until > now()).label("held")
            rows = connection.execute(searches.select().with_only_columns(*columns, held)).all()
            at = time.monotonic()
            trials: dict[str, dict[str, str]] = {}
            for row in connection.execute(text(TRIALS)):
                state = row.state if row.value is None else f"{row.state} {row.value!r}"
                trials.setdefault(row.study_name.partition("/")[0], {})[str(row.trial_id)] = state
        for row in rows:
            sample = Sample(
                at=at,
                search=row.id,
                status=row.status,
                requested=row.requested_status,
                epoch=row.epoch,
                held=bool(row.held),
                trials=trials.get(row.id, {}),
            )
            before = self.last.get(row.id)
            if before is None or _what(before) != _what(sample) or at - before.at > AT_LEAST_EVERY:
                self._history.add(sample)
                self.last[row.id] = sample


def _what(sample: Sample) -> tuple[object, ...]:
    return sample.status, sample.requested, sample.epoch, sample.held, sample.trials
