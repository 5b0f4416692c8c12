"""Asks an application in this process: without a server, sockets or a client's own checks of what is sent."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urlencode

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

HOST = "127.0.0.1"
SECONDS = 60.0  # for an answer


@dataclass(frozen=True)
class Answer:
    """An answer, whole."""

    status: int
    headers: Headers
    content: bytes

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """Return the content of an answer in JSON."""
        return json.loads(self.content)


class Client:
    """Sends requests to an application on an event loop of its own."""

    def __init__(self, app: ASGIApp, loop: asyncio.AbstractEventLoop) -> None:
        self._app, self._loop = app, loop

    def send(self, method: str, path: str, headers: Mapping[str, str], content: bytes = b"") -> Answer:
        """Send a request and wait for the end of its answer."""
        asked = self._ask(method, path, {"Host": HOST, **headers}, content)
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(SECONDS)

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> Answer:
        raw, _, query = path.partition("?")
        messages: list[Message] = [{"type": "http.request", "body": content}]
        status, answered, parts = 0, Headers(), []

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()  # the client stays
            raise AssertionError

        async def send(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], Headers(raw=message["headers"])
            else:
                parts.append(message.get("body", b""))

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote_to_bytes(raw).decode(errors="replace"),
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": (HOST, 50000),
            "server": (HOST, 80),
            "state": {},
        }
        try:
            await self._app(scope, receive, send)
        except Exception:  # as uvicorn does
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
        return Answer(status, answered, b"".join(parts))


@contextmanager
def asking(app: Any) -> Iterator[Client]:
    """Start an application and yield a client of it."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    end = asyncio.Event()

    async def live() -> None:  # one task, as with uvicorn: a task group is left by the task that entered it
        async with app.router.lifespan_context(app):
            started.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    life = asyncio.run_coroutine_threadsafe(live(), loop)
    try:
        assert started.wait(SECONDS), life
        yield Client(app, loop)
    finally:
        loop.call_soon_threadsafe(end.set)
        life.result(SECONDS)
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS)
        loop.close()


def with_query(path: str, **values: str) -> str:
    """Return a path with a query."""
    return f"{path}?{urlencode(values)}"
