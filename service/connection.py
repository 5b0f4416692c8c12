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
WRITE_SECONDS = 30.0  # without a client taking anything of what is sent
MAX_CONNECTIONS = 2000


class ConnectionTable:
    """The open connections by source. When there are too many, those without a whole request make room for new ones."""

    def __init__(self, per_source: int, total: int = MAX_CONNECTIONS) -> None:
        self._per_source = per_source or total
        self._total = total
        self._count = 0
        self._by_source: dict[str, dict[Connection, None]] = {}  # in the order of arrival

    def add(self, connection: Connection) -> bool:
        """Add a connection; end another one if there is no room. Return whether there is."""
        source = connection.source
        if len(self._by_source.get(source, ())) >= self._per_source and not self._make_room(source):
            return False
        if self._count >= self._total:
            largest_first = sorted(self._by_source, key=lambda each: -len(self._by_source[each]))
            if not any(self._make_room(each) for each in largest_first):
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

    def _make_room(self, source: str) -> bool:
        """End the oldest connection of a source without a request, else with part of one; return whether one was."""
        for can_go in (Connection.is_idle, Connection.waits_for_body):
            for connection in self._by_source[source]:
                if can_go(connection):
                    self.discard(connection)
                    connection.transport.abort()  # closing would wait for the client to take what was sent
                    return True
        return False


class BoundedState(ServerState):
    """The state of a server that bounds its connections."""

    def __init__(self, table: ConnectionTable) -> None:
        super().__init__()
        self.table = table


class Timer:
    """Calls a function after some seconds, unless it is stopped before."""

    def __init__(self, seconds: float, call: Callable[[], object]) -> None:
        self._seconds = seconds
        self._call = call
        self._handle: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        """Whether the timer is running."""
        return self._handle is not None

    def start(self) -> None:
        """Start the timer unless it is running."""
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._seconds, self._fire)

    def stop(self) -> None:
        """Stop the timer if it is running."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._call()


class Connection(H11Protocol):
    """A connection that a client cannot hold open by doing nothing."""

    server_state: BoundedState

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._header_timer = Timer(HEADER_SECONDS, self._miss_headers)
        self._write_timer = Timer(WRITE_SECONDS, self._check_progress)
        self._unsent_bytes = 0  # when the timer was started
        self._resumed = False  # whether the client has taken so much since then that more was sent

    @property
    def source(self) -> str:
        """Where the connection comes from."""
        return get_source(self.client[0] if self.client else None)

    def is_idle(self) -> bool:
        """Return whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def waits_for_body(self) -> bool:
        """Return whether the body of a request is still to come, and nothing was answered yet."""
        return not self.is_idle() and self.cycle.more_body and not self.cycle.response_started

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin: wait for a request, or refuse the connection."""
        super().connection_made(transport)
        if self.server_state.table.add(self):
            self._header_timer.start()
        else:
            self._refuse(503, "a connection needs room: got none, as all of its source or of the service are in use.")

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.server_state.table.discard(self)
        self._header_timer.stop()
        self._write_timer.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what arrived. What is not a whole request by then must become one soon."""
        super().data_received(data)
        if not self.is_idle():
            self._header_timer.stop()
        elif not self.transport.is_closing():
            self._header_timer.start()

    def on_response_complete(self) -> None:
        """Wait for the next request, a part of which may be here already, and for the client to take the response."""
        super().on_response_complete()
        if self.is_idle() and self.conn.trailing_data[0]:
            self._header_timer.start()
        self._watch_progress()

    def pause_writing(self) -> None:
        """Wait until the client takes what was sent, but not for ever."""
        super().pause_writing()
        self._watch_progress()

    def resume_writing(self) -> None:
        """Go on sending."""
        self._resumed = True
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP request."""
        self._refuse(400, "a request must be valid HTTP/1.1: got something else. Check what sends it.")

    def _miss_headers(self) -> None:
        if self.conn.trailing_data[0]:
            detail = f"the headers of a request must arrive within {HEADER_SECONDS:g} s: got a part. Send it again."
            self._refuse(408, detail)
        else:  # a browser that connected in advance, or a body that nobody reads
            self._close()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer without the application, unless it is just answering, and close the connection."""
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not answering and not self.transport.is_closing():
            self.transport.write(raw_problem(status, detail))
        self._close()

    def _close(self) -> None:
        self._header_timer.stop()
        self._watch_progress()
        self.transport.close()

    def _watch_progress(self) -> None:
        """See to it that what is not sent yet is taken, also while the connection is closing."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes and not self._write_timer.running:
            self._unsent_bytes, self._resumed = unsent_bytes, False
            self._write_timer.start()

    def _check_progress(self) -> None:
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes and not self._resumed and unsent_bytes >= self._unsent_bytes:
            self.transport.abort()
        else:
            self._watch_progress()
