"""Read request bodies before anything waits for them. Bytes are counted: Content-Length can be missing or wrong."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import error_response, problem_response

MAX_BYTES = 2**20
MAX_BYTES_OF_ALL = 64 * 2**20  # that a process holds for requests whose bodies arrive
READ_SECONDS = 10.0
MAX_DIGITS = 15  # of a Content-Length; Python refuses to convert thousands


class BodyMiddleware:
    """Pass a request on once its body is there. Refuse a body that is too large or arrives too slowly.

    So a slow body keeps no place and no thread. Starlette's own limit responds in plain text and has no timeout.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int = MAX_BYTES,
        read_seconds: float = READ_SECONDS,
        max_bytes_of_all: int = MAX_BYTES_OF_ALL,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._read_seconds = read_seconds
        self._max_bytes_of_all = max_bytes_of_all
        self._held = 0  # bytes of all requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body of a request, then pass the request on."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
            return await self._app(scope, receive, send)  # no body
        body = bytearray()
        try:
            refusal = await self._read(Request(scope, receive), body)
            if refusal is not None:
                return await refusal(scope, receive, send)
            message: Message | None = {"type": "http.request", "body": bytes(body), "more_body": False}

            async def receive_read() -> Message:
                nonlocal message
                read, message = message, None
                return read or await receive()  # what comes after the body is that the client leaves

            await self._app(scope, receive_read, send)
        finally:
            self._held -= len(body)

    async def _read(self, request: Request, body: bytearray) -> Response | None:
        """Read a body; return what to respond if it is refused."""
        too_large = problem_response(
            413, f"a body may have at most {self._max_bytes} bytes: got more. Send less at once."
        )
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > MAX_DIGITS or int(announced) > self._max_bytes):
            return too_large
        try:
            async with asyncio.timeout(self._read_seconds):
                async for chunk in request.stream():
                    body += chunk
                    self._held += len(chunk)
                    if len(body) > self._max_bytes:
                        return too_large
                    if self._held > self._max_bytes_of_all:
                        return error_response(
                            request,
                            503,
                            f"a service holds {self._max_bytes_of_all} bytes of bodies at once: got more. "
                            "Try again shortly.",
                        )
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        except TimeoutError:
            return problem_response(
                408, f"a body must arrive within {self._read_seconds:g} s: got {len(body)} bytes. Send it again."
            )
        return None
