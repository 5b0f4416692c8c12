"""What happens to a search, as it is committed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from search.views import EventView
from service.api.parameters import LARGEST, After, Visible
from service.database import Store
from service.followers import Follower, follower_of
from service.middleware.access import identify

router = APIRouter(prefix="/searches/{id}")
CHECK_SECONDS = 30.0  # between two looks at whether the token still counts
QUIET_SECONDS = 15.0  # after which a comment tells everything between us and the client that the stream lives
RECONNECT_MS = 1000


class EventStream(StreamingResponse):
    """Server-sent events. (The framework's own logs an error whenever a client leaves while events come.)"""

    media_type = "text/event-stream"


def follower(request: Request) -> Follower:
    """Return the service's follower, if it has room for one more."""
    found = follower_of(request)
    found.require_room()
    return found


@router.get(
    "/events",
    response_class=EventStream,
    responses={200: {"description": "Server-sent events; the data of each is an EventView in JSON."}},
)
async def follow(
    request: Request,
    stores: Store,
    id: Visible,
    follower: Annotated[Follower, Depends(follower)],
    after: After = 0,
    last_event_id: Annotated[int | None, Header(ge=0, le=LARGEST)] = None,
) -> EventStream:
    """Stream what happens to a search, in the order it was committed, from the start or after an event's id.

    ``Last-Event-ID``, which browsers send when they reconnect, goes before ``after``. A stream ends with its token.
    """

    async def lines() -> AsyncIterator[str]:
        yield f"retry: {RECONNECT_MS}\n\n"
        checked = said = time.monotonic()
        async for events in follower.follow(id, after if last_event_id is None else last_event_id):
            now = time.monotonic()
            if events:
                said = now
                yield "".join(map(written, events))
            elif now - said >= QUIET_SECONDS:
                said = now
                yield ": nothing new\n\n"
            if now - checked >= CHECK_SECONDS:
                checked = now
                if await run_in_threadpool(identify, stores, request) is None:
                    return

    return EventStream(lines())


def written(event: EventView) -> str:
    """Write an event as the stream has it."""
    return f"id: {event.id}\ndata: {event.model_dump_json(exclude_unset=True)}\n\n"
