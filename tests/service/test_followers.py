"""Following searches: one reader of the database for all open streams."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from search.settings import Settings
from search.store import queries, searches
from service import followers
from service.database import Stores
from tests.search.stored import submit
from tests.service.loops import run


def test_more_streams_than_a_process_serves_are_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "MAX_STREAMS", 0)
    follower = followers.Follower(Stores(settings))
    with pytest.raises(Exception, match="a service has 0 streams at the most: got 0"):
        follower.require_room()


def rename(stores: Stores, search_id: str, times: int) -> None:
    """Have something happen to a search."""
    for number in range(times):
        with stores.write() as connection:
            searches.describe(connection, search_id, name=str(number))


def test_a_stream_has_what_happened_and_then_what_happens(settings: Settings) -> None:
    search_id, stores = submit(settings.database_url), Stores(settings)

    async def follow() -> list[object]:
        follower = followers.Follower(stores)
        looking = asyncio.create_task(follower.look())
        async with aclosing(follower.follow(search_id, 0)) as portions:
            seen = list(await anext(portions) or [])
            assert follower.count == 1
            rename(stores, search_id, 2)
            while len(seen) < 3:
                seen += await anext(portions) or []
        assert follower.count == 0
        looking.cancel()
        return seen

    seen = run(follow())
    with stores.reading.connect() as connection:
        assert seen == queries.list_events(connection, search_id)


def test_what_is_too_much_for_one_portion_comes_in_several_without_a_wait(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "AT_ONCE", 2)
    search_id, stores = submit(settings.database_url), Stores(settings)
    rename(stores, search_id, 4)

    async def follow() -> list[int]:
        async with aclosing(followers.Follower(stores).follow(search_id, 0)) as portions:
            return [len(await anext(portions) or []) for _ in range(3)]

    assert run(follow()) == [2, 2, 1]


def test_a_server_that_ends_ends_its_streams(settings: Settings) -> None:
    search_id, stores = submit(settings.database_url), Stores(settings)

    async def follow() -> int:
        follower = followers.Follower(stores)
        seen = 0
        async for events in follower.follow(search_id, 0):
            seen += len(events or [])
            follower.ending = True
        return seen

    assert run(follow()) == 1
