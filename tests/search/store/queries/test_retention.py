"""Which searches' files may go."""

from __future__ import annotations

from sqlalchemy import update

from search.plan.selection import Point
from search.settings import Settings
from search.store import queries
from search.store.database import now, open_engine
from search.store.tables import searches
from tests.search.stored import finished_search, submit

SMALL = {"gm": [1, 8], "gc": [4], "seeds": 2, "test_seeds": 1}


def test_searches_that_ended_long_ago_are_found_with_the_point_they_chose(settings: Settings) -> None:
    old, recent = (finished_search(settings.database_url, **SMALL) for _ in range(2))
    cancelled, paused = submit(settings.database_url), submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        for search_id, status in ((old, "done"), (cancelled, "cancelled"), (paused, "paused")):
            here = searches.c.id == search_id
            connection.execute(update(searches).where(here).values(status=status, finished_at=now() - 100))
        found = queries.find_ended(connection, 50, [old, recent, cancelled, paused, "nowhere"])
        assert found == {old: Point("main", 8, 4), cancelled: None}
        assert queries.find_ended(connection, 50, [recent]) == {}


def test_a_parent_is_kept_until_its_child_has_ended(settings: Settings) -> None:
    parent, child = finished_search(settings.database_url, **SMALL), submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        for status, kept in (("paused", True), ("failed", False)):
            connection.execute(update(searches).where(searches.c.id == child).values(status=status, parent=parent))
            assert (queries.find_ended(connection, 0, [parent]) == {}) == kept


def test_known_ids_are_told_apart_however_many_are_asked_about(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    with open_engine(settings.database_url).connect() as connection:
        strange = [f"strange{number}" for number in range(1200)]
        assert queries.find_known(connection, [*strange, search_id]) == {search_id}
        assert queries.find_known(connection, []) == set()
