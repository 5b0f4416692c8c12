"""Admission: a bound on the requests that use the database at once, and on how long the others wait for a place.

A request takes a place before its first connection and gives it back when its response starts, so a client that reads
slowly holds none. There are as many connections as all places can use, so whoever has a place never waits for one, and
nobody who holds a connection waits for somebody who waits for one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
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
    CHECK = "check"  # may also wait for a data set to be looked at
    FOLLOW = "follow"  # between two pieces of an event stream
    DOWNLOAD = "download"  # between two pieces of a file


PLACES = {Lane.READ: 6, Lane.WRITE: 4, Lane.CHECK: 3, Lane.FOLLOW: 2, Lane.DOWNLOAD: 2}
TASKS = 4  # of the service itself that use the database
READ_CONNECTIONS = sum(PLACES.values()) + PLACES[Lane.WRITE] + PLACES[Lane.CHECK] + TASKS  # a change reads twice
WRITE_CONNECTIONS = PLACES[Lane.WRITE] + PLACES[Lane.CHECK] + TASKS


class Queue:
    """The places of a lane. Those who wait take turns by who they are, each in the order of arrival.

    So a crowd of one caller delays another caller by the requests that are served, not by those that wait.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()  # the next turn is first

    async def take(self, who: str) -> None:
        """Take a place, when it is one's turn."""
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given a place in the same moment
                self.give_back()
            raise

    def give_back(self) -> None:
        """Give a place to who is next."""
        while self._waiting:
            who, turns = next(iter(self._waiting.items()))
            turn = turns.popleft()
            self._waiting.move_to_end(who)
            if not turns:
                del self._waiting[who]
            if not turn.done():  # who waited for it has not left
                turn.set_result(None)
                return
        self._free += 1


class Admission:
    """Gives out the places of a process. Lives on the server's event loop."""

    def __init__(self, places: Mapping[Lane, int] = PLACES, wait_seconds: float = WAIT_SECONDS) -> None:
        self._places = places
        self._queues = {lane: Queue(count) for lane, count in places.items()}
        self._wait_seconds = wait_seconds

    @asynccontextmanager
    async def place(self, lane: Lane, who: str) -> AsyncIterator[Callable[[], None]]:
        """Hold a place of a lane. Yields what gives it back before the end.

        Raises:
            Busy: if it is not one's turn within ``wait_seconds``.
        """
        queue = self._queues[lane]
        try:
            async with asyncio.timeout(self._wait_seconds):
                await queue.take(who)
        except TimeoutError:
            raise Busy(
                f"a service handles {self._places[lane]} {lane} requests at once: all places stayed taken for "
                f"{self._wait_seconds:g} s. Try again shortly."
            ) from None
        with ExitStack() as stack:
            stack.callback(queue.give_back)
            yield lambda: stack.pop_all().close()

    async def run(self, lane: Lane, who: str, work: Callable[..., Result], *arguments: object) -> Result:
        """Run a piece of a response that has started in a thread, however long it waits for its turn."""
        queue = self._queues[lane]
        await queue.take(who)
        try:
            return await run_in_threadpool(work, *arguments)
        finally:
            queue.give_back()


async def get_admission(request: Request) -> Admission:
    """Return the application's admission."""
    admission: Admission = request.app.state.admission
    return admission


AppAdmission = Annotated[Admission, Depends(get_admission)]
