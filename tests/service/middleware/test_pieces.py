"""Large responses are sent in pieces."""

from __future__ import annotations

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.middleware.pieces import PIECE_BYTES, PiecesMiddleware
from tests.service.loops import run


@pytest.mark.parametrize("bytes_in_all", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_a_response_arrives_whole_in_pieces_that_are_not_too_large(bytes_in_all: int) -> None:
    body = bytes(number % 251 for number in range(bytes_in_all))
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": body})

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    run(PiecesMiddleware(app)({"type": "http"}, receive, send))
    pieces = [message["body"] for message in sent[1:]]
    assert b"".join(pieces) == body * 2
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * (len(pieces) - 1) + [False]
