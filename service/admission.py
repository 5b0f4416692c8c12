"""Admission: a bound on the requests that use the database at once, and on how long the others wait for a place.

A request takes a place before its first connection and gives it back when its response starts, so a client that reads
slowly holds none. There are fewer places than connections and threads, so no request that has a place waits for either:
nobody who holds a connection waits for somebody who waits for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from enum import StrEnum
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from search.vocabulary.errors import Busy

Result = TypeVar("Result")

WAIT_SECONDS = 1.0  # for a place, before a request is refused


class Lane(StrEnum):
    """What a place is for. Each kind has its own, so that nobody waits behind another kind."""

    READ = "read"
    WRITE = "write"  # may wait for other writers
    FOLLOW = "follow"  # event streams and downloads, between two pieces of their response


PLACES = {Lane.READ: 6, Lane.WRITE: 4, Lane.FOLLOW: 2}
CONNECTIONS_OF_PLACE = 2  # at most, of each engine
CONNECTIONS = CONNECTIONS_OF_PLACE * sum(PLACES.values()) + 4  # the rest is for the tasks of the service itself


class Admission:
    """Gives out the places of a process. Lives on the server's event loop."""

    def __init__(self, places: Mapping[Lane, int] = PLACES, wait_seconds: float = WAIT_SECONDS) -> None:
        self._places = places
        self._free = {lane: asyncio.Semaphore(count) for lane, count in places.items()}
        self._wait_seconds = wait_seconds

    @asynccontextmanager
    async def place(self, lane: Lane) -> AsyncIterator[Callable[[], None]]:
        """Hold a place of a lane, in the order of arrival. Yields what gives it back before the end.

        Raises:
            Busy: if none becomes free within ``wait_seconds``.
        """
        free = self._free[lane]
        try:
            async with asyncio.timeout(self._wait_seconds):
                await free.acquire()
        except TimeoutError:
            raise Busy(
                f"a service handles at most {self._places[lane]} {lane} requests at once: got more, and none ended "
                f"within {self._wait_seconds:g} s. Try again shortly."
            ) from None
        with ExitStack() as stack:
            stack.callback(free.release)
            yield lambda: stack.pop_all().close()

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Run a piece of a response that has started in a thread, however long it waits for a place."""
        async with self._free[Lane.FOLLOW]:
            return await run_in_threadpool(work, *arguments)


async def get_admission(request: Request) -> Admission:
    """Return the application's admission."""
    admission: Admission = request.app.state.admission
    return admission


AppAdmission = Annotated[Admission, Depends(get_admission)]
