"""What happened to a search, from wherever a reader was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from search.settings import Settings
from search.store import progress, queries, searches, transitions
from search.store.database import Connection, open_engine
from search.vocabulary.errors import NotFound
from search.vocabulary.states import Status
from tests.search.stored import prepare, submit


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    prepare(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        yield connection


@pytest.fixture
def search_id(settings: Settings) -> str:
    """A search that was submitted, described and paused."""
    search_id = submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        searches.describe(connection, search_id, name="mine", note="a note")
        transitions.set_status(connection, search_id, Status.PAUSED, "for a reason")
    return search_id


def test_events_are_read_oldest_first_with_what_they_tell(search_id: str, connection: Connection) -> None:
    submitted, described, paused = queries.list_events(connection, search_id)
    assert [each.kind for each in (submitted, described, paused)] == ["submitted", "described", "status"]
    assert tuple(described.changed or ()) == ("name", "note")
    assert (paused.status, paused.reason) == ("paused", "for a reason")
    assert submitted.at <= described.at <= paused.at


def test_who_has_read_up_to_an_event_reads_on_behind_it(search_id: str, connection: Connection) -> None:
    events = queries.list_events(connection, search_id)
    assert queries.list_events(connection, search_id, limit=2) == events[:2]
    assert queries.list_events(connection, search_id, after=events[1].id) == events[2:]
    assert queries.list_events(connection, search_id, after=events[2].id) == []


def test_a_search_is_as_new_as_its_newest_event(search_id: str, settings: Settings, connection: Connection) -> None:
    newest = queries.list_events(connection, search_id)[-1].id
    assert queries.read_version(connection, search_id) == (newest, False)
    transitions.set_status(connection, search_id, Status.QUEUED, "")
    newer, moves = queries.read_version(connection, search_id)
    assert newer > newest
    assert moves
    assert queries.newest_events(connection, [search_id, "nowhere"]) == {search_id: newer}


def test_how_far_trials_are_makes_a_search_newer_only_for_what_shows_it(search_id: str, connection: Connection) -> None:
    newest, _ = queries.read_version(connection, search_id)
    for replaces in (None, newest + 1):
        told = progress.save(connection, search_id, None, replaces)
        assert queries.read_version(connection, search_id) == (told, False)
        assert queries.read_version(connection, search_id, progress=False) == (newest, False)
    searches.describe(connection, search_id, name="yours")
    described, _ = queries.read_version(connection, search_id, progress=False)
    assert described == queries.read_version(connection, search_id)[0] > told


def test_an_owner_reads_the_ids_of_own_children_alone(search_id: str, connection: Connection) -> None:
    parent = searches.get(connection, search_id)
    before = queries.list_events(connection, search_id)[-1].id
    ids = [searches.submit(connection, parent.spec, parent.plan, {}, who, parent=search_id) for who in ("ada", "eve")]
    read = {
        owner: [event.search for event in queries.list_events(connection, search_id, before, owner=owner)]
        for owner in ("ada", "eve", None)
    }
    assert read == {"ada": [ids[0], None], "eve": [None, ids[1]], None: ids}


def test_an_unknown_search_has_no_version_and_no_events(connection: Connection) -> None:
    assert queries.list_events(connection, "nowhere") == []
    with pytest.raises(NotFound, match="no search has the id 'nowhere'"):
        queries.read_version(connection, "nowhere")
