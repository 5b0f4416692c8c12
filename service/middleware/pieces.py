"""Send large responses in pieces: the server then copies no more of one than a client is ready to take."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PIECE_BYTES = 64 * 1024  # after which uvicorn waits for the client


class PiecesMiddleware:
    """Split the messages with a response's body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; send its response in pieces."""

        async def send_in_pieces(message: Message) -> None:
            body = memoryview(message.get("body", b""))
            while len(body) > PIECE_BYTES:
                piece, body = body[:PIECE_BYTES], body[PIECE_BYTES:]
                await send({"type": "http.response.body", "body": bytes(piece), "more_body": True})
            await send({**message, "body": bytes(body)} if body.nbytes else message)

        await self._app(scope, receive, send_in_pieces)
