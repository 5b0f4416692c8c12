"""Event streams: one task polls the database for all of them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from search.settings import Settings
from search.store import queries, searches
from service import event_notifier
from service.admission import Admission
from service.database import Database
from service.event_notifier import EventNotifier
from tests.search.stored import submit
from tests.service.loops import run


def rename(database: Database, search_id: str, times: int) -> None:
    """Have something happen to a search."""
    for number in range(times):
        with database.write() as connection:
            searches.describe(connection, search_id, name=str(number))


def test_a_stream_has_what_happened_and_then_what_happens(settings: Settings) -> None:
    search_id, database = submit(settings.database_url), Database(settings)

    async def follow() -> list[object]:
        notifier = EventNotifier(database, Admission())
        polling = asyncio.create_task(notifier.poll())
        async with aclosing(notifier.subscribe(search_id, 0, "ada")) as portions:
            seen = list(await anext(portions) or [])
            rename(database, search_id, 2)
            while len(seen) < 3:
                seen += await anext(portions) or []
        polling.cancel()
        return seen

    seen = run(follow())
    with database.read_engine.connect() as connection:
        assert seen == queries.list_events(connection, search_id)


def test_what_is_too_much_for_one_portion_comes_in_several_without_a_wait(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_notifier, "BATCH_SIZE", 2)
    search_id, database = submit(settings.database_url), Database(settings)
    rename(database, search_id, 4)

    async def follow() -> list[int]:
        async with aclosing(EventNotifier(database, Admission()).subscribe(search_id, 0, "ada")) as portions:
            return [len(await anext(portions) or []) for _ in range(3)]

    assert run(follow()) == [2, 2, 1]


def test_a_server_that_ends_ends_its_streams(settings: Settings) -> None:
    search_id, database = submit(settings.database_url), Database(settings)

    async def follow() -> int:
        notifier = EventNotifier(database, Admission())
        seen = 0
        async for events in notifier.subscribe(search_id, 0, "ada"):
            seen += len(events or [])
            notifier.closing = True
        return seen

    assert run(follow()) == 1
