"""Opening a store finds it up to date, and nothing running that nobody runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from search.plan.selection import Point
from search.plan.stages import Replicate
from search.settings import Settings
from search.store import leases, searches, tables
from search.store.attempts import read_attempts
from search.store.database import Engine, open_engine
from search.store.opening import mark_paused, open_store
from search.store.schema import is_current
from search.vocabulary.errors import StoreUnavailable
from tests.search.stored import open_recorder, submit


def running(settings: Settings, lease_seconds: float) -> str:
    """Store a search with a trial that runs, under a lease of its driver."""
    search_id = submit(settings.database_url)
    recorder = open_recorder(settings.database_url, search_id, lease_seconds)
    recorder.open(recorder._plan.build_stage("gm", []))
    recorder.start(Replicate("gm", Point("main", 1, 0), 0))
    return search_id


def left(engine: Engine, search_id: str) -> tuple[str, str, list[tuple[str, str | None]]]:
    """Return the status and reason of a search, and the states and causes of its trials."""
    with engine.connect() as connection:
        search = searches.get(connection, search_id)
        trials = [(each.state, each.cause) for each in read_attempts(connection, search_id, "gm")]
    return search.status, search.reason, trials


def test_a_store_is_created_only_when_that_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "home" / "test.db"
    with pytest.raises(StoreUnavailable, match=rf"the database must exist: got {file}\. Name it with"):
        open_store(f"sqlite:///{file}")
    assert not file.parent.exists()
    assert is_current(open_store(f"sqlite:///{file}", create=True))


def test_a_search_whose_driver_is_gone_is_queued_and_its_trials_are_lost(settings: Settings) -> None:
    search_id = running(settings, lease_seconds=-1)
    engine = open_store(settings.database_url)
    assert left(engine, search_id) == ("queued", "its driver was lost", [("FAIL", "lost")])
    with engine.connect() as connection:
        assert leases.next_claimable(connection) == search_id


def test_a_search_whose_driver_lives_is_left_alone(settings: Settings) -> None:
    search_id = running(settings, lease_seconds=60)
    assert left(open_store(settings.database_url), search_id) == ("running", "", [("RUNNING", None)])


def test_a_running_search_that_was_interrupted_is_left_paused(settings: Settings) -> None:
    search_id = running(settings, lease_seconds=-1)
    engine = open_engine(settings.database_url)
    mark_paused(settings.database_url, engine, search_id, "interrupted")
    assert left(engine, search_id) == ("paused", "interrupted", [("FAIL", "lost")])


def test_a_queued_search_that_was_interrupted_is_paused_and_one_that_ended_stays(settings: Settings) -> None:
    queued, done = submit(settings.database_url), submit(settings.database_url)
    engine = open_engine(settings.database_url)
    with engine.begin() as connection:
        connection.execute(update(tables.searches).where(tables.searches.c.id == done).values(status="done"))
    for search_id in (queued, done):
        mark_paused(settings.database_url, engine, search_id, "interrupted")
    with engine.connect() as connection:
        assert [searches.get(connection, each).status for each in (queued, done)] == ["paused", "done"]
