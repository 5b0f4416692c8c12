"""One connection to the server: deadlines for sending a request and for taking a response, and a bound on connections.

uvicorn has neither. It counts connections that never send a request, and then refuses everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from service.problems import raw_problem
from service.source import get_source

HEADER_SECONDS = 10.0  # for the headers of a request to arrive
WRITE_SECONDS = 30.0  # for a client to take what the buffers of a connection hold
MAX_CONNECTIONS = 2000


class ConnectionTable:
    """The open connections by source. When there are too many, idle ones make room for new ones."""

    def __init__(self, per_source: int, total: int = MAX_CONNECTIONS) -> None:
        self._per_source = per_source or total
        self._total = total
        self._count = 0
        self._by_source: dict[str, dict[Connection, None]] = {}  # in the order of arrival

    def add(self, connection: Connection) -> bool:
        """Add a connection; close an idle one if it has no room. Return whether it has."""
        source = connection.source
        if len(self._by_source.get(source, ())) >= self._per_source and not self._close_idle(source):
            return False
        if self._count >= self._total:
            largest = max(self._by_source, key=lambda each: len(self._by_source[each]))
            if not self._close_idle(largest):
                return False
        self._by_source.setdefault(source, {})[connection] = None
        self._count += 1
        return True

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is closed, if it is there."""
        of_source = self._by_source.get(connection.source, {})
        if connection in of_source:
            del of_source[connection]
            self._count -= 1
            if not of_source:
                del self._by_source[connection.source]

    def _close_idle(self, source: str) -> bool:
        """Close the connection of a source that has been without a request for longest; return whether there is one."""
        for connection in self._by_source[source]:
            if connection.idle:
                self.discard(connection)
                connection.close()
                return True
        return False


class BoundedState(ServerState):
    """The state of a server that bounds its connections."""

    def __init__(self, table: ConnectionTable) -> None:
        super().__init__()
        self.table = table


class Deadline:
    """A time by which something must have happened."""

    def __init__(self, seconds: float, miss: Callable[[], object]) -> None:
        self._seconds = seconds
        self._miss = miss
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Wait, unless it is waited for already."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._miss)

    def stop(self) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Connection(H11Protocol):
    """A connection that a client cannot hold open by doing nothing."""

    server_state: BoundedState

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._headers = Deadline(HEADER_SECONDS, self._miss_headers)
        self._writing = Deadline(WRITE_SECONDS, lambda: self.transport.abort())

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def source(self) -> str:
        """Where the connection comes from."""
        return get_source(self.client[0] if self.client else None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin: wait for a request, or refuse the connection."""
        super().connection_made(transport)
        if self.server_state.table.add(self):
            self._headers.start()
        else:
            self._refuse(503, "a service has room for a limited number of connections: got one more. Close some.")

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.server_state.table.discard(self)
        self._headers.stop()
        self._writing.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what arrived. What is not a whole request by then must become one soon."""
        super().data_received(data)
        if not self.idle:
            self._headers.stop()
        elif not self.transport.is_closing():
            self._headers.start()

    def on_response_complete(self) -> None:
        """Wait for the next request. A part of it may be here already."""
        super().on_response_complete()
        if self.idle and self.conn.trailing_data[0]:
            self._headers.start()

    def pause_writing(self) -> None:
        """Wait until the client takes what was sent, but not for ever."""
        super().pause_writing()
        self._writing.start()

    def resume_writing(self) -> None:
        """Go on sending."""
        self._writing.stop()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP request."""
        self._refuse(400, "a request must be valid HTTP/1.1: got something else. Check what sends it.")

    def close(self) -> None:
        """Close an idle connection."""
        self._headers.stop()
        self.transport.close()

    def _miss_headers(self) -> None:
        if self.conn.trailing_data[0]:
            detail = f"the headers of a request must arrive within {HEADER_SECONDS:g} s: got a part. Send it again."
            self._refuse(408, detail)
        else:  # a browser that connected in advance, or a body that nobody reads
            self.close()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer without the application, unless it is just answering, and close the connection."""
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not answering and not self.transport.is_closing():
            self.transport.write(raw_problem(status, detail))
        self.close()
