"""What every answer carries, and what lets a client skip one that it has."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Plotly sizes its drawings through style attributes and writes its rules into a style element; scripts come from here
# alone, and none is evaluated from text.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TAGGED = ("application/json", "text/html", "text/plain")  # kinds of answers that are small and whole


class SecurityHeaders:
    """Middleware that adds the same headers to every answer, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with more headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "private, no-cache")
            await send(message)

        await self._app(scope, receive, with_headers)


class EntityTags:
    """Middleware that names each answer by its content; a client that has it is told so, without the content."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with 304 where nothing is new."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return await self._app(scope, receive, send)
        start: Message | None = None
        parts: list[bytes] = []

        async def tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                kind = Headers(scope=message).get("content-type", "").partition(";")[0]
                if message["status"] == 200 and kind in TAGGED:
                    start = message
                    return
            elif start is not None:
                parts.append(message.get("body", b""))
                if message.get("more_body"):
                    return
                await _answer(scope, start, b"".join(parts), send)
                return
            await send(message)

        await self._app(scope, receive, tagged)


async def _answer(scope: Scope, start: Message, body: bytes, send: Send) -> None:
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = MutableHeaders(scope=start)
    headers["ETag"] = tag
    known = [each.strip() for each in Headers(scope=scope).get("if-none-match", "").split(",")]
    if tag in known:
        start["status"], body = 304, b""
        del headers["content-length"]
    await send(start)
    await send({"type": "http.response.body", "body": body})
