"""What happens to a search is recorded in the order in which it happens."""

from __future__ import annotations

import time

from sqlalchemy import select

from search.settings import Settings
from search.store.database import open_engine
from search.store.events import add_event
from search.store.tables import events
from tests.search.stored import submit


def test_events_of_a_search_have_rising_ids_their_kind_detail_and_time(settings: Settings) -> None:
    one, other = submit(settings.database_url), submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        for number, search_id in enumerate((one, other, one)):
            add_event(connection, search_id, "slots", {"slots": number})
        rows = connection.execute(select(events).where(events.c.search_id == one).order_by(events.c.id)).all()
    assert [(row.kind, row.detail) for row in rows] == [
        ("submitted", {}),
        ("slots", {"slots": 0}),
        ("slots", {"slots": 2}),
    ]
    assert all(abs(row.at - time.time()) < 60 for row in rows)


def test_an_event_is_recorded_with_what_it_tells_of_or_not_at_all(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    engine = open_engine(settings.database_url)
    with engine.connect() as connection:
        add_event(connection, search_id, "slots", {})
        connection.rollback()
        assert connection.execute(select(events.c.kind)).scalars().all() == ["submitted"]
