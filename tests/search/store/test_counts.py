"""What there is of everything."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from search.store import searches, tables, transitions, workers
from search.store.counts import count_store
from search.store.database import open_engine
from search.vocabulary.states import Status
from tests.search.stored import open_recorder, submit, train


def test_searches_trials_and_workers_are_counted_in_either_database(database_url: str) -> None:
    search_id = submit(database_url)
    engine = open_engine(database_url)

    def counted():
        with engine.connect() as connection:
            return count_store(connection)

    assert counted().searches == {"queued": 1, "running": 0, "paused": 0, "done": 0, "failed": 0, "cancelled": 0}
    recorder = open_recorder(database_url, search_id)
    train(recorder, search_id, stop_after=4)
    left = recorder._stages["gm"].pop_waiting()
    assert left
    recorder.start(left)
    with engine.begin() as connection:
        worker = workers.register(connection)
    found = counted()
    assert found.searches["running"] == 1
    assert found.trials == {"RUNNING": 1, "COMPLETE": 4, "FAIL": 0}
    assert (found.workers, found.longest_wait) == (1, 0.0)
    with engine.begin() as connection:
        workers.unregister(connection, worker)
        transitions.set_status(connection, search_id, Status.PAUSED, "")
    assert counted().trials == {"RUNNING": 0, "COMPLETE": 0, "FAIL": 0}, "only those of searches that run"
    assert counted().workers == 0


def test_a_search_waits_from_when_it_was_queued_last(database_url: str) -> None:
    search_id = submit(database_url)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(update(tables.events).values(at=tables.events.c.at - 1000))
        assert count_store(connection).longest_wait == pytest.approx(1000, abs=20)
        searches.request_status(connection, search_id, Status.PAUSED)
        assert count_store(connection).longest_wait == 0
        searches.resume(connection, search_id)
        assert count_store(connection).longest_wait < 20
