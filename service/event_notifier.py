"""Event streams: one task polls the database for all open streams and wakes those whose search has new events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from search.store import queries
from search.views import EventView
from service.admission import Admission, Lane
from service.database import Database
from service.open_responses import OpenResponses

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
RETRY_SECONDS = 2.0  # after an error of the database
IDLE_SECONDS = 1.0  # after which a subscriber without new events is called anyway
MAX_STREAMS = 500
MAX_STREAMS_OF_TOKEN = 50
BATCH_SIZE = 500  # events that a stream reads at once


class EventNotifier:
    """Yields the events of a search to each subscriber. Lives on the server's event loop."""

    def __init__(self, database: Database, admission: Admission) -> None:
        self._database = database
        self._admission = admission
        self._waiting: dict[str, set[asyncio.Event]] = {}  # by search id
        self._newest: dict[str, int] = {}  # id of the newest event, by search id
        self.closing = False  #: set when the server shuts down; ends all streams
        self.streams = OpenResponses("event streams", MAX_STREAMS_OF_TOKEN, MAX_STREAMS)  #: open ones

    async def subscribe(
        self, search_id: str, after: int, who: str, owner: str | None = None
    ) -> AsyncIterator[list[EventView] | None]:
        """Yield the events of a search with ids above ``after``, in order; None about once a second without any.

        Args:
            search_id: the search.
            after: id of the last event that the subscriber has.
            who: the subscriber, who takes turns with others in reading.
            owner: hides the ids of other owners' children.
        """
        wake_up = asyncio.Event()
        wake_up.set()  # read the events that exist already
        self._waiting.setdefault(search_id, set()).add(wake_up)
        try:
            while not self.closing:
                events: list[EventView] = []
                if wake_up.is_set():
                    wake_up.clear()
                    events = await self._admission.run(Lane.FOLLOW, who, self._read_events, search_id, after, owner)
                if events:
                    after = events[-1].id
                    if len(events) == BATCH_SIZE:
                        wake_up.set()
                yield events or None
                if not wake_up.is_set():
                    await _wait(wake_up, IDLE_SECONDS)
        finally:
            self._waiting[search_id].discard(wake_up)
            if not self._waiting[search_id]:
                del self._waiting[search_id]
                self._newest.pop(search_id, None)

    async def poll(self) -> None:
        """Poll for new events and wake the subscribers, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._waiting:
                continue
            try:
                newest = await run_in_threadpool(self._read_newest, list(self._waiting))
            except Exception:  # for example a database that restarts: streams stay open and lose no event
                log.exception("cannot read new events; retrying in %g s", RETRY_SECONDS)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for search_id, event_id in newest.items():
                if self._newest.get(search_id) != event_id:
                    self._newest[search_id] = event_id
                    for wake_up in self._waiting.get(search_id, ()):
                        wake_up.set()

    def _read_events(self, search_id: str, after: int, owner: str | None) -> list[EventView]:
        with self._database.read_engine.connect() as connection:
            return queries.list_events(connection, search_id, after, BATCH_SIZE, owner)

    def _read_newest(self, search_ids: list[str]) -> dict[str, int]:
        with self._database.read_engine.connect() as connection:
            return queries.newest_events(connection, search_ids)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def get_event_notifier(request: Request) -> EventNotifier:
    """Return the application's event notifier."""
    notifier: EventNotifier = request.app.state.notifier
    return notifier
