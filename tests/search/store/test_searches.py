"""Searches are steered, retried and decided."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, insert

from search.plan.selection import Point
from search.plan.stages import Replicate
from search.settings import Settings
from search.store import candidates as projection
from search.store import leases, searches, transitions
from search.store.database import open_engine
from search.store.tables import candidates
from search.vocabulary.errors import Conflict
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause, Status
from tests.search.stored import finished_search, open_recorder, show, submit, train


def test_a_stage_is_decided_once(database_url: str) -> None:
    search_id = finished_search(database_url)
    recorder_plan = open_engine(database_url)
    from search.plan.selection import choose
    from search.plan.stages import make_plan
    from trainers.recipe import find

    with recorder_plan.begin() as connection:
        plan = make_plan(searches.get(connection, search_id).spec, find("planted"))
        stage = plan.build_stage("gm", [])
        choice = choose(projection.read_candidates(connection, search_id)["gm"])
        with pytest.raises(Conflict, match="a stage is decided once: got a second choice for gm"):
            searches.decide(connection, search_id, stage, choice, [])


@pytest.mark.parametrize(
    ("status", "requested"),
    [(Status.QUEUED, Status.PAUSED), (Status.QUEUED, Status.CANCELLED), (Status.PAUSED, Status.CANCELLED)],
)
def test_a_search_that_nobody_runs_is_steered_at_once(database_url: str, status: Status, requested: Status) -> None:
    search_id = submit(database_url)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        transitions.set_status(connection, search_id, status, "")
    with engine.begin() as connection:
        assert searches.request_status(connection, search_id, requested).status == requested
        assert searches.request_status(connection, search_id, requested).status == requested


def test_a_running_search_is_asked_to_stop(database_url: str) -> None:
    search_id = submit(database_url)
    engine = open_engine(database_url)
    leases.acquire(engine, search_id, 60)
    with engine.begin() as connection:
        search = searches.request_status(connection, search_id, Status.PAUSED)
    assert (search.status, search.requested_status) == ("running", "paused")


def test_an_ended_search_is_not_steered(database_url: str) -> None:
    search_id = finished_search(database_url)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        with pytest.raises(Conflict, match=f"unfinished search can be cancelled: got {search_id}, which is done"):
            searches.request_status(connection, search_id, Status.CANCELLED)
        with pytest.raises(Conflict, match=f"or failed search can be resumed: got {search_id}, which is done"):
            searches.resume(connection, search_id)


def test_failed_trials_of_an_undecided_stage_are_retried_and_others_are_not(database_url: str) -> None:
    search_id = submit(database_url)
    first = open_recorder(database_url, search_id, lease_seconds=-1)
    first.open(first._plan.build_stage("gm", []))
    failed = Replicate("gm", Point("main", 1, 0), 0)
    first.finish(first.start(failed), Outcome(cause=Cause.RAISED, detail="a fault"))
    first.finish(first.start(Replicate("gm", Point("main", 2, 0), 0)), Outcome(value=0.9))
    engine = open_engine(database_url)
    with engine.begin() as connection:
        transitions.set_status(connection, search_id, Status.PAUSED, "")
        leases.release(connection, leases.Lease(search_id, 1))
    with engine.begin() as connection:
        assert searches.retry(connection, search_id) == 1
    trained = train(open_recorder(database_url, search_id), search_id)
    assert trained.count(failed) == 1
    assert len(trained) == 36 - 1
    assert show(database_url, search_id).trials.run == 37


def test_a_decided_stage_is_not_retried(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    train(recorder, search_id)
    recorder.finish(recorder.start(Replicate("gm", Point("main", 1, 0), 9)), Outcome(cause=Cause.RAISED, detail="x"))
    refused = pytest.raises(Conflict, match="a decided stage is not changed: got 1 failed trials in stage gm")
    with open_engine(database_url).begin() as connection, refused:
        searches.retry(connection, search_id)


def test_what_a_person_has_written_is_changed_part_by_part(settings: Settings) -> None:
    search_id = submit(settings.database_url, name="first", note="a note")
    with open_engine(settings.database_url).begin() as connection:
        searches.describe(connection, search_id, name="second", tags=["a", "b"])
        search = searches.get(connection, search_id)
        assert (search.name, search.tags, search.note) == ("second", ["a", "b"], "a note")
        searches.describe(connection, search_id, note="")
        assert searches.get(connection, search_id).note == ""


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING])
def test_a_search_that_waits_or_runs_is_not_archived(settings: Settings, status: Status) -> None:
    search_id = submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        transitions.set_status(connection, search_id, status, "")
        with pytest.raises(Conflict, match=f"to be archived: got {search_id}, which is {status}"):
            searches.archive(connection, search_id)
        transitions.set_status(connection, search_id, Status.PAUSED, "")
        searches.archive(connection, search_id)
        since = searches.get(connection, search_id).archived_at
        searches.archive(connection, search_id)
        assert searches.get(connection, search_id).archived_at == since is not None


def test_a_paused_search_is_queued_again_with_what_was_accepted(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        transitions.set_status(connection, search_id, Status.PAUSED, "for a reason")
        searches.resume(connection, search_id, {"recipe": "another"})
        search = searches.get(connection, search_id)
    assert (search.status, search.reason, search.digest) == ("queued", "", {"recipe": "another"})


def test_a_search_that_failed_before_its_first_trial_goes_on_and_has_not_ended(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        transitions.set_status(connection, search_id, Status.FAILED, "a trial must fit on one node")
        assert searches.get(connection, search_id).finished_at is not None
        with pytest.raises(Conflict, match=f"which has none. Go on with: seqnorm resume {search_id}$"):
            searches.retry(connection, search_id)
        searches.resume(connection, search_id)
        search = searches.get(connection, search_id)
    assert (search.status, search.reason, search.finished_at) == ("queued", "", None)
    assert train(open_recorder(settings.database_url, search_id), search_id, stop_after=1)


def test_a_code_change_is_not_accepted_while_a_driver_trains_with_the_code_before(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    engine = open_engine(settings.database_url)
    leases.acquire(engine, search_id, 60)
    refused = f"only while the search does not run: got {search_id}, which is running. Pause it first: seqnorm pause "
    with engine.begin() as connection, pytest.raises(Conflict, match=refused):
        searches.resume(connection, search_id, {"recipe": "another"})
    with engine.begin() as connection:
        searches.resume(connection, search_id, searches.get(connection, search_id).digest)
        assert searches.get(connection, search_id).digest == {}


@pytest.mark.parametrize("again", [searches.resume, searches.retry])
def test_an_archived_search_that_runs_again_is_listed_again(
    settings: Settings, again: Callable[[Connection, str], object]
) -> None:
    search_id = submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        transitions.set_status(connection, search_id, Status.PAUSED, "")
        candidate = {"variant": "main", "gm": 1, "gc": 0, "n": 0, "failed": 1}
        connection.execute(insert(candidates).values(search_id=search_id, stage="gm", **candidate))
        searches.archive(connection, search_id)
        again(connection, search_id)
        assert searches.get(connection, search_id).archived_at is None


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.CANCELLED])
def test_what_a_retry_would_run_is_not_counted_where_it_is_refused(settings: Settings, status: Status) -> None:
    search_id = submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        transitions.set_status(connection, search_id, status, "")
        refused = f"only a paused, failed or done search can be retried: got {search_id}, which is {status}"
        with pytest.raises(Conflict, match=refused):
            searches.count_retriable(connection, search_id)
