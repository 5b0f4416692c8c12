"""Read request bodies before anything waits for them. Bytes are counted: Content-Length can be missing or wrong."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.accounts.guesses import Guesses
from service.middleware.gate import is_public, is_upload, read_credential
from service.problems import error_response, problem_response

MAX_BYTES = 2**20
MAX_PUBLIC_BYTES = 8 * 1024  # of a login form
MAX_BYTES_OF_KNOWN = 48 * 2**20  # of bodies that a process holds for credentials that were right before
MAX_BYTES_OF_OTHERS = 16 * 2**20  # of bodies for all others
READ_SECONDS = 10.0
MAX_DIGITS = 15  # of a Content-Length; Python refuses to convert thousands


class BodyMiddleware:
    """Pass a request on once its body is there. Refuse a body that is too large or arrives too slowly.

    So a slow body keeps no place and no thread. Starlette's own limit responds in plain text and has no timeout.
    """

    def __init__(
        self,
        app: ASGIApp,
        guesses: Guesses,
        max_bytes: int = MAX_BYTES,
        read_seconds: float = READ_SECONDS,
        max_bytes_of_known: int = MAX_BYTES_OF_KNOWN,
        max_bytes_of_others: int = MAX_BYTES_OF_OTHERS,
    ) -> None:
        self._app = app
        self._guesses = guesses
        self._max_bytes = max_bytes
        self._read_seconds = read_seconds
        self._max_held = {True: max_bytes_of_known, False: max_bytes_of_others}
        self._held = {True: 0, False: 0}  # bytes of all requests, by whether the credential is known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body of a request, then pass the request on."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
            return await self._app(scope, receive, send)  # no body
        if is_upload(scope):
            return await self._app(scope, receive, send)  # a file, read where the caller is known
        request, body = Request(scope, receive), bytearray()
        credential = read_credential(request)
        known = credential is not None and self._guesses.was_right(credential.key) is True
        try:
            refusal = await self._read(request, body, known)
            if refusal is not None:
                return await refusal(scope, receive, send)
            message: Message | None = {"type": "http.request", "body": bytes(body), "more_body": False}

            async def receive_read() -> Message:
                nonlocal message
                read, message = message, None
                return read or await receive()  # what comes after the body is that the client leaves

            await self._app(scope, receive_read, send)
        finally:
            self._held[known] -= len(body)

    async def _read(self, request: Request, body: bytearray, known: bool) -> Response | None:
        """Read a body; return what to respond if it is refused."""
        max_bytes = min(self._max_bytes, MAX_PUBLIC_BYTES) if is_public(request.url.path) else self._max_bytes
        too_large = problem_response(413, f"a body may have at most {max_bytes} bytes: got more. Send less at once.")
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > MAX_DIGITS or int(announced) > max_bytes):
            return too_large
        try:
            async with asyncio.timeout(self._read_seconds):
                async for chunk in request.stream():
                    body += chunk
                    self._held[known] += len(chunk)
                    if len(body) > max_bytes:
                        return too_large
                    if self._held[known] > self._max_held[known]:
                        return error_response(
                            request,
                            503,
                            f"a service reads {self._max_held[known]} bytes of bodies at once: got more. "
                            "Try again shortly.",
                        )
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        except TimeoutError:
            return problem_response(
                408, f"a body must arrive within {self._read_seconds:g} s: got {len(body)} bytes. Send it again."
            )
        return None
