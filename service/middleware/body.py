"""Limit the size and duration of request bodies. Bytes are counted: Content-Length can be missing or wrong."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import problem_response

MAX_BYTES = 2**20
READ_SECONDS = 10.0


class BodyLimitMiddleware:
    """Refuse a body that is too large or arrives too slowly.

    Starlette's own limit responds in plain text and has no timeout.
    """

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BYTES, read_seconds: float = READ_SECONDS) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._read_seconds = read_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; count and time its body as the application reads it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        too_large = f"a body may have at most {self._max_bytes} bytes: got more. Send less at once."
        content_length = Headers(scope=scope).get("content-length", "")
        if content_length.isdecimal() and int(content_length) > self._max_bytes:
            return await problem_response(413, too_large)(scope, receive, send)
        received, complete = 0, False
        deadline: float | None = None

        async def receive_limited() -> Message:
            nonlocal deadline, received, complete
            if complete:  # the next message is the disconnect, which may come at any time
                return await receive()
            deadline = deadline or asyncio.get_running_loop().time() + self._read_seconds
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                detail = f"a body must arrive within {self._read_seconds:g} s: got {received} bytes. Send it again."
                raise HTTPException(408, detail) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self._max_bytes:
                raise HTTPException(413, too_large)
            return message

        await self._app(scope, receive_limited, send)
