"""Following searches: one reader of the database for all open streams, which then read what is theirs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from search.store import queries
from search.views import EventView
from search.vocabulary.errors import StoreUnavailable
from service.database import Stores

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2  # between two looks at whether a followed search has something new
AFTER_FAULT_SECONDS = 2.0
MAX_STREAMS = 500
AT_ONCE = 500  # events that a stream reads at once


class Follower:
    """Tells streams when there is something new of their search. Lives on the event loop of the server."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._newest: dict[str, int] = {}
        self.ending = False
        self.count = 0  #: of open streams

    def require_room(self) -> None:
        """Refuse more streams than the process can serve.

        Raises:
            StoreUnavailable: if there are too many.
        """
        if self.count >= MAX_STREAMS:
            raise StoreUnavailable(
                f"a service has {MAX_STREAMS} streams at the most: got {self.count}. Try again later."
            )

    async def follow(self, search_id: str, after: int) -> AsyncIterator[list[EventView] | None]:
        """Yield the events of a search with ids above ``after``, in order; None now and then where nothing is new."""
        news = asyncio.Event()
        news.set()  # what there is already
        self._waiting.setdefault(search_id, set()).add(news)
        self.count += 1
        try:
            while not self.ending:
                events: list[EventView] = []
                if news.is_set():
                    news.clear()
                    events = await run_in_threadpool(self._read, search_id, after)
                if events:
                    after = events[-1].id
                    if len(events) == AT_ONCE:
                        news.set()
                yield events or None
                if not news.is_set():
                    await _within(news, 1.0)
        finally:
            self.count -= 1
            self._waiting[search_id].discard(news)
            if not self._waiting[search_id]:
                del self._waiting[search_id]
                self._newest.pop(search_id, None)

    async def look(self) -> None:
        """Look for news until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._waiting:
                continue
            try:
                newest = await run_in_threadpool(self._read_newest, list(self._waiting))
            except Exception:  # a database that restarts, say: streams stay open, and miss nothing
                log.exception("streams have to wait")
                await asyncio.sleep(AFTER_FAULT_SECONDS)
                continue
            for search_id, event_id in newest.items():
                if self._newest.get(search_id) != event_id:
                    self._newest[search_id] = event_id
                    for news in self._waiting.get(search_id, ()):
                        news.set()

    def _read(self, search_id: str, after: int) -> list[EventView]:
        with self._stores.reading.connect() as connection:
            return queries.list_events(connection, search_id, after, AT_ONCE)

    def _read_newest(self, search_ids: list[str]) -> dict[str, int]:
        with self._stores.reading.connect() as connection:
            return queries.newest_events(connection, search_ids)


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def follower_of(request: Request) -> Follower:
    """Return the service's follower."""
    follower: Follower = request.app.state.follower
    return follower
