"""Security headers on every response, and entity tags on cacheable ones."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Plotly needs inline styles: it sizes figures with style attributes and adds a style element. Scripts load only from
# this service, and none is evaluated from text.
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
    "Cache-Control": "private, no-cache",
}
TAGGED_TYPES = ("application/json", "text/html", "text/plain")


class SecurityHeadersMiddleware:
    """Add the security headers to every response, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; add the headers to its response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class EntityTagMiddleware:
    """Tag each response with a hash of its content; respond 304 to a client that has that content already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; tag its response, or replace it by 304."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return await self._app(scope, receive, send)
        start: Message | None = None
        parts: list[bytes] = []

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = Headers(raw=message["headers"])
                media_type = headers.get("content-type", "").partition(";")[0]
                streamed = "content-length" not in headers
                if message["status"] == 200 and media_type in TAGGED_TYPES and not streamed:
                    start = message
                    return
            elif start is not None:
                parts.append(message.get("body", b""))
                if message.get("more_body"):
                    return
                await _send_response(scope, start, b"".join(parts), send)
                return
            await send(message)

        await self._app(scope, receive, send_tagged)


async def _send_response(scope: Scope, start: Message, body: bytes, send: Send) -> None:
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = MutableHeaders(scope=start)
    headers["ETag"] = tag
    client_tags = [each.strip() for each in Headers(scope=scope).get("if-none-match", "").split(",")]
    if tag in client_tags:
        start["status"], body = 304, b""
        del headers["content-length"]
    await send(start)
    await send({"type": "http.response.body", "body": body})
