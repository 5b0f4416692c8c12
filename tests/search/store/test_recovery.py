"""What drivers leave that are gone is ended, by workers and services, and by commands that change a search."""

from __future__ import annotations

import pytest
from sqlalchemy import null, update

from search.plan.lifecycle import Event
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.store import leases, searches, transitions
from search.store.attempts import read_attempts
from search.store.database import Engine, open_engine
from search.store.recovery import interrupt, recover, recover_search
from search.store.tables import searches as rows
from search.vocabulary.errors import Fenced
from search.vocabulary.states import Status
from tests.search.stored import open_recorder, submit


def left_running(url: str, lease_seconds: float) -> str:
    """Store a search with a trial that runs, under a lease of its driver."""
    search_id = submit(url)
    recorder = open_recorder(url, search_id, lease_seconds)
    recorder.open(recorder._plan.build_stage("gm", []))
    recorder.start(Replicate("gm", Point("main", 1, 0), 0))
    return search_id


def look(engine: Engine, search_id: str) -> tuple[str, str, list[tuple[str, str | None]]]:
    """Return the status and reason of a search, and the states and causes of its trials."""
    with engine.connect() as connection:
        search = searches.get(connection, search_id)
        trials = [(each.state, each.cause) for each in read_attempts(connection, search_id, "gm")]
    return search.status, search.reason, trials


def test_a_search_whose_driver_is_gone_is_queued_and_its_trials_are_lost(database_url: str) -> None:
    search_id = left_running(database_url, lease_seconds=-1)
    engine = open_engine(database_url)
    assert recover(database_url, engine) == [search_id]
    assert look(engine, search_id) == ("queued", "its driver was lost", [("FAIL", "lost")])
    assert recover(database_url, engine) == []
    with engine.connect() as connection:
        assert leases.next_claimable(connection) == search_id


def test_a_search_whose_driver_lives_is_left_alone(database_url: str) -> None:
    search_id = left_running(database_url, lease_seconds=60)
    engine = open_engine(database_url)
    assert recover(database_url, engine, thorough=True) == []
    assert look(engine, search_id) == ("running", "", [("RUNNING", None)])


@pytest.mark.parametrize("requested", [Status.PAUSED, Status.CANCELLED])
def test_a_request_on_a_lapsed_lease_fences_the_driver_and_ends_its_trials(
    database_url: str, requested: Status
) -> None:
    search_id = submit(database_url)
    frozen = open_recorder(database_url, search_id, -1)
    frozen.open(frozen._plan.build_stage("gm", []))
    frozen.start(Replicate("gm", Point("main", 1, 0), 0))
    engine = open_engine(database_url)
    with engine.begin() as connection:
        assert searches.request_status(connection, search_id, requested).status == requested
    with pytest.raises(Fenced):
        frozen.start(Replicate("gm", Point("main", 2, 0), 0))
    assert recover_search(database_url, engine, search_id)
    assert look(engine, search_id) == (requested, f"{requested} by a person", [("FAIL", "lost")])


@pytest.mark.parametrize("requested", [Status.PAUSED, Status.CANCELLED])
def test_a_request_that_a_driver_did_not_live_to_carry_out_is_carried_out(database_url: str, requested: Status) -> None:
    search_id = left_running(database_url, lease_seconds=60)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        assert searches.request_status(connection, search_id, requested).status == "running"
        connection.execute(update(rows).values(lease_until=0))
    recover(database_url, engine)
    assert look(engine, search_id) == (requested, f"{requested} by a person", [("FAIL", "lost")])


def test_trials_that_run_under_an_ended_search_are_ended(database_url: str) -> None:
    search_id = left_running(database_url, lease_seconds=-1)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        transitions.set_status(connection, search_id, Status.FAILED, "three drivers died")
    recover(database_url, engine)
    assert look(engine, search_id) == ("failed", "three drivers died", [("FAIL", "lost")])


def test_trials_that_an_older_version_left_without_a_holder_are_found_at_the_start(database_url: str) -> None:
    search_id = left_running(database_url, lease_seconds=-1)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(update(rows).values(holder=null(), status="cancelled"))
    assert recover(database_url, engine) == []
    assert recover(database_url, engine, thorough=True) == [search_id]
    assert look(engine, search_id)[2] == [("FAIL", "lost")]


def test_a_search_is_abandoned_with_its_reason_and_without_running_trials(database_url: str) -> None:
    search_id = left_running(database_url, lease_seconds=-1)
    engine = open_engine(database_url)
    recover_search(database_url, engine, search_id, Event.ABANDON, "three drivers died")
    assert look(engine, search_id) == ("failed", "three drivers died", [("FAIL", "lost")])


def test_a_running_search_that_was_interrupted_is_left_paused(database_url: str) -> None:
    search_id = left_running(database_url, lease_seconds=-1)
    engine = open_engine(database_url)
    interrupt(database_url, engine, search_id, 0)
    assert look(engine, search_id) == ("paused", "interrupted", [("FAIL", "lost")])


def test_an_interrupt_pauses_what_its_command_queued_and_nothing_that_was_queued_or_ended_since(
    database_url: str,
) -> None:
    queued, resumed, done = (submit(database_url) for _ in range(3))
    engine = open_engine(database_url)
    with engine.begin() as connection:
        transitions.set_status(connection, done, Status.DONE, "")
        connection.execute(update(rows).where(rows.c.id == resumed).values(epoch=1))
    for search_id in (queued, resumed, done):
        interrupt(database_url, engine, search_id, 0)
    with engine.connect() as connection:
        statuses = [searches.get(connection, each).status for each in (queued, resumed, done)]
    assert statuses == ["paused", "queued", "done"]
