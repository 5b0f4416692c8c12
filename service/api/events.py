"""What happens to a search, as it is committed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from service.access import identify
from service.api.parameters import LARGEST, After, Visible
from service.store import Store
from service.stream import Follower, follower_of

router = APIRouter(prefix="/searches/{id}")
CHECK_SECONDS = 30.0  # between two looks at whether the token still counts
RECONNECT_MS = 1000


def follower(request: Request) -> Follower:
    """Return the service's follower, if it has room for one more."""
    found = follower_of(request)
    found.require_room()
    return found


@router.get("/events", response_class=EventSourceResponse)
async def follow(
    request: Request,
    stores: Store,
    id: Visible,
    follower: Annotated[Follower, Depends(follower)],
    after: After = 0,
    last_event_id: Annotated[int | None, Header(ge=0, le=LARGEST)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Stream what happens to a search, in the order it was committed, from the start or after an event's id.

    ``Last-Event-ID``, which browsers send when they reconnect, goes before ``after``. A stream ends with its token.
    """
    checked = time.monotonic()
    yield ServerSentEvent(comment="following", retry=RECONNECT_MS)
    async for events in follower.follow(id, after if last_event_id is None else last_event_id):
        for event in events or ():
            yield ServerSentEvent(data=event, id=str(event["id"]))
        if time.monotonic() - checked >= CHECK_SECONDS:
            checked = time.monotonic()
            if await run_in_threadpool(identify, stores, request) is None:
                return
