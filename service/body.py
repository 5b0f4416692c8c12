"""Bodies of requests: counted as they stream in, since a length can be left out or wrong, and never waited for long."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BYTES = 2**20
READ_SECONDS = 10.0


class BodyLimit:
    """Middleware that refuses a body that is too large, or does not arrive."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BYTES, read_seconds: float = READ_SECONDS) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._read_seconds = read_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a body that is watched."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        received, whole = 0, False
        deadline = asyncio.get_running_loop().time() + self._read_seconds

        async def watched() -> Message:
            nonlocal received, whole
            if whole:  # what follows is the client's leaving, which may take as long as it likes
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                said = f"a body must arrive within {self._read_seconds:g} s: got {received} bytes. Send it again."
                raise HTTPException(408, said) from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > self._max_bytes:
                raise HTTPException(413, f"a body may have {self._max_bytes} bytes: got more. Send less at once.")
            return message

        await self._app(scope, watched, send)
