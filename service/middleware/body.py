"""Bodies of requests: counted as they stream in, since a length can be left out or wrong, and never waited for long."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import problem

MAX_BYTES = 2**20
READ_SECONDS = 10.0


class BodyLimit:
    """Middleware that refuses a body that is too large, or does not arrive.

    The framework's own limit answers in plain text, and waits for as long as a client likes.
    """

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BYTES, read_seconds: float = READ_SECONDS) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._read_seconds = read_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a body that is watched."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        too_large = f"a body may have {self._max_bytes} bytes: got more. Send less at once."
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            return await problem(413, too_large)(scope, receive, send)
        received, whole = 0, False
        deadline: float | None = None

        async def watched() -> Message:
            nonlocal deadline, received, whole
            if whole:  # what follows is the client's leaving, which may take as long as it likes
                return await receive()
            deadline = deadline or asyncio.get_running_loop().time() + self._read_seconds
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                said = f"a body must arrive within {self._read_seconds:g} s: got {received} bytes. Send it again."
                raise HTTPException(408, said) from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > self._max_bytes:
                raise HTTPException(413, too_large)
            return message

        await self._app(scope, watched, send)
