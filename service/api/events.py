"""Stream the events of a search as they are committed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request

from search.views import EventView
from service.admission import AppAdmission, Lane
from service.api.parameters import MAX_INTEGER, After, VisibleId
from service.database import AppDatabase
from service.event_notifier import EventNotifier, get_event_notifier
from service.middleware.access import CurrentCaller, identify
from service.open_responses import CountedResponse
from service.route import OneVisitRoute

router = APIRouter(prefix="/searches/{id}", route_class=OneVisitRoute)
RECHECK_SECONDS = 30.0  # between two checks that the token is still valid
KEEPALIVE_SECONDS = 15.0  # without an event; then a comment keeps proxies and the client from closing the stream
RECONNECT_MS = 1000


class EventStreamResponse(CountedResponse):
    """Server-sent events. FastAPI's own response logs an error whenever a client disconnects during a stream."""

    media_type = "text/event-stream"


@router.get(
    "/events",
    response_class=EventStreamResponse,
    responses={200: {"description": "Server-sent events; the data of each is an EventView in JSON."}},
)
async def follow(
    request: Request,
    caller: CurrentCaller,
    database: AppDatabase,
    admission: AppAdmission,
    notifier: Annotated[EventNotifier, Depends(get_event_notifier)],
    id: VisibleId,
    after: After = 0,
    last_event_id: Annotated[int | None, Header(ge=0, le=MAX_INTEGER)] = None,
) -> EventStreamResponse:
    """Stream the events of a search in the order of their commits, from the first one or after an event's id.

    ``Last-Event-ID``, which browsers send when they reconnect, takes precedence over ``after``. A stream ends when its
    token expires or is revoked.
    """

    async def lines() -> AsyncIterator[str]:
        yield f"retry: {RECONNECT_MS}\n\n"
        checked = sent = time.monotonic()
        first = after if last_event_id is None else last_event_id
        async for events in notifier.subscribe(id, first, caller.token.id, caller.only_owner):
            now = time.monotonic()
            if events:
                sent = now
                yield "".join(map(format_event, events))
            elif now - sent >= KEEPALIVE_SECONDS:
                sent = now
                yield ": no new events\n\n"
            if now - checked >= RECHECK_SECONDS:
                checked = now
                if await admission.run(Lane.FOLLOW, caller.token.id, identify, database, request) is None:
                    return

    return EventStreamResponse(lines(), notifier.streams, caller.token.id)


def format_event(event: EventView) -> str:
    """Format an event as a server-sent event."""
    return f"id: {event.id}\ndata: {event.model_dump_json(exclude_unset=True)}\n\n"
